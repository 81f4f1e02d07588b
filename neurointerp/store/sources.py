"""Where a store lies (a folder, a zip, a URL), and the zarr store that reads it and trusts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from neurointerp.errors import StoreError
from neurointerp.store.digests import Digests
from neurointerp.store.layout import DIGESTS, FILES_OF_ZARR, METADATA, first_line, is_url

Range = tuple[int | None, int | None]
"""First byte and the one after the last, as in a slice: `(-8, None)` is the last eight."""
READ_AHEAD = 2**16
"""Bytes fetched beyond those asked for of a zip behind a URL, whose headers are many small reads."""
WHOLE: Range = (None, None)


class ReplacedError(StoreError):
    """The folder that was opened is not the one that stands there now."""


class Source(Protocol):
    """Read access to the files of a store."""

    def read(self, key: str, part: Range = WHOLE, most: int = -1) -> bytes:
        """Give a file's bytes (`most` of them, where it matters), or a range; FileNotFoundError where there is none."""

    def size(self, key: str) -> int:
        """Give a file's size; FileNotFoundError where there is none."""

    def sizes(self) -> dict[str, int] | None:
        """Give the size of every file; None where they cannot be listed."""


class Folder:
    """A store in a local folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark = self._mark()

    def __str__(self) -> str:
        return str(self.path)

    def read(self, key: str, part: Range = WHOLE, most: int = -1) -> bytes:
        """Give a file's bytes; an error when the store was replaced since it was opened."""
        with self._opened(key) as file:
            return file.read(most) if part == WHOLE else _slice_of(file, os.fstat(file.fileno()).st_size, part)

    def read_into(self, key: str, buffer: np.ndarray) -> int:
        """Read a file's bytes into a buffer, as many as it holds, and give their number."""
        with self._opened(key) as file:
            return int(file.readinto(buffer))

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[Any]:
        try:
            with open(self.path / key, "rb") as file:
                yield file
        except (IsADirectoryError, NotADirectoryError) as error:
            raise FileNotFoundError(key) from error
        finally:
            # a replaced store has the same names: without this, one array would mix the old and the new
            if self._mark() != self.mark:
                raise ReplacedError(f"{self} was replaced or removed since it was opened: open it again")

    def size(self, key: str) -> int:
        """Give a file's size."""
        return (self.path / key).stat().st_size

    def sizes(self) -> dict[str, int]:
        """Give the size of every file."""
        files = (Path(base) / name for base, _, names in os.walk(self.path) for name in names)
        return {file.relative_to(self.path).as_posix(): file.stat().st_size for file in files}

    def _mark(self) -> tuple[int, int] | None:
        for name in (DIGESTS, METADATA):
            try:
                about = (self.path / name).stat()
            except OSError:
                continue
            return about.st_ino, about.st_mtime_ns
        return None


class Archive:
    """A store in a zip, local or behind any file object that can seek."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.name, self.options = name, dict(options or {})
        file: Any = name
        if is_url(name):
            fs, root = _filesystem(name, self.options)
            file = fs.open(root, "rb", block_size=READ_AHEAD)
        self.zip = zipfile.ZipFile(file)

    def __str__(self) -> str:
        return self.name

    def __getstate__(self) -> tuple[str, dict[str, Any]]:
        return self.name, self.options

    def __setstate__(self, state: tuple[str, dict[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def read(self, key: str, part: Range = WHOLE, most: int = -1) -> bytes:
        """Give a file's bytes."""
        size = self.size(key)
        with self.zip.open(key) as file:
            return file.read(most) if part == WHOLE else _slice_of(file, size, part)

    def size(self, key: str) -> int:
        """Give a file's size."""
        try:
            return self.zip.getinfo(key).file_size
        except KeyError as error:
            raise FileNotFoundError(key) from error

    def sizes(self) -> dict[str, int]:
        """Give the size of every file."""
        return {info.filename: info.file_size for info in self.zip.infolist() if not info.is_dir()}


class Remote:
    """A store at an fsspec URL."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.url = url.rstrip("/")
        self.fs, self.root = _filesystem(self.url, options or {})

    def __str__(self) -> str:
        return self.url

    def read(self, key: str, part: Range = WHOLE, most: int = -1) -> bytes:
        """Give a file's bytes (a range request for a part, and where it is known how many there are at most).

        Without a range s3fs asks for the size first: two requests, one after the other, for every chunk.
        """
        if part == WHOLE and most > 1:
            part = (0, most)
        data: bytes = self.fs.cat_file(self._at(key), start=part[0], end=part[1])
        return data

    def size(self, key: str) -> int:
        """Give a file's size."""
        size = self.fs.size(self._at(key))
        return -1 if size is None else int(size)

    def sizes(self) -> dict[str, int] | None:
        """Give the size of every file; None over http, which cannot list."""
        if self.url.startswith(("http:", "https:")):
            return None
        found = self.fs.find(self.root, detail=True)
        base = self.root.rstrip("/") + "/"
        return {name.removeprefix(base): int(about["size"]) for name, about in found.items()}

    def _at(self, key: str) -> str:
        return f"{self.root}/{quote(key) if self.url.startswith(('http:', 'https:')) else key}"


class GuardedStore(Store):
    """What zarr reads through: listed files only, each as it was saved, and a missing chunk is an error.

    Parameters
    ----------
    source
        Where the files lie.
    digests
        What they must be; None for a store of the first release, where zarr's own rules hold.
    metadata
        Key -> text of every group's and array's metadata, read and checked before.
    """

    def __init__(self, source: Source, digests: Digests | None, metadata: Mapping[str, bytes]) -> None:
        super().__init__(read_only=True)
        self.source, self.digests, self.metadata = source, digests, dict(metadata)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GuardedStore) and str(self.source) == str(other.source)

    def __hash__(self) -> int:
        return hash(str(self.source))

    def __str__(self) -> str:
        return str(self.source)

    def with_read_only(self, read_only: bool = False) -> GuardedStore:
        """Give the store itself: it is never written."""
        if not read_only:
            raise StoreError(f"{self} was opened to read: change a copy and save it")
        return self

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Give the bytes of a file; None only for metadata that does not exist."""
        if key in self.metadata:
            return prototype.buffer.from_bytes(self.metadata[key])
        if key.rpartition("/")[2] in FILES_OF_ZARR:
            return None
        data = await asyncio.to_thread(self._chunk, key, _part(byte_range))
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Give ranges of files."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether there is such metadata or chunk."""
        return key in self.metadata or (self.digests is not None and key in self.digests)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Give the names of the groups and arrays right below a group."""
        inside = f"{prefix.strip('/')}/".lstrip("/")
        below = [key[len(inside) :].split("/") for key in self.metadata if key.startswith(inside)]
        for name in dict.fromkeys(parts[0] for parts in below):
            yield name

    async def list(self) -> AsyncIterator[str]:
        """Give every key that is known."""
        for key in dict.fromkeys([*self.metadata, *(self.digests.all_keys() if self.digests else ())]):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Give every key that begins so."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: an opened store is read only."""
        raise StoreError(f"{self} was opened to read: change a copy and save it")

    async def delete(self, key: str) -> None:
        """Refuse: an opened store is read only."""
        raise StoreError(f"{self} was opened to read: change a copy and save it")

    supports_writes = supports_deletes = False
    supports_listing = True

    def _chunk(self, key: str, part: Range) -> bytes | None:
        if self.digests is not None and key not in self.digests:
            raise StoreError(f"{self}: the chunk {key} is not one that was saved")
        # one byte more than there should be is enough to tell that the file has grown
        most = -1 if self.digests is None else self.digests.size(key) + 1
        with naming(self.source, key):
            try:
                data = self.source.read(key, part, most)
            except FileNotFoundError:
                if self.digests is None:
                    return None
                raise
        if self.digests is not None and part == WHOLE and not self.digests.agree(key, data):
            raise StoreError(f"{self}: the chunk {key} was altered since it was saved; restore it from a copy")
        return data


@contextlib.contextmanager
def naming(source: Source, key: str) -> Iterator[None]:
    """Let an error of whatever lies below a chunk say which chunk of which store."""
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"{source}: the chunk {key} is missing; restore it from a copy") from error
    except Exception as error:  # disk, zip and network errors of many libraries: all mean the same to the user
        raise StoreError(f"{source}: the chunk {key} cannot be read: {first_line(error)}") from error


def find(path: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Source:
    """Give the source at a path or a URL.

    Raises
    ------
    StoreError
        When nothing is there, it is no zip, or the library for the URL is not installed.
    """
    name = os.fspath(path)
    if name.startswith("file://"):
        name = name.removeprefix("file://")
    try:
        if is_url(name):
            return Archive(name, options) if name.split("?")[0].endswith(".zip") else Remote(name, options)
        local = Path(name)
        if local.is_dir():
            return Folder(local)
        if local.is_file():
            return Archive(name)
    except StoreError:
        raise
    except Exception as error:  # zip, disk and network errors of many libraries
        raise StoreError(f"{name} cannot be read as a zarr store: {first_line(error)}") from error
    raise StoreError(f"no store at {name}")


def _filesystem(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        import fsspec

        fs, root = fsspec.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise StoreError(
            f"{url} cannot be read: {error}; pip install 'neurointerp[dask]' and the URL's library"
        ) from error
    return fs, root


def _slice_of(file: Any, size: int, part: Range) -> bytes:
    start, stop, _ = slice(*part).indices(size)
    file.seek(start)
    data: bytes = file.read(max(stop - start, 0))
    return data


def _part(byte_range: ByteRequest | None) -> Range:
    if byte_range is None:
        return WHOLE
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, byte_range.end
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, None
    return -byte_range.suffix, None
