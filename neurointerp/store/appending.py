"""Write a recording block by block, while a model or a simulator runs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xarray as xr
import zarr
from zarr.storage import LocalStore

from neurointerp import schema
from neurointerp.errors import RecordingError, StoreError
from neurointerp.store import layout, saving
from neurointerp.store.chunks import Target
from neurointerp.store.staging import Stage

GROWING = ("time", "trial")
SAME_ATTRS = ("modality", "units")


def writer(
    path: str | os.PathLike[str], template: xr.DataArray, *, overwrite: bool = False, compression: str | None = None
) -> Writer:
    """Begin a store that grows by blocks along `time` or `trial`, in bounded memory.

    The store appears at `commit()`, in one step and whole; until then, and after `abort()` or a crash, what was at the
    path stays. While a writer is open, any other save or writer of the same path is refused.

    Parameters
    ----------
    path
        Folder to write, or `.zarr.zip`.
    template
        A recording of length zero along the dim to append (such as `recording[:0]`), which carries the dtype, the
        labels of the other dims, the names and types of the coords along the appended one, and the attrs.
    overwrite, compression
        As for `save`.

    Returns
    -------
    Writer
        With `append(block)`, `commit()` and `abort()`; as a context it aborts what was not committed.

    Raises
    ------
    StoreError
        When the template is not one, the path exists or cannot be written, or another writer is at it.

    Examples
    --------
    >>> import tempfile, numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.arange(12.0).reshape(6, 2), modality="eeg", units="V", sampling_rate=2.0)
    >>> path = tempfile.mkdtemp() + "/rec.zarr"
    >>> with ni.store.writer(path, rec[:0]) as out:
    ...     out.append(rec[:4])
    ...     out.append(rec[4:])
    ...     _ = out.commit()
    >>> ni.open(path).identical(rec)
    True
    """
    return Writer(path, template, overwrite=overwrite, compression=compression)


class Writer:
    """A store being written; made by `writer`. Not for several threads at once."""

    def __init__(
        self, path: str | os.PathLike[str], template: xr.DataArray, *, overwrite: bool = False,
        compression: str | None = None,
    ) -> None:  # fmt: skip
        self._dim = _growing_dim(template)
        self._path, self._template = Path(path), template
        groups = layout.datasets(layout.as_tree(template))
        layout.check(groups)
        self._order = _Order(template)
        self._open = False
        self._stage = Stage(layout.local_path(path), overwrite=overwrite, kind="writer").__enter__()
        self._open = True
        try:
            targets = saving.create(groups, self._stage.new, compression=compression, growing=self._dim)
            fixed = {key: target for key, target in targets.items() if 0 not in target.shape}
            saving.fill(groups, fixed)
        except BaseException:
            self.abort()
            raise
        variables = groups[""].variables
        self._columns = {
            name: _Column(target, variables[name].dims.index(self._dim))
            for (_, name), target in targets.items()
            if self._dim in variables[name].dims
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def append(self, block: Any, coords: Mapping[str, Any] | None = None) -> None:
        """Add a block at the end.

        Parameters
        ----------
        block
            A recording with the template's dims, dtype, units and labels, whose stamps fit the template's
            `sampling_rate` if it has one; or an array, whose labels are the template's and `coords`. It may be
            changed afterwards.
        coords
            For an array: name -> values along the appended dim (`{"time": stamps}`).

        Raises
        ------
        StoreError
            When the block does not continue the recording; it is then left out, and the writer goes on. When the
            disk fails; the writer is then aborted.
        """
        self._check_open()
        given = block if isinstance(block, xr.DataArray) else self._labelled(block, coords or {})
        if self._dim == "trial":
            given = self._order.counted_on(given)
        found = [*self._rate(given), *self._differences(self._at_rate(given)), *self._order.problems(given)]
        if found:
            raise StoreError(f"{self._path}: the block does not continue the recording: {'; '.join(found)}")
        try:
            for name, column in self._columns.items():
                column.append(given.values if name == "recording" else given.coords[name].values)
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError):
                raise StoreError(f"cannot write {self._path}: {error.strerror or error}; nothing is kept") from error
            raise
        self._order.advance(given)

    def commit(self) -> Path:
        """Put the store in its place, and give its path. A commit that fails may be tried again.

        Raises
        ------
        StoreError
            When the disk fails, or the writer was committed or aborted before.
        """
        self._check_open()
        try:
            for column in self._columns.values():
                column.finish()
            self._stage.publish()
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error
        self._close()
        return self._path

    def abort(self) -> None:
        """Leave what was at the path, and drop what was appended; nothing happens after a commit."""
        if self._open:
            self._close()

    def _close(self) -> None:
        self._open = False
        self._stage.__exit__(None, None, None)

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError(f"{self._path}: the writer was committed or aborted; make a new one")

    def _labelled(self, values: Any, coords: Mapping[str, Any]) -> xr.DataArray:
        template, values = self._template, np.asarray(values)
        kept: dict[Any, xr.Variable] = {
            name: coord.variable for name, coord in template.coords.items() if self._dim not in coord.dims
        }
        for name, along in coords.items():
            like = template.coords[name].variable if name in template.coords else xr.Variable((self._dim,), [])
            labels = np.asarray(along)
            labels = labels.astype(object) if labels.dtype.kind in "UT" else labels
            kept[name] = xr.Variable(like.dims, labels, like.attrs)
        if values.ndim != template.ndim:
            raise StoreError(f"{self._path}: the block has {values.ndim} axes, the template {template.ndim}")
        try:
            return xr.DataArray(values, dims=template.dims, coords=kept, attrs=template.attrs)
        except ValueError as error:
            raise StoreError(f"{self._path}: labels do not fit the block: {error}") from error

    def _rate(self, block: xr.DataArray) -> Iterator[str]:
        found, wanted = (array.attrs.get("sampling_rate") for array in (block, self._template))
        if None not in (found, wanted) and found != wanted:
            yield f"sampling_rate is {found}, not {wanted}"

    def _at_rate(self, block: xr.DataArray) -> xr.DataArray:
        """Give the block with the template's rate, or none: a block of one sample does not know its own."""
        given = block.copy(deep=False)
        given.attrs = {name: value for name, value in block.attrs.items() if name != "sampling_rate"}
        rate = self._template.attrs.get("sampling_rate")
        if rate is not None:
            given.attrs["sampling_rate"] = rate
        return given

    def _differences(self, block: xr.DataArray) -> Iterator[str]:
        template = self._template
        try:
            schema.check(block)
        except RecordingError as error:
            yield str(error)
            return
        if block.dims != template.dims:
            yield f"dims are {block.dims}, not {template.dims}"
            return
        if block.dtype != template.dtype:
            yield f"values have dtype {block.dtype}, not {template.dtype}"
        for attr in SAME_ATTRS:
            if block.attrs.get(attr) != template.attrs.get(attr):
                yield f"{attr} is {block.attrs.get(attr)!r}, not {template.attrs.get(attr)!r}"
        other = set(map(str, block.coords)) ^ set(map(str, template.coords))
        if other:
            yield f"the coords {', '.join(sorted(other))} are not in both the block and the template"
        for name in template.coords:
            if name in block.coords:
                yield from self._coord(str(name), block.coords[name].variable, template.coords[name].variable)

    def _coord(self, name: str, found: xr.Variable, wanted: xr.Variable) -> Iterator[str]:
        if self._dim not in wanted.dims:
            if not bool(found.equals(wanted)):  # type: ignore[no-untyped-call]
                yield f"{name!r} is not that of the template"
            return
        kinds = ["string" if v.dtype.kind in "OUT" else str(v.dtype) for v in (found, wanted)]
        if found.dims != wanted.dims or kinds[0] != kinds[1]:
            yield f"{name!r} is {kinds[0]} on {found.dims}, not {kinds[1]} on {wanted.dims}"
        if found.attrs != wanted.attrs:
            yield f"{name!r} has attrs {found.attrs}, not {wanted.attrs}"


class _Column:
    """An array that grows: whole chunks are written, the rest waits for the next block."""

    def __init__(self, target: Target, axis: int) -> None:
        self.target, self.axis = target, axis
        self.blocks: list[np.ndarray] = []
        self.waiting = self.written = 0

    def append(self, values: np.ndarray) -> None:
        self.blocks.append(values)
        self.waiting += values.shape[self.axis]
        unit = self.target.unit[self.axis]
        if self.waiting >= unit:
            self._write(self.waiting - self.waiting % unit)
        else:
            self.blocks[-1] = values.copy()

    def finish(self) -> None:
        """Write what waits, and state the final length."""
        if self.waiting:
            self._write(self.waiting)
        array = zarr.open_array(LocalStore(self.target.folder), mode="r+", zarr_format=3)
        array.resize(self._shape())

    def _write(self, count: int) -> None:
        joined = np.concatenate(self.blocks, axis=self.axis) if len(self.blocks) > 1 else self.blocks[0]
        along = [slice(None)] * joined.ndim
        along[self.axis] = slice(0, count)
        region = [slice(0, size) for size in self.target.shape]
        region[self.axis] = slice(self.written, self.written + count)
        target = dataclasses.replace(self.target, shape=self._shape(count))
        if target.array is not None:
            target.array.resize(target.shape)
        target[tuple(region)] = joined[tuple(along)]
        along[self.axis] = slice(count, None)
        self.blocks = [joined[tuple(along)].copy()]
        self.written += count
        self.waiting -= count

    def _shape(self, more: int = 0) -> tuple[int, ...]:
        shape = list(self.target.shape)
        shape[self.axis] = self.written + more
        return tuple(shape)


class _Order:
    """What the blocks so far say about where the next begins: the clock and its rate, or the number of trials."""

    def __init__(self, template: xr.DataArray) -> None:
        self.dim = _growing_dim(template)
        self.rate = template.attrs.get("sampling_rate") if self.dim == "time" else None
        self.rows = 0
        self.last: Any = None
        self.segment: Any = None
        self.since: tuple[Any, int] = (None, 0)
        """First stamp of the segment that the last block ended in, and how many stamps it has so far."""

    def counted_on(self, block: xr.DataArray) -> xr.DataArray:
        """Give trials that are numbered from 0, as in every block by default, the numbers that follow."""
        if not self.rows or "trial" not in block.coords:
            return block
        labels = block["trial"].values
        counted = labels.dtype.kind in "iu" and np.array_equal(labels, np.arange(labels.size))
        return block.assign_coords(trial=block["trial"].copy(data=labels + self.rows)) if counted else block

    def problems(self, block: xr.DataArray) -> Iterator[str]:
        labels = block.coords[self.dim].values if self.dim in block.coords else np.empty(0)
        if self.last is None or not labels.size or labels.dtype.kind not in "iuf":
            return
        if not labels.min() > self.last:
            yield f"{self.dim} begins at {labels.min()}, not after {self.last}, where the last block ended"
            return
        start, stop = schema.segment_bounds(block)[0] if self.dim == "time" else (0, 0)
        if self.rate is not None and self._first_segment(block) == self.segment:
            first, count = self.since
            off = np.abs((labels[start:stop] - first) * self.rate - (count + np.arange(stop - start)))
            if off.max() > schema.RATE_TOLERANCE:
                yield (
                    f"time is {off.max():.3g} samples off the sampling_rate {self.rate:g} counted from {first}; "
                    "begin a new segment, or leave sampling_rate out of template and blocks"
                )

    def advance(self, block: xr.DataArray) -> None:
        """Remember where a block ended."""
        size = block.sizes[self.dim]
        if not size:
            return
        labels = block.coords[self.dim].values if self.dim in block.coords else np.arange(size)
        if self.dim == "time":
            start, stop = schema.segment_bounds(block)[-1]
            goes_on = start == 0 and self.rows > 0 and self._first_segment(block) == self.segment
            self.since = (self.since[0], self.since[1] + size) if goes_on else (labels[start], stop - start)
            self.segment = block["segment"].values[-1] if "segment" in block.coords else None
        self.rows += size
        self.last = labels.max() if labels.dtype.kind in "iuf" else None

    def _first_segment(self, block: xr.DataArray) -> Any:
        return block["segment"].values[0] if "segment" in block.coords else None


def _growing_dim(template: xr.DataArray) -> str:
    """Check the template, and give the dim that blocks are appended along."""
    if not isinstance(template, xr.DataArray):
        raise StoreError(f"the template is a {type(template).__name__}: a recording of length zero is needed")
    empty = [str(dim) for dim, size in template.sizes.items() if not size]
    if len(empty) != 1 or empty[0] not in GROWING:
        raise StoreError(
            f"the template has sizes {dict(template.sizes)}: length zero along one of {', '.join(GROWING)} is needed, "
            "and along no other dim (such as recording[:0])"
        )
    try:
        schema.check(template)
    except RecordingError as error:
        raise StoreError(f"the template is {error}") from error
    return empty[0]
