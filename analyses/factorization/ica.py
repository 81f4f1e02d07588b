"""Independent component analysis."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix, result, threads
from neurointerp.analyses.factorization import _principal
from neurointerp.analyses.factorization._checks import require_count, require_tolerance
from neurointerp.analyses.factorization._fastica import unmixed
from neurointerp.device import computed_on, in_blocks, require_room
from neurointerp.errors import AnalysisError
from neurointerp.streaming import Rows

NAME = "factorization.ica"
CONTRASTS = ("logcosh", "exp", "cube")


def ica(
    recording: xr.DataArray,
    rank: int,
    *,
    contrast: str = "logcosh",
    max_iter: int = 1000,
    tolerance: float = 1e-4,
    device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Find patterns over units whose courses are statistically independent.

    scikit-learn's FastICA (parallel) on the centred recording, reduced to its `rank` leading principal components.

    Parameters
    ----------
    recording
        Any recording without missing values; every dim but `unit` is a sample dim. One that is chunked (dask) is read
        block by block, and its principal components alone, (sample, component), lie in memory.
    rank
        Number of components, at most the smaller of the numbers of samples less one and of units.
    contrast
        Contrast function: `"logcosh"`, `"exp"` (strongly peaked sources) or `"cube"` (kurtosis).
    max_iter
        Most iterations.
    tolerance
        Stop once no row of the unmixing matrix turns by more than this (1 - cosine).
    device
        Where torch works (`"cuda"`, `"cpu"`, ...): on the blocks of the recording, copying one beside the products of
        another, and on the principal components, which lie there whole; None (default): numpy. In float64, from the
        start that scikit-learn draws. A direction whose deviation is less than the root of (samples times 2e-16) of the
        largest counts there as none.
    seed
        Seed of the start.

    Returns
    -------
    xarray.Dataset
        - `features(component, unit)`: the mixing patterns, in the units of the recording, by descending share of the
          variance; the largest loading of each is positive.
        - `coefficients(<sample dims>, component)`: courses of mean 0 and variance 1, dimensionless.
        - `unmixing(component, unit)`: `coefficients = (recording - mean) unmixing'`.
        - `mean(unit)`: what was subtracted.
        - `relative_error` (of the recording itself), `explained_variance` (1 - SSE / sum of squares about the means),
          `iterations`, and `stop_reason`: `"tolerance"`, or `"max_iter"` where it did not converge.

    Raises
    ------
    AnalysisError
        When values are missing, `rank` exceeds the dimensions that vary, or an argument is out of range.

    References
    ----------
    Hyvärinen, Oja (2000), Independent component analysis: algorithms and applications, Neural Networks 13:411.
    Order, signs and units are ours.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.laplace(size=(2000, 2)) @ np.array([[2.0, 1.0, 0.0], [0.0, -0.5, 1.0]])
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> res = factorization.ica(rec, 2)
    >>> (res.features / abs(res.features).max("unit")).round(1).values + 0.0
    array([[ 1. ,  0.5,  0. ],
           [ 0. , -0.5,  1. ]])
    """
    stacked = matrix.streamed(in_blocks(recording, device, None, NAME))
    lazy = isinstance(stacked.values, Rows)
    if contrast not in CONTRASTS:
        raise AnalysisError(f"{NAME}: contrast is {contrast!r}; one of {', '.join(CONTRASTS)} is needed")
    most = min(stacked.values.shape[0] - 1, stacked.values.shape[1])
    rank = require_count(rank, "rank", NAME, high=max(most, 1), why="the smaller of samples less one and units")
    max_iter = require_count(max_iter, "max_iter", NAME)
    require_tolerance(tolerance, NAME)
    if lazy:
        matrix.require_all(stacked.values, recording["unit"].values, NAME)
    else:
        matrix.require_complete(recording, NAME)
    X = stacked.values.on(device).astype(np.float64) if lazy else stacked.values.astype(np.float64)
    peak = float(np.maximum(X.about.high, -X.about.low).max() if lazy else np.abs(X).max(initial=0.0))
    scale = 2.0 ** math.frexp(peak)[1] if peak else 1.0
    X = X.scaled(np.zeros(X.width), np.full(X.width, scale)) if lazy else X / scale
    with threads.for_work(X.size * rank):
        mixing, unmixing, mean, iterations, converged = _fit(X, rank, contrast, max_iter, tolerance, seed)
    return result.result(
        _variables(stacked, X, mixing, unmixing, mean, scale, recording.attrs["units"])
        | {
            "iterations": xr.DataArray(iterations),
            "stop_reason": xr.DataArray(np.array("tolerance" if converged else "max_iter", dtype=object)),
        },
        analysis=NAME,
        recording=recording,
        parameters={"rank": rank, "contrast": contrast, "max_iter": max_iter, "tolerance": tolerance,
                    "device": device},
        seed=seed,
    )  # fmt: skip


def _fit(
    X: Any, rank: int, contrast: str, max_iter: int, tolerance: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, bool]:
    """Give mixing (component, unit), unmixing (component, unit), mean, iterations and whether it converged."""
    from sklearn.decomposition import FastICA

    options = {"fun": contrast, "max_iter": max_iter, "tol": tolerance, "random_state": seed}
    if isinstance(X, Rows):  # what it makes of the principal components is done here, and it sees them alone
        white, mean = _whitening(X, rank)
        seen = _principal.projected(X, mean, white)
        if X.device is None:
            rotation, iterations, converged = _rotation(FastICA(whiten=False, **options), seen)
        else:
            require_room(seen.nbytes, X.device, NAME)
            how = (contrast, max_iter, tolerance, seed)
            rotation, iterations, converged = computed_on(X.device, None, unmixed, seen, *how)
        turn = rotation / (seen @ rotation.T).std(axis=0)[:, None]
        unmixing, mixing = turn @ white, np.linalg.pinv(turn @ white).T
    else:
        spread = int(np.linalg.matrix_rank(X - X.mean(axis=0)))
        _require_spread(rank, spread)
        eigh = X.shape[0] > 50 * X.shape[1] and spread == X.shape[1]
        model = FastICA(rank, whiten="unit-variance", whiten_solver="eigh" if eigh else "svd", **options)
        unmixing, iterations, converged = _rotation(model, X)
        mixing, mean = model.mixing_.T, model.mean_
    order = np.argsort(-np.linalg.norm(mixing, axis=1), kind="stable")
    largest = np.take_along_axis(mixing, np.abs(mixing).argmax(axis=1)[:, None], axis=1)
    signs = np.where(largest < 0, -1.0, 1.0)
    return (mixing * signs)[order], (unmixing * signs)[order], mean, iterations, converged


def _whitening(X: Rows, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Give what turns centred rows into white ones (component, unit), and the means."""
    whole, squares, mean = _principal.principal(X, min(X.shape))
    least = max(X.shape) * np.finfo(np.float64).eps
    # products of matrices, of which components on a device come, know squares alone
    _require_spread(rank, int((squares > squares[0] * (least**2 if X.device is None else least)).sum()))
    vectors = whole[:rank] * np.where(whole[:rank, :1] < 0, -1, 1)
    return vectors / np.sqrt(squares[:rank, None] / len(X)), mean


def _require_spread(rank: int, spread: int) -> None:
    if rank > spread:
        raise AnalysisError(
            f"{NAME}: rank is {rank}, but the recording varies along {spread} dimensions only (a common reference or "
            "interpolated units take some away)"
        )


def _rotation(model: Any, seen: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Fit scikit-learn's model; give what unmixes, how many iterations there were and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as said, np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("always")  # divisions are those of directions that it then drops
        model.fit(seen)
    late = [one for one in said if issubclass(one.category, ConvergenceWarning)]
    for one in said:
        if one not in late:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return model.components_, int(model.n_iter_), not late


def _variables(
    stacked: matrix.Stacked, X: Any, mixing: np.ndarray, unmixing: np.ndarray, mean: np.ndarray, scale: float,
    units: str,
) -> dict[str, Any]:  # fmt: skip
    on = {"component": np.arange(len(mixing)), **stacked.unit_coords}
    if isinstance(X, Rows):
        courses = _principal.projected(X, mean, unmixing)
        error, power, spread = _principal.errors(X, mean, mixing, courses)
    else:
        courses = (X - mean) @ unmixing.T
        rest = X - mean - courses @ mixing
        error, power, spread = (float((values**2).sum()) for values in (rest, X, X - mean))
    dims, dtype = ("component", "unit"), stacked.values.dtype
    return {
        "features": xr.DataArray((mixing * scale).astype(dtype), dims=dims, coords=on, attrs={"units": units}),
        "coefficients": stacked.unstack(courses.astype(dtype), "component").assign_attrs(units="1"),
        "unmixing": xr.DataArray((unmixing / scale).astype(dtype), dims=dims, coords=on),
        "mean": xr.DataArray(mean * scale, dims="unit", coords=stacked.unit_coords, attrs={"units": units}),
        "relative_error": xr.DataArray((error / power) ** 0.5),
        "explained_variance": xr.DataArray(1 - error / spread),
    }
