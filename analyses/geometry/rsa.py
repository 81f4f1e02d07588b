"""Representational similarity analysis: do two systems hold the same stimuli apart, and how well could they."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurointerp.analyses.geometry._compared import COMPARISONS, FORMS, compared, pairs_of, square
from neurointerp.analyses.geometry._inference import inference_variables, inferred
from neurointerp.analyses.geometry._patterns import joined, named
from neurointerp.analyses.geometry.rdm import Metric, Noise, distances
from neurointerp.device import require_device
from neurointerp.errors import AnalysisError
from neurointerp.result import result
from neurointerp.schema import plain

_ANALYSIS = "geometry.rsa"
SIDES = ("stimulus", "stimulus2")
Comparison = Literal["pearson", "spearman", "kendall", "cosine", "whitened_cosine"]


def rsa(
    recordings: Mapping[str, xr.DataArray | xr.Dataset], *, metric: Metric = "correlation", noise: Noise = "shrinkage",
    comparison: Comparison = "spearman", by: str = "stimulus", repeat: str = "repeat", join: str = "exact",
    permutations: int = 1000, bootstraps: int = 0, device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Compare the dissimilarity matrices of recordings, matched by the names of their stimuli.

    Parameters
    ----------
    recordings
        Name -> recording (see `rdm`), result of `rdm`, or matrix (stimulus, stimulus2) of a model. Pairs that are NaN
        in either of two matrices are left out of their comparison; how many remained is in the result.
    metric, noise, by, repeat
        How a recording becomes a matrix: see `rdm`.
    comparison
        Over the pairs of stimuli: `spearman` (default), `pearson`, `kendall` (tau-a, for models that predict
        ties), `cosine` (for crossnobis distances, whose 0 means something), or `whitened_cosine`, which allows for the
        covariance of distances that share a stimulus.
    join
        `exact`: all recordings hold the same stimuli; `inner`: those that all hold, the rest counted in the result.
    permutations
        Draws of the null that renames the stimuli of one of the two (Mantel); 0 for none.
    bootstraps
        Draws of stimuli with replacement for 95% intervals; 0 for none. Pairs of a stimulus with itself are left out.
    device
        Where torch makes the products behind each matrix of a recording: see `rdm`; None (default): numpy. The null is
        drawn by numpy.
    seed
        Seed of both.

    Returns
    -------
    xarray.Dataset
        `similarity (recording, recording2)`; with permutations `p_value` (one-sided) and `q_value` (false discovery
        rate over pairs of recordings); with bootstraps `interval (bound, recording, recording2)`; `rdm (recording,
        stimulus, stimulus2)`; `pairs (recording, recording2)`, how many pairs of stimuli were compared;
        `stimuli_left_out (recording)`.

    Raises
    ------
    AlignmentError
        When stimuli differ and `join` is `exact`, or fewer than three are shared.
    AnalysisError
        When an option is not known, or a matrix is not square and symmetric with the same labels on both sides.

    References
    ----------
    Kriegeskorte, Mur, Bandettini (2008), Front Syst Neurosci 2:4; Nili et al. (2014), PLoS Comput Biol 10:e1003553
    (tau-a); Diedrichsen et al. (2021), arXiv:2007.02789 (whitened); Mantel (1967), Cancer Res 27:209. Agrees with
    rsatoolbox 0.3. Deviation: a bootstrap draw of stimuli is compared over pairs of different stimuli alone,
    also for whitened comparisons.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> values = np.random.default_rng(0).standard_normal((6, 5))
    >>> rec = ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", list("abcdef"))})
    >>> found = geometry.rsa({"one": rec, "reversed": rec[::-1]}, permutations=99)
    >>> float(found.similarity.sel(recording="one", recording2="reversed").round(6))
    1.0
    """
    given = named(recordings, _ANALYSIS)
    how: dict[str, Any] = {"metric": metric, "noise": noise, "by": by, "repeat": repeat, "device": device}
    shared, left_out, stack = _stacked(given, comparison, join, how)
    size, every = len(shared), pairs_of(np.arange(len(shared)))
    forms = (
        [[square(side, every, size) for side in FORMS[comparison](one[every], every)] for one in stack]
        if comparison in FORMS and not np.isnan(stack).any()
        else None
    )

    def similarity(i: int, j: int, rows: np.ndarray, others: np.ndarray) -> float:
        if forms and np.bincount(rows, minlength=size).max() == 1:  # all stimuli, renamed: the forms move with them
            return float((forms[i][0][np.ix_(rows, rows)] * forms[j][1][np.ix_(others, others)]).sum() / 2)
        first, second = pairs_of(rows)
        a, b = stack[i][rows[first], rows[second]], stack[j][others[first], others[second]]
        there = ~(np.isnan(a) | np.isnan(b))
        if there.sum() < 3:
            return float("nan")
        return compared(comparison, a[there], b[there], (first[there], second[there]))

    names = np.array(list(given), dtype=object)
    coords = {"recording": names, "recording2": names}
    seen = ~np.isnan(stack[:, *every])
    found = inferred(similarity, len(given), len(shared), permutations=permutations, bootstraps=bootstraps, seed=seed)
    variables = inference_variables(found, coords)
    variables["rdm"] = xr.DataArray(
        stack, dims=("recording", *SIDES), coords={"recording": names, "stimulus": shared, "stimulus2": shared}
    )
    variables["pairs"] = xr.DataArray(
        seen.astype(np.int64) @ seen.T.astype(np.int64), dims=("recording", "recording2"), coords=coords
    )
    variables["stimuli_left_out"] = xr.DataArray(left_out, dims="recording", coords={"recording": names})
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=list(given.values()),
        parameters=plain({"metric": metric, "noise": noise, "comparison": comparison, "by": by, "repeat": repeat,
                          "join": join, "permutations": permutations, "bootstraps": bootstraps,
                          "device": device}),
        seed=seed,
    )  # fmt: skip


def _stacked(
    given: Mapping[str, xr.DataArray | xr.Dataset], comparison: str, join: str, how: Mapping[str, Any]
) -> tuple[np.ndarray, list[int], np.ndarray]:
    """Give the stimuli that all hold, how many of each are left out, and the matrices (recording, stimulus, stimulus).

    `how` are the options of `rdm`.
    """
    if comparison not in COMPARISONS:
        raise AnalysisError(f"{_ANALYSIS}: comparison {comparison!r} is not one of {', '.join(COMPARISONS)}")
    require_device(how["device"], None, _ANALYSIS)
    matrices = {name: _matrix(name, one, how) for name, one in given.items()}
    labels = {name: one["stimulus"].values for name, one in matrices.items()}
    shared, left_out = joined(labels, _ANALYSIS, by=how["by"], join=join)
    stack = np.stack([one.sel(stimulus=shared, stimulus2=shared).values for one in matrices.values()])
    return shared, left_out, stack


def _matrix(name: str, given: xr.DataArray | xr.Dataset, how: Mapping[str, Any]) -> xr.DataArray:
    """Give the (stimulus, stimulus2) matrix of a recording, a result of `rdm` or a matrix."""
    one = given["rdm"] if isinstance(given, xr.Dataset) and "rdm" in given else given
    if not isinstance(one, xr.DataArray):
        raise AnalysisError(f"{_ANALYSIS}: {name!r} is neither a recording nor a matrix (stimulus, stimulus2)")
    if one.dims != SIDES:
        return distances(one, **how)
    values = np.asarray(one.values, dtype=np.float64)
    same = all(side in one.coords for side in SIDES) and list(one[SIDES[0]].values) == list(one[SIDES[1]].values)
    if not same or len(set(one[SIDES[0]].values.tolist())) != len(values):
        raise AnalysisError(f"{_ANALYSIS}: {name!r} needs the same unique labels on stimulus and stimulus2")
    if not np.allclose(values, values.T, equal_nan=True):
        raise AnalysisError(f"{_ANALYSIS}: {name!r} is not symmetric; a dissimilarity has no direction")
    labels = one[SIDES[0]].values
    labels = labels.astype(str).astype(object) if labels.dtype.kind in "OU" else labels
    return xr.DataArray(values, dims=SIDES, coords={SIDES[0]: labels, SIDES[1]: labels})


def rsa_ceiling(
    subjects: Mapping[str, xr.DataArray | xr.Dataset], *, metric: Metric = "correlation", noise: Noise = "shrinkage",
    comparison: Comparison = "spearman", by: str = "stimulus", repeat: str = "repeat", join: str = "exact",
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Bound how well any model's dissimilarity matrix can agree with those of a group of subjects.

    The upper bound compares each subject with the mean of all, itself included, the lower one with the mean of the
    others; before averaging, matrices are brought to the scale that the comparison sees.

    Parameters
    ----------
    subjects
        Name -> recording, result of `rdm` or matrix, two or more.
    metric, noise, comparison, by, repeat, join
        As in `rsa`.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        Scalars `lower` and `upper`; `lower_by_subject` and `upper_by_subject (subject)`, of which they are the means.

    Raises
    ------
    AlignmentError, AnalysisError
        As `rsa`; and when matrices hold missing pairs.

    References
    ----------
    Nili et al. (2014), PLoS Comput Biol 10:e1003553. Agrees with `boot_noise_ceiling` of rsatoolbox 0.3.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurointerp.analyses import geometry
    >>> rng, labels = np.random.default_rng(0), list("abcdef")
    >>> true = rng.random((6, 6))
    >>> noisy = [true + 0.1 * rng.random((6, 6)) for _ in range(3)]
    >>> people = {str(i): xr.DataArray(m + m.T, dims=("stimulus", "stimulus2"),
    ...           coords={"stimulus": labels, "stimulus2": labels}) for i, m in enumerate(noisy)}
    >>> found = geometry.rsa_ceiling(people)
    >>> bool(0.5 < found.lower < found.upper <= 1)
    True
    """
    given = named(subjects, _ANALYSIS)
    how: dict[str, Any] = {"metric": metric, "noise": noise, "by": by, "repeat": repeat, "device": None}
    shared, _, stack = _stacked(given, comparison, join, how)
    first, second = np.triu_indices(len(shared), 1)
    vectors = stack[:, first, second]
    if np.isnan(vectors).any():
        raise AnalysisError(f"geometry.rsa_ceiling: {int(np.isnan(vectors).sum())} missing pairs; drop their stimuli")
    scaled = np.stack([_scaled(vector, comparison) for vector in vectors])
    pairs, every, rest = (first, second), scaled.mean(axis=0), [np.delete(scaled, i, 0) for i in range(len(scaled))]
    upper = [compared(comparison, every, vector, pairs) for vector in vectors]
    lower = [compared(comparison, one.mean(axis=0), vector, pairs) for one, vector in zip(rest, vectors, strict=True)]
    people = {"subject": np.array(list(given), dtype=object)}
    return result(
        {
            "lower": xr.DataArray(np.mean(lower)),
            "upper": xr.DataArray(np.mean(upper)),
            "lower_by_subject": xr.DataArray(lower, dims="subject", coords=people),
            "upper_by_subject": xr.DataArray(upper, dims="subject", coords=people),
        },
        analysis="geometry.rsa_ceiling",
        recording=list(subjects.values()),
        parameters=plain({"metric": metric, "noise": noise, "comparison": comparison, "by": by, "repeat": repeat,
                          "join": join}),
        seed=seed,
    )  # fmt: skip


def _scaled(vector: np.ndarray, comparison: str) -> np.ndarray:
    """Bring a vector of distances to the scale that the comparison sees."""
    from scipy.stats import rankdata

    if comparison in ("spearman", "kendall"):
        return np.asarray(rankdata(vector), dtype=np.float64)
    if comparison == "pearson":
        return np.asarray((vector - vector.mean()) / vector.std())
    return np.asarray(vector / np.sqrt((vector**2).mean()))
