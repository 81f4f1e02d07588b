"""numpy or torch, by the type of the array a kernel receives (the array API, through array-api-compat)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from neurointerp.errors import AnalysisError


def namespace(*arrays: Any) -> Any:
    """Give the array-API namespace that all `arrays` belong to.

    Examples
    --------
    >>> import numpy as np
    >>> namespace(np.zeros(2)).__name__
    'array_api_compat.numpy'
    """
    for array in arrays:
        if type(array) is not np.ndarray:
            from array_api_compat import array_namespace

            return array_namespace(*arrays)
    return _of_numpy()  # what `array_namespace` finds too, but 20 times as slowly: it asks after every library


@cache
def _of_numpy() -> Any:
    """Give the namespace of numpy; the import statement alone takes longer than the small kernels that ask for it."""
    from array_api_compat import numpy

    return numpy


def to_numpy(array: Any) -> np.ndarray:
    """Give a numpy array with the values of any array, from whatever device it lies on."""
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array)
    return np.asarray(array.detach().cpu().numpy() if hasattr(array, "detach") else array)


def like(array: np.ndarray, reference: Any) -> Any:
    """Give `array` as the library, floating dtype and device of `reference` have it.

    Integer and boolean arrays keep their kind.
    """
    from array_api_compat import device

    xp = namespace(reference)
    if isinstance(reference, np.ndarray):
        return array.astype(reference.dtype) if array.dtype.kind == "f" else array
    out = xp.asarray(array, device=device(reference))
    return xp.astype(out, reference.dtype) if array.dtype.kind == "f" else out


def torch_device(device: Any, analysis: str) -> Any:
    """Give the torch device of a name, if there is one here.

    Raises
    ------
    AnalysisError
        When torch is not installed, or has no such device, or one that holds no float64 ("mps", "meta").
    """
    try:
        import torch
    except ImportError as error:
        raise AnalysisError(
            f"{analysis}: device={device!r} needs torch: pip install 'neurointerp[models]'; leave device= out for numpy"
        ) from error
    try:
        found = torch.device(device)
        torch.zeros(1, device=found, dtype=torch.float64).sum().item()  # which some do not hold, and sums are in
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise AnalysisError(
            f"{analysis}: device={device!r} is not available; there is {', '.join(there)}; leave device= out for numpy"
        ) from error
    return found


def placed(values: np.ndarray, device: Any, precision: str | None = None) -> Any:
    """Give a torch tensor of numpy values on a device; to a CUDA device through pinned memory, without waiting.

    Parameters
    ----------
    values
        numpy; float64 stays, which is slow on most graphics cards. On the processor their memory is shared where it may
        be written to (torch has no tensors that may not).
    device
        As torch names it.
    precision
        `bfloat16` rounds the values to 8 bits of mantissa before they are copied, which takes half the time of float32;
        they are worked on in float32.
    """
    import torch

    tensor = torch.from_numpy(np.require(values, requirements=("C", "W")))
    tensor = tensor.to(torch.bfloat16) if precision == "bfloat16" else tensor
    if torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()
    tensor = tensor.to(device, non_blocking=True)
    return tensor.to(torch.float32) if precision == "bfloat16" else tensor


def streamed(batches: Iterable[tuple[np.ndarray, ...]], device: str) -> Iterator[tuple[Any, ...]]:
    """Give tuples of arrays as tensors on a device; the next is read and copied while one is worked on.

    To a GPU they go on a stream of their own.
    """
    import torch

    place, source = torch.device(device), iter(batches)
    side = torch.cuda.Stream(place) if place.type == "cuda" else None  # type: ignore[no-untyped-call]

    def ahead_of_time() -> tuple[Any, ...] | None:
        arrays = next(source, None)
        if arrays is None:
            return None
        with torch.cuda.stream(side) if side is not None else contextlib.nullcontext():
            return tuple(placed(array, place) for array in arrays)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(ahead_of_time)
        while (tensors := ahead.result()) is not None:
            if side is not None:
                now = torch.cuda.current_stream(place)
                now.wait_stream(side)  # before the next copy is begun, which is not waited for
                for tensor in tensors:
                    tensor.record_stream(now)
            ahead = pool.submit(ahead_of_time)
            yield tensors
