"""Non-negative matrix factorization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import backend, matrix, result, threads
from neurointerp.analyses.factorization._alternate import Fit, alternate, descended
from neurointerp.analyses.factorization._checks import Search, require_count, search_of
from neurointerp.analyses.factorization._coarse import begun
from neurointerp.analyses.factorization._labelled import variables
from neurointerp.analyses.factorization._samples import Samples, gram, of_recording
from neurointerp.analyses.factorization._starts import require_start, start
from neurointerp.device import in_blocks
from neurointerp.errors import AnalysisError

NAME = "factorization.nmf"


def nmf(
    recording: xr.DataArray,
    rank: int,
    *,
    init: str = "random",
    max_iter: int = 1000,
    tolerance: float = 1e-7,
    patience: int = 20,
    restarts: int = 1,
    device: str | None = None,
    precision: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Split a non-negative recording into non-negative patterns over units and how much of each is present.

    Minimise `||X - G F||^2` over `G >= 0` (sample, component) and `F >= 0` (component, unit), by coordinate
    descent on each in turn with extrapolation. Nothing is centred or scaled.

    Parameters
    ----------
    recording
        Any recording without negative values; every dim but `unit` is a sample dim. Missing values (NaN) count for
        nothing: the error is that of the observed entries. One that is chunked (dask) is read chunk by chunk, once
        per iteration.
    rank
        Number of components, at most the smaller of the numbers of samples and units.
    init
        Start of `G`: `"random"`, uniform on (0, 1); `"kmeans"`, membership after 15 Lloyd steps; `"svd"`, the
        larger half (positive or negative) of each left singular vector. `F` starts from its least squares, clipped.
        `"kmeans"` and `"svd"` need all values of a chunked recording in memory at once; `"random"` does not.
    max_iter
        Most iterations.
    tolerance, patience
        Stop once `patience` iterations together have lowered the loss by no more than `tolerance`, a part of the
        sum of squares of the recording.
    restarts
        Number of starts; the best fit is returned.
    device
        Where torch works on the blocks of the recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
    seed
        Seed of the starts.

    Returns
    -------
    xarray.Dataset
        - `features(component, unit)`: >= 0, in the units of the recording, by descending size.
        - `coefficients(<sample dims>, component)`: >= 0, dimensionless, unit L2 norm over all samples.
        - `support(component, unit)`: where `features` is not zero.
        - `loss(iteration)`: squared relative error, SSE / sum of squares; it never rises.
        - `relative_error`, `explained_variance` (1 - SSE / sum of squares about the unit means), `best_iteration`,
          `stop_reason` (`"tolerance"` or `"max_iter"`).

    Raises
    ------
    AnalysisError
        When values are negative, a unit or a sample has no value, all are zero, or an argument is out of range.
    RecordingError
        When `recording` breaks the contract.

    Notes
    -----
    Large complete recordings (1e9 multiply-adds a product) begin with passes over a random eighth of the samples (at
    least 12 for each component), which are the same for every seed; iterations are counted from the first pass over
    all.

    References
    ----------
    Cichocki, Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor factorizations, IEICE
    Trans E92-A:708 (the update). Ang, Gillis (2019), Neural Computation 31:417 (extrapolation of both factors;
    deviation: a step is refused where the loss rose, whichever factor made it rise).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(60, 2)) @ np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    >>> rec = ni.recording(values, modality="spikes", units="1", sampling_rate=10.0)
    >>> res = factorization.nmf(rec, 2)
    >>> (res.features.values > 1e-3).astype(int).tolist(), round(float(res.explained_variance), 3)
    ([[1, 1, 0, 0], [0, 0, 1, 1]], 1.0)
    """
    labels = matrix.labels(recording)
    search = search_of(NAME, max_iter, tolerance, patience, restarts)
    require_start(init, NAME)
    most = min(math.prod(labels.sample_shape), recording.sizes["unit"])
    rank = require_count(rank, "rank", NAME, high=most, why="the smaller of samples and units")
    samples = of_recording(in_blocks(recording, device, precision, NAME), NAME, device, precision)
    require_non_negative(samples, NAME)
    with threads.for_work(4 * math.prod(samples.shape) * rank):
        fit = factor(samples, rank, init, search, seed)
    parameters = {
        "rank": rank, "init": init, "max_iter": max_iter, "tolerance": tolerance, "patience": patience,
        "restarts": restarts, "device": device, "precision": precision,
    }  # fmt: skip
    found = variables(fit, labels, samples, recording.attrs["units"])
    return result.result(found, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


def factor(samples: Samples, rank: int, init: str, search: Search, seed: int) -> Fit:
    """Fit from each start and give the best."""
    like = next(samples.source())

    def run(rng: np.random.Generator) -> Fit:
        G = start(samples, rank, init, rng, like)
        G, F = begun(samples, G, lambda part, g: _clipped(part.project(g), gram(g)), _solve, _leap)
        return alternate(samples, G, F, _solve, _leap, **search.limits)

    return min((run(rng) for rng in search.generators(seed)), key=lambda fit: fit.losses[fit.best])


def require_non_negative(samples: Samples, analysis: str) -> None:
    """Refuse negative values with their count."""
    count, least = 0, 0.0
    for _, block in samples.blocks():
        xp = backend.namespace(block)
        negative = block < 0
        count += int(xp.count_nonzero(negative))
        least = min(least, float(xp.min(xp.where(negative, block, xp.zeros_like(block)))))
    if count:
        raise AnalysisError(
            f"{analysis}: {count} of {math.prod(samples.shape)} values are negative (least {least * samples.scale:g}); "
            "rectify (recording.clip(min=0)) or use factorization.semi_nmf on signed data"
        )


def _solve(image: Any, inner: Any, F: Any) -> Any:
    return descended(F.T, image.T, inner).T


def _leap(new: Any, old: Any, step: float) -> Any:
    return backend.namespace(new).clip(new + step * (new - old), min=0.0)


def _clipped(image: Any, inner: Any) -> Any:
    """Give the least squares of the features, negative values set to a small part of their size."""
    xp = backend.namespace(image)
    size = inner.shape[0]
    ridge = (1e-6 * float(xp.linalg.trace(inner)) / size) * xp.eye(size, dtype=inner.dtype, device=inner.device)
    F = xp.astype(xp.linalg.solve(inner + ridge, xp.astype(image, inner.dtype)), image.dtype)
    return xp.where(F > 0, F, 1e-3 * xp.abs(F))
