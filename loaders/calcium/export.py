"""A calcium recording to NWB."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.calcium._nwb import ATTRS, SEGMENT, UNIT_NAME
from neurointerp.schema import check


def to_nwb(
    rec: xr.DataArray,
    path: files.PathLike,
    *,
    session_start_time: datetime,
    identifier: str | None = None,
    description: str = "calcium imaging",
    indicator: str = "unknown",
    location: str = "unknown",
    overwrite: bool = False,
) -> Path:
    """Write a calcium recording as an NWB file.

    Parameters
    ----------
    rec
        (time, unit) calcium recording in seconds, in memory or lazy.
    path
        Where to; the file appears only when it is whole and valid.
    session_start_time
        When the clock's zero was, with its time zone: NWB wants both, and none is made up.
    identifier
        Of the file; default the recording's name.
    description, indicator, location
        What NWB asks of a session and of its imaging plane.
    overwrite
        Replace a file that is there.

    Returns
    -------
    pathlib.Path
        `path`. The values are a RoiResponseSeries in `processing/ophys`; the labels are the column `unit_name` of its
        table, coordinates along `unit` are columns too; `segment` is a TimeSeries beside it, other attrs stand in the
        series' comments. `calcium.load(path)` gives the same values, clock and coordinates.

    Raises
    ------
    LoaderError
        When the recording does not fit in NWB, a time zone is missing, the file is there, or it is not valid.

    Examples
    --------
    >>> import datetime, pathlib, tempfile, numpy as np, neurointerp as ni
    >>> from neurointerp.loaders import calcium
    >>> rec = ni.recording(np.eye(4), modality="calcium", units="1", sampling_rate=2.0, unit=list("abcd"), name="F")
    >>> start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = to_nwb(rec, pathlib.Path(folder) / "worm.nwb", session_start_time=start)
    ...     calcium.load(path).equals(rec)
    True
    """
    pynwb = files.library("pynwb", "nwb")
    target = Path(path)
    _check(rec, target, session_start_time, overwrite)
    name = str(rec.name or "calcium").replace("/", "_")
    nwbfile = pynwb.NWBFile(
        session_description=description, identifier=identifier or name, session_start_time=session_start_time
    )
    _add(nwbfile, rec, name, indicator, location)
    part = target.with_name(f".{target.name}.partial")
    try:
        with files.reading(target, "something NWB can hold"):
            with pynwb.NWBHDF5IO(str(part), mode="w") as file:
                file.write(nwbfile)
            with pynwb.NWBHDF5IO(str(part), mode="r") as file:
                problems = pynwb.validate(io=file)
        if problems:
            raise LoaderError(f"{target}: what would be written is not valid NWB: {problems[0]}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _check(rec: xr.DataArray, target: Path, start: datetime, overwrite: bool) -> None:
    check(rec)
    if rec.dims != ("time", "unit") or rec["time"].attrs.get("units") != "s":
        raise LoaderError(f"{target}: NWB takes (time, unit) on a clock in seconds, found dims {rec.dims}")
    if rec.attrs["modality"] != "calcium":
        raise LoaderError(f"{target}: the modality is {rec.attrs['modality']!r}, not calcium")
    if start.tzinfo is None:
        raise LoaderError(f"{target}: session_start_time has no time zone, which NWB needs; none is made up")
    others = [str(key) for key, coord in rec.coords.items() if "time" in coord.dims and key not in ("time", SEGMENT)]
    others += [str(key) for key, coord in rec.coords.items() if coord.ndim != 1 or key in (UNIT_NAME, "id")]
    if others:
        raise LoaderError(f"{target}: the coordinate {others[0]!r} has no place in an ROI table: drop it first")
    if target.exists() and not overwrite:
        raise LoaderError(f"{target} is there already; pass overwrite=True to replace it")


def _add(nwbfile: Any, rec: xr.DataArray, name: str, indicator: str, location: str) -> None:
    """Put plane, ROI table, series and segments into the file object."""
    ophys, base = files.library("pynwb.ophys", "nwb"), files.library("pynwb.base", "nwb")
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane", description="plane of the ROIs", location=location, indicator=indicator,
        excitation_lambda=float("nan"), device=nwbfile.create_device("microscope"),
        optical_channel=ophys.OpticalChannel(
            name="channel", description="emission", emission_lambda=float("nan")
        ),
    )  # fmt: skip
    coords = {str(key): coord for key, coord in rec.coords.items() if coord.dims == ("unit",) and key != "unit"}
    table = ophys.PlaneSegmentation(
        name="PlaneSegmentation", description="units; a mask of weight 0 where none is known", imaging_plane=plane
    )
    for pixel in _pixels(rec):
        table.add_roi(pixel_mask=[pixel])
    table.add_column(name=UNIT_NAME, description="label of the unit", data=list(rec["unit"].values))
    for key, coord in coords.items():
        table.add_column(name=key, description=f"coordinate {key} of the unit", data=_plain(coord))
    module = nwbfile.create_processing_module("ophys", "calcium recording written by neurointerp")
    module.add(ophys.ImageSegmentation(plane_segmentations=[table]))
    held = ophys.Fluorescence()
    module.add(held)
    rois = table.create_roi_table_region(region=list(range(rec.sizes["unit"])), description="all units")
    attrs = {key: value for key, value in rec.attrs.items() if key not in ("modality", "units", "sampling_rate")}
    series = ophys.RoiResponseSeries(
        name=name, data=np.asarray(rec.values), rois=rois, unit=str(rec.attrs["units"]),
        comments=ATTRS + json.dumps(attrs), **_clock(rec),
    )  # fmt: skip
    held.add_roi_response_series(series)
    if SEGMENT in rec.coords:
        module.add(
            base.TimeSeries(
                name=SEGMENT, data=rec[SEGMENT].values, unit="1", timestamps=rec["time"].values,
                description="stretches without gaps",
            )
        )  # fmt: skip


def _clock(rec: xr.DataArray) -> dict[str, Any]:
    """Give a rate where it says the stamps to the last bit, else the stamps."""
    time, rate = rec["time"].values, rec.attrs.get("sampling_rate")
    if rate is not None and time.size and np.array_equal(time[0] + np.arange(len(time)) / rate, time):
        return {"rate": float(rate), "starting_time": float(time[0])}
    return {"timestamps": time}


def _pixels(rec: xr.DataArray) -> list[tuple[int, int, float]]:
    """Give a pixel mask per unit: its centre, or one of weight 0, since NWB wants some mask."""
    if not {"pixel_x", "pixel_y"} <= set(rec.coords):
        return [(0, 0, 0.0)] * rec.sizes["unit"]
    pairs = zip(rec["pixel_x"].values, rec["pixel_y"].values, strict=True)
    return [(round(x), round(y), 1.0) if np.isfinite([x, y]).all() else (0, 0, 0.0) for x, y in pairs]


def _plain(coord: xr.DataArray) -> Any:
    return list(coord.values) if coord.dtype.kind == "O" else coord.values
