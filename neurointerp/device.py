"""Blocks of a recording on a device: copied there while others are worked on, and what is made of them copied back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.backend import placed, torch_device
from neurointerp.errors import AnalysisError

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


def in_blocks(recording: xr.DataArray, device: Any, precision: Any, analysis: str) -> xr.DataArray:
    """Give a recording in blocks for a device: as it is chunked, else cut along its first dim; itself without one.

    Raises
    ------
    AnalysisError
        When torch has no such device, the precision is not known, or dask, which reads blocks, is not installed.
    """
    require_device(device, precision, analysis)
    if device is None or recording.chunks:
        return recording
    row = max(recording.nbytes // max(len(recording), 1), 1)
    try:
        return recording.chunk({recording.dims[0]: max(BLOCK_BYTES // row, 1)})
    except ImportError as error:
        raise AnalysisError(f"{analysis}: device {device!r} needs dask: pip install 'neurointerp[dask]'") from error


def computed_on(device: str, precision: str | None, kernel: Callable[..., Any], values: np.ndarray, *args: Any) -> Any:
    """Work on numpy values on a device.

    Each thread has a stream of its own on a CUDA device, so that the copy of one thread's block and the products of
    another's overlap: with two threads of dask or more, the device waits for neither.
    """
    with _stream(device), _products(precision):
        return kernel(placed(values, device, precision), *args)


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
