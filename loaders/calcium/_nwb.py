"""RoiResponseSeries and behaviour of NWB files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.calcium._suite2p import all_zero
from neurointerp.recordings import add_history, recording, session
from neurointerp.units import is_known

UNIT_NAME, SEGMENT, ATTRS = "unit_name", "segment", "neurointerp attrs: "
"""What `to_nwb` writes beside the values: a column of labels, a series of segments, attrs in the comments."""


def load(nwbfile: Any, where: str, signal: str | None, sampling_rate: float | None) -> xr.DataArray:
    """Read one RoiResponseSeries."""
    if sampling_rate is not None:
        raise LoaderError(f"{where}: sampling_rate= is for suite2p folders; an NWB file states its own clock")
    found = _series(nwbfile)
    return _roi_series(found, _chosen(where, found, signal), where)


def load_session(nwbfile: Any, where: str, signal: str | None) -> xr.DataTree:
    """Read every RoiResponseSeries, the behaviour, and the trials."""
    found = _series(nwbfile)
    first = _chosen(where, found, signal or next(iter(found), None))
    names = [first, *(name for name in found if name != first)]
    recordings = {name.replace("/", "_"): _roi_series(found, name, where) for name in names}
    recordings |= _behaviour(nwbfile, where)
    return session(recordings, events=files.nwb_events(nwbfile), attrs={"source": Path(where).name})


def _series(nwbfile: Any) -> dict[str, Any]:
    """Give every RoiResponseSeries, named `container/series` where two share a name."""
    held = [
        (container.name, series)
        for container in _containers(nwbfile)
        for series in getattr(container, "roi_response_series", {}).values()
    ]
    held += [("", item) for item in _containers(nwbfile) if type(item).__name__ == "RoiResponseSeries"]
    names = [series.name for _, series in held]
    return {
        series.name if names.count(series.name) == 1 else f"{container}/{series.name}": series
        for container, series in held
    }


def _containers(nwbfile: Any) -> list[Any]:
    processed = [item for module in nwbfile.processing.values() for item in module.data_interfaces.values()]
    return processed + list(nwbfile.acquisition.values())


def _chosen(where: str, found: Mapping[str, Any], signal: str | None) -> str:
    if signal in found:
        return str(signal)
    if signal is None and len(found) == 1:
        return next(iter(found))
    if not found:
        raise LoaderError(f"{where}: holds no RoiResponseSeries; for spike times use loaders.spikes")
    asked = "several series could be meant" if signal is None else f"no series {signal!r}"
    raise LoaderError(f"{where}: {asked}; pass signal= one of {', '.join(found)}")


def _roi_series(found: Mapping[str, Any], name: str, where: str) -> xr.DataArray:
    series = found[name]
    rows = np.asarray(series.rois.data[:])
    coords = files.nwb_columns(series.rois.table, rows)
    named = coords.pop(UNIT_NAME, None)
    labels = [f"roi{roi}" for roi in np.asarray(series.rois.table.id[:])[rows]] if named is None else list(named[1])
    coords = _centres(series.rois.table, rows) | coords
    rec = _time_series(series, where, "calcium", unit=labels, coords=coords | _segments(series))
    rec.attrs |= _kept_attrs(series)
    return add_history(
        rec, "loaders.calcium.load", signal=name, stated_units=str(series.unit), all_zero=all_zero(rec),
        left_out=[other for other in found if other != name],
    )  # fmt: skip


def _centres(table: Any, rows: np.ndarray) -> dict[str, Any]:
    """Give the centres of mass of pixel or voxel masks (pixels); those without weight have none."""
    mask = next((name for name in ("pixel_mask", "voxel_mask") if name in table.colnames), None)
    if mask is None:
        return {}
    axes = ("x", "y") if mask == "pixel_mask" else ("x", "y", "z")
    centres = np.full((len(rows), len(axes)), np.nan)
    for place, row in enumerate(rows):
        pixels = np.array([tuple(pixel) for pixel in table[mask][int(row)]], dtype=np.float64)
        if pixels.size and pixels[:, -1].sum() > 0:
            centres[place] = np.average(pixels[:, :-1], axis=0, weights=pixels[:, -1])
    if not np.isfinite(centres).any():
        return {}
    return {f"pixel_{axis}": ("unit", centres[:, i]) for i, axis in enumerate(axes)}


def _segments(series: Any) -> dict[str, Any]:
    """Give the `segment` that `to_nwb` wrote beside a series."""
    module = series.get_ancestor("ProcessingModule")
    held = None if module is None else module.data_interfaces.get(SEGMENT)
    return {} if held is None else {"segment": ("time", np.asarray(held.data[:]).astype(np.int64))}


def _kept_attrs(series: Any) -> dict[str, Any]:
    """Give the attrs that `to_nwb` wrote into the comments of a series."""
    comments = str(series.comments or "")
    if not comments.startswith(ATTRS):
        return {}
    try:
        held = json.loads(comments.removeprefix(ATTRS))
    except ValueError:
        return {}
    return {name: value for name, value in held.items() if name not in ("modality", "units", "sampling_rate")}


def _behaviour(nwbfile: Any, where: str) -> dict[str, xr.DataArray]:
    held = [
        series
        for container in _containers(nwbfile)
        if type(container).__name__ == "BehavioralTimeSeries"
        for series in container.time_series.values()
    ]
    return {
        series.name.replace("/", "_"): add_history(
            _time_series(series, where, "behavior"), "loaders.calcium.load_session", stated_units=str(series.unit)
        )
        for series in held
    }


def _time_series(
    series: Any, where: str, modality: str, unit: list[str] | None = None, coords: Mapping[str, Any] | None = None
) -> xr.DataArray:
    """Turn an NWB time series into a recording on the file's clock, in the units it states if pint knows them."""
    values = np.asarray(series.data[:])
    values = values[:, None] if values.ndim == 1 else values
    if (series.conversion, series.offset) != (1.0, 0.0):
        values = values * series.conversion + series.offset
    if series.rate is not None:
        time = float(series.starting_time or 0.0) + np.arange(len(values)) / float(series.rate)
    else:
        time = np.asarray(series.timestamps[:], dtype=np.float64)
    units = str(series.unit) if is_known(str(series.unit)) else "1"
    with files.reading(where, "NWB"):
        return recording(
            values, modality=modality, units=units, time=time, unit=unit, coords=coords,
            sampling_rate=series.rate and float(series.rate), name=series.name, attrs={"source": Path(where).name},
        )  # fmt: skip


def label(source: Any) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else "NWBFile"
