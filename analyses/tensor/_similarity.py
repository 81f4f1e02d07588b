"""How much the components of two fits resemble each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError


def factors_of(fit: xr.Dataset, analysis: str) -> dict[str, NDArray[np.float64]]:
    """Give the factors of a CP decomposition by dim, (size, component) each."""
    found = {str(name).removeprefix("factor_"): v for name, v in fit.data_vars.items() if str(name)[:7] == "factor_"}
    if not found or any(v.dims != (dim, "component") for dim, v in found.items()):
        raise AnalysisError(
            f"{analysis}: method gave {', '.join(map(str, fit.data_vars))}; one factor (dim, component) for each dim "
            "is needed, as tensor.cp and tensor.nonnegative_cp give"
        )
    return {dim: np.asarray(v.values, dtype=np.float64) for dim, v in found.items()}


def matched(one: dict[str, NDArray[np.float64]], other: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Give the similarity of each component of `one` with its match in `other`.

    It is the product over dims of the cosines; components are matched one to one so that the sum is largest. A change
    of sign in two dims leaves it as it is.
    """
    from scipy.optimize import linear_sum_assignment

    cosine = np.prod([one[dim].T @ other[dim] for dim in one], axis=0)
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    out = np.empty(len(cosine))
    out[rows] = cosine[rows, columns]
    return out


def described(method: Callable[..., xr.Dataset]) -> tuple[str, dict[str, Any]]:
    """Give the name of a method and the options that a `functools.partial` around it fixes."""
    inner = getattr(method, "func", method)
    return getattr(inner, "__name__", type(inner).__name__), dict(getattr(method, "keywords", {}))
