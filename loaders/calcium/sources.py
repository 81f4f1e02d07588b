"""One source of calcium imaging to a recording or a session, whichever format it has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.calcium import _caiman, _matrix, _nwb, _suite2p
from neurointerp.recordings import session


def load(
    source: Any,
    *,
    sampling_rate: float | None = None,
    signal: str | None = None,
    cells_only: bool = True,
    rate: float | None = None,
    time: Any = None,
    unit: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    transpose: bool = False,
    units: str = "1",
    neuropil: float = 0.0,
) -> xr.DataArray:
    """Read a calcium imaging recording.

    Parameters
    ----------
    source
        A suite2p folder (`plane0`, or a folder above it that holds one plane); an NWB file or `pynwb.NWBFile`
        with a RoiResponseSeries (Fluorescence, DfOverF); a CaImAn `.hdf5`; or a plain matrix: `.mat` (v5 to v7.3),
        `.h5`, `.npz`, `.npy`, `.csv`, `.tsv`.
    sampling_rate, rate
        Frames per second (Hz), two names of one thing. Needed for a suite2p folder without `ops.npy` and for a
        matrix without `time`; CaImAn and NWB files state theirs.
    signal
        suite2p: `"F"` (default), `"Fneu"` or `"spks"`. CaImAn: `"C"` (default), `"F_dff"`, `"S"`, ... NWB: the
        RoiResponseSeries, where there are several. Matrix: where it is in the file, `"group/array"`; may be left
        out where the file holds one array.
    cells_only
        Keep the ROIs that suite2p's `iscell.npy` calls cells, or CaImAn's accepted components.
    time, unit
        Of a matrix: where its time stamps (s) and its labels are in the file, or they themselves.
    columns
        Of a table: the columns that are units; default all but `time`.
    transpose
        The matrix is (unit, time).
    units
        Of a matrix: units of its values.
    neuropil
        suite2p: `F - neuropil * Fneu` (0.7 is usual). Nothing is subtracted by default.

    Returns
    -------
    xarray.DataArray
        (time, unit) as stored: no dF/F is computed, and no neuropil subtracted unless asked. Units are `"1"`
        (arbitrary fluorescence) unless stated. ROIs that are zero throughout are kept and named in `history`.
        suite2p units are `roi{number}` with `index` and `cell_probability`. Centres of mass of the ROIs are
        `pixel_x`, `pixel_y` where the source has their pixels: suite2p's `stat.npy` (a pickle, whose stream is read
        as data: nothing in it is run), CaImAn's `A`, masks of NWB. NWB units carry the plain columns of their table.

    Raises
    ------
    LoaderError
        When files are missing or do not fit together, the rate is unknown, or several arrays could be meant: the
        message lists what the file holds.

    Notes
    -----
    suite2p: Pachitariu M, et al. (2017) bioRxiv 061507. CaImAn: Giovannucci A, et al. (2019) eLife 8:e38173.
    NWB: Ruebel O, et al. (2022) eLife 11:e78362. A MATLAB v7.3 matrix has the axes it has in MATLAB.

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
    hertz = _one_rate(sampling_rate, rate)
    path = _path(source)
    is_matrix = path is not None and path.suffix.lower() in _matrix.SUFFIXES and not _caiman.is_caiman(path)
    mapping = {"time": time, "unit": unit, "columns": columns, "transpose": transpose or None}
    mapping["units"] = None if units == "1" else units
    if not is_matrix and (given := [name for name, value in mapping.items() if value is not None]):
        raise LoaderError(f"{path or 'NWBFile'}: {given[0]}= is for plain matrices; this format states its own")
    if path is not None and path.is_dir():
        plane = _suite2p.plane(path)
        return _suite2p.load(plane, signal or "F", hertz, cells_only, neuropil=neuropil)
    if neuropil:
        raise LoaderError(f"{path or source}: neuropil= is for suite2p folders")
    if path is not None and is_matrix:
        return _matrix.load(
            path, signal, rate=hertz, time=time, unit=unit, columns=columns, transpose=transpose, units=units
        )
    if path is not None and _caiman.is_caiman(path):
        return _caiman.load(path, signal or "C", hertz, cells_only)
    with files.nwb(source) as nwbfile:
        return _nwb.load(nwbfile, _nwb.label(source), signal, hertz)


def load_session(
    source: Any,
    *,
    sampling_rate: float | None = None,
    signal: str | None = None,
    cells_only: bool = True,
    rate: float | None = None,
    **mapping: Any,
) -> xr.DataTree:
    """Read everything a calcium imaging source holds.

    Parameters
    ----------
    source, sampling_rate, rate, cells_only
        As for `load`.
    signal
        The recording to put first; default as for `load`, or the first series of an NWB file.
    **mapping
        `time`, `unit`, `columns`, `transpose`, `units` of a plain matrix, as for `load`.

    Returns
    -------
    xarray.DataTree
        suite2p: recordings `F`, `Fneu`, `spks` as present; CaImAn: the arrays of `estimates` that have a row per
        component. NWB: every RoiResponseSeries, the behavioural time series, and trials as events; clocks are the
        file's own, seconds from the session's start. A matrix: the recording `calcium`.

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
    hertz = _one_rate(sampling_rate, rate)
    path = _path(source)
    if path is not None and path.is_dir():
        plane = _suite2p.plane(path)
        names = _suite2p.signals(plane, signal or "F")
        recordings = {name: _suite2p.load(plane, name, hertz, cells_only) for name in names}
        return session(recordings, attrs={"source": plane.name})
    if path is not None and _caiman.is_caiman(path):
        names = _caiman.signals(path, signal or "C")
        recordings = {name: _caiman.load(path, name, hertz, cells_only) for name in names}
        return session(recordings, attrs={"source": path.name})
    if path is not None and path.suffix.lower() in _matrix.SUFFIXES:
        return session(
            {"calcium": load(path, sampling_rate=hertz, signal=signal, **mapping)}, attrs={"source": path.name}
        )
    with files.nwb(source) as nwbfile:
        return _nwb.load_session(nwbfile, _nwb.label(source), signal)


def _path(source: Any) -> Path | None:
    return files.existing(source) if isinstance(source, str | os.PathLike) else None


def _one_rate(sampling_rate: float | None, rate: float | None) -> float | None:
    if sampling_rate is not None and rate is not None and sampling_rate != rate:
        raise LoaderError(f"sampling_rate={sampling_rate!r} and rate={rate!r} are the same thing: pass one")
    hertz = sampling_rate if rate is None else rate
    if hertz is not None and not hertz > 0:
        raise LoaderError(f"the sampling rate is {hertz!r}: a positive number of Hz is needed")
    return hertz
