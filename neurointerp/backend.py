"""numpy or torch, by the type of the array a kernel receives (the array API, through array-api-compat)."""

from __future__ import annotations

from typing import Any

import numpy as np


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
