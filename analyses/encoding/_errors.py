"""Squared errors of test sets at the penalties of each unit that may be its best, on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurointerp.backend import like, namespace, to_numpy
from neurointerp.least_squares import BATCH, Fit

MARGIN = 3e-3
"""Penalties whose first errors are this close to the least, in parts of the sum of squares, are computed in full."""
PILOTS = 200
"""Units of which all penalties are tried before the others are started near their last."""
SLACK, EXPLAINED = 0.99, 0.01
"""Share of these whose way down tells how far the others may go, among those of which so much is explained."""


@dataclass(frozen=True)
class Tested:
    """A decomposed training set and its test set.

    Attributes
    ----------
    fit
        Of the training set.
    turned
        (sample, direction), test features.
    right, target
        (unit, row), (unit, sample): right-hand sides, and test responses about the training mean.
    operators
        By place of the penalty, (row, sample): what takes right-hand sides to predictions.
    """

    fit: Fit
    turned: Any
    right: Any
    target: Any
    operators: dict[int, Any] = field(default_factory=dict)

    def shrunk(self, alpha: float) -> Any:
        """Give what takes directions to predictions at a penalty, (direction, sample)."""
        return (self.turned / (self.fit.values + float(alpha))).T


def refined(
    errors: np.ndarray, power: np.ndarray, kept: Sequence[Tested], alphas: np.ndarray, nodes: np.ndarray
) -> np.ndarray:
    """Compute errors (alpha, unit) in full wherever the least may lie; inf elsewhere.

    Where the first look was further off than it was trusted to be, all penalties are computed.
    """
    near = errors <= errors.min(axis=0) + MARGIN * power
    near |= errors <= np.partition(errors, 1, axis=0)[1]  # two at least, which tell how far off the first look was
    at_nodes = np.zeros((alphas.size, 1), dtype=bool)
    at_nodes[nodes] = True  # where the first look was no interpolation
    exact = np.where(at_nodes, errors, 0.0) + sum(_at(one, alphas, near & ~at_nodes) for one in kept)
    off = np.where(near, exact - errors, 0.0)
    low, high = (np.where(near, off, empty) for empty in (np.inf, -np.inf))
    again = ~near & ~at_nodes & (high.max(axis=0) - low.min(axis=0) > MARGIN / 2 * power)
    if again.any():
        exact = exact + sum(_at(one, alphas, again) for one in kept)
        near |= again
    near |= at_nodes
    return np.where(near, exact, np.inf)


def downhill(
    kept: Sequence[Tested], alphas: np.ndarray, start: np.ndarray, bar: np.ndarray | float,
    power: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Compute errors (alpha, unit) at a start (unit) and beside it, and on to where both neighbours are higher.

    All errors of some units come first. Starts are moved by as much as the median of these is off; and units are left
    that are further above the bar than nearly all of these then went down, in parts of what is explained.
    """
    order, units = np.argsort(alphas), start.size
    place, pilot = np.arange(alphas.size)[:, None], np.arange(0, units, max(units // PILOTS, 1))
    errors = np.full((alphas.size, units), np.inf)

    def compute(wanted: np.ndarray) -> None:
        back = np.empty_like(wanted)
        back[order] = wanted
        np.copyto(errors, sum(_at(one, alphas, back) for one in kept)[order], where=wanted)

    wanted = np.zeros(errors.shape, dtype=bool)
    wanted[:, pilot] = True
    compute(wanted)
    rank = np.abs(np.log(alphas[order])[:, None] - np.log(start)[None]).argmin(axis=0)
    best = errors[:, pilot].argmin(axis=0)
    inside = (best > 0) & (best < alphas.size - 1)
    if inside.any():
        rank = np.clip(rank + int(np.median((best - rank[pilot])[inside])), 0, alphas.size - 1)
    compute((place == rank) & np.isinf(errors))
    known = power[pilot] - errors[best, pilot]
    some = known > EXPLAINED * power[pilot]
    went = (errors[rank[pilot], pilot] - errors[best, pilot])[some] / known[some]
    slack = np.quantile(went, SLACK) if went.size else 0.0
    hopeful = errors[rank, np.arange(units)] <= bar + slack * np.clip(power - bar, 0.0, None)
    while (wanted := (np.abs(place - errors.argmin(axis=0)) <= 1) & np.isinf(errors) & hopeful).any():
        compute(wanted)
    out = np.empty_like(errors)
    out[order] = errors
    return out


def by_unit(values: Any) -> Any:
    """Give (row, unit) values whose columns lie together, so that some of them are quick to pick."""
    if isinstance(values, np.ndarray):
        return np.asfortranarray(values)
    return values.T.contiguous().T


def _at(one: Tested, alphas: np.ndarray, wanted: np.ndarray) -> Any:
    """Give the squared errors (alpha, unit) that are wanted, and 0 elsewhere.

    A penalty that more units want than there are test samples has its operator turned, once; for the others the units'
    right-hand sides are turned, once for all penalties.
    """
    out, (units, samples) = np.zeros(wanted.shape), one.target.shape
    room = _room(one.right, min(BATCH, units))
    many = (wanted.sum(axis=1) > samples) | np.isin(np.arange(alphas.size), list(one.operators))

    def put(index: int, some: np.ndarray, missed: Any) -> None:
        missed -= one.target[like(some, one.target)]
        out[index, some] = squares(missed.T)

    for index in map(int, np.flatnonzero(many & wanted.any(axis=1))):
        if index not in one.operators:
            one.operators[index] = one.fit.turn @ one.shrunk(alphas[index])
        chosen = np.flatnonzero(wanted[index])
        for start in range(0, chosen.size, BATCH):
            some = chosen[start : start + BATCH]
            put(index, some, _picked(one.right, some, room) @ one.operators[index])
    few = wanted & ~many[:, None]
    chosen = np.flatnonzero(few.any(axis=0))
    for start in range(0, chosen.size, BATCH):
        some = chosen[start : start + BATCH]
        turned = _picked(one.right, some, room) @ one.fit.turn
        for index in map(int, np.flatnonzero(few[:, some].any(axis=1))):
            which = np.flatnonzero(few[index, some])
            put(index, some[which], turned[like(which, turned)] @ one.shrunk(alphas[index]))
    return out


def _room(values: Any, rows: int) -> Any:
    """Give an array for picked rows, since new memory costs as much as the copy."""
    return np.empty((rows, values.shape[1]), dtype=values.dtype) if isinstance(values, np.ndarray) else None


def _picked(values: Any, rows: np.ndarray, room: Any) -> Any:
    if room is None:
        return values[like(rows, values)]
    return np.take(values, rows, axis=0, out=room[: rows.size], mode="clip")


def dots(one: Any, other: Any) -> np.ndarray:
    """Give the inner product of each column pair, in float64."""
    if isinstance(one, np.ndarray):
        found: np.ndarray = np.einsum("nt,nt->t", one, other).astype(np.float64)
        return found
    summed: np.ndarray = to_numpy(namespace(one).sum(one * other, axis=0)).astype(np.float64)
    return summed


def squares(values: Any) -> np.ndarray:
    return dots(values, values)
