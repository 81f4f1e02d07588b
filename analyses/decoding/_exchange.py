"""What may change places under the null that a target says nothing about the recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.decoding._folds import Scheme
from neurointerp.analyses.decoding._samples import sample_values
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.surrogate import circular_shift_matrix

Indices = NDArray[np.int64]


def exchanges(
    frame: xr.DataArray, target: NDArray[Any], way: Scheme, within: str | None, draws: int, seed: int, analysis: str
) -> Iterator[Indices]:
    """Give, for each draw, which sample's target each sample takes.

    Parameters
    ----------
    frame, way
        What the samples are, and how they are held out.
    target
        (sample, ...), class numbers or values.
    within
        Coordinate whose values confine the exchange.

    Whole groups that have one target each (stimuli) change places as wholes; else trials do, inside what is held out
    (subjects) and inside their subject. A target that changes in the course of a stretch is shifted circularly in it.
    """
    if not isinstance(draws, int | np.integer) or draws < 0:
        raise AnalysisError(f"{analysis}: permutations is {draws!r}: a whole number, 0 or more, is needed")
    rng = np.random.default_rng(seed)
    rows = target.reshape(len(target), -1)
    element = _elements(rows, way)
    if element is None:
        yield from _shifted(frame, rows, within, draws, rng, analysis)
        return
    block = _blocks(frame, element, way, within, analysis)
    names, first, inverse = np.unique(element, return_index=True, return_inverse=True)
    places = [np.flatnonzero(block[first] == one) for one in np.unique(block)]
    if not draws:
        return
    if all((rows[first[place]] == rows[first[place[0]]]).all() for place in places):
        where = "" if within is None else f" of one {within!r}"
        raise AnalysisError(
            f"{analysis}: no two of the {names.size} trials or groups{where} that may change places have different "
            "targets, so there is no permutation null; exchange within something wider, or pass permutations=0"
        )
    for _ in range(draws):
        moved = np.arange(names.size)
        for place in places:
            moved[place] = rng.permutation(place)
        yield first[moved][inverse]


def _elements(rows: NDArray[Any], way: Scheme) -> Indices | None:
    """Give the number of the largest whole that has one target: a group, a trial, or None."""
    candidates = [group for group in (way.group, way.trial) if group is not None]
    for group in candidates:
        _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
        if first.size > 1 and (rows == rows[first[inverse]]).all():
            return group
    return None


def _blocks(frame: xr.DataArray, element: Indices, way: Scheme, within: str | None, analysis: str) -> Indices:
    """Give the number of the block of each sample: elements change places inside blocks alone."""
    block = np.zeros(element.size, dtype=np.int64)
    confine: list[NDArray[Any]] = []
    if way.group is not None and element is not way.group:
        confine.append(way.group)
    if "subject" in frame.coords and frame["subject"].dims and element is way.trial:
        confine.append(sample_values(frame, "subject", analysis))
    elif "subject" in frame.dims and element is way.trial:
        confine.append(np.arange(element.size) // max(element.size // frame.sizes["subject"], 1))
    if within is not None:
        confine.append(sample_values(frame, within, analysis))
    for values in confine:
        number = np.unique(values, return_inverse=True)[1]
        block = block * (number.max() + 1) + number
    _, first, inverse = np.unique(element, return_index=True, return_inverse=True)
    mixed = int((block != block[first[inverse]]).sum())
    if mixed and within is not None:
        raise AnalysisError(
            f"{analysis}: exchange by {within!r} cuts through what keeps one target, in {mixed} samples"
        )
    return block[first[inverse]]


def _shifted(
    frame: xr.DataArray, rows: NDArray[Any], within: str | None, draws: int, rng: np.random.Generator, analysis: str
) -> Iterator[Indices]:
    if within is not None:
        raise AnalysisError(
            f"{analysis}: the target changes in the course of a stretch, so it is shifted, not exchanged within "
            f"{within!r}; leave exchange out"
        )
    parts = stretches(frame)
    if not draws:
        return
    if not any((rows[part] != rows[part.start]).any() for part in parts):
        raise AnalysisError(
            f"{analysis}: the target is constant in each of the {len(parts)} stretches, so a shift changes nothing; "
            "cut trials with align.epoch, or pass permutations=0"
        )
    index = np.arange(len(rows))[:, None]
    for _ in range(draws):
        shifted: Indices = circular_shift_matrix(index, parts, rng)[:, 0]
        yield shifted
