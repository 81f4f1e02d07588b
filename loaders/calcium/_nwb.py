"""Calcium imaging as recordings: suite2p folders and NWB files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session
from neurointerp.units import is_known

SUITE2P = ("F", "Fneu", "spks")


def load(
    source: Any, *, sampling_rate: float | None = None, signal: str | None = None, cells_only: bool = True
) -> xr.DataArray:
    """Read a calcium imaging recording.

    Parameters
    ----------
    source
        A suite2p folder (`plane0`, or a folder above it that holds one plane); an NWB file or `pynwb.NWBFile`
        with a RoiResponseSeries.
    sampling_rate
        Frames per second (Hz) of a suite2p folder, which must be given: suite2p keeps it in `ops.npy`, a
        pickle, and nothing is ever unpickled here. NWB files state theirs.
    signal
        suite2p: `"F"` (default), `"Fneu"` or `"spks"`. NWB: the RoiResponseSeries, where there are several.
    cells_only
        Keep the ROIs that suite2p's `iscell.npy` calls cells.

    Returns
    -------
    xarray.DataArray
        (time, unit) as stored: no neuropil is subtracted and no dF/F is computed. Units are `"1"` (arbitrary
        fluorescence) unless an NWB file states others. suite2p units are `roi{number}` with `index` and
        `cell_probability`; NWB units carry the plain columns of their ROI table. ROIs that are zero throughout
        are kept and named in `history`.

    Raises
    ------
    LoaderError
        When files are missing or do not fit together, the rate is unknown, or several series could be meant.

    Notes
    -----
    suite2p: Pachitariu M, et al. (2017) bioRxiv 061507. NWB: Ruebel O, et al. (2022) eLife 11:e78362.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(pathlib.Path(folder) / "F.npy", np.ones((2, 6), dtype=np.float32))
    ...     np.save(pathlib.Path(folder) / "iscell.npy", np.array([[1, 0.9], [0, 0.1]]))
    ...     rec = load(folder, sampling_rate=30.0)
    >>> rec.dims, rec.sizes["time"], list(rec.unit.values)
    (('time', 'unit'), 6, ['roi0'])
    """
    if _is_folder(source):
        return _suite2p(_plane(Path(source)), signal or "F", sampling_rate, cells_only)
    with files.nwb(source) as nwbfile:
        label = _label(source)
        found = _series(nwbfile)
        return _nwb(found, _chosen(label, found, signal), label, sampling_rate)


def load_session(
    source: Any, *, sampling_rate: float | None = None, signal: str | None = None, cells_only: bool = True
) -> xr.DataTree:
    """Read everything a calcium imaging source holds.

    Parameters
    ----------
    source, sampling_rate, cells_only
        As for `load`.
    signal
        The recording to put first; default as for `load`, or the first series of an NWB file.

    Returns
    -------
    xarray.DataTree
        suite2p: recordings `F`, `Fneu`, `spks` as present. NWB: every RoiResponseSeries, the behavioural time
        series, and trials as events; clocks are the file's own, seconds from the session's start.

    Raises
    ------
    LoaderError
        As for `load`.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("F", "Fneu"):
    ...         np.save(pathlib.Path(folder) / f"{name}.npy", np.ones((2, 6)))
    ...     tree = load_session(folder, sampling_rate=30.0, cells_only=False)
    >>> list(tree["recordings"])
    ['F', 'Fneu']
    """
    if _is_folder(source):
        plane = _plane(Path(source))
        first = signal or "F"
        names = [first, *(name for name in SUITE2P if name != first and (plane / f"{name}.npy").is_file())]
        recordings = {name: _suite2p(plane, name, sampling_rate, cells_only) for name in names}
        return session(recordings, attrs={"source": plane.name})
    with files.nwb(source) as nwbfile:
        label = _label(source)
        found = _series(nwbfile)
        first = _chosen(label, found, signal or next(iter(found), None))
        names = [first, *(name for name in found if name != first)]
        recordings = {name.replace("/", "_"): _nwb(found, name, label, sampling_rate) for name in names}
        recordings |= _behaviour(nwbfile, label)
        return session(recordings, events=files.nwb_events(nwbfile), attrs={"source": Path(label).name})


def _is_folder(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) and files.existing(source).is_dir()


def _plane(folder: Path) -> Path:
    """Find the one suite2p plane in or below a folder."""
    if (folder / "F.npy").is_file():
        return folder
    planes = sorted(path.parent for path in folder.rglob("F.npy"))
    if len(planes) == 1:
        return planes[0]
    listed = ", ".join(str(plane.relative_to(folder)) for plane in planes)
    found = f"it holds {len(planes)} planes ({listed}); name one" if planes else "it holds no F.npy"
    raise LoaderError(f"{folder}: a suite2p plane folder is needed; {found}")


def _suite2p(plane: Path, signal: str, sampling_rate: float | None, cells_only: bool) -> xr.DataArray:
    if sampling_rate is None:
        raise LoaderError(
            f"{plane}: the frame rate stands in ops.npy, a pickle that is not read; pass sampling_rate= in Hz"
        )
    values = files.array(files.existing(plane / f"{signal}.npy", remedy=f"signals are {', '.join(SUITE2P)}"))
    if values.ndim != 2:
        raise LoaderError(f"{plane / signal}.npy: (ROI, frame) is needed, found shape {values.shape}")
    rois = np.arange(len(values))
    coords: dict[str, Any] = {}
    if (plane / "iscell.npy").is_file():
        verdict = files.array(plane / "iscell.npy")
        if verdict.shape != (len(values), 2):
            raise LoaderError(f"{plane}: iscell.npy has shape {verdict.shape} for {len(values)} ROIs of {signal}.npy")
        rois = np.flatnonzero(verdict[:, 0] > 0) if cells_only else rois
        coords["cell_probability"] = ("unit", verdict[rois, 1])
    elif cells_only:
        raise LoaderError(f"{plane}: no iscell.npy to tell cells from other ROIs; pass cells_only=False for all")
    if not rois.size:
        raise LoaderError(f"{plane}: iscell.npy calls none of {len(values)} ROIs a cell; pass cells_only=False for all")
    coords["index"] = ("unit", rois)
    with files.reading(plane, "suite2p output"):
        rec = recording(
            values[rois].T, modality="calcium", units="1", sampling_rate=sampling_rate, name=signal,
            unit=[f"roi{roi}" for roi in rois], coords=coords, attrs={"source": plane.name},
        )  # fmt: skip
    return add_history(
        rec, "loaders.calcium.load", signal=signal, cells_only=cells_only, rois_left_out=len(values) - rois.size,
        all_zero=_all_zero(rec),
    )  # fmt: skip


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


def _chosen(label: str, found: Mapping[str, Any], signal: str | None) -> str:
    if signal in found:
        return str(signal)
    if signal is None and len(found) == 1:
        return next(iter(found))
    if not found:
        raise LoaderError(f"{label}: holds no RoiResponseSeries; for spike times use loaders.spikes")
    asked = "several series could be meant" if signal is None else f"no series {signal!r}"
    raise LoaderError(f"{label}: {asked}; pass signal= one of {', '.join(found)}")


def _nwb(found: Mapping[str, Any], name: str, label: str, sampling_rate: float | None) -> xr.DataArray:
    series = found[name]
    if sampling_rate is not None:
        raise LoaderError(f"{label}: sampling_rate= is for suite2p folders; an NWB file states its own clock")
    rows = np.asarray(series.rois.data[:])
    coords = files.nwb_columns(series.rois.table, rows)
    rec = _time_series(
        series, label, "calcium", unit=[f"roi{roi}" for roi in np.asarray(series.rois.table.id[:])[rows]], coords=coords
    )
    return add_history(
        rec, "loaders.calcium.load", signal=name, stated_units=str(series.unit), all_zero=_all_zero(rec),
        left_out=[other for other in found if other != name],
    )  # fmt: skip


def _behaviour(nwbfile: Any, label: str) -> dict[str, xr.DataArray]:
    held = [
        series
        for container in _containers(nwbfile)
        if type(container).__name__ == "BehavioralTimeSeries"
        for series in container.time_series.values()
    ]
    return {
        series.name.replace("/", "_"): add_history(
            _time_series(series, label, "behavior"), "loaders.calcium.load_session", stated_units=str(series.unit)
        )
        for series in held
    }


def _time_series(
    series: Any, label: str, modality: str, unit: list[str] | None = None, coords: Mapping[str, Any] | None = None
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
    with files.reading(label, "NWB"):
        return recording(
            values, modality=modality, units=units, time=time, unit=unit, coords=coords,
            sampling_rate=series.rate and float(series.rate), name=series.name, attrs={"source": Path(label).name},
        )  # fmt: skip


def _all_zero(rec: xr.DataArray) -> list[str]:
    return [str(unit) for unit in rec["unit"].values[(rec.values == 0).all(axis=0)]]


def _label(source: Any) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else "NWBFile"
