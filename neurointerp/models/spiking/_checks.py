"""Checks of what the parts of a network are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.errors import RecordingError


def per_unit(value: Any, size: int, what: str) -> NDArray[np.float64]:
    """Give a number, or one number per unit, as finite float64 of length `size`."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise RecordingError(f"{what} must be a number or one per unit; found {value!r}") from None
    if array.shape not in ((), (1,), (size,)):
        raise RecordingError(f"{what} must be one number or {size}, one per unit; found shape {array.shape}")
    if not np.isfinite(array).all():
        raise RecordingError(f"{what} must be finite; found {int((~np.isfinite(array)).sum())} that are not")
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1) if array.ndim else array, (size,)))


def positive(value: Any, size: int, what: str) -> NDArray[np.float64]:
    """Give `per_unit(...)`, all above zero."""
    array = per_unit(value, size, what)
    if not (array > 0).all():
        raise RecordingError(f"{what} must be positive; found {array.min():g}")
    return array


def not_negative(value: Any, size: int, what: str) -> NDArray[np.float64]:
    """Give `per_unit(...)`, none below zero."""
    array = per_unit(value, size, what)
    if not (array >= 0).all():
        raise RecordingError(f"{what} must not be negative; found {array.min():g}")
    return array


def whole(value: Any, what: str, *, least: int = 1) -> int:
    """Give a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise RecordingError(f"{what} must be a whole number of at least {least}; found {value!r}")
    return int(value)


def steps(seconds: Any, step: float, what: str, *, least: int = 0) -> int:
    """Give a duration (s) as whole steps."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | np.number) or not math.isfinite(seconds):
        raise RecordingError(f"{what} must be a number of seconds; found {seconds!r}")
    if not 0 < step < math.inf:
        raise RecordingError(f"step must be a number of seconds above 0; found {step!r}")
    count = round(float(seconds) / step)
    if abs(float(seconds) / step - count) > 1e-6 * max(1.0, count):
        raise RecordingError(f"{what} must be a whole number of steps of {step:g} s; found {seconds!r} s")
    if count < least:
        raise RecordingError(f"{what} must be at least {least} steps of {step:g} s; found {seconds!r} s")
    return count
