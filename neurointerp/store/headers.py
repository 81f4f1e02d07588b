"""The metadata of a store read with suspicion: what a file claims is checked before it is allocated or decoded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

from neurointerp.errors import StoreError
from neurointerp.store.layout import MAX_METADATA, METADATA, NUMBERS, plain_key

CHECKSUM_BYTES = 4
CODECS = ("bytes", "crc32c", "blosc", "zstd", "gzip", "transpose", "vlen-utf8", "sharding_indexed")
"""What may stand in a store: none of them can run code or build an object other than numbers and strings."""
EXPANSION = 100_000
"""How many times their compressed size the values of an array without a list of digests may take, beyond 1 GiB."""


@dataclass(frozen=True)
class Header:
    """What the metadata of one array says about its chunks."""

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    itemsize: int
    checksummed: bool
    raw: bool
    plain: bool
    """Chunks are the values in C order, little-endian, and their CRC-32C: what `save` writes by default."""

    @property
    def count(self) -> int:
        """Number of chunk files (shards, where the array is sharded)."""
        return math.prod(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_bytes(self) -> int | None:
        """Size of each chunk file; None where it depends on the values."""
        return math.prod(self.chunks) * self.itemsize + CHECKSUM_BYTES * self.checksummed if self.raw else None

    def chunk_keys(self) -> Iterator[str]:
        """Give the key of each chunk file."""
        counts = [-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True)]
        start = f"{self.path}/c" if self.path else "c"
        for number in range(self.count):  # itertools.product would first write out every axis, however long it claims
            index = []
            for count in reversed(counts):
                number, place = divmod(number, count)
                index.append(str(place))
            yield "/".join([start, *reversed(index)])


def checksum(data: bytes | np.ndarray, before: int = 0) -> int:
    """Give the CRC-32C of bytes, or of what has the checksum `before` followed by them."""
    return int(google_crc32c.extend(before, data))


def read_header(key: str, text: bytes) -> Header | None:
    """Read a `zarr.json`.

    Parameters
    ----------
    key
        Where in the store it lies.
    text
        Its bytes.

    Returns
    -------
    Header or None
        None for a group.

    Raises
    ------
    StoreError
        When it is not JSON, too large, not zarr 3, or names a type, a codec or sizes that a store cannot have.
    """
    if len(text) > MAX_METADATA:
        raise StoreError(
            f"{key} takes {len(text) / 2**20:.0f} MiB, more than the {MAX_METADATA // 2**20} MiB attrs may"
        )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{key} is not JSON ({error}): it was cut or damaged") from error
    if not isinstance(document, dict) or document.get("zarr_format") != 3:
        raise StoreError(f"{key} is not the metadata of a zarr group or array of format 3")
    if not isinstance(document.get("attributes", {}), dict):
        raise StoreError(f"{key} has attributes that are not a mapping")
    kind = document.get("node_type")
    if kind == "group":
        return None
    if kind != "array":
        raise StoreError(f"{key} describes a {kind!r}: a group or an array is needed")
    return _array(key, document)


def by_array(keys: Mapping[str, Any]) -> dict[str, set[str]]:
    """Sort the keys of chunk files by the path of their array."""
    out: dict[str, set[str]] = {}
    for key in keys:
        path = f"/{key}".rpartition("/c/")[0] if not f"/{key}".endswith("/c") else f"/{key}"[:-2]
        out.setdefault(path.strip("/"), set()).add(key)
    return out


def is_metadata(key: str) -> bool:
    """Tell the metadata of a group or an array from a chunk."""
    return key == METADATA or key.endswith(f"/{METADATA}")


def check_keys(keys: Any) -> None:
    """Refuse names that lead out of the store."""
    bad = [key for key in keys if not isinstance(key, str) or not plain_key(key)]
    if bad:
        raise StoreError(f"holds the name {bad[0]!r}, which leads out of the store: do not trust it")


def _array(key: str, document: dict[str, Any]) -> Header:
    path = key[: -len(METADATA)].strip("/")
    itemsize = _itemsize(key, document.get("data_type"))
    shape = _sizes(key, document, "shape")
    grid = document.get("chunk_grid")
    if not isinstance(grid, dict) or grid.get("name") != "regular":
        raise StoreError(f"{key} has the chunk grid {grid!r}: 'regular' is needed")
    chunks = _sizes(key, grid.get("configuration"), "chunk_shape", least=1)
    if len(chunks) != len(shape):
        raise StoreError(f"{key} has {len(shape)} axes but chunks of {len(chunks)}")
    names = _codecs(key, document.get("codecs"))
    dims = document.get("dimension_names")
    if shape and (not isinstance(dims, list) or len(dims) != len(shape) or not all(isinstance(d, str) for d in dims)):
        raise StoreError(f"{key} names the dims {dims!r} for {len(shape)} axes")
    plainly = names in (["bytes"], ["bytes", "crc32c"])
    endian = (document["codecs"][0].get("configuration") or {}).get("endian", "little")
    plain = names == ["bytes", "crc32c"] and endian == "little" and document.get("data_type") in NUMBERS
    return Header(path, shape, chunks, itemsize, names[-1] == "crc32c", plainly, plain)


def _itemsize(key: str, data_type: Any) -> int:
    if data_type == "string":
        return 1
    if isinstance(data_type, dict) and data_type.get("name") == "fixed_length_utf32":
        length = (data_type.get("configuration") or {}).get("length_bytes")
        if type(length) is int and 0 < length < MAX_METADATA:
            return length
    if data_type not in NUMBERS:
        raise StoreError(f"{key} has values of type {data_type!r}: numbers of at most 64 bits, booleans or strings")
    return int(np.dtype(data_type).itemsize)


def _sizes(key: str, holder: Any, name: str, least: int = 0) -> tuple[int, ...]:
    sizes = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(sizes, list) or not all(type(size) is int and least <= size < 2**63 for size in sizes):
        raise StoreError(f"{key} has {name} {sizes!r}: whole numbers of at least {least} are needed")
    return tuple(sizes)


def _codecs(key: str, codecs: Any) -> list[str]:
    if not isinstance(codecs, list) or not codecs or not all(isinstance(codec, dict) for codec in codecs):
        raise StoreError(f"{key} has codecs {codecs!r}: a list of named codecs is needed")
    names = [codec.get("name") for codec in codecs]
    unknown = [name for name in names if name not in CODECS]
    if unknown:
        raise StoreError(
            f"{key} asks for the codec {unknown[0]!r}, which stores do not use; known: {', '.join(CODECS)}"
        )
    for codec in codecs:
        if codec["name"] == "sharding_indexed":
            inner = codec.get("configuration")
            _sizes(key, inner, "chunk_shape", least=1)
            for part in ("codecs", "index_codecs"):
                _codecs(key, inner[part] if isinstance(inner, dict) and part in inner else None)
    return [str(name) for name in names]
