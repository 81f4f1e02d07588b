"""Physical units: what a recording's `units` mean, and conversion between them. Parsing is pint's."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurointerp.errors import RecordingError

if TYPE_CHECKING:
    import pint


@cache
def registry() -> pint.UnitRegistry[Any]:
    """Give the one pint registry of the package (built at the first use)."""
    import pint

    return pint.UnitRegistry()


@cache
def is_known(units: object) -> bool:
    """Tell whether pint can parse `units` (`"1"` is dimensionless; an empty string is not a unit)."""
    if not isinstance(units, str) or not units.strip():
        return False
    try:
        registry().Unit(_spelled(units))
    except Exception:  # pint raises its own errors, tokenizer errors and TypeErrors on odd strings
        return False
    return True


def to_units(recording: xr.DataArray, units: str) -> xr.DataArray:
    """Convert a recording to other units of the same dimension.

    Parameters
    ----------
    recording
        Recording in `recording.attrs["units"]`.
    units
        Anything pint parses, such as `"uV"`; `"1"` is dimensionless.

    Returns
    -------
    xarray.DataArray
        A copy with scaled values (float64 for integer input), the new `units` and a step in `history`.

    Raises
    ------
    RecordingError
        When either unit is unknown, the dimensions differ, or the conversion is more than a factor
        (temperatures with an offset, decibels).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.full((2, 1), 3e-6), modality="eeg", units="V", sampling_rate=100.0)
    >>> float(ni.to_units(rec, "uV")[0, 0].round(6))
    3.0
    """
    from neurointerp.recordings import add_history

    scale = factor(recording.attrs.get("units", ""), units)
    out = recording * scale
    out.attrs = {**recording.attrs, "units": units}
    return add_history(out, "to_units", units=units)


def factor(source: str, target: str) -> float:
    """Give the number that values in `source` are multiplied by to be in `target`."""
    import pint

    for units in (source, target):
        if not is_known(units):
            raise RecordingError(f"units {units!r} are not known to pint; dimensionless is '1'")
    start, stop = registry().Unit(_spelled(source)), registry().Unit(_spelled(target))
    try:
        one, nought = registry().Quantity(1.0, start).to(stop), registry().Quantity(0.0, start).to(stop)
    except pint.DimensionalityError as error:
        raise RecordingError(
            f"cannot convert {source!r} to {target!r}: {start.dimensionality} is not {stop.dimensionality}"
        ) from error
    if nought.magnitude != 0:
        raise RecordingError(f"converting {source!r} to {target!r} is more than a factor; convert it by hand")
    return float(one.magnitude)


def _spelled(units: str) -> str:
    return "dimensionless" if units.strip() == "1" else units
