"""How much of a representation's variance each feature holds, beside how well it can be read out: the bias audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix, split
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result

_ANALYSIS = "geometry.feature_variance"
DEPENDENCE = 0.01
"""Largest difference between the joint share of features and the sum of their shares that passes as independent."""
EQUAL_DECODABILITY, UNEQUAL_SHARES, NOTHING = 0.05, 1.5, 0.005
FOLDS = 5
LOST = 0.15
"""By how much a feature must be read out worse of what stands for a recording, to be called lost."""


def feature_variance(
    recording: xr.DataArray, features: Sequence[str], *, folds: int = 5, components: int = 10, seed: int = 0
) -> xr.Dataset:
    r"""Give the share of a representation's variance that each known feature of the input accounts for.

    For a feature :math:`f`, one-hot coded, :math:`R^2_f = 1 - \sum_{test} \|W_f f(x) - \phi(x)\|^2 / \sum_{test}
    \|\phi(x)\|^2`, where :math:`\phi` is centred on the training fold and :math:`W_f` the least-squares prediction of
    the representation *from* the feature, fitted there (pooled over samples and units, and over folds). Shares of
    independent features add up; features that are not independent are refused, because their shares have no meaning
    one by one.

    Beside it stands how well the feature can be read out. Where two features are read out equally well and their
    shares differ, an order of importance by variance (PCA, RSA, CKA, encoding) tells of the representation, not
    of the computation: `bias_ratio` and the attr `warning` say so.

    Parameters
    ----------
    recording
        (trial, unit) or (time, unit) with the `features` as sample coordinates of few distinct values each.
        All values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    features
        Names of sample coordinates, one or more.
    folds
        Of held-out samples, in an order drawn once: of whole stimuli where a `stimulus` returns; else of whole trials
        where these have time; else of single samples. A recording in time without trials has contiguous blocks, since
        neighbours tell of each other. Stimuli or trials with the same features are dealt evenly; of fewer than `folds`
        there are as many folds.
    components
        Leading principal components whose variance is divided among the features too.
    seed
        Seed of the folds.

    Returns
    -------
    xarray.Dataset
        `r2 (feature)`, share of the total variance on held-out samples; `r2_joint`, of all features together;
        `r2_components (feature, component)`; `r2_units (feature, unit)`; `gini (feature)` of the latter, its
        sparsity; `decodability (feature)`, balanced accuracy of a logistic regression on held-out samples, and
        `chance (feature)`; `bias_ratio (feature, feature2)` = r2 of the one over that of the other, NaN below 0.005.

    Raises
    ------
    AnalysisError
        When a feature is no coordinate of samples, has one value or as many as samples, values are missing (their
        count), features are not independent: their shares miss the joint one by more than 0.01, or a value of a feature
        is only in samples that are held out together.

    References
    ----------
    Lampinen, Chan, Hermann (2024), TMLR, arXiv:2405.05847. The pooled form of R2 is taken; whether the paper pools or
    averages per sample is not verified.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rng = np.random.default_rng(0)
    >>> easy, hard = rng.integers(0, 2, (2, 2000))
    >>> values = np.outer(2 * easy - 1, [3.0, 0.0]) + np.outer(2 * hard - 1, [0.0, 1.0])
    >>> rec = ni.recording(values, modality="activations", units="1", dims=("trial", "unit"),
    ...                    coords={"easy": ("trial", easy), "hard": ("trial", hard)})
    >>> found = geometry.feature_variance(rec, ["easy", "hard"])
    >>> found.r2.values.round(2).tolist(), found.decodability.values.tolist()
    ([0.9, 0.1], [1.0, 1.0])
    """
    _require_options(features, folds, components)
    recording = matrix.in_memory(recording, _ANALYSIS)
    stacked = matrix.stack(recording)
    matrix.require_complete(recording, _ANALYSIS)
    values = stacked.values.astype(np.float64)
    codes = {name: _coded(recording, name) for name in features}
    if not (np.ptp(values, axis=0) > 0).any():
        raise AnalysisError(f"{_ANALYSIS}: no unit of the recording varies")
    analysed = pending(recording)
    fold, held_out = _folds(recording, features, folds, seed)
    _require_levels(codes, fold, held_out)
    shares = {name: _share(one, values, fold) for name, one in codes.items()}
    explained, total = _share(np.hstack(list(codes.values())), values, fold)
    joint = float(explained.sum() / total.sum())
    r2 = {name: float(explained.sum() / total.sum()) for name, (explained, total) in shares.items()}
    if abs(joint - sum(r2.values())) > DEPENDENCE:
        raise AnalysisError(
            f"{_ANALYSIS}: {_dependent(codes)}: the shares add up to {sum(r2.values()):.3f} and all together hold "
            f"{joint:.3f}; balance the samples, so that no feature tells of another"
        )
    axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)[2][:components].T
    in_axes = {name: _share(one, (values - values.mean(axis=0)) @ axes, fold) for name, one in codes.items()}
    decodable = {name: _decodability(values, one.argmax(axis=1), fold) for name, one in codes.items()}
    named = {"feature": np.array(list(codes), dtype=object)}
    with np.errstate(divide="ignore", invalid="ignore"):
        units = np.stack([np.where(total > 0, explained / total, np.nan) for explained, total in shares.values()])
        in_components = np.stack([explained / total for explained, total in in_axes.values()])
    share = np.array(list(r2.values()))
    held = np.where(share > NOTHING, share, np.nan)
    ratio = held[:, None] / held
    variables = {
        "r2": xr.DataArray(share, dims="feature", coords=named),
        "r2_joint": xr.DataArray(joint),
        "r2_components": xr.DataArray(in_components, dims=("feature", "component"), coords=named),
        "r2_units": xr.DataArray(units, dims=("feature", "unit"), coords={**named, **stacked.unit_coords}),
        "gini": xr.DataArray([_gini(np.maximum(np.nan_to_num(row), 0)) for row in units], dims="feature", coords=named),
        "decodability": xr.DataArray(list(decodable.values()), dims="feature", coords=named),
        "chance": xr.DataArray([1 / one.shape[1] for one in codes.values()], dims="feature", coords=named),
        "bias_ratio": xr.DataArray(ratio, dims=("feature", "feature2"), coords={**named, "feature2": named["feature"]}),
    }
    out = result(
        variables, analysis=_ANALYSIS, recording=analysed, seed=seed,
        parameters={"features": list(codes), "folds": folds, "components": components, "held_out": held_out},
    )  # fmt: skip
    return out.assign_attrs(warning=_warning(out))


def audit(
    found: xr.Dataset, recordings: Mapping[str, xr.DataArray], features: Sequence[str], *, seed: int = 0
) -> xr.Dataset:
    """Attach to a result how far it may be owed to variance instead of computation.

    Of a result that puts other values in the place of a recording's samples, the components of a factorization
    (`coefficients`) or the prediction of an encoding model (`prediction`), it is also told what they keep: how well
    each feature is read out of them. A feature of little variance may be lost there though it is computed all the same.

    Parameters
    ----------
    found
        Any result that reads importance or likeness from variance: of geometry, encoding or factorization.
    recordings
        Name -> what it was computed from (of encoding: the responses), with the `features` as sample coordinates.
    features
        As in `feature_variance`.
    seed
        As there.

    Returns
    -------
    xarray.Dataset
        `found` with `feature_share (audited, known_feature)`, `feature_decodability (audited, known_feature)` and the
        attr `bias_warning`, empty where no recording gives cause. With `coefficients` or `prediction` also
        `feature_kept (audited, known_feature)`, the balanced accuracy of a read-out from those: NaN of a recording
        whose samples they are not, and where they are known of too few samples to learn a feature from some and try
        it on others. The warning then names features that are read out of the recording and not of those.

    Raises
    ------
    AnalysisError
        As `feature_variance`.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rng = np.random.default_rng(0)
    >>> easy, hard = rng.integers(0, 2, (2, 400))
    >>> values = np.outer(2 * easy - 1, [3.0, 0.0]) + np.outer(2 * hard - 1, [0.0, 1.0]) + rng.normal(0, 0.1, (400, 2))
    >>> rec = ni.recording(values, modality="activations", units="1", dims=("trial", "unit"),
    ...     coords={"easy": ("trial", easy), "hard": ("trial", hard), "stimulus": ("trial", np.arange(400))})
    >>> likeness = geometry.cka({"a": rec, "b": rec}, permutations=0)
    >>> geometry.audit(likeness, {"a": rec}, ["easy", "hard"]).attrs["bias_warning"][:9]
    "a: 'easy'"
    """
    audits = {name: feature_variance(rec, features, seed=seed) for name, rec in recordings.items()}
    if not audits:
        raise AnalysisError("geometry.audit: no recordings to audit")
    name = xr.Variable("audited", np.array(list(audits), dtype=object))
    # `feature` is what encoding results call their predictors: these are others
    parts = [one[["r2", "decodability"]].rename(feature="known_feature") for one in audits.values()]
    both = xr.concat(parts, name).rename(r2="feature_share", decodability="feature_decodability")
    warnings = [f"{name}: {one.attrs['warning']}" for name, one in audits.items() if one.attrs["warning"]]
    stands_for = [found[kind] for kind in ("coefficients", "prediction") if kind in found]
    if stands_for:
        kept = np.array([_kept(stands_for[0], rec, features, seed) for rec in recordings.values()])
        both["feature_kept"] = (("audited", "known_feature"), kept)
        warnings += _lost(both, str(stands_for[0].name))
    return found.assign(both).assign_attrs(found.attrs, bias_warning="; ".join(warnings))


def _kept(values: xr.DataArray, rec: xr.DataArray, features: Sequence[str], seed: int) -> list[float]:
    """Give how well features are read out of what stands for the samples of a recording; NaN where it does not."""
    labels = [dim for dim in rec.dims[:-1] if dim in rec.indexes or dim in values.indexes]
    same = values.dims[:-1] == rec.dims[:-1] and values.shape[:-1] == rec.shape[:-1]
    if not same or not all(np.array_equal(values[dim].values, rec[dim].values) for dim in labels):
        return [float("nan")] * len(features)
    held = values.values.reshape(-1, values.shape[-1]).astype(np.float64)
    codes = [_coded(rec, name) for name in features]
    known = np.isfinite(held).all(axis=1)  # of samples that no fold predicts there is nothing
    if known.sum() < 2:
        return [float("nan")] * len(features)
    held = held[:, np.ptp(held[known], axis=0) > 0]
    if not held.shape[1]:
        return [1 / code.shape[1] for code in codes]
    fold = _folds(rec, features, FOLDS, seed)[0][known]
    return [_decodability(held[known], code[known].argmax(axis=1), fold) for code in codes]


def _lost(both: xr.Dataset, kind: str) -> list[str]:
    """Name the features that a recording holds readably and what stands for it does not."""
    whole, kept = both["feature_decodability"].values, both["feature_kept"].values
    return [
        f"{both['audited'].values[i]}: {both['known_feature'].values[j]!r} is read out with {whole[i, j]:.2f} of the "
        f"recording and with {kept[i, j]:.2f} of the {kind}: they do not keep it"
        for i, j in np.argwhere(kept < whole - LOST)
    ]


def _require_options(features: Sequence[str], folds: Any, components: Any) -> None:
    if isinstance(features, str) or not len(features):
        raise AnalysisError(
            f"{_ANALYSIS}: features is {features!r}; a list of one or more sample coordinates is needed"
        )
    for name, value, least in (("folds", folds, 2), ("components", components, 1)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise AnalysisError(f"{_ANALYSIS}: {name} is {value!r}; a whole number of at least {least} is needed")


def _coded(recording: xr.DataArray, name: str) -> np.ndarray:
    """Give the one-hot code (sample, level) of a feature."""
    number = split.groups(recording, name)
    levels = int(number.max()) + 1
    if levels < 2 or levels > max(2, len(number) // 4):
        raise AnalysisError(
            f"{_ANALYSIS}: {name!r} has {levels} values in {len(number)} samples; two or more, and at most one in four "
            "samples, are needed: bin it first"
        )
    return np.eye(levels)[number]


def _folds(recording: xr.DataArray, features: Sequence[str], folds: int, seed: int) -> tuple[np.ndarray, str]:
    """Give the fold of each sample, and what is held out whole."""
    moment, span = split.moments(recording), recording.sizes.get("time", 1)
    label, kind = moment // span, "samples" if span == 1 else "trials"
    if "stimulus" in recording.coords and recording["stimulus"].dims and "stimulus" not in features:
        stimulus = split.groups(recording, "stimulus")
        if 1 < np.unique(stimulus).size < stimulus.size:
            label, kind = stimulus, "stimuli"
    if kind != "stimuli" and "time" in recording.dims and "trial" not in recording.dims:
        return split.block_labels(moment, folds), "blocks of time"
    rng, count = np.random.default_rng(seed), int(label.max()) + 1
    if kind != "samples":
        alike = np.unique(np.stack([split.groups(recording, name) for name in features]), axis=1, return_inverse=True)[
            1
        ]
        own = alike.ravel()[np.unique(label, return_index=True)[1]]  # of each whole
        least = int(np.bincount(own).min())
        if least > 1 and (own[label] == alike.ravel()).all():
            return _spread(own, min(folds, least), rng)[label], kind
    return (rng.permutation(count) % min(folds, count))[label], kind


def _spread(kind: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deal wholes of each kind evenly to folds, so that features stay independent in what is left."""
    fold = np.empty(kind.size, dtype=np.int64)
    for one in np.unique(kind):
        mine = rng.permutation(np.flatnonzero(kind == one))
        fold[mine] = np.arange(mine.size) % folds
    return fold


def _share(code: np.ndarray, values: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give, per unit, the held-out sum of squares that the code explains, and the whole."""
    explained, total = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for k in range(int(fold.max()) + 1):
        train, test = fold != k, fold == k
        mean, centre = values[train].mean(axis=0), code[train].mean(axis=0)
        weights = np.linalg.lstsq(code[train] - centre, values[train] - mean, rcond=1e-10)[0]
        phi = values[test] - mean
        whole = (phi**2).sum(axis=0)
        total += whole
        explained += whole - ((phi - (code[test] - centre) @ weights) ** 2).sum(axis=0)
    return explained, total


def _require_levels(codes: Mapping[str, np.ndarray], fold: np.ndarray, held_out: str) -> None:
    """Refuse features of which a training fold shows a single value."""
    for name, code in codes.items():
        for k in range(int(fold.max()) + 1):
            if (code[fold != k].any(axis=0)).sum() < 2:
                counts = code.sum(axis=0).astype(int).tolist()
                raise AnalysisError(
                    f"{_ANALYSIS}: {name!r} has values in {counts} samples, and all of one lie in fold {k}: whole "
                    f"{held_out} are held out; give each value more of them, or use another seed= or other folds="
                )


def _dependent(codes: Mapping[str, np.ndarray]) -> str:
    """Name the two features that tell most of each other."""
    from sklearn.metrics import normalized_mutual_info_score

    if len(codes) < 2:
        return "the feature"
    one, other = max(
        combinations(codes, 2),
        key=lambda pair: normalized_mutual_info_score(*(codes[name].argmax(axis=1) for name in pair)),
    )
    return f"{one!r} and {other!r} are not independent"


def _decodability(values: np.ndarray, level: np.ndarray, fold: np.ndarray) -> float:
    """Give the balanced accuracy of a logistic regression on held-out samples; NaN where a fold lacks all but one."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    guess = np.empty_like(level)
    if any(np.unique(level[fold != k]).size < 2 for k in np.unique(fold)):
        return float("nan")
    for k in np.unique(fold):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        guess[fold == k] = model.fit(values[fold != k], level[fold != k]).predict(values[fold == k])
    return float(balanced_accuracy_score(level, guess))


def _gini(values: np.ndarray) -> float:
    order = np.sort(values)
    n = len(order)
    return float(((2 * np.arange(1, n + 1) - n - 1) @ order) / (n * order.sum())) if order.sum() > 0 else float("nan")


def _warning(found: xr.Dataset) -> str:
    """Name the pair of features that are read out equally well and held most unequally."""
    share, decodable, names = (found[name].values for name in ("r2", "decodability", "feature"))
    readable = decodable > found["chance"].values + 0.1
    worst, said = UNEQUAL_SHARES, ""
    for i, j in permutations(np.flatnonzero(readable), 2):
        ratio = share[i] / max(share[j], 1e-3)
        if decodable[i] - decodable[j] <= EQUAL_DECODABILITY and ratio > worst:
            worst = ratio
            said = (
                f"{names[i]!r} holds {share[i]:.3f} of the variance and {names[j]!r} {share[j]:.3f}, though both are "
                f"read out about equally well ({decodable[i]:.2f}, {decodable[j]:.2f}): do not read importance from "
                "variance without a causal measure"
            )
    return said
