"""numpy or torch, by the type of the array a kernel receives (the array API, through array-api-compat)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
    from array_api_compat import array_namespace, numpy

    if all(type(array) is np.ndarray for array in arrays):
        return numpy  # what `array_namespace` finds too, but 20 times as slowly: it asks after every library
    return array_namespace(*arrays)


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


def torch_device(device: str, analysis: str) -> Any:
    """Give the torch device of a name, if there is one here.

    Raises
    ------
    AnalysisError
        When torch is not installed, or has no such device.
    """
    try:
        import torch
    except ImportError as error:
        raise AnalysisError(
            f"{analysis}: device={device!r} needs torch: pip install 'neurointerp[models]'; leave device= out for numpy"
        ) from error
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise AnalysisError(
            f"{analysis}: device={device!r} is not available; there is {', '.join(there)}; leave device= out for numpy"
        ) from error
    return found


def streamed(batches: Iterable[tuple[np.ndarray, ...]], device: str) -> Iterator[tuple[Any, ...]]:
    """Give tuples of arrays as tensors on a device; the next is read and copied while one is worked on.

    To a GPU they go through pinned memory, on a stream of their own.
    """
    import torch

    place, source = torch.device(device), iter(batches)
    side = torch.cuda.Stream(place) if place.type == "cuda" else None  # type: ignore[no-untyped-call]

    def placed() -> tuple[Any, ...] | None:
        arrays = next(source, None)
        if arrays is None or side is None:
            return None if arrays is None else tuple(torch.as_tensor(array, device=place) for array in arrays)
        with torch.cuda.stream(side):
            pinned = [torch.as_tensor(np.ascontiguousarray(array)).pin_memory() for array in arrays]
            return tuple(array.to(place, non_blocking=True) for array in pinned)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(placed)
        while (tensors := ahead.result()) is not None:
            if side is not None:
                now = torch.cuda.current_stream(place)
                now.wait_stream(side)  # before the next copy is begun, which is not waited for
                for tensor in tensors:
                    tensor.record_stream(now)
            ahead = pool.submit(placed)
            yield tensors
