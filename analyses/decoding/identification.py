"""Is a pattern more like its own stimulus than like another's? Two at a time."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.decoding._gallery import Metric, paired, permuted_answers
from neurointerp.errors import AnalysisError
from neurointerp.result import result
from neurointerp.statistics import permutation_p

NAME = "decoding.identification"
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def identification(
    queries: xr.DataArray,
    gallery: xr.DataArray,
    *,
    metric: Metric = "correlation",
    draws: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    r"""Score how often a query is told from another stimulus, pair by pair.

    With :math:`s_{ij}` for the likeness of query i to the stimulus of query j: `one_way` counts
    :math:`s_{ii} > s_{ij}` over all stimuli j of the gallery, `two_way` counts :math:`s_{ii} + s_{jj} > s_{ij} +
    s_{ji}` over pairs of queries; ties count half. Chance is 0.5 in both.

    Parameters
    ----------
    queries
        (trial, unit) with `stimulus` on trial, each stimulus once: patterns made without their own stimulus.
    gallery
        (trial, unit) on the same units with `stimulus` ids, each once; `one_way` takes all of it, `two_way` those that
        are asked for.
    metric
        As for `retrieval`.
    draws
        Permutations of the names, for the interval of chance; pairs share stimuli, so that a binomial interval would be
        too narrow.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset
        `one_way (stimulus)`, the share of other stimuli; `accuracy`, `null_mean`, `chance_interval (bound, ...)`,
        `p_value`, each on `way`: `one_way` and `two_way`; `chance`; `pairs (way)`, how many comparisons. `stimulus` are
        the queries, `gallery` the ids that were there.

    Raises
    ------
    AnalysisError
        As `retrieval`; when a stimulus is asked for twice, or fewer than two are.

    References
    ----------
    Mitchell et al. (2008), Predicting human brain activity associated with the meanings of nouns, Science
    320:1191-1195 (two-way). Kay et al. (2008), Nature 452:352-355.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import decoding
    >>> true = np.random.default_rng(0).standard_normal((12, 30))
    >>> seen = true + 2 * np.random.default_rng(1).standard_normal((12, 30))
    >>> ids = {"stimulus": ("trial", [f"s{i:02d}" for i in range(12)])}
    >>> gallery, queries = (ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"), coords=ids)
    ...                     for values in (true, seen))
    >>> found = decoding.identification(queries, gallery)
    >>> bool((found.accuracy > 0.9).all()), found.pairs.values.tolist()
    (True, [132, 66])
    """
    pairing = paired(queries, gallery, metric, NAME)
    repeated = pairing.query.size - np.unique(pairing.answer).size
    if repeated or pairing.query.size < 2:
        raise AnalysisError(
            f"{NAME}: {pairing.query.size} queries of {pairing.query.size - repeated} stimuli: two or more, each asked "
            "for once, are needed; average repeats first, or use decoding.retrieval"
        )
    if not isinstance(draws, int | np.integer) or draws < 1:
        raise AnalysisError(f"{NAME}: draws is {draws!r}: a whole number, at least 1, is needed")
    likeness = pairing.likeness.round(12)  # equal up to rounding is a tie
    answers = permuted_answers(pairing, draws, np.random.default_rng(seed))
    single = _one_way(likeness, pairing.answer)
    observed = np.array([single.mean(), _two_way(likeness, pairing.answer)])
    null = np.array([[_one_way(likeness, one).mean(), _two_way(likeness, one)] for one in answers])
    way = {"way": np.array(["one_way", "two_way"], dtype=object)}
    interval = {"bound": np.array(["low", "high"], dtype=object), **way}
    count = pairing.query.size
    comparisons = [count * (pairing.gallery.size - 1), count * (count - 1) // 2]
    variables = {
        "one_way": xr.DataArray(single, dims="stimulus", coords={"stimulus": pairing.query}),
        "accuracy": xr.DataArray(observed, dims="way", coords=way),
        "null_mean": xr.DataArray(null.mean(axis=0), dims="way", coords=way),
        "chance": xr.DataArray(0.5),
        "chance_interval": xr.DataArray(
            np.quantile(null, [0.025, 0.975], axis=0), dims=("bound", "way"), coords=interval
        ),
        "p_value": xr.DataArray(permutation_p(observed, null), dims="way", coords=way),
        "pairs": xr.DataArray(comparisons, dims="way", coords=way),
    }
    found = result(
        {name: array.assign_attrs(units="1") for name, array in variables.items()},
        analysis=NAME,
        recording=[queries, gallery],
        parameters={"metric": metric, "draws": draws},
        seed=seed,
    )
    return found.assign_coords(gallery=pairing.gallery)


def _one_way(likeness: Floats, answer: Indices) -> Floats:
    """Give the share of other stimuli (query) that are less like the query than its own."""
    own = likeness[np.arange(answer.size), answer][:, None]
    beaten = (own > likeness).sum(axis=1) + 0.5 * ((own == likeness).sum(axis=1) - 1)
    share: Floats = beaten / (likeness.shape[1] - 1)
    return share


def _two_way(likeness: Floats, answer: Indices) -> float:
    """Give the share of pairs of queries that are better matched to their own stimuli than to each other's."""
    among = likeness[:, answer]
    own = np.diag(among)
    right, swapped = (own[:, None] + own).round(12), (among + among.T).round(12)
    first, second = np.triu_indices(answer.size, 1)
    return float(((right > swapped) + 0.5 * (right == swapped))[first, second].mean())
