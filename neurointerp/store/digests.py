"""The list of digests of a store: size and CRC-32C of every file, written last and read first."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import StoreError
from neurointerp.store.headers import (
    CHECKSUM_BYTES,
    EXPANSION,
    Header,
    by_array,
    check_keys,
    checksum,
    is_metadata,
    read_header,
)
from neurointerp.store.layout import DIGESTS, LAYOUT

MAX_BYTES = 256 * 2**20
"""Size that a list of digests may have (256 MiB: some 3 million chunks, 12 TB)."""
PIECE_BYTES = 4 * 2**20
SHOWN = 5
"""How many names a message about a structure gives; `verify` names all."""


@dataclass(frozen=True)
class Digests:
    """Key -> (bytes, CRC-32C) of the files of a store.

    `chunks` are those that end with their own checksum: what is listed is that checksum. `files` are the others
    (metadata, shards), listed with the checksum of the whole file.
    """

    chunks: dict[str, tuple[int, int]]
    files: dict[str, tuple[int, int]]

    def __contains__(self, key: str) -> bool:
        return key in self.chunks or key in self.files

    def all_keys(self) -> set[str]:
        """Give the keys of all files."""
        return {*self.chunks, *self.files}

    def size(self, key: str) -> int:
        """Give the size a file must have."""
        return (self.chunks.get(key) or self.files[key])[0]

    def agree(self, key: str, data: bytes) -> bool:
        """Tell whether these are the bytes that were saved."""
        size, crc = self.chunks.get(key) or self.files[key]
        if len(data) != size:
            return False
        if key in self.files:
            return checksum(data) == crc
        stored = int.from_bytes(data[-CHECKSUM_BYTES:], "little")
        return stored == crc == checksum(np.frombuffer(data, np.uint8)[:-CHECKSUM_BYTES])

    def text(self) -> bytes:
        """Give the file as it is written."""
        tables = {"chunks": _listed(self.chunks), "files": _listed(self.files)}
        return json.dumps({"layout": LAYOUT, "crc32c": checksum(_canonical(tables)), **tables}).encode()


def read(text: bytes) -> Digests:
    """Read the list of digests.

    Raises
    ------
    StoreError
        When it is not one, was altered, or names a file outside the store.
    """
    try:
        document = json.loads(text)
        layout, tables = document["layout"], {name: document[name] for name in ("chunks", "files")}
        if layout != LAYOUT:
            raise StoreError(f"has layout {layout!r}, this release reads up to {LAYOUT}: update neurointerp")
        if document["crc32c"] != checksum(_canonical(tables)):
            raise StoreError(f"{DIGESTS} does not agree with its own checksum: it was altered")
        listed = {name: {key: (int(n), int(crc)) for key, (n, crc) in table.items()} for name, table in tables.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{DIGESTS} is not a list of digests ({error}): it was cut or damaged") from error
    check_keys(key for table in listed.values() for key in table)
    return Digests(listed["chunks"], listed["files"])


def seal(folder: Path, *, sync: bool = True) -> None:
    """Check that everything a new store announces was written, put it on the disk, and list the digests, last.

    Raises
    ------
    StoreError
        When a chunk is missing or has another size than its array's metadata says.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and path != folder / DIGESTS]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    headers = [h for key in names if is_metadata(key) if (h := read_header(key, names[key].read_bytes()))]
    check_structure(headers, {key: path.stat().st_size for key, path in names.items()})
    ends = {header.path for header in headers if header.checksummed}
    carried = {key for path, keys in by_array(_chunk_keys(names)).items() if path in ends for key in keys}
    with ThreadPoolExecutor(8) as pool:
        entries = dict(zip(names, pool.map(lambda key: _entry(names[key], key in carried, sync), names), strict=True))
    digests = Digests(
        {key: entries[key] for key in sorted(carried)}, {key: entries[key] for key in sorted(set(names) - carried)}
    )
    _write(folder / DIGESTS, digests.text(), sync)
    if sync:
        for path in [*(path for path in folder.rglob("*") if path.is_dir()), folder]:
            sync_folder(path)


def check_structure(headers: Iterable[Header], sizes: dict[str, int]) -> None:
    """Check that the chunk files are those that the arrays' metadata announce, no more and no fewer.

    Raises
    ------
    StoreError
        Naming the arrays, before anything of the announced size is allocated.
    """
    owned = by_array(_chunk_keys(sizes))
    found: list[str] = []
    for header in headers:
        keys = owned.pop(header.path, set())
        if header.count != len(keys):
            missing = list(_first(key for key in header.chunk_keys() if key not in keys))
            which = f" ({', '.join(missing)}{', ...' if header.count - len(keys) > len(missing) else ''})"
            found.append(
                f"array {header.path!r} of shape {header.shape} has {header.count} chunks but {len(keys)} are there"
                + (which if missing else "")
            )
            continue
        wrong = list(_first(key for key in header.chunk_keys() if key not in keys))
        wrong += _first(key for key in keys if header.chunk_bytes not in (None, sizes[key]))
        if wrong:
            found.append(f"array {header.path!r} of shape {header.shape} does not fit its chunk {wrong[0]}")
    if any(owned.values()):
        found.append(f"{next(iter(next(iter(owned.values()))))} belongs to no array")
    if found:
        raise StoreError("; ".join(found))


def check_claims(headers: Iterable[Header], sizes: dict[str, int]) -> None:
    """Check a store without digests (first release): an array may not claim far more than its files can hold.

    Raises
    ------
    StoreError
        Naming the array, what it claims and what there is.
    """
    owned = by_array(_chunk_keys(sizes))
    for header in headers:
        claimed = header.itemsize
        for size in header.shape:
            claimed *= size
        present = sum(sizes[key] for key in owned.get(header.path, ()))
        if claimed > 2**30 + EXPANSION * present:
            raise StoreError(
                f"array {header.path!r} claims shape {header.shape} ({claimed / 2**30:.0f} GiB) but its files hold "
                f"{present} bytes: it is damaged, or made to exhaust memory"
            )


def sync_folder(path: Path) -> None:
    """Put a folder's list of names on the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _entry(path: Path, carried: bool, sync: bool) -> tuple[int, int]:
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if carried:
            file.seek(size - CHECKSUM_BYTES)
            crc = int.from_bytes(file.read(), "little")
        else:
            crc = 0
            while piece := file.read(PIECE_BYTES):
                crc = checksum(piece, crc)
        if sync:
            os.fsync(file.fileno())
    return size, crc


def _write(path: Path, data: bytes, sync: bool) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def _chunk_keys(names: Iterable[str]) -> dict[str, None]:
    return {key: None for key in names if not is_metadata(key) and key != DIGESTS}


def _listed(table: dict[str, tuple[int, int]]) -> dict[str, list[int]]:
    return {key: list(entry) for key, entry in table.items()}


def _canonical(tables: Any) -> bytes:
    return json.dumps(tables, sort_keys=True, separators=(",", ":")).encode()


def _first(keys: Iterable[str]) -> Iterable[str]:
    return (key for key, _ in zip(keys, range(SHOWN), strict=False))
