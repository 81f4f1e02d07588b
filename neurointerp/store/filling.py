"""Write a recording of known labels from its first row to its last, and go on where a killed run was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
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
from neurointerp.store.headers import CHECKSUM_BYTES, checksum
from neurointerp.store.staging import Stage

FIRST = ("time", "trial")


def filler(
    path: str | os.PathLike[str],
    like: xr.DataArray,
    *,
    key: str,
    overwrite: bool = False,
    compression: str | None = None,
) -> Filler:
    """Begin, or go on with, a store whose labels are all known and whose values come row after row.

    What was written before this process was killed is found again, whole chunks only, each by its checksum, if the
    labels and the `key` are the same; with others the work starts anew. The store appears at `commit()`, in one step
    and whole, the same to the byte however often it was interrupted.

    Parameters
    ----------
    path
        Folder to write, or `.zarr.zip`.
    like
        The recording to come: its dims, dtype, labels and attrs. Its values are not looked at
        (`np.broadcast_to(np.float32(0), shape)` takes no memory). Rows follow each other along its first dim.
    key
        What the values are computed from, in any spelling: two computations with one key must give the same values.
    overwrite, compression
        As for `save`.

    Returns
    -------
    Filler
        `rows` tells how many rows are there already; `put(values)` adds those that follow; `commit()` ends. As a
        context that ends without commit it leaves the rows for the next.

    Raises
    ------
    StoreError
        When `like` is not a recording, the path exists or cannot be written, or another writer is at it.

    Examples
    --------
    >>> import tempfile, numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.arange(12.0).reshape(6, 2), modality="eeg", units="V", sampling_rate=2.0)
    >>> path = tempfile.mkdtemp() + "/rec.zarr"
    >>> with ni.store.filler(path, rec, key="made of nothing") as out:
    ...     for start in range(out.rows, 6, 2):
    ...         out.put(rec.values[start:start + 2])
    ...     _ = out.commit()
    >>> ni.open(path).identical(rec)
    True
    """
    return Filler(path, like, key=key, overwrite=overwrite, compression=compression)


class Filler:
    """A store being filled; made by `filler`. One thread at a time."""

    def __init__(
        self, path: str | os.PathLike[str], like: xr.DataArray, *, key: str, overwrite: bool, compression: str | None
    ) -> None:
        _check(like)
        self._path = Path(path)
        groups = layout.datasets(layout.as_tree(like))
        layout.check(groups)
        target = layout.local_path(path)
        self._stage = Stage(target, overwrite=overwrite, kind="writer", keep=_digest(groups, key, compression))
        self._stage.__enter__()
        self._open = True
        try:
            self._target = _prepared(groups, self._stage, compression)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error
            raise
        self._waiting = np.empty((0, *self._target.shape[1:]), self._target.dtype)
        self._held = 0
        self.rows = min(_whole_chunks(self._target) * self._target.unit[0], like.shape[0])
        """Rows that are written, whole chunks of them."""

    @property
    def chunk(self) -> int:
        """Give the number of rows in a chunk: blocks of a multiple are written without a copy."""
        return self._target.unit[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, values: np.ndarray) -> None:
        """Add the rows that follow.

        Parameters
        ----------
        values
            Rows of the shape and dtype announced. They may be changed afterwards.

        Raises
        ------
        StoreError
            When they are not those announced, are too many, hold infinite values, or the disk fails.
        """
        self._check_open()
        total, shape = self._target.shape[0], self._target.shape[1:]
        if values.shape[1:] != shape or values.dtype.newbyteorder("<") != self._target.dtype:
            raise StoreError(
                f"{self._path}: rows of {values.dtype} {values.shape[1:]} where {self._target.dtype} {shape} were "
                "announced"
            )
        if self.rows + self._held + len(values) > total:
            raise StoreError(f"{self._path}: {self.rows + self._held + len(values)} rows where {total} were announced")
        if values.dtype.kind == "f" and not np.isfinite(values.sum()) and np.isinf(values).any():
            raise StoreError(f"{self._path}: {int(np.isinf(values).sum())} infinite values: a missing value is NaN")
        while len(values):
            left = self.rows + self._held + len(values) == total
            whole = len(values) if left else len(values) - len(values) % self.chunk
            if not self._held and whole:
                self._write(values[:whole])
                values = values[whole:]
            else:
                values = values[self._hold(values) :]

    def commit(self) -> Path:
        """Put the store in its place, and give its path.

        Raises
        ------
        StoreError
            When rows are missing, the disk fails, or it was committed or closed before.
        """
        self._check_open()
        if self.rows != self._target.shape[0]:
            raise StoreError(f"{self._path}: {self.rows + self._held} of {self._target.shape[0]} rows were put")
        try:
            self._stage.publish()
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error
        self._stage.keep = None
        self.close()
        return self._path

    def close(self) -> None:
        """Let go of the path; rows in whole chunks stay for the next, until something else is written there."""
        if self._open:
            self._open = False
            self._stage.__exit__(None, None, None)

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError(f"{self._path}: it was committed or closed; make a new one")

    def _hold(self, values: np.ndarray) -> int:
        """Keep what does not fill a chunk yet, write the chunk once it is full, and tell how many rows were taken."""
        if not len(self._waiting):
            self._waiting = np.empty((self.chunk, *self._target.shape[1:]), self._target.dtype)
        taken = min(len(values), self.chunk - self._held)
        self._waiting[self._held : self._held + taken] = values[:taken]
        self._held += taken
        if self._held == self.chunk or self.rows + self._held == self._target.shape[0]:
            self._write(self._waiting[: self._held])
            self._held = 0
        return taken

    def _write(self, values: np.ndarray) -> None:
        region = [slice(0, size) for size in self._target.shape]
        region[0] = slice(self.rows, self.rows + len(values))
        try:
            self._target[tuple(region)] = values
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error
        self.rows += len(values)


def _check(like: xr.DataArray) -> None:
    if not isinstance(like, xr.DataArray) or not like.ndim or like.dims[0] not in FIRST or 0 in like.shape:
        raise StoreError(f"the recording to come must begin with one of {', '.join(FIRST)}, and have rows and units")
    try:
        schema.check(like[:0])
        schema.check(like.isel({dim: slice(1) for dim in like.dims[1:] if dim != "time"}))
    except RecordingError as error:
        raise StoreError(f"what is to come is {error}") from error


def _digest(groups: dict[str, xr.Dataset], key: str, compression: str | None) -> str:
    """Tell one piece of work from another, in eight characters: a folder is named by it."""
    root = groups[""]
    labels = [
        [str(name), variable.dims, str(variable.dtype), variable.shape, _hash(name, variable)]
        for name, variable in root.variables.items()
    ]
    text = json.dumps([layout.group_attrs(groups, ""), labels, key, compression], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _hash(name: Any, variable: xr.Variable) -> str:
    if name == "recording":
        return json.dumps(schema.plain(dict(variable.attrs)), sort_keys=True)
    values = variable.values
    content = "\0".join(map(str, values.ravel())).encode() if values.dtype.kind == "O" else values.tobytes()
    return hashlib.sha256(content).hexdigest()


def _prepared(groups: dict[str, xr.Dataset], stage: Stage, compression: str | None) -> Target:
    """Write metadata and labels, keep the chunks that are there, and give the array to fill."""
    fresh, kept = stage.folder / "fresh", stage.new / "recording" / "c"
    if (fresh / "recording" / "c").exists() and not kept.exists():  # killed between the two renames below
        kept.parent.mkdir(parents=True, exist_ok=True)
        (fresh / "recording" / "c").rename(kept)
    shutil.rmtree(fresh, ignore_errors=True)
    targets = saving.create(groups, fresh, compression=compression)
    saving.fill(groups, {name: target for name, target in targets.items() if name != ("", "recording")})
    if kept.exists():
        kept.rename(fresh / "recording" / "c")
    shutil.rmtree(stage.new, ignore_errors=True)
    fresh.rename(stage.new)
    target, folder = targets["", "recording"], stage.new / "recording"
    array = target.array and zarr.open_array(LocalStore(folder), mode="r+", zarr_format=3)
    return dataclasses.replace(target, folder=folder, array=array)


def _whole_chunks(target: Target) -> int:
    """Count the rows of chunks, from the first, whose files are all there and agree with their checksums."""
    across = [-(-size // chunk) for size, chunk in zip(target.shape[1:], target.unit[1:], strict=True)]
    for row in range(-(-target.shape[0] // target.unit[0])):
        for index in np.ndindex(*across):
            if not _agrees(target.folder.joinpath("c", str(row), *map(str, index))):
                return row
    return -(-target.shape[0] // target.unit[0])


def _agrees(path: Path) -> bool:
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        return False
    stored = int.from_bytes(data[-CHECKSUM_BYTES:].tobytes(), "little")
    return len(data) > CHECKSUM_BYTES and stored == checksum(data[:-CHECKSUM_BYTES])
