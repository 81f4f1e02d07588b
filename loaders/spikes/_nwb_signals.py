"""Time series of an NWB file, scaled to its units once: electrical, intracellular, stimuli, behaviour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording
from neurointerp.units import is_known

ELECTRODE_FRAME = "nwb (x posterior, y inferior, z right)"
GROUP_FRAME = "electrode group"
UNITS = {
    "volts": "V",
    "volt": "V",
    "amperes": "A",
    "seconds": "s",
    "meters": "m",
    "unknown": "1",
    "n/a": "1",
    "a.u.": "1",
}


def series(nwbfile: Any) -> dict[str, Any]:
    """Give name -> series for all of `acquisition`, `stimulus` and `processing` that hold plain samples."""
    groups = {"acquisition": nwbfile.acquisition, "stimulus": nwbfile.stimulus}
    groups |= {name: module.data_interfaces for name, module in nwbfile.processing.items()}
    return {name: found for group, held in groups.items() for name, found in _below(group, held)}


def read_signals(nwbfile: Any, names: tuple[str, ...], label: str) -> dict[str, xr.DataArray]:
    """Read the named series; a name may leave out its group where that is unambiguous."""
    known = series(nwbfile)
    out = {}
    for name in names:
        matches = [full for full in known if full == name or full.endswith(f"/{name}")]
        if len(matches) != 1:
            found = "several" if matches else "no"
            raise LoaderError(f"{label}: has {found} series {name!r}; it has {', '.join(matches or known) or 'none'}")
        out[matches[0].replace("/", "_")] = _recorded(matches[0], known[matches[0]])
    return out


def places(columns: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray, str]]:
    """Give (axis, positions in m, frame) of electrodes: NWB keeps micrometres, of the brain or of the probe.

    Positions that are all zero or all missing say nothing: many writers fill them in.
    """
    for prefix, frame in (("", ELECTRODE_FRAME), ("rel_", GROUP_FRAME)):
        found = [(axis, np.asarray(columns[prefix + axis])) for axis in "xyz" if prefix + axis in columns]
        found = [(axis, values.astype(np.float64)) for axis, values in found if values.dtype.kind in "if"]
        if any((np.nan_to_num(values) != 0).any() for _, values in found):
            return [(axis, values * 1e-6, frame) for axis, values in found]
    return []


def _below(path: str, held: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, item in held.items():
        inner = getattr(item, "electrical_series", None) or getattr(item, "time_series", None)
        if inner is not None and hasattr(inner, "items"):
            yield from _below(f"{path}/{name}", inner)
        elif getattr(getattr(item, "data", None), "shape", None) and hasattr(item, "conversion"):
            dtype = getattr(item.data, "dtype", None)
            if len(item.data.shape) in (1, 2) and dtype is not None and dtype.kind in "biuf":
                yield f"{path}/{name}", item


def _recorded(name: str, found: Any) -> xr.DataArray:
    values = np.asarray(found.data[:], dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    scale = np.float64(found.conversion) * np.asarray(getattr(found, "channel_conversion", None) or 1.0)
    values = values * scale + np.float64(found.offset or 0.0)
    given = str(found.unit)
    units = UNITS.get(given, given if is_known(given) else "1")
    clock: dict[str, Any] = (
        {"time": np.asarray(found.timestamps[:])} if found.timestamps is not None else _regular(found)
    )
    labels, coords = _channels(found, values.shape[1], name.rpartition("/")[2])
    rec = recording(values, modality=_modality(name, units, found), units=units, unit=labels, coords=coords, **clock)
    steps = {
        "conversion": float(found.conversion),
        "offset": float(found.offset or 0.0),
        "channel_conversion": scale.ndim > 0,
    }
    return add_history(rec, "loaders.spikes.load_session", series=name, unit=given, **steps)


def _regular(found: Any) -> dict[str, Any]:
    rate = float(found.rate)
    start = float(found.starting_time or 0.0)
    return {"sampling_rate": rate, "time": start + np.arange(found.data.shape[0]) / rate}


def _channels(found: Any, size: int, name: str) -> tuple[list[str] | None, dict[str, Any]]:
    region = getattr(found, "electrodes", None)
    if region is None or len(region.data) != size:
        return ([name], {}) if size == 1 else (None, {})
    rows = np.asarray(region.data[:], dtype=np.int64)
    table = region.table
    columns = {column: value[rows] for column, (_, value) in files.nwb_columns(table).items()}
    coords: dict[str, Any] = {axis: ("unit", v, {"units": "m", "frame": f}) for axis, v, f in places(columns)}
    if "location" in columns:
        coords["region"] = ("unit", columns["location"])
    return [f"ch{number}" for number in np.asarray(table.id[:])[rows].tolist()], coords


def _modality(name: str, units: str, found: Any) -> str:
    if name.startswith("stimulus/"):
        return "stimulus"
    electrical = hasattr(found, "electrodes") or hasattr(found, "electrode")
    return "ieeg" if electrical and units in ("V", "A") else "behavior"
