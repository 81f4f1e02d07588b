"""Blocks of rows on their way into memory or into a store, while the model computes the next."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import xarray as xr

from neurointerp import store
from neurointerp.schema import check

DEPTH = 2
"""Blocks that may wait for the disk; then the model waits."""
EVERY = 5.0
"""Seconds between two lines about progress."""
log = logging.getLogger("neurointerp")


Free = Callable[[np.ndarray], None]
"""What is told that a block was taken, so that its memory may be written over."""


class Sink(Protocol):
    """Where rows go, in order."""

    rows: int

    def put(self, values: np.ndarray) -> None:
        """Take the rows that follow."""

    def end(self) -> xr.DataArray:
        """Give the recording."""


class Memory:
    """Rows of a recording in memory."""

    def __init__(self, like: xr.DataArray, free: Free) -> None:
        self._like, self._free, self.rows = like, free, 0
        self._values = np.empty(like.shape, like.dtype)

    def put(self, values: np.ndarray) -> None:
        """Take the rows that follow."""
        self._values[self.rows : self.rows + len(values)] = values
        self.rows += len(values)
        self._free(values)

    def end(self) -> xr.DataArray:
        """Give the recording."""
        out = self._like.copy(data=self._values)
        check(out)
        return out


class Stored:
    """Rows of a recording in a store, written by one thread beside the model; left ones are taken up."""

    def __init__(
        self, path: str | os.PathLike[str], like: xr.DataArray, key: str, free: Free, *, overwrite: bool
    ) -> None:
        self._filler, self._free = store.filler(path, like, key=key, overwrite=overwrite), free
        self.rows = self._filler.rows
        self._behind = Behind(self._write)
        if self.rows:
            log.info("%s: %d rows are there already, going on", path, self.rows)

    def put(self, values: np.ndarray) -> None:
        """Take the rows that follow."""
        self._behind(values)

    def end(self) -> xr.DataArray:
        """Give the recording, lazily."""
        self._behind.wait()
        path = self._filler.commit()
        self.close()
        found: xr.DataArray = store.open(path)
        return found

    def _write(self, values: np.ndarray) -> None:
        self._filler.put(values)
        self._free(values)

    def close(self) -> None:
        """Stop the thread, and leave what is written for another run."""
        self._behind.close()
        self._filler.close()


class Behind:
    """A function called in one thread, in order, with at most two calls waiting."""

    def __init__(self, call: Callable[[Any], None]) -> None:
        self._call = call
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="neurointerp-writer")
        self._pending: deque[Future[None]] = deque()

    def __call__(self, block: Any) -> None:
        while len(self._pending) >= DEPTH:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._call, block))

    def wait(self) -> None:
        """Wait until all calls are done; raise what one of them raised."""
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Progress:
    """A line in the log every five seconds: how far, and how long it will take."""

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what = total, what
        self._begun = self._said = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int) -> None:
        """Say how far it is, if that was not said just now."""
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._said < EVERY or done <= self._first:
            return
        self._said = now
        left = (now - self._begun) / (done - self._first) * (self._total - done)
        log.info(
            "%s of %s %s (%d%%), about %s left",
            f"{done:,}", f"{self._total:,}", self._what, 100 * done // self._total, _duration(left),
        )  # fmt: skip


def collect(
    parts: Sequence[tuple[int, int, Callable[[], np.ndarray]]],
    begin: Callable[[np.ndarray], Sink],
    what: str,
) -> xr.DataArray:
    """Compute rows part by part and put them where they go, leaving out those that are there.

    Parameters
    ----------
    parts
        First row, row after the last, and the function that computes them, in order.
    begin
        From the rows of the first part, which tell width and dtype, to where rows go.
    what
        What the rows are, for the log.
    """
    first = parts[0][2]()
    sink = begin(first)
    try:
        progress = Progress(parts[-1][1], what)
        for number, (start, stop, compute) in enumerate(_after(parts, sink.rows)):
            block = first if not number and start == 0 else compute()
            already = max(sink.rows - start, 0) if not number else 0
            sink.put(block[already:])
            progress(stop)
        return sink.end()
    finally:
        if isinstance(sink, Stored):
            sink.close()


def appended(
    blocks: Iterable[xr.DataArray],
    out: str | os.PathLike[str] | None,
    note: Callable[[xr.DataArray], xr.DataArray],
    *,
    overwrite: bool,
) -> xr.DataArray:
    """Join recordings whose number of rows is not known before they are there, in memory or in a store.

    Parameters
    ----------
    blocks
        Recordings that follow each other along their first dim, one at least.
    out, overwrite
        Path of a store, which is written block by block; None for memory.
    note
        Adds to the history of the whole.
    """
    if out is None:
        known = list(blocks)
        whole = xr.concat(known, known[0].dims[0], combine_attrs="override")
        whole.attrs = dict(known[0].attrs)
        return note(whole)
    writer: store.Writer | None = None
    try:
        for block in blocks:
            if writer is None:
                writer = store.writer(out, note(block[:0]), overwrite=overwrite)
            writer.append(block)
        assert writer is not None
        stored: xr.DataArray = store.open(writer.commit())
        return stored
    finally:
        if writer is not None:
            writer.abort()


def _after(
    parts: Sequence[tuple[int, int, Callable[[], np.ndarray]]], row: int
) -> Iterator[tuple[int, int, Callable[[], np.ndarray]]]:
    return (part for part in parts if part[1] > row)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
