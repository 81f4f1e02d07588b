"""How well components tell concepts: assigned on training labels, scored on held-out recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.features._reading import (
    auc,
    coefficients_of,
    component_coords,
    cosine_maxima,
    features_of,
    group_labels,
    groups_of,
    require_whole,
    unit_norm,
)
from neurointerp.errors import AnalysisError
from neurointerp.matrix import require_complete
from neurointerp.result import result as build
from neurointerp.schema import check

NAME = "features.concept_detection"
FLOOR = 1e-6


def concept_detection(
    result: xr.Dataset,
    recording: xr.DataArray,
    held_out: xr.DataArray,
    *,
    label: str = "condition",
    group: str | None = None,
    shuffles: int = 20,
    seed: int = 0,
) -> xr.Dataset:
    r"""Assign components to concepts by training labels, and score them on held-out sentences, trials or stretches.

    A component stands for the concept on whose samples its mean coefficient is largest. Its activation in a group of
    samples (a sentence) is `a(x)`, the largest cosine of its feature with any sample. On held-out groups its score is
    `S_CD = log(mean a over the groups of its concept / mean a over all others)`, with means floored at 1e-6, and its
    AUC is that of `a` for its concept against the rest. The detector of a concept is the component whose mean
    coefficient (coefficients at unit norm) for it is largest.

    Parameters
    ----------
    result
        Of a factorization of `recording`, or what `arms` gave: `features(component, unit)` and `coefficients`.
    recording
        What was factorized, labelled: the training data.
    held_out
        Another recording of the same units, labelled with concepts that `recording` has.
    label
        Coordinate of the samples that names the concept.
    group
        Coordinate of the samples whose equal values make one group, such as `"sequence"`; default: each stretch
        (a segment of a trial; a trial alone where there is no time).
    shuffles
        How often labels of the training groups are shuffled, for the AUC that chance gives.
    seed
        Of the shuffles.

    Returns
    -------
    xarray.Dataset
        - `assigned_concept(component)`: what it is assigned to; "" for a component that died.
        - `score(component)` = S_CD and `auc(component)` on held-out groups; NaN for a component that died, and where
          its concept is in none of them.
        - `floored(component)`: how many of the two means were floored; `n_floored(arm)` their number.
        - `detector(arm, concept)`, `detector_auc(arm, concept)`, `detector_score(arm, concept)`.
        - `shuffled_auc(arm, shuffle)`: mean over concepts of `detector_auc` with shuffled training labels.
        - `positive_share(arm)`: part above 0 of the scores that there are; `median_score(arm)`: their median.

        `arm` is the coordinate of the components of that name (see `arms`), or the method for a single one.

    Raises
    ------
    AnalysisError
        When values are missing, units differ, there are fewer than two concepts, a held-out label is not a training
        label, a component was made for another concept, or a group has two labels.

    Notes
    -----
    A component that is present everywhere can have the largest mean coefficient for a concept that it does not tell
    from others, and is then a poor detector of it: `auc(component)` of those assigned to the concept shows better ones.

    With `assigned(component)` in the result (see `arms`) that is the concept of a component, and shuffles permute
    which concept such a component stands for.

    References
    ----------
    Shafran, Geiger, Geva (2025), arXiv:2506.10920. The log ratio is taken from a secondary description of a later
    version (their code stores cosine, Pearson, R2 and MSE): not verified. Deviations: all held-out groups count, not
    5 and 5; the AUC, the detector and the shuffles are additions.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> kind = np.tile(["a", "b"], 40)
    >>> values = np.where(kind[:, None] == "a", [3.0, 1, 0, 0], [0, 0, -3.0, 1]) + 0.3 * rng.standard_normal((80, 4))
    >>> one = ni.recording(values, modality="calcium", units="1", dims=("trial", "unit"),
    ...                    coords={"condition": ("trial", kind)})
    >>> found = concept_detection(factorization.semi_nmf(one[:40], 2, keep_fraction=0.5), one[:40], one[40:])
    >>> found.assigned_concept.values.tolist(), found.auc.values.tolist()
    (['a', 'b'], [1.0, 1.0])
    """
    require_whole(shuffles, "shuffles", NAME)
    data = _read(result, recording, held_out, label, group)
    means = _means(data, data.labels)
    assigned = _assigned(result, means, data.concepts)
    score, area, floored = _scored(data, assigned)
    coords = component_coords(result)
    arms = _arms(result, coords)
    names = list(dict.fromkeys(arms.tolist()))
    detectors = np.stack([_detectors(means, assigned, arms == arm, _is_given(result)) for arm in names])
    areas = np.stack([auc(data.held, data.truth == c) for c in range(len(data.concepts))], axis=1)
    at = np.arange(len(data.concepts))
    logs = np.stack([_scored(data, np.full(len(assigned), c))[0] for c in at], axis=1)
    by_arm, died = {"arm": np.array(names, dtype=object)}, assigned < 0
    pair = {**by_arm, "concept": data.concepts}
    kept = [(arms == arm) & ~died & ~np.isnan(score) for arm in names]
    found = {
        "assigned_concept": _on(np.where(died, "", data.concepts[assigned]).astype(object), coords),
        "score": _on(score, coords),
        "auc": _on(area, coords),
        "floored": _on(floored, coords),
        "detector": xr.DataArray(coords["component"].values[detectors], dims=("arm", "concept"), coords=pair),
        "detector_auc": xr.DataArray(areas[detectors, at], dims=("arm", "concept"), coords=pair),
        "detector_score": xr.DataArray(logs[detectors, at], dims=("arm", "concept"), coords=pair),
        "shuffled_auc": xr.DataArray(
            _shuffled(data, result, arms, names, areas, shuffles, seed), dims=("arm", "shuffle"),
            coords={**by_arm, "shuffle": np.arange(shuffles)},
        ),
        "positive_share": xr.DataArray(
            [float((score[one] > 0).mean()) if one.any() else np.nan for one in kept], dims="arm", coords=by_arm
        ),
        "median_score": xr.DataArray(
            [float(np.median(score[one])) if one.any() else np.nan for one in kept], dims="arm", coords=by_arm
        ),
        "n_floored": xr.DataArray([int(floored[one].sum()) for one in kept], dims="arm", coords=by_arm),
    }  # fmt: skip
    parameters = {"label": label, "group": group, "shuffles": shuffles}
    return build(found, analysis=NAME, recording=[recording, held_out], parameters=parameters, seed=seed)


@dataclass(frozen=True)
class _Data:
    """Coefficients (sample, component) at unit norm with the group of each sample, labels, and held-out activations."""

    coefficients: np.ndarray
    number: np.ndarray
    concepts: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    truth: np.ndarray


def _read(result: xr.Dataset, recording: xr.DataArray, held_out: xr.DataArray, label: str, group: str | None) -> _Data:
    for rec in (recording, held_out):
        check(rec)
        require_complete(rec, NAME)
        if not np.array_equal(rec["unit"].values, result["features"]["unit"].values):
            raise AnalysisError(f"{NAME}: the units of a recording are not those of the result; select the same ones")
    number, other = groups_of(recording, group, NAME), groups_of(held_out, group, NAME)
    known = group_labels(recording, label, number, NAME)
    truth = group_labels(held_out, label, other, NAME)
    concepts = np.array(sorted(set(known.tolist())), dtype=object)
    new = sorted(set(truth.tolist()) - set(known.tolist()))
    if len(concepts) < 2 or new or len(set(truth.tolist())) < 2:
        raise AnalysisError(
            f"{NAME}: {len(concepts)} values of {label!r} to train on and {len(set(truth.tolist()))} held out"
            + (f", {new[0]!r} only there" if new else "")
            + "; at least 2 in each are needed, and all held-out ones in training"
        )
    index = {concept: i for i, concept in enumerate(concepts.tolist())}
    columns = unit_norm(coefficients_of(result, recording, NAME).astype(np.float64).T).T
    return _Data(
        columns,
        number,
        concepts,
        np.array([index[one] for one in known.tolist()]),
        cosine_maxima(held_out, features_of(result, NAME), other),
        np.array([index[one] for one in truth.tolist()]),
    )


def _means(data: _Data, labels: np.ndarray) -> np.ndarray:
    """Give (concept, component): the mean coefficient over the samples of each concept."""
    of_sample = labels[data.number]
    return np.stack([data.coefficients[of_sample == c].mean(axis=0) for c in range(len(data.concepts))])


def _is_given(result: xr.Dataset) -> np.ndarray:
    if "assigned" not in result:
        return np.zeros(result.sizes["component"], dtype=bool)
    return np.asarray(result["assigned"].values.astype(str) != "")


def _assigned(result: xr.Dataset, means: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    """Give the number of the concept of each component; -1 for one that died."""
    out = np.where(means.max(axis=0) > 0, means.argmax(axis=0), -1)
    index = {concept: i for i, concept in enumerate(concepts.tolist())}
    for k in np.flatnonzero(_is_given(result)):
        made_for = str(result["assigned"].values[k])
        if made_for not in index:
            raise AnalysisError(
                f"{NAME}: component {k} was made for {made_for!r}, which no training sample is labelled; pass the "
                "recording that arms was given"
            )
        out[k] = index[made_for]
    return np.asarray(out)


def _detectors(means: np.ndarray, assigned: np.ndarray, mine: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Give, for each concept, the component of an arm that stands for it."""
    best = np.where(mine, means, -np.inf).argmax(axis=1)
    for k in np.flatnonzero(mine & given & (assigned >= 0)):
        best[assigned[k]] = k
    return np.asarray(best)


def _scored(data: _Data, assigned: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the score, the AUC and the number of floored means of each component for its concept."""
    score, area = np.full(len(assigned), np.nan), np.full(len(assigned), np.nan)
    floored = np.zeros(len(assigned), dtype=np.int64)
    for c in range(len(data.concepts)):
        k, positive = np.flatnonzero(assigned == c), data.truth == c
        if not k.size or not positive.any() or positive.all():
            continue
        means = np.stack([data.held[positive][:, k].mean(axis=0), data.held[~positive][:, k].mean(axis=0)])
        floored[k] = (means < FLOOR).sum(axis=0)
        means = np.maximum(means, FLOOR)
        score[k], area[k] = np.log(means[0] / means[1]), auc(data.held[:, k], positive)
    return score, area, floored


def _shuffled(
    data: _Data, result: xr.Dataset, arms: np.ndarray, names: list[str], areas: np.ndarray, shuffles: int, seed: int
) -> np.ndarray:
    """Give (arm, shuffle): the mean AUC of the detectors that shuffled labels choose."""
    rng = np.random.default_rng(seed)
    given, out = _is_given(result), np.empty((len(names), shuffles))
    true = _assigned(result, _means(data, data.labels), data.concepts)
    at = np.arange(len(data.concepts))
    for draw in range(shuffles):
        means = _means(data, rng.permutation(data.labels))
        assigned = np.where(given, rng.permutation(len(data.concepts))[true], means.argmax(axis=0))
        for i, arm in enumerate(names):
            out[i, draw] = np.nanmean(areas[_detectors(means, assigned, arms == arm, given), at])
    return out


def _arms(result: xr.Dataset, coords: dict[Any, xr.DataArray]) -> np.ndarray:
    if "arm" in coords:
        return np.asarray(coords["arm"].values)
    method = str(result.attrs.get("analysis", "result")).rpartition(".")[2]
    return np.full(result.sizes["component"], method, dtype=object)


def _on(values: np.ndarray, coords: dict[Any, xr.DataArray]) -> xr.DataArray:
    return xr.DataArray(values, dims="component", coords=coords)
