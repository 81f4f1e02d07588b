"""Units of channels: what the file states, what MNE made of it, what the caller says, what is plausible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from neurointerp.errors import LoaderError, RecordingError
from neurointerp.loaders.eeg._opened import VOLTAGES, Opened
from neurointerp.units import factor, is_known

LARGEST = {"V": 1.0, "T": 1e-3, "T/m": 1e-1}
"""A median channel that swings further than this has lost the prefix of its unit."""
DOUBTFUL = {"V": (1e-8, 1e-2), "T": (1e-16, 1e-6), "T/m": (1e-15, 1e-5)}
"""Outside this a swing is reported in `history`."""


Units = str | Mapping[str, str] | None


def with_units(sources: Sequence[Opened], units: Units) -> list[Opened]:
    """Sort the channels that MNE left unscaled: a voltage to scale here, something else, or nothing known."""
    kinds = {name: kind for one in sources for name, kind in zip(one.names, one.kinds, strict=True)}
    asked = dict(units) if isinstance(units, Mapping) else {}
    for key in asked:
        named = _named(key, kinds)
        if not named or any(kinds[name] not in (*VOLTAGES, "misc") for name in named):
            raise LoaderError(
                f"{sources[0].label}: units= names {key!r}, which is no voltage channel and no type of one; "
                f"it holds the types {', '.join(sorted(set(kinds.values())))}"
            )
    for unit in {*asked.values(), *([units] if isinstance(units, str) else [])}:
        if not is_voltage(unit):
            raise LoaderError(f"{sources[0].label}: units={unit!r} is no voltage; pass units='uV', 'mV' or 'V'")
    return [_sorted(one, units) for one in sources]


def _sorted(opened: Opened, units: Units) -> Opened:
    channels = dict(zip(opened.names, opened.kinds, strict=True))
    volts = {
        name: unit
        for name, unit in opened.stated.items()
        if name not in opened.applied
        and (channels.get(name) in VOLTAGES or (channels.get(name) == "misc" and _is_like_voltage(unit)))
    }
    known = {name: unit for name, unit in volts.items() if _is_unit(unit)}
    unknown = {name: unit for name, unit in volts.items() if name not in known}
    foreign = {name: unit for name, unit in known.items() if not is_voltage(unit)}
    scale = {name: factor(unit, "V") for name, unit in known.items() if name not in foreign}
    if isinstance(units, Mapping):
        given = {name: unit for key, unit in units.items() for name in _named(key, channels)}
    else:
        given = dict.fromkeys(unknown, units) if units else {}
    for name, unit in given.items():
        scale[name] = factor(unit, "V") / opened.applied.get(name, 1.0)
        unknown.pop(name, None)
        foreign.pop(name, None)
    return replace(opened, scale=scale, unknown=unknown, foreign=foreign, given=given)


def _named(key: str, kinds: Mapping[str, str]) -> list[str]:
    """Give the channels that a name or a type stands for."""
    return [key] if key in kinds else [name for name, kind in kinds.items() if kind == key]


def _is_unit(text: str) -> bool:
    """Tell whether a unit field names a unit; pint alone would take the `.V` of a mangled header for volts."""
    return is_known(text) and (text[0].isalpha() or text == "%") and text[-1] not in "./"


def _is_like_voltage(text: str) -> bool:
    """Tell whether a unit field, known or not, is meant to be a voltage (`Volts`, `MICROVOLT`, nothing)."""
    return not text or text.casefold().rstrip("s").endswith(("v", "volt"))


def is_voltage(unit: str) -> bool:
    """Tell whether a text is a unit that volts can be made of."""
    try:
        return bool(factor(unit, "V"))
    except RecordingError:
        return False


def refuse_unknown(opened: Opened, names: list[str]) -> None:
    """Refuse channels whose unit nobody knows, naming the texts found."""
    without = [name for name in names if name in opened.unknown]
    if not without:
        return
    first = opened.unknown[without[0]]
    others = sorted({opened.unknown[name] for name in without} - {first})
    also = f"; others: {', '.join(map(repr, others))}" if others else ""
    raise LoaderError(
        f"{opened.label}: {len(without)} of {len(names)} channels state no unit that is known (channel "
        f"{without[0]!r}: {first!r}{also}); pass units=, such as units='uV'"
    )


def doubts(opened: Opened, values: np.ndarray, units: str, names: list[str]) -> list[str]:
    """Refuse a sample (..., unit) of impossible size; say what is odd about an unlikely one.

    The measure is the largest deviation of a channel from its median, and of the channels the median one: an
    offset or a few broken channels do not count. Units that the caller gave are believed.
    """
    if units not in LARGEST or not values.size or all(name in opened.given for name in names):
        return []
    flat = values.reshape(-1, values.shape[-1])
    flat = flat[:, np.isfinite(flat).any(axis=0)]
    if not flat.size:
        return []
    swing = float(np.median(np.nanmax(np.abs(flat - np.nanmedian(flat, axis=0)), axis=0)))
    if swing > LARGEST[units]:
        remedy = (
            "pass the true unit of the numbers, such as units={'eeg': 'uV'}, or units={'eeg': 'V'} if it is right"
            if units == "V"
            else "scale the data to SI units and pass the MNE object"
        )
        raise LoaderError(
            f"{opened.label}: the {len(names)} channels swing by {swing:.3g} {units}, which no brain does: the "
            f"unit has lost its prefix; {remedy}"
        )
    low, high = DOUBTFUL[units]
    return [] if swing == 0 or low <= swing <= high else [f"implausible scale: channels swing by {swing:.3g} {units}"]
