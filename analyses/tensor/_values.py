"""What the decompositions take, as one labelled array and plain numbers; and the checks of their arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from neurointerp import align
from neurointerp.analyses.tensor._chunked import Blocks
from neurointerp.errors import AnalysisError
from neurointerp.schema import check
from neurointerp.streaming import require_room

Given: TypeAlias = xr.DataArray | xr.Dataset | Mapping[str, xr.DataArray] | Sequence[xr.DataArray]
"""A recording, the result of `connectivity.affinity`, or the recordings of several subjects."""


@dataclass(frozen=True)
class Tensor:
    """An array to factor.

    Attributes
    ----------
    array
        With its labels, dims as the user has them.
    source
        What the result was computed from.
    X
        Its values over `scale`, float32 or float64, missing ones NaN; `Blocks` where they are chunked and may stay so.
    scale
        A power of two, so that dividing is exact; it keeps squares of float32 away from underflow.
    """

    array: xr.DataArray
    source: Any
    X: Any
    scale: float

    @property
    def order(self) -> np.ndarray:
        """Give the dims by size, the largest last: kernels contract that one first."""
        return np.argsort(self.X.shape, kind="stable")

    @property
    def turned(self) -> tuple[Any, Any]:
        """Give the values in that order, 0 where missing, and what is seen (None where all is).

        In blocks missing values stay NaN, and what is seen is whether all is.
        """
        if isinstance(self.X, Blocks):
            return self.X.transpose(self.order), not self.X.missing
        turned = np.ascontiguousarray(self.X.transpose(self.order))
        missing = np.isnan(turned)
        if not missing.any():
            return turned, None
        return np.where(missing, turned.dtype.type(0), turned), ~missing

    @property
    def most(self) -> int:
        """Give the largest rank that any tensor of this shape can have, or more."""
        return int(self.X.size // max(self.X.shape))


def read(given: Given, analysis: str, *, signed: bool, lazy: bool = False) -> Tensor:
    """Give what is to be factored as a tensor, in blocks if chunked and `lazy`, or say what is wrong with it."""
    array = labelled(given, analysis)
    if array.ndim < 3:
        raise AnalysisError(
            f"{analysis}: dims are {tuple(array.dims)}, three or more are needed; cut a continuous recording into "
            "trials with neurointerp.align.windows(recording, length)"
        )
    blocks = None
    if lazy and array.chunks:
        blocks = Blocks(array.data if array.dtype == np.float32 else array.data.astype(np.float64))
    if blocks is not None:
        seen, _, infinite, negative, low, high = blocks.about
    else:
        X = np.asarray(in_memory_values(array, analysis))
        seen, infinite, negative, low, high = about(X)
    require_some(array, seen, analysis)
    if infinite:
        raise AnalysisError(f"{analysis}: {infinite} values are infinite: a missing value is NaN")
    if negative and not signed:
        raise AnalysisError(
            f"{analysis}: {negative} of {array.size} values are negative (least {low:g}); rectify "
            "(recording.clip(min=0)), take a power or an affinity, or use tensor.cp on signed data"
        )
    largest = max(high, -low)
    if not largest > 0:
        raise AnalysisError(f"{analysis}: all {array.size} values are zero; there is nothing to factor")
    scale = 2.0 ** math.frexp(largest)[1]
    if blocks is not None:
        return Tensor(array, source_of(given), replace(blocks, scale=scale), scale)
    return Tensor(array, source_of(given), X / X.dtype.type(scale), scale)


def in_memory_values(array: xr.DataArray, analysis: str) -> np.ndarray:
    """Give the values as float32 or float64; chunked ones where there is room for them."""
    if array.chunks:
        require_room(array.size * (4 if array.dtype == np.float32 else 8), analysis)
    values = np.asarray(array.values)
    return values if values.dtype == np.float32 else values.astype(np.float64)


def about(X: np.ndarray) -> tuple[list[np.ndarray], int, int, float, float]:
    """Give how many values each label has, how many are infinite and negative, the least and the largest."""
    low, high = (float(edge(initial=0.0)) for edge in (X.min, X.max))
    if math.isfinite(low) and math.isfinite(high):  # a NaN would be the least
        seen = [np.full(size, X.size // size if size else 0) for size in X.shape]
        return seen, 0, int((X < 0).sum()) if low < 0 else 0, low, high
    low, high = (float(edge(X, initial=0.0)) for edge in (np.nanmin, np.nanmax))
    return seen_of(~np.isnan(X)), int(np.isinf(X).sum()), int((X < 0).sum()), low, high


def seen_of(there: np.ndarray) -> list[np.ndarray]:
    """Give how many values each label of each dim has."""
    axes = range(there.ndim)
    return [there.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes]


def labelled(given: Given, analysis: str) -> xr.DataArray:
    """Give the array to factor: a recording, the affinity of a result, or subjects on top of each other."""
    if isinstance(given, xr.Dataset):
        if "affinity" not in given:
            raise AnalysisError(
                f"{analysis}: a recording or the result of connectivity.affinity is needed, found a Dataset of "
                f"{', '.join(map(str, given.data_vars)) or 'nothing'}"
            )
        return given["affinity"]
    if isinstance(given, xr.DataArray):
        check(given)
        return given
    return align.stack_subjects(named(given, analysis))


def named(given: Any, analysis: str) -> dict[str, xr.DataArray]:
    """Give the recordings of subjects by name: their own where each has one, else their places."""
    if isinstance(given, Mapping):
        found = {str(name): rec for name, rec in given.items()}
    elif isinstance(given, Sequence) and not isinstance(given, str):
        own = [str(rec.attrs.get("subject", "")) for rec in given if isinstance(rec, xr.DataArray)]
        unique = len(own) == len(given) == len(set(own)) and all(own)
        found = {name if unique else str(place): rec for place, (name, rec) in enumerate(zip(own, given, strict=False))}
    else:
        found = {}
    if not found or len(found) != len(given) or not all(isinstance(rec, xr.DataArray) for rec in found.values()):
        raise AnalysisError(
            f"{analysis}: a recording, or a dict or list of the recordings of several subjects is needed, found "
            f"{type(given).__name__}"
        )
    return found


def source_of(given: Given) -> Any:
    """Give what `result` is told: every recording that went in."""
    if isinstance(given, Mapping) and not isinstance(given, xr.Dataset):
        return list(given.values())
    return list(given) if isinstance(given, Sequence) else given


def require_some(array: xr.DataArray, seen: Sequence[np.ndarray], analysis: str) -> None:
    """Refuse labels of which every value is missing: nothing says what their factor is."""
    missing = array.size - int(seen[0].sum())
    for dim, count_ in zip(map(str, array.dims), seen, strict=True):
        empty = count_ == 0
        if empty.any():
            where = array[dim].values[int(empty.argmax())] if dim in array.coords else int(empty.argmax())
            raise AnalysisError(
                f"{analysis}: {missing} values are missing, and all of {int(empty.sum())} of {empty.size} "
                f"labels of {dim!r} (first {where!r}): drop those (.isel({dim}=keep))"
            )


def count(value: Any, name: str, analysis: str, *, low: int = 1, high: int | None = None, why: str = "") -> int:
    """Give the argument `name` as an int from `low` to `high`, or refuse it saying `why` it ends there."""
    span = f"of at least {low}" if high is None else f"from {low} to {high} ({why})"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise AnalysisError(f"{analysis}: {name} is {value!r}; a whole number {span} is needed")
    return int(value)


def require_tolerance(tolerance: Any, analysis: str) -> float:
    """Give the tolerance, or refuse what is no number of at least 0."""
    if not isinstance(tolerance, int | float | np.floating) or not tolerance >= 0:
        raise AnalysisError(f"{analysis}: tolerance is {tolerance!r}; a number of at least 0 is needed")
    return float(tolerance)


def require_choice(value: Any, name: str, choices: Any, analysis: str) -> None:
    """Refuse an argument that is none of `choices`."""
    if value not in choices:
        raise AnalysisError(f"{analysis}: {name} is {value!r}; one of {', '.join(choices)} is needed")
