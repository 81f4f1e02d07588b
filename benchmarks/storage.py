"""Write and sync, and cold read, of a large recording: neurointerp's store against numpy's and xarray's defaults.

Ratios are of medians over interleaved rounds, so that a busy machine slows all alike. Reads are cold: every file is
put on the disk and out of the page cache first, and all values are touched. The limit of a read is that of the same
files by as many threads into one new array, nothing checked or put in place: the disk, and the system's new memory.

    python benchmarks/storage.py --gb 2
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr
from _measure import Row, keep, options, seconds

import neurointerp as ni

UNITS = 3072
TARGETS = {"write": 2.0, "read": 2.5}
"""How many times faster than xarray's defaults the store must be."""


def activations(gigabytes: float) -> np.ndarray:
    """Give float32 values like those of an MLP after its nonlinearity: half of them small and negative."""
    samples = max(int(gigabytes * 1e9 / (4 * UNITS)), 1)
    block = np.random.default_rng(0).standard_normal((min(samples, 8192), UNITS), dtype=np.float32)
    block *= np.where(block > 0, np.float32(1), np.float32(0.05))
    out = np.empty((samples, UNITS), np.float32)
    for i, start in enumerate(range(0, samples, len(block))):
        part = out[start : start + len(block)]
        part[:] = np.roll(block, 37 * i, axis=1)[: len(part)]
    return out


def cold(path: Path) -> None:
    """Put the files of a path on the disk and out of the page cache."""
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def raw_read(store: Path) -> np.ndarray:
    """Read the chunk files of a store one after the other into a new array."""
    files = [file for file in store.rglob("*") if "c" in file.relative_to(store).parts and file.is_file()]
    ends = np.cumsum([0, *(file.stat().st_size for file in files)])
    out = np.empty(ends[-1], np.uint8)

    def read(i: int) -> None:
        with open(files[i], "rb", buffering=0) as file:
            file.readinto(memoryview(out[ends[i] : ends[i + 1]]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(len(files))))
    return out


def contestants(
    rec: xr.DataArray, folder: Path
) -> dict[str, tuple[Path, Callable[[], object], Callable[[], np.ndarray]]]:
    """Give, by name, the path, the call that writes it and the call that reads it."""
    values, ds = rec.values, rec.to_dataset(name="recording")
    npy, plain, store, packed = (folder / name for name in ("a.npy", "plain.zarr", "store.zarr", "lz4.zarr"))

    def read_plain() -> np.ndarray:
        return np.asarray(xr.open_zarr(plain, chunks=None, consolidated=False)["recording"].values)

    return {
        "numpy.save": (npy, lambda: np.save(npy, values), lambda: np.load(npy)),
        "xarray to_zarr": (plain, lambda: ds.to_zarr(plain, zarr_format=3, consolidated=False), read_plain),
        "neurointerp": (store, lambda: ni.save(rec, store), lambda: ni.open(store).values),
        "neurointerp lz4": (packed, lambda: ni.save(rec, packed, compression="lz4"), lambda: ni.open(packed).values),
    }


def main() -> None:
    """Measure and print."""
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--gb", type=float, default=2.0, help="size of the recording (default 2)")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    chosen = parser.parse_args()
    values = activations(chosen.gb)
    rec = ni.recording(values, modality="activations", units="1", time=np.arange(len(values)))
    folder = Path(tempfile.mkdtemp(prefix="neurointerp-storage-", dir=chosen.folder))
    times: dict[str, dict[str, list[float]]] = {}
    limit: list[float] = []
    try:
        for _ in range(chosen.rounds):
            for name, (path, write, read) in contestants(rec, folder).items():
                took = times.setdefault(name, {"write": [], "read": []})
                os.sync()
                took["write"].append(elapsed(lambda write=write: (write(), os.sync())))
                cold(path)
                took["read"].append(elapsed(lambda read=read: read().reshape(-1)[::1024].sum()))
                if name == "neurointerp":
                    cold(path)
                    limit.append(elapsed(lambda path=path: raw_read(path)[::4096].sum()))
                path.unlink() if path.is_file() else shutil.rmtree(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for row in rows(times, limit, values.nbytes / 1e9):
        keep(row, chosen.rows)


def elapsed(call: Callable[[], object]) -> float:
    """Give how long a call takes: disks are not processors."""
    return seconds(call, time.perf_counter)[0]


def rows(times: dict[str, dict[str, list[float]]], limit: list[float], gigabytes: float) -> Iterator[Row]:
    """Put ours, plain and packed, beside numpy and xarray."""
    for packed in ("neurointerp", "neurointerp lz4"):
        for peer in ("xarray to_zarr", "numpy.save"):
            for what, target in TARGETS.items():
                mine = times[packed][what]
                bounded = packed == "neurointerp" and what == "read"
                name = {"write": "write and sync", "read": "cold read"}[what]
                yield Row(
                    "storage", f"{name}, {gigabytes:.1f} GB float32{packed[11:]}", peer, mine, times[peer][what],
                    target if (packed, peer) == ("neurointerp", "xarray to_zarr") else None,
                    "elapsed time; every value comes back", "raw read of the same files" if bounded else "",
                    statistics.median(limit) / statistics.median(mine) if bounded else None,
                )  # fmt: skip


if __name__ == "__main__":
    main()
