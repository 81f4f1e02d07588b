"""What every simulated recording shares: labels, provenance and the session around it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.recordings import add_history, recording


def names(prefix: str, count: int) -> list[str]:
    """Return ``count`` labels of equal width, so that their sorted order is their order.

    >>> names("n", 3)
    ['n0', 'n1', 'n2']
    """
    width = len(str(count - 1))
    return [f"{prefix}{index:0{width}d}" for index in range(count)]


def simulated(
    values: NDArray[Any], *, function: str, parameters: Mapping[str, Any], citation: str, **labels: Any
) -> xr.DataArray:
    """Return a recording marked as simulated by ``neurointerp.synthetic.<function>``."""
    attrs = {"system": "simulated", "source": f"neurointerp.synthetic.{function}", "citation": citation}
    made = recording(values, attrs=attrs, **labels)
    return add_history(made, f"synthetic.{function}", **parameters)


def on_clock(values: NDArray[Any], rec: xr.DataArray, dim: str, labels: Any = None) -> xr.DataArray:
    """Return ``values`` (time, ``dim``) on the clock of ``rec``."""
    coords: dict[str, Any] = {"time": rec["time"].variable}
    coords[dim] = np.arange(values.shape[1]) if labels is None else labels
    return xr.DataArray(values, dims=("time", dim), coords=coords)


def on_units(values: NDArray[Any], rec: xr.DataArray, dim: str | None = None) -> xr.DataArray:
    """Return ``values`` (unit) or (``dim``, unit) on the units of ``rec``."""
    coords: dict[str, Any] = {"unit": rec["unit"].variable}
    if dim is None:
        return xr.DataArray(values, dims=("unit",), coords=coords)
    coords[dim] = np.arange(values.shape[0])
    return xr.DataArray(values, dims=(dim, "unit"), coords=coords)
