"""Physical units: what a recording's `units` mean, and conversion between them. Parsing is pint's."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError

if TYPE_CHECKING:
    import pint

LONGEST = 200
"""No unit is spelled with more characters than this."""
MISREAD = ("dF/F",)
"""Spellings that pint takes for something else (decifarad per farad): what is meant is `"1"`."""
_EXPONENT = r"(?: ?(?:\*\*|\^) ?(?:-?\d+(?:\.\d+)?|\(-?\d+(?:\.\d+|/\d+)?\)))"
_FACTOR = rf"\(*(?:1 ?/ ?)?\(*(?:(?:[^\W\d_]|°)[\w°]*|%)[⁻⁰-⁹]*{_EXPONENT}?(?:\){_EXPONENT}?)*"
_SPELLING = re.compile(rf"{_FACTOR}(?:(?: ?[*/·] ?| ){_FACTOR})*")


@cache
def registry() -> pint.UnitRegistry[Any]:
    """Give the one pint registry of the package (built at the first use)."""
    import pint

    return pint.UnitRegistry()


def is_known(units: object) -> bool:
    """Tell whether `units` is a unit: factors with exponents, multiplied or divided, each known to pint.

    `"1"` is dimensionless; an empty string is not a unit. pint alone is too lenient for labels that are kept:
    it skips stray signs (`"V."`, `"V;T"`, `"V#2"`), takes `"V//V"` for 1 and `"a.u."` for a year times an atomic
    mass. Those are no units here.

    Examples
    --------
    >>> [is_known(units) for units in ("uV**2/Hz", "1", "V.", "a.u.")]
    [True, True, False, False]
    """
    return isinstance(units, str) and len(units) <= LONGEST and _parses(units)


@cache
def _parses(units: str) -> bool:
    if units == "1":
        return True
    if units in MISREAD or not _SPELLING.fullmatch(units):
        return False
    try:
        # the dimensions too: pint reads "dB/Hz" as a difference of decibels, which it does not define
        registry().Unit(units).dimensionality  # noqa: B018
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
    """Give the number that values in `source` are multiplied by to be in `target`.

    Raises
    ------
    RecordingError
        As `to_units`.

    Examples
    --------
    >>> factor("s", "ms")
    1000.0
    """
    import pint

    start, stop = _unit(source), _unit(target)
    try:
        with np.errstate(all="ignore"):  # the logarithm of zero: refused below
            one, nought = (float(registry().Quantity(x, start).to(stop).magnitude) for x in (1.0, 0.0))
    except pint.DimensionalityError as error:
        if start.dimensionality != stop.dimensionality:
            raise RecordingError(
                f"cannot convert {source!r} to {target!r}: {start.dimensionality} is not {stop.dimensionality}"
            ) from error
        one = nought = math.nan  # a temperature to a difference of temperatures
    if nought != 0 or not 0 < one < math.inf:
        raise RecordingError(f"converting {source!r} to {target!r} is more than a factor; convert it by hand")
    return one


def power(units: str, exponent: int) -> str:
    """Spell the units of values in `units` that were raised to a whole power.

    Raises
    ------
    RecordingError
        When the unit is unknown, or zero is not nothing in it (degrees Celsius, decibels): a power of such
        values has no unit.

    Examples
    --------
    >>> power("uV", 2), power("m/s", 2), power("1", 2)
    ('uV**2', '(m/s)**2', '1')
    """
    with np.errstate(all="ignore"):
        nought = registry().Quantity(0.0, _unit(units)).to_base_units().magnitude
    if nought != 0:
        raise RecordingError(
            f"a power of values in {units!r} has no unit: the scale has an offset or is logarithmic; convert them "
            "to a unit that is a factor first (kelvin, a ratio)"
        )
    if units == "1":
        return units
    return f"{units}**{exponent}" if re.fullmatch(r"\w+", units) else f"({units})**{exponent}"


def _unit(units: str) -> pint.Unit:
    if not is_known(units):
        raise RecordingError(f"units {units!r} are not known to pint; dimensionless is '1'")
    unit: pint.Unit = registry().Unit("dimensionless" if units == "1" else units)
    return unit
