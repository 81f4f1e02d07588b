"""Blocks of a recording on a device: copied there while others are worked on, and what is made of them copied back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.backend import placed, to_numpy, torch_device
from neurointerp.errors import AnalysisError
from neurointerp.streaming import COPIES, Rows

PRECISIONS = (None, "tf32", "bfloat16")
BLOCK_BYTES = 2**26
"""Of a recording in memory that are copied at a time."""
_streams = threading.local()
_using = threading.Lock()
_switched: dict[str, Any] = {"users": 0, "before": "none"}


def require_device(device: Any, precision: Any, analysis: str) -> None:
    """Refuse a device that torch does not have, and a precision that is not known or needs one."""
    if precision not in PRECISIONS:
        names = ", ".join(repr(one) for one in PRECISIONS)
        raise AnalysisError(f"{analysis}: precision is {precision!r}; one of {names} is needed")
    if device is None:
        if precision is not None:
            raise AnalysisError(f"{analysis}: precision {precision!r} is that of a device; pass device= too")
        return
    torch_device(device, analysis)


def require_none(device: Any, analysis: str, why: str) -> None:
    """Refuse a device where the work is not made of products of matrices."""
    if device is not None:
        raise AnalysisError(f"{analysis}: device {device!r} is not for {why}; leave device= out")


def require_room(size: int, device: Any, analysis: str, copies: float = COPIES) -> None:
    """Refuse to copy so many bytes to a CUDA device, all at once, where `copies` times that is not free for work."""
    import torch

    if torch.device(device).type != "cuda":
        return
    free = torch.cuda.mem_get_info(device)[0]
    if copies * size > free:
        raise AnalysisError(
            f"{analysis}: needs all values on device {device!r} at once: {size / 2**30:.3g} GiB, and {copies:.3g} "
            f"times that to work with, where {free / 2**30:.3g} GiB are free; take fewer samples or units, or leave "
            "device= out"
        )


def whole_on(arrays: Sequence[np.ndarray], device: str | None, analysis: str) -> list[Any]:
    """Give arrays as tensors that lie on a device, all at once; themselves without one.

    Raises
    ------
    AnalysisError
        When they do not fit there.
    """
    if device is None:
        return list(arrays)
    require_room(sum(array.nbytes for array in arrays), device, analysis)
    return [placed(array, device) for array in arrays]


def in_blocks(recording: xr.DataArray, device: Any, precision: Any, analysis: str) -> xr.DataArray:
    """Give a recording in blocks for a device: as it is chunked, else cut along its first dim; itself without one.

    Subjects, which are analysed one by one, lie in blocks of their own.

    Raises
    ------
    AnalysisError
        When torch has no such device, the precision is not known, or dask, which reads blocks, is not installed.
    """
    require_device(device, precision, analysis)
    if device is None or recording.chunks:
        return recording
    alone = {"subject": 1} if recording.dims[0] == "subject" else {}
    dim = recording.dims[len(alone)]
    count = recording.sizes[dim] * (recording.sizes["subject"] if alone else 1)
    row = max(recording.nbytes // max(count, 1), 1)
    try:
        return recording.chunk({**alone, dim: max(BLOCK_BYTES // row, 1)})
    except ImportError as error:
        raise AnalysisError(f"{analysis}: device {device!r} needs dask: pip install 'neurointerp[dask]'") from error


def on_device(rows: Iterable[Any], device: Any, precision: Any) -> list[Any]:
    """Give the rows of blocks to kernels as tensors on a device; what is in memory stays where it is."""
    return [one.on(device, precision) if isinstance(one, Rows) else one for one in rows]


def computed_on(device: str, precision: str | None, kernel: Callable[..., Any], values: np.ndarray, *args: Any) -> Any:
    """Work on numpy values on a device.

    Each thread has a stream of its own on a CUDA device, so that the copy of one thread's block and the products of
    another's overlap: with two threads of dask or more, the device waits for neither.
    """
    with working_on(device, precision):
        return kernel(placed(values, device, precision), *args)


@contextlib.contextmanager
def working_on(device: str, precision: str | None = None) -> Iterator[None]:
    """Work on the stream that this thread has on a device, with products of a precision; wait for it at the end."""
    with _products(precision), _stream(device):
        yield


def row_products(device: str | None, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give the products of all rows of two matrices, `one @ other.T`: made by torch on a device, by numpy without."""
    if device is None:
        return np.asarray(one @ other.T)
    with working_on(device):
        left = placed(one, device)
        right = left if other is one else placed(other, device)
        return to_numpy(left @ right.T)


@contextlib.contextmanager
def _stream(device: str) -> Iterator[None]:
    import torch

    if torch.device(device).type != "cuda":
        yield
        return
    known = _streams.__dict__.setdefault("of", {})
    if device not in known:
        stream: Any = torch.cuda.Stream
        known[device] = stream(device)
    with torch.cuda.stream(known[device]):
        yield
        known[device].synchronize()


@contextlib.contextmanager
def _products(precision: str | None) -> Iterator[None]:
    """Let products of float32 matrices be TF32 while any thread asks for it, and as they were before afterwards."""
    if precision != "tf32":
        yield
        return
    import torch

    with _using:
        if not _switched["users"]:
            _switched["before"] = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high")
        _switched["users"] += 1
    try:
        yield
    finally:
        with _using:
            _switched["users"] -= 1
            if not _switched["users"]:
                torch.set_float32_matmul_precision(_switched["before"])
