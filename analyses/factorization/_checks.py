"""Checks of arguments that the factorizations share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from neurointerp.errors import AnalysisError


@dataclass(frozen=True)
class Search:
    """How long to look, and from how many starts."""

    max_iter: int
    tolerance: float
    patience: int
    restarts: int

    @property
    def limits(self) -> dict[str, Any]:
        """Give when one run ends."""
        return {"max_iter": self.max_iter, "tolerance": self.tolerance, "patience": self.patience}

    def generators(self, seed: int) -> Iterator[np.random.Generator]:
        """Give a generator for each start; the first is the one of a single start."""
        for restart in range(self.restarts):
            yield np.random.default_rng([seed, restart] if restart else seed)


def search_of(analysis: str, max_iter: Any, tolerance: Any, patience: Any, restarts: Any) -> Search:
    """Check the arguments that bound a search."""
    require_tolerance(tolerance, analysis)
    counts = {"max_iter": max_iter, "patience": patience, "restarts": restarts}
    checked = {name: require_count(value, name, analysis) for name, value in counts.items()}
    return Search(tolerance=float(tolerance), **checked)


def require_tolerance(tolerance: Any, analysis: str) -> None:
    """Refuse what is no number of at least 0."""
    if not isinstance(tolerance, int | float | np.floating) or not tolerance >= 0:
        raise AnalysisError(f"{analysis}: tolerance is {tolerance!r}; a number of at least 0 is needed")


def require_count(value: Any, name: str, analysis: str, *, low: int = 1, high: int | None = None, why: str = "") -> int:
    """Give the argument `name` as an int from `low` to `high`, or refuse it saying `why` it ends there."""
    span = f"of at least {low}" if high is None else f"from {low} to {high} ({why})"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise AnalysisError(f"{analysis}: {name} is {value!r}; a whole number {span} is needed")
    return int(value)
