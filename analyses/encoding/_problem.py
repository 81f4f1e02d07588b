"""What every encoding model is given, as plain arrays and folds, and the labels of what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import score
from neurointerp.align import match
from neurointerp.align.labels import require_alike
from neurointerp.analyses.encoding._blocks import Blocks, is_chunked
from neurointerp.analyses.encoding._design import Design, design, span
from neurointerp.analyses.encoding._drift import HighPassed
from neurointerp.analyses.encoding._folds import inner_folds, outer_folds
from neurointerp.backend import like, namespace, placed, to_numpy, torch_device
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.least_squares import row_blocks, row_mean, rows_of
from neurointerp.matrix import require_complete, require_values, stack, stretches
from neurointerp.split import Fold

FAR = 0.01
"""A feature whose variance is less than this share of its mean square is moved to zero in float32."""


@dataclass(frozen=True)
class Problem:
    """Features and responses of one call.

    Attributes
    ----------
    features, responses
        As they came, matched.
    inputs, target
        The design matrix, and the responses with their labels; out of core the labels alone.
    x, y
        (sample, feature), (sample, unit): numpy or torch, or high-passed by fold. Out of core `Blocks` of both, and
        None.
    outer, inner
        Folds, and for each those inside its training set.
    parameters
        Of the call, for the result.
    split
        How the folds were made.
    origin
        (feature,) float64, what was taken from the features before anything else; None: nothing.
    """

    features: xr.DataArray
    responses: xr.DataArray
    inputs: Design
    target: Any
    x: Any
    y: Any
    outer: list[Fold]
    inner: list[list[Fold]]
    parameters: dict[str, Any]
    split: str
    origin: NDArray[np.float64] | None = None


def prepare(
    name: str, features: xr.DataArray, responses: xr.DataArray | None, *, cv: int | Iterable[tuple[Any, Any]],
    lags: Sequence[int] | xr.DataArray | None, gap: int | None, high_pass: float | None, device: str | None = None,
    search: bool = True,
) -> Problem:  # fmt: skip
    """Check, match, expand and split; nothing is fitted. `search` asks for inner folds."""
    if is_chunked(features, responses):
        raise AnalysisError(
            f"{name}: the recordings are chunked (dask), and this needs all samples at once: .load() them where they "
            "fit into memory, or use encoding.ridge or encoding.banded_ridge, which read chunk by chunk"
        )
    place = None if device is None else torch_device(device, name)
    delays = checked_lags(name, lags, responses is None)
    features, responses = matched(name, features, responses, delays)
    for recording in (features, responses):
        require_complete(recording, name)
    margin = max(map(abs, span(delays))) if gap is None else gap
    inputs, target = design(features, delays), stack(responses)
    outer, kind = outer_folds([responses, features], inputs.usable, cv, margin)
    dtype = np.result_type(inputs.values, target.values)
    x, y = (array.astype(dtype, copy=False) for array in (inputs.values, target.values))
    inner: list[list[Fold]] = [[] for _ in outer]
    if search:
        inner = inner_folds([responses, features], outer, cv if isinstance(cv, int) else 5, margin)
    asked = parameters(cv, outer, delays, margin, device) | ({} if high_pass is None else {"high_pass": high_pass})
    return Problem(
        features,
        responses,
        inputs,
        target,
        *_placed(name, x, y, responses, high_pass, place),
        outer,
        inner,
        asked,
        kind,
    )


def matched(
    name: str, features: xr.DataArray, responses: xr.DataArray | None, delays: list[int] | xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """Match by labels; refuse recordings that hold nothing, or name other stimuli or stretches for a sample."""
    features, responses = match(features, features if responses is None else responses)
    for recording in (features, responses):
        require_values(recording, name)
    for label in ("stimulus", "segment"):
        require_alike(features, responses, label, name)
    if span(delays) != [0] and "segment" in responses.coords and "segment" not in features.coords:
        raise AlignmentError(
            f"{name}: the responses have segments that the features do not name, so lags would reach across them: "
            "features.assign_coords(segment=responses.segment)"
        )
    return features, responses


def parameters(
    cv: int | Iterable[tuple[Any, Any]], outer: Sequence[Fold], delays: list[int] | xr.DataArray, gap: int, device: Any
) -> dict[str, Any]:
    """Give the parameters of a call, for the result."""
    return {
        "cv": cv if isinstance(cv, int) else f"{len(outer)} given folds",
        "lags": delays if isinstance(delays, list) else {"kernels": [str(b) for b in delays["basis"].values]},
        "gap": gap,
        "device": None if device is None else str(device),
    }


def checked_lags(name: str, lags: Sequence[int] | xr.DataArray | None, themselves: bool) -> list[int] | xr.DataArray:
    """Give the delays, or the kernels (lag, basis), if they make sense."""
    if isinstance(lags, xr.DataArray):
        if set(lags.dims) != {"lag", "basis"} or not {"lag", "basis"} <= set(lags.coords):
            raise AnalysisError(f"{name}: kernels need the labelled dims lag and basis; found {lags.dims}")
        if themselves or not np.isfinite(lags.values).all():
            raise AnalysisError(f"{name}: kernels must be finite, and need responses beside the features")
        return lags
    given = ((1,) if themselves else (0,)) if lags is None else lags
    delays = [int(lag) for lag in given]
    if not delays or len(set(delays)) != len(delays) or delays != list(given):
        raise AnalysisError(f"{name}: lags must be one or more different whole numbers; found {lags!r}")
    if themselves and min(delays) <= 0:
        raise AnalysisError(
            f"{name}: lag {min(delays)} would predict a unit from its own present or future; without "
            "responses all lags must be 1 or more"
        )
    return delays


def _placed(
    name: str, x: np.ndarray, y: np.ndarray, responses: xr.DataArray, high_pass: float | None, place: Any
) -> tuple[Any, Any]:
    """Put the arrays on the device asked for, high-passed by fold if asked for."""
    if place is not None:
        x, y = (placed(array, place) for array in (x, y))
    if high_pass is None:
        return x, y
    rate = responses.attrs.get("sampling_rate")
    if rate is None or "time" not in responses.dims or not high_pass > 0:
        raise AnalysisError(
            f"{name}: high_pass={high_pass!r} is the longest period kept, above 0 and in units of the clock; it needs "
            "a time dim with a regular clock"
        )
    parts = stretches(responses)
    return HighPassed(x, parts, high_pass * rate), HighPassed(y, parts, high_pass * rate)


def near_zero(problem: Problem) -> Problem:
    """Move float32 features that lie far from zero beside their spread to it, so that their digits are of the spread.

    What varies in the last digits alone does not vary. Features that are high-passed have lost their means.
    """
    x = problem.x
    if hasattr(x, "rows") or not str(x.dtype).endswith("float32"):
        return problem
    xp, known = namespace(x), problem.inputs.usable
    mean = row_mean(x, known)
    square = sum(to_numpy(xp.sum(rows * rows, axis=0)).astype(np.float64) for rows in row_blocks(x, known)) / len(known)
    far = to_numpy(mean).astype(np.float64) ** 2 > (1 - FAR) * square
    if not far.any():
        return problem
    mean = xp.where(like(far, mean), mean, xp.zeros_like(mean))
    moved = x - mean
    reach = xp.max(xp.stack([xp.max(xp.abs(rows), axis=0) for rows in row_blocks(moved, known)]), axis=0)
    flat = like(far, mean) & (reach <= 10 * float(xp.finfo(x.dtype).eps) * xp.abs(mean))
    moved[:, flat] = 0.0
    return replace(problem, x=moved, origin=to_numpy(mean).astype(np.float64))


def checked_alphas(name: str, alphas: float | Sequence[float] | None, default: NDArray[Any]) -> NDArray[np.float64]:
    """Give the penalties to choose from."""
    grid = np.atleast_1d(np.asarray(default if alphas is None else alphas, dtype=np.float64))
    if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (grid > 0)).all():
        raise AnalysisError(f"{name}: alphas must be finite numbers above 0; found {alphas!r}")
    return grid


def default_alphas(problem: Problem, standardize: bool) -> NDArray[np.float64]:
    """Give penalties from far below to far above what a feature adds to the Gram matrix."""
    there = problem.inputs.usable
    if standardize:
        variance = 1.0
    elif isinstance(problem.x, Blocks):
        variance = float(problem.x.x_variance.mean()) or 1.0
    else:
        variance = float(problem.inputs.values[there].var(axis=0, dtype=np.float64).mean()) or 1.0
    grid: NDArray[np.float64] = np.logspace(-3, 5, 17) * (len(there) * variance)
    return grid


def model(problem: Problem, weight: Any, intercept: Any, alpha: Any) -> dict[str, xr.DataArray]:
    """Label weights (feature, unit), intercept (unit) and alpha (unit)."""
    units = problem.target.unit_coords
    out = {
        "weights": xr.DataArray(to_numpy(weight), dims=("feature", "unit"), coords=problem.inputs.coords | units),
        "alpha": xr.DataArray(to_numpy(alpha).astype(np.float64), dims="unit", coords=units),
    }
    if "high_pass" not in problem.parameters:  # else there is no mean to give back
        constant = to_numpy(intercept)
        if problem.origin is not None:
            constant = (constant - problem.origin @ to_numpy(weight).astype(np.float64)).astype(constant.dtype)
        out["intercept"] = xr.DataArray(constant, dims="unit", coords=units)
    return out


def held_out(problem: Problem, predictions: Sequence[Any]) -> dict[str, xr.DataArray]:
    """Score and label predictions (test sample, unit), one per outer fold."""
    shape, dtype = problem.target.values.shape, problem.target.values.dtype
    total, times = np.zeros(shape, dtype=dtype), np.zeros((shape[0], 1), dtype=dtype)
    number = np.full((shape[0], 1), -1)
    r2: list[Any] = []
    correlation: list[Any] = []
    for (_, test), predicted in zip(problem.outer, map(to_numpy, predictions), strict=True):
        observed = to_numpy(rows_of(problem.y, test))
        total[test] += predicted
        times[test] += 1
        number[test] = len(r2)
        r2.append(score.r2(observed, predicted))
        correlation.append(score.correlation(observed, predicted))
    coords = {"fold": np.arange(len(problem.outer))} | problem.target.unit_coords
    if (times > 1).any():
        total /= np.maximum(times, 1)
    total[times[:, 0] == 0] = np.nan
    return {
        "score": xr.DataArray(np.stack(r2), dims=("fold", "unit"), coords=coords),
        "correlation": xr.DataArray(np.stack(correlation), dims=("fold", "unit"), coords=coords),
        "prediction": problem.target.unstack(total, "unit"),
        "test_fold": problem.target.unstack(number, "fold").isel(fold=0, drop=True),
    }


def with_units(problem: Problem, variables: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """State the units of each variable, and how the folds were made."""
    of, per = problem.responses.attrs["units"], problem.features.attrs["units"]
    units = {"weights": "1" if of == per else f"({of}) / ({per})", "intercept": of, "prediction": of}
    out = {name: array.assign_attrs(units=units.get(name, "1")) for name, array in variables.items()}
    for array in out.values():
        if "fold" in array.coords:
            array["fold"].attrs["split"] = problem.split
    return out
