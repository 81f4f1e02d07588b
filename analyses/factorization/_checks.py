"""Checks of arguments that the factorizations share."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from neurointerp.errors import AnalysisError


def require_count(value: Any, name: str, analysis: str, *, low: int = 1, high: int | None = None, why: str = "") -> int:
    """Give the argument `name` as an int from `low` to `high`, or refuse it saying `why` it ends there."""
    span = f"of at least {low}" if high is None else f"from {low} to {high} ({why})"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise AnalysisError(f"{analysis}: {name} is {value!r}; a whole number {span} is needed")
    return int(value)
