"""Whole-brain calcium of NeuroPAL worms, demixed: Nejatbakhsh et al. 2020, as NWB (`sub-*_ophys.nwb`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import calcium, files
from neurointerp.loaders.datasets import _worms, worm_traces
from neurointerp.recordings import add_history

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": (
        "Nejatbakhsh A, Varol E, Yemini E, et al. (2020) bioRxiv 2020.07.07.192120. doi:10.1101/2020.07.07.192120; "
        "Sprague DY, et al. (2024) bioRxiv 2024.04.28.591397"
    ),
}
ADDRESS = "https://dandiarchive.org/dandiset/000541"
"""Where the files are kept."""
MODULE, LABELS = "CalciumActivity", "NeuronIDs"
LAYOUT = "a worm of DANDI 000541"


def load(
    path: files.PathLike,
    *,
    signal: str = "SignalCalciumImResponseSeries",
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the activity of one worm.

    Parameters
    ----------
    path
        An NWB file with the module `CalciumActivity`: `SignalRawFluor/SignalCalciumImResponseSeries` (time, neuron) and
        `NeuronIDs` (one label per neuron). The movie in the same file, several gigabytes, is not touched.
    signal
        The RoiResponseSeries; the files also hold `dNMFCalciumImResponseSeries`.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`).
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit) as stored, units `"1"`, NaN kept, on the file's clock counted from its first stamp (s). Units are
        the labels, or `u<place>`. Along `unit`: `is_labeled`, `label`, `candidates`.

    Raises
    ------
    LoaderError
        When the file is not NWB of this layout or names other than one label per neuron.

    Notes
    -----
    The layout is what the converter of Sprague et al. 2024 writes (focolab/NWBelegans, `process_EY`); that DANDI 000541
    (21 worms) is the source that Simeon et al. 2024 call Nejatbakhsh2020 is inferred from that layout and number. The
    files were not at hand: it was tried on files made in their image. In the converter both series hold the same
    values. Simeon et al. take 4 Hz for granted; here the clock is the one the file states.
    """
    found = files.existing(path)
    with files.nwb(found) as nwbfile:
        return _worms.on_request(_worm(found, nwbfile, signal), homogenised, target_dt)


def load_all(
    folder: files.PathLike, *, homogenised: bool = False, target_dt: float = worm_traces.TARGET_DT
) -> dict[str, xr.DataArray]:
    """Read every `*.nwb` of a folder, by its file's name; parameters and errors as for `load`."""
    return _worms.from_folder(folder, ("*.nwb",), lambda path: load(path, homogenised=homogenised, target_dt=target_dt))


def load_session(
    path: files.PathLike,
    *,
    signal: str = "SignalCalciumImResponseSeries",
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one worm with the stimuli it met; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; homogenised also `residual`, the smoothed copies and `original`. Events: the rows of the
        intervals `chemical_stimuli` (start and stop in s, stimulus), on the recording's clock, where the file has them.
    """
    found = files.existing(path)
    with files.nwb(found) as nwbfile:
        rec = _worm(found, nwbfile, signal)
        events = _events(nwbfile, float(rec.attrs["history"][-2]["parameters"]["first_stamp"]))
    return _worms.as_session(rec, homogenised, target_dt, events)


def _worm(path: Path, nwbfile: Any, signal: str) -> xr.DataArray:
    series = calcium.load(nwbfile, signal=signal)
    module = nwbfile.processing.get(MODULE)
    held = None if module is None else module.data_interfaces.get(LABELS)
    if held is None:
        raise LoaderError(f"{path}: no {MODULE}/{LABELS}; {LAYOUT} is needed")
    labels = [_plain(label) for label in held.labels[:]]
    if len(labels) != series.sizes["unit"]:
        raise LoaderError(f"{path}: {LABELS} holds {len(labels)} labels for {series.sizes['unit']} neurons")
    with files.reading(path, LAYOUT):
        rec = worm_traces.worm(
            series.values.astype(np.float64), series["time"].values, labels,
            function="loaders.datasets.nejatbakhsh2020.load",
            attrs={**ABOUT, "source": path.name, "session": path.stem.removesuffix("_ophys")},
        )  # fmt: skip
    stated = series.attrs["history"][-1]["parameters"]["stated_units"]
    return add_history(rec, "loaders.datasets.nejatbakhsh2020.load", signal=signal, stated_units=stated)


def _plain(label: Any) -> str:
    return (label.decode("utf-8") if isinstance(label, bytes) else str(label)).replace(" ", "")


def _events(nwbfile: Any, first_stamp: float) -> dict[str, Any] | None:
    table = (nwbfile.intervals or {}).get("chemical_stimuli")
    if table is None or not len(table):
        return None
    start, stop = (np.asarray(table[name].data[:], np.float64) for name in ("start_time", "stop_time"))
    names = [_plain(name) for name in table["stimulus"].data[:]] if "stimulus" in table.colnames else [""] * len(start)
    return {"onset": start - first_stamp, "duration": stop - start, "trial_type": names}
