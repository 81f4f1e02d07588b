"""The rows of a chunked (dask) recording, block by block, where and how the scheduler in use computes them.

A kernel sees one block of rows. What it gives is added up in a tree, or kept in order, so that no process ever holds
more than the blocks it works on and the sums. A block that is lost with its worker is computed again.
"""

from __future__ import annotations

import functools
import itertools
import operator
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError, RecordingError
from neurointerp.memory import available

Kernel = Callable[..., Any]
"""`(values, first, own, *given)`: rows from number `first` on, of which those in the slice `own` are the block's."""
Step = Callable[[Any, int], Any]
"""`(values, first) -> values`: what is done to every row before a kernel sees it."""
FAN = 4
"""Sums that are added up at a time."""
COPIES = 3
"""How often the values of a recording lie in memory while an analysis that needs all at once works on them."""


@dataclass(frozen=True)
class About:
    """What one pass over all rows tells.

    Attributes
    ----------
    missing
        (unit): how many values.
    total, low, high
        (unit): sum in float64, smallest and largest of what is there (inf and -inf where nothing is).
    """

    missing: NDArray[np.int64]
    total: NDArray[np.float64]
    low: NDArray[Any]
    high: NDArray[Any]

    @property
    def varies(self) -> NDArray[np.bool_]:
        return np.asarray(self.high > self.low)

    @property
    def span(self) -> NDArray[np.float64]:
        """Give largest less smallest, 1 where a unit does not vary."""
        with np.errstate(invalid="ignore"):
            return np.where(self.varies, self.high.astype(np.float64) - self.low, 1.0)


@dataclass(frozen=True)
class Rows:
    """A (sample, unit) matrix that is read block by block.

    Attributes
    ----------
    array
        dask, (sample, unit).
    steps
        Done to each block as it is read.
    width, dtype
        Of the values after the steps.
    device
        Where torch kernels work on the blocks; None for numpy.
    precision
        Type that a block is copied to the device in, as `backend.placed` takes it.
    """

    array: Any
    width: int
    dtype: np.dtype[Any]
    steps: tuple[Step, ...] = ()
    device: str | None = None
    precision: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.array.shape[0]), self.width

    @property
    def size(self) -> int:
        return self.shape[0] * self.width

    def __len__(self) -> int:
        return self.shape[0]

    def then(self, step: Step, *, width: int | None = None, dtype: Any = None) -> Rows:
        """Give the rows with one step more."""
        made = self.dtype if dtype is None else np.dtype(dtype)
        return replace(self, steps=(*self.steps, step), width=self.width if width is None else width, dtype=made)

    def astype(self, dtype: Any) -> Rows:
        """Give the rows as another type."""
        if np.dtype(dtype) == self.dtype:
            return self
        made = self.then(functools.partial(_as, dtype=dtype), dtype=dtype)
        return self._known(made) if np.dtype(dtype) == np.float64 else made  # the values stay what they are

    def on(self, device: str | None, precision: str | None = None) -> Rows:
        """Give the rows as tensors on a device to the kernels; None: as numpy arrays."""
        return self._known(replace(self, device=device, precision=precision))

    def _known(self, other: Rows) -> Rows:
        """Hand on what a pass told of the same values, so that it is not made again."""
        if "about" in self.__dict__:
            other.__dict__["about"] = self.about
        return other

    def within(self, part: slice) -> Rows:
        """Give the rows of a slice, counted anew from 0; before any step that counts rows."""
        return replace(self, array=self.array[part])

    def take(self, keep: NDArray[np.bool_]) -> Rows:
        """Give the units that `keep` marks."""
        return self if keep.all() else self.then(functools.partial(_taken, keep=keep), width=int(keep.sum()))

    def scaled(self, mean: NDArray[Any], scale: NDArray[Any]) -> Rows:
        """Give each unit less its mean, over its scale."""
        return self.then(functools.partial(_scaled, mean=mean, scale=scale))

    @cached_property
    def about(self) -> About:
        """What one pass tells of all rows; infinite values are refused."""
        infinite, *found = self.on(None).total(_about, combine=_joined)
        if infinite:
            raise RecordingError(f"not a recording: {infinite} infinite values: a missing value is NaN")
        return About(*found)

    def blocks(self) -> Iterator[Any]:
        """Give the rows in order, one block at a time in this process."""
        for task in self._tasks(_own, 0, 0, None):
            yield computed([task])[0]

    def each(self, kernel: Kernel, *, before: int = 0, after: int = 0, given: Sequence[Any] | None = None) -> list[Any]:
        """Give what a kernel makes of every block, in order.

        Parameters
        ----------
        kernel
            Sees its block and its neighbours' rows.
        before, after
            How many rows ahead of the block and behind it the kernel sees, where there are so many.
        given
            More arguments, a tuple for each block.
        """
        return computed(self._tasks(kernel, before, after, given))

    def total(self, kernel: Kernel, *, before: int = 0, after: int = 0, combine: Kernel | None = None) -> Any:
        """Give the sum of the tuples that a kernel makes of the blocks; `combine` puts several tuples into one."""
        return computed([tree(self._tasks(kernel, before, after, None), combine or added)])[0]

    def both(self, kernel: Kernel, given: Sequence[Any]) -> tuple[list[Any], Any]:
        """Give what is kept of every block, and the sum of the rest, of a kernel that makes (kept, tuple)."""
        from dask.delayed import delayed

        tasks = self._tasks(kernel, 0, 0, given)
        kept, rest = ([delayed(operator.itemgetter(place))(task) for task in tasks] for place in (0, 1))
        *found, total = computed([*kept, tree(rest, added)])
        return found, total

    @property
    def slices(self) -> list[slice]:
        """Give the rows of each block."""
        stops = np.cumsum([size for size in self.array.chunks[0] if size]).tolist()
        return [slice(start, stop) for start, stop in itertools.pairwise([0, *stops])]

    def gathered(self, analysis: str) -> Any:
        """Give all rows in memory, or refuse where they do not fit."""
        require_room(self.size * self.dtype.itemsize, analysis)
        return np.concatenate(self.each(_own))

    def _tasks(self, kernel: Kernel, before: int, after: int, given: Sequence[Any] | None) -> list[Any]:
        from dask.delayed import delayed

        array = self.array.rechunk({1: -1})
        parts = [part for part, size in zip(array.to_delayed()[:, 0], array.chunks[0], strict=True) if size]
        if not parts:
            parts = [delayed(np.empty)(array.shape, array.dtype)]
        # one object that is sent to each worker once; its name is new each time, since hashing it would cost more
        steps = _Work(kernel, self.steps, self.device, self.precision)
        work = delayed(steps, name=f"work-{uuid.uuid4()}", traverse=False)
        own = self.slices or [slice(0, 0)]
        starts, tasks = np.array([rows.start for rows in own]), []
        for place, rows in enumerate(own):
            low, high = max(rows.start - before, 0), min(rows.stop + after, len(self))
            first, last = np.searchsorted(starts, low, side="right") - 1, np.searchsorted(starts, high, side="left")
            pieces = [
                parts[j] if low <= own[j].start and own[j].stop <= high else delayed(_cut)(parts[j], own[j], low, high)
                for j in range(first, max(last, place + 1))
            ]
            inside = slice(rows.start - low, rows.stop - low)
            more = delayed(given[place], traverse=False) if given is not None else ()
            tasks.append(delayed(_run)(work, low, inside, more, *pieces))
        return tasks


def rows_of(recording: xr.DataArray) -> Rows:
    """Give the rows of a chunked recording, every dim but `unit` stacked; float32 stays, any other type is float64."""
    array = recording.data.reshape(-1, recording.shape[-1])
    dtype = np.dtype(np.float32 if array.dtype == np.float32 else np.float64)
    return Rows(array.astype(dtype), int(array.shape[1]), dtype)


def require_room(size: int, analysis: str) -> None:
    """Refuse to bring so many bytes into memory where what is needed with them is not free."""
    free = available()
    if free is not None and COPIES * size > free:
        raise AnalysisError(
            f"{analysis}: needs all values in memory at once: {_bytes(size)}, and {COPIES} times that to work with, "
            f"where {_bytes(free)} are free; take fewer samples or units (.isel, align.crop, align.resample), or a "
            "machine with more memory"
        )


def added(*parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Add tuples up, place by place."""
    return tuple(functools.reduce(operator.add, place) for place in zip(*parts, strict=True))


@dataclass(frozen=True)
class _Work:
    """What is done to every block: one object, sent to each worker once."""

    kernel: Kernel
    steps: tuple[Step, ...]
    device: str | None
    precision: str | None


def _run(work: _Work, first: int, own: slice, given: tuple[Any, ...], *pieces: Any) -> Any:
    values = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    for step in work.steps:
        values = step(values, first)
    if work.device is None:
        return work.kernel(values, first, own, *given)
    from neurointerp.device import computed_on

    return computed_on(work.device, work.precision, work.kernel, values, first, own, *given)


def computed(tasks: list[Any]) -> list[Any]:
    """Compute tasks with the scheduler in use."""
    from dask import base

    compute: Any = base.compute
    with warnings.catch_warnings():
        # what travels with the blocks (coefficients of their rows) is no larger than what comes back
        warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
        return list(compute(*tasks))


def tree(tasks: list[Any], combine: Kernel) -> Any:
    """Give the task that puts the results of others together, a few at a time."""
    from dask.delayed import delayed

    while len(tasks) > 1:
        tasks = [
            delayed(combine)(*tasks[start : start + FAN]) if start + 1 < len(tasks) else tasks[start]
            for start in range(0, len(tasks), FAN)
        ]
    return tasks[0]


def _cut(part: Any, rows: slice, low: int, high: int) -> Any:
    return part[max(low - rows.start, 0) : max(high - rows.start, 0)]


def _own(values: Any, first: int, own: slice) -> Any:
    return values[own]


def _as(values: Any, first: int, *, dtype: Any) -> Any:
    return values.astype(dtype)


def _taken(values: Any, first: int, *, keep: NDArray[np.bool_]) -> Any:
    return values[:, keep]


def _scaled(values: Any, first: int, *, mean: NDArray[Any], scale: NDArray[Any]) -> Any:
    return ((values - mean) / scale).astype(values.dtype, copy=False)


def _about(values: Any, first: int, own: slice) -> tuple[Any, ...]:
    there = ~np.isnan(values)
    infinite = int(np.isinf(values).sum())
    known = np.where(there, values, 0)
    low = np.where(there, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(there, values, -np.inf).max(axis=0, initial=-np.inf)
    return infinite, (~there).sum(axis=0), known.sum(axis=0, dtype=np.float64), low, high


def _joined(*parts: tuple[Any, ...]) -> tuple[Any, ...]:
    infinite, missing, total, low, high = zip(*parts, strict=True)
    return (
        sum(infinite),
        sum(missing),
        sum(total),
        functools.reduce(np.minimum, low),
        functools.reduce(np.maximum, high),
    )


def _bytes(size: int) -> str:
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"
