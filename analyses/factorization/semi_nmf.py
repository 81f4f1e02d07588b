"""Semi-non-negative matrix factorization with winner-take-all sparsity over units."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import backend, matrix, result, threads
from neurointerp.analyses.factorization._alternate import Fit, Patience, alternate, ordered
from neurointerp.analyses.factorization._checks import Search, require_count, search_of
from neurointerp.analyses.factorization._coarse import begun
from neurointerp.analyses.factorization._labelled import variables
from neurointerp.analyses.factorization._samples import Samples, gram, of_recording
from neurointerp.analyses.factorization._starts import require_start, start
from neurointerp.device import in_blocks
from neurointerp.errors import AnalysisError

NAME = "factorization.semi_nmf"
FLOOR = 1e-6
"""Ridge of the least squares, and (times the mean square) floor of a divisor."""


def semi_nmf(
    recording: xr.DataArray,
    rank: int,
    *,
    keep_fraction: float = 1.0,
    init: str = "random",
    max_iter: int = 2000,
    tolerance: float = 1e-7,
    patience: int = 100,
    restarts: int = 1,
    device: str | None = None,
    precision: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Split a signed recording into signed patterns over units and how much of each is present.

    Minimise `||X - G F||^2` over `G >= 0` (sample, component) and `F` (component, unit), where each row of
    `F` has at most `ceil(keep_fraction * units)` entries that are not zero. One iteration: `F` by least
    squares; the largest entries of each of its rows kept (hard winner-take-all, signs kept); columns of `G`
    scaled to norm 1; `G` by the multiplicative update of Ding, Li and Jordan or, where `keep_fraction` is 1 and
    nothing is cut, by coordinate descent. Nothing is centred or scaled.

    Parameters
    ----------
    recording
        Any recording; every dim but `unit` is a sample dim. Missing values (NaN) count for nothing: the error is that
        of the observed entries. One that is chunked (dask) is read chunk by chunk, once per iteration.
    rank
        Number of components, at most the number of samples.
    keep_fraction
        Part of the units that a component may use, in (0, 1]. Below 1 components become identifiable, but the
        loss may rise between iterations: the best iterate is returned, not the last.
    init
        Start of `G`: `"random"`, uniform on (0, 1); `"kmeans"`, membership after 15 Lloyd steps; `"svd"`, the
        larger half (positive or negative) of each left singular vector: the other half is lost. `"svd"` does
        not depend on `seed` unless `rank` exceeds the number of units.
        `"kmeans"` and `"svd"` need all values of a chunked recording in memory at once; `"random"` does not.
    max_iter
        Most iterations.
    tolerance, patience
        Stop once `patience` iterations together have lowered the best loss by no more than `tolerance`, a
        part of the sum of squares of the recording.
    restarts
        Number of starts; the best fit is returned.
    device
        Where torch works on the blocks of the recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
    seed
        Seed of the start.

    Returns
    -------
    xarray.Dataset
        - `features(component, unit)`: signed, in the units of the recording (norm = size of the component),
          by descending explained energy, the sum of squares of the component's own part of the fit.
        - `coefficients(<sample dims>, component)`: >= 0, dimensionless, unit L2 norm over all samples (a
          component that died is zero).
        - `support(component, unit)`: where `features` is not zero.
        - `loss(iteration)`: squared relative error, SSE / sum of squares, after each iteration.
        - `relative_error`: square root of the best loss.
        - `explained_variance`: 1 - SSE / sum of squares about the unit means (NaN where no unit varies).
        - `best_iteration`: label of the iteration returned.
        - `stop_reason`: `"tolerance"` or `"max_iter"`.

    Raises
    ------
    AnalysisError
        When a unit or a sample has no value, all are zero, or an argument is out of range.
    RecordingError
        When `recording` breaks the contract.

    Notes
    -----
    Deviations from the reference code of Shafran et al.: the stopping rule is relative to the data (theirs is
    1e-4 absolute), and so is the 1e-6 under the division of the multiplicative update (times the mean square
    of the data), so that volts and microvolts give one answer. Without winner-take-all the problem is the plain
    one of Ding, Li and Jordan, where extrapolated coordinate descent lowers the loss far faster than their update.
    Missing values are filled with the model's own before each update (expectation-maximization). Without
    winner-take-all, large complete recordings (1e9 multiply-adds a product) begin with passes over a random eighth
    of the samples (at least 12 for each component), which are the same for every seed; iterations are counted from
    the first pass over all.

    References
    ----------
    Ding, Li, Jordan (2010), Convex and semi-nonnegative matrix factorizations, IEEE TPAMI 32:45.
    Shafran, Geiger, Geva (2025), arXiv:2506.10920.
    Ang, Gillis (2019), Accelerating nonnegative matrix factorization algorithms using extrapolation, Neural
    Computation 31:417, algorithm 2 (here with exact features).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(60, 2)) @ np.array([[1.0, -2.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    >>> rec = ni.recording(values, modality="activations", units="1", time=np.arange(60))
    >>> res = factorization.semi_nmf(rec, 2, keep_fraction=0.5)
    >>> res.support.values.astype(int)
    array([[1, 1, 0, 0],
           [0, 0, 1, 1]])
    """
    labels = matrix.labels(recording)
    rank = require_count(rank, "rank", NAME, high=math.prod(labels.sample_shape), why="the number of samples")
    search = search_of(NAME, max_iter, tolerance, patience, restarts)
    kept = kept_units(keep_fraction, recording.sizes["unit"])
    require_start(init, NAME)
    samples = of_recording(in_blocks(recording, device, precision, NAME), NAME, device, precision)
    with threads.for_work(4 * math.prod(samples.shape) * rank):
        fit = factor(samples, rank, kept, init, search, seed)
    parameters = {
        "rank": rank, "keep_fraction": keep_fraction, "init": init, "max_iter": max_iter,
        "tolerance": tolerance, "patience": patience, "restarts": restarts,
        "device": device, "precision": precision,
    }  # fmt: skip
    found = variables(fit, labels, samples, recording.attrs["units"])
    return result.result(found, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


def factor(samples: Samples, rank: int, kept: int, init: str, search: Search, seed: int) -> Fit:
    """Fit from each start and give the best."""
    like = next(samples.source())

    def run(rng: np.random.Generator) -> Fit:
        G = start(samples, rank, init, rng, like)
        if kept < samples.shape[1]:
            return _sparse(samples, G, kept, search)
        G, F = begun(samples, G, lambda part, g: None, _least_squares, _stay)
        return alternate(samples, G, F, _least_squares, _stay, **search.limits)

    return min((run(rng) for rng in search.generators(seed)), key=lambda fit: fit.losses[fit.best])


def _sparse(samples: Samples, G: Any, kept: int, search: Search) -> Fit:
    """Iterate with winner-take-all from coefficients `G`, and keep the best iterate."""
    floor = FLOOR * samples.power / math.prod(samples.shape)
    losses, reason = list[float](), "max_iter"
    lowest, best, F_best, G_best = math.inf, 0, None, None
    image, inner = samples.project(G), gram(G)
    waiting = Patience(search.tolerance, search.patience)

    for iteration in range(search.max_iter):
        F, G = _winners(image, inner, G, kept)
        swept = samples.sweep(F, G, partial(_updated, floor=floor))
        G, image, inner = swept.G, swept.image, swept.gram
        losses.append(swept.loss)
        if swept.loss < lowest:
            lowest, best, F_best, G_best = swept.loss, iteration, F, G
        if waiting.is_over(lowest):
            reason = "tolerance"
            break
    return Fit(*ordered(F_best, G_best), losses, best, reason)


def _updated(P: Any, Q: Any, before: Any, kept: Any, *, floor: float) -> tuple[Any, Any]:
    new = _multiplied(P, Q, before, floor)
    return new, new


def _least_squares(image: Any, inner: Any, F: Any) -> Any:
    """Solve for the features; the ridge is 1e-9 of the mean diagonal."""
    xp = backend.namespace(image)
    size = inner.shape[0]
    ridge = (1e-9 * float(xp.linalg.trace(inner)) / size + 1e-300) * xp.eye(
        size, dtype=inner.dtype, device=inner.device
    )
    return xp.astype(xp.linalg.solve(inner + ridge, xp.astype(image, inner.dtype)), image.dtype)


def _stay(new: Any, old: Any, step: float) -> Any:
    """Give the features themselves: they are exact, and extrapolated by the coefficients already."""
    return new


def _winners(image: Any, inner: Any, G: Any, kept: int) -> tuple[Any, Any]:
    """Solve for the features, keep the largest of each, and move the norms of `G` into them."""
    xp = backend.namespace(image)
    ridge = FLOOR * xp.eye(inner.shape[0], dtype=inner.dtype, device=inner.device)
    F = xp.astype(xp.linalg.solve(inner + ridge, xp.astype(image, inner.dtype)), image.dtype)
    norms = xp.astype(xp.sqrt(xp.maximum(xp.linalg.diagonal(inner), xp.full_like(inner[0, :], 1e-16))), image.dtype)
    return _keep_largest(F, kept) * norms[:, None], G / norms


def _keep_largest(F: Any, kept: int) -> Any:
    """Zero all but the `kept` largest magnitudes of each row; of equal ones the first stay."""
    if isinstance(F, np.ndarray):
        from neurointerp.analyses.factorization._winners import keep_largest

        return keep_largest(F, kept)
    xp = backend.namespace(F)
    size = xp.abs(F)
    last = xp.sort(size, axis=1)[:, F.shape[1] - kept][:, None]
    above, equal = size > last, size == last
    room = kept - xp.count_nonzero(above, axis=1)[:, None]
    winner = above | (equal & (xp.cumulative_sum(xp.astype(equal, xp.int64), axis=1) <= room))
    return xp.where(winner, F, xp.zeros_like(F))


def _multiplied(P: Any, inner: Any, G: Any, floor: float) -> Any:
    """Multiply `G` by the update of Ding, Li and Jordan (eq. 11), given `P = X F'` and `inner = F F'`."""
    xp = backend.namespace(G)
    Q = xp.astype(inner, G.dtype)
    zero = xp.zeros_like(Q)
    raises, lowers = G @ xp.maximum(-Q, zero), G @ xp.maximum(Q, zero)
    if isinstance(G, np.ndarray):
        from neurointerp.analyses.factorization._winners import multiplied

        return multiplied(P, lowers, raises, G, floor)
    return G * xp.sqrt((xp.clip(P, min=0.0) + raises) / (xp.clip(-P, min=0.0) + lowers + floor))


def kept_units(keep_fraction: float, units: int) -> int:
    """Give how many units a component may use."""
    if not isinstance(keep_fraction, int | float | np.floating) or not 0 < keep_fraction <= 1:
        raise AnalysisError(f"{NAME}: keep_fraction is {keep_fraction!r}; a number in (0, 1] is needed")
    return math.ceil(keep_fraction * units * (1 - 1e-12))
