"""The figures that mean the same on a worm and on a transformer: what each is, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps

import numpy as np
import xarray as xr

from neurointerp import align, matrix
from neurointerp.analyses import connectivity, encoding, factorization, tensor
from neurointerp.errors import AnalysisError, NeurointerpError
from neurointerp.recordings import recording

RANKS = (2, 4, 8)
STABILITY_RANK = 4
RESTARTS = 4
KEPT_UNITS = 0.5
"""Of the units, how many a component of semi-NMF may use."""
TENSOR_RANKS = (1, 2, 4)
WINDOW = 10
DENSITY_THRESHOLD = 0.3


@dataclass(frozen=True)
class Figure:
    """One row of the summary: its family, the unit it is in, and its definition in one sentence."""

    name: str
    family: str
    unit: str
    definition: str
    low: float = 0.0
    high: float = 1.0


FIGURES = (
    Figure(
        "effective_dimension", "factorization", "1",
        "Participation ratio of the eigenvalues of the units' correlation matrix, (sum l)^2 / sum l^2: "
        "1 when one pattern explains everything, the number of units when none is shared.",
        low=1.0, high=np.inf,
    ),
    *(
        Figure(
            f"semi_nmf_explained_rank{rank}", "factorization", "1",
            f"Share of the variance explained by semi-NMF with {rank} components, each of half of the units at most "
            "(1 - SSE / sum of squares).",
        )
        for rank in RANKS
    ),
    Figure(
        "semi_nmf_stability", "factorization", "1",
        f"Mean signed cosine between matched features of semi-NMF with {STABILITY_RANK} components over "
        f"{RESTARTS} random starts: 1 when every start finds the same features.",
        low=-1.0,
    ),
    Figure(
        "feature_sparsity", "factorization", "1",
        f"Hoyer sparsity of the semi-NMF features ({STABILITY_RANK} components, each of half of the units at most), "
        "mean: 1 when one unit carries the feature; when half of them take part equally 0.29 or a little more, the "
        "least there can be.",
    ),
    *(
        Figure(
            f"tensor_fit_rank{rank}", "tensor", "1",
            f"1 - squared relative error of non-negative CP with {rank} components on windows x time x units of "
            f"the activity above each unit's mean (windows of {WINDOW} samples).",
        )
        for rank in TENSOR_RANKS
    ),
    Figure(
        "connectivity_density", "connectivity", "1",
        f"Share of pairs of units whose correlation exceeds {DENSITY_THRESHOLD} in size.",
    ),
    Figure(
        "modularity", "connectivity", "1",
        "Newman's modularity of the Louvain communities of the positive correlations.",
        low=-0.5,
    ),
    Figure(
        "intrinsic_timescale", "encoding", "clock",
        "Time until the units' mean autocorrelation within segments falls below 1/e, in units of the clock. It is the "
        "control figure: a circular shift keeps each unit's own dynamics, so its null equals the data (z = 0).",
        high=np.inf,
    ),
    Figure(
        "self_prediction", "encoding", "1",
        "Held-out r2 of each unit predicted from all units one sample earlier (ridge, blocked folds with a gap): "
        "median over units of the mean over folds.",
        low=-np.inf,
    ),
)  # fmt: skip


def figures(matched: xr.DataArray, seed: int) -> tuple[dict[str, float], dict[str, str], dict[str, xr.Dataset]]:
    """Compute every figure on one matched recording.

    Returns
    -------
    values, failures, results
        Figure -> value; figure -> why it could not be computed; `family/method` -> labelled result.
    """
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    results: dict[str, xr.Dataset] = {}
    for family, compute in FAMILIES.items():
        names = [figure.name for figure in FIGURES if figure.family == family]
        try:
            found, made = compute(matched, seed)
        except NeurointerpError as error:
            found, made = {}, {}
            failures |= dict.fromkeys(names, str(error))
        values |= found
        results |= {f"{family}/{method}": result for method, result in made.items()}
        missing = [name for name in names if name not in found or not np.isfinite(found[name])]
        failures |= {name: failures.get(name, "undefined on this recording") for name in missing}
    return values, failures, results


Computed = tuple[dict[str, float], dict[str, xr.Dataset]]


def _factorization(matched: xr.DataArray, seed: int) -> Computed:
    fitted = {rank: _semi_nmf(matched, rank, seed=seed) for rank in _possible(matched)}
    found = {f"semi_nmf_explained_rank{k}": float(fit["explained_variance"]) for k, fit in fitted.items()}
    fit, first = fitted[STABILITY_RANK], seed

    @wraps(_semi_nmf)
    def restarted(recording: xr.DataArray, rank: int, *, seed: int = 0) -> xr.Dataset:
        return fit if seed == first else _semi_nmf(recording, rank, seed=seed)  # the first start is there already

    stable = factorization.stability(
        matched, STABILITY_RANK, method=restarted, restarts=RESTARTS, bootstraps=0, seed=seed
    )
    found |= {
        "effective_dimension": effective_dimension(matched.values),
        "semi_nmf_stability": float(stable["stability"]),
        "feature_sparsity": hoyer_sparsity(fit["features"].values),
    }
    return found, {"semi_nmf": fit, "stability": stable}


def _semi_nmf(matched: xr.DataArray, rank: int, *, seed: int = 0) -> xr.Dataset:
    """Run semi-NMF until ten iterations explain less than 1e-4 more of the data, 100 iterations at most.

    Without bounds on the features, the best fit of values about zero is one of components that cancel each other: none
    can be read, and which are found is chance. Features of half of the units from k-means clusters are found again.
    """
    return factorization.semi_nmf(
        matched, rank, keep_fraction=KEPT_UNITS, init="kmeans", max_iter=100, tolerance=1e-4, patience=10, seed=seed
    )


def _tensor(matched: xr.DataArray, seed: int) -> Computed:
    if "time" not in matched.dims:
        raise AnalysisError("one value per trial: there is no time to cut into windows")
    counted = recording(
        np.maximum(matched.values, 0.0),
        modality=matched.attrs["modality"],
        units="1",
        unit=list(matched["unit"].values),
        time=("time", np.arange(matched.sizes["time"]), {"units": "frame"}),
        coords={"segment": matched.coords["segment"].variable} if "segment" in matched.coords else None,
    )
    folded = align.windows(counted, WINDOW)
    fitted = {
        rank: tensor.nonnegative_cp(folded, rank, seed=seed, max_iter=200, tolerance=1e-6) for rank in TENSOR_RANKS
    }
    found = {f"tensor_fit_rank{k}": 1.0 - float(fit["relative_error"]) ** 2 for k, fit in fitted.items()}
    return found, {"nonnegative_cp": fitted[TENSOR_RANKS[-1]]}


def _connectivity(matched: xr.DataArray, seed: int) -> Computed:
    graph = connectivity.correlation(matched, seed=seed)
    groups = connectivity.communities(graph, seed=seed)
    r = graph["connectivity"].values
    pairs = r[np.triu_indices_from(r, k=1)]
    found = {
        "connectivity_density": float((np.abs(pairs) > DENSITY_THRESHOLD).mean()),
        "modularity": float(groups["modularity"]),
    }
    return found, {"correlation": graph, "communities": groups}


def _encoding(matched: xr.DataArray, seed: int) -> Computed:
    if "time" not in matched.dims:
        raise AnalysisError("one value per trial: there is no time to predict along")
    found = {"intrinsic_timescale": intrinsic_timescale(matched)}
    fit = encoding.ridge(matched, lags=(1,), seed=seed)
    found["self_prediction"] = float(fit["score"].mean("fold").median("unit"))
    return found, {"ridge": fit}


FAMILIES: Mapping[str, Callable[[xr.DataArray, int], Computed]] = {
    "factorization": _factorization,
    "tensor": _tensor,
    "connectivity": _connectivity,
    "encoding": _encoding,
}


def effective_dimension(values: np.ndarray) -> float:
    """Give the participation ratio of the covariance eigenvalues of a (sample, unit) matrix."""
    covariance = np.cov(values, rowvar=False)
    return float(np.trace(covariance) ** 2 / np.sum(covariance**2))


def hoyer_sparsity(features: np.ndarray) -> float:
    """Give the mean over rows of (sqrt(n) - |x|_1 / |x|_2) / (sqrt(n) - 1) (Hoyer 2004, eq. 1)."""
    root = np.sqrt(features.shape[1])
    norms = np.linalg.norm(features, axis=1)
    rows = features[norms > 0]
    ratio = np.abs(rows).sum(axis=1) / norms[norms > 0]
    return float(((root - ratio) / (root - 1)).mean())


def intrinsic_timescale(matched: xr.DataArray) -> float:
    """Give the clock time at which the mean circular autocorrelation of the units falls below 1/e.

    NaN when it does not fall within the lags there are.
    """
    return below_threshold(autocorrelation(matched)) * step(matched)


def autocorrelation(matched: xr.DataArray) -> np.ndarray:
    """Give the mean circular autocorrelation of the units at lags of 0, 1, ... samples.

    It is taken about each segment's mean, around the segment as on a ring (lags up to half of it), and pooled over
    segments and units, which makes it exactly invariant to circular shifts.
    """
    values = np.asarray(matched.values)
    pieces = [values[stretch] - values[stretch].mean(axis=0) for stretch in matrix.stretches(matched)]
    longest = max(len(piece) for piece in pieces) // 2
    pooled, weight = np.zeros(longest + 1), np.zeros(longest + 1)
    for piece in pieces:
        reach = len(piece) // 2 + 1
        power = np.abs(np.fft.rfft(piece, axis=0)) ** 2
        pooled[:reach] += np.fft.irfft(power, n=len(piece), axis=0)[:reach].sum(axis=1)
        weight[:reach] += (piece**2).sum()
    return pooled[weight > 0] / weight[weight > 0]


def below_threshold(curve: np.ndarray) -> float:
    """Give where a curve over lags first falls below 1/e, by a line between lags; 0 where it starts there, else NaN."""
    below = np.flatnonzero(curve < np.exp(-1))
    if not below.size or len(curve) < 2:
        return float("nan")
    after = int(below[0])
    if after == 0:
        return 0.0
    before = after - 1
    return float(before + (curve[before] - np.exp(-1)) / (curve[before] - curve[after]))


def step(matched: xr.DataArray) -> float:
    """Give the median step of the clock within segments."""
    time = matched["time"].values
    steps = [np.diff(time[s]) for s in matrix.stretches(matched)]
    return float(np.median(np.concatenate(steps)))


def _possible(matched: xr.DataArray) -> list[int]:
    return [rank for rank in RANKS if rank <= min(matched.shape)]
