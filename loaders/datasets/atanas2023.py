"""Whole-brain calcium of freely moving worms: Atanas, Kim et al. 2023, as the JSON of WormWideWeb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import worm_traces
from neurointerp.recordings import add_history, recording, session

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Atanas AA, Kim J, Wang Z, et al. (2023) Cell 186:4134. doi:10.1016/j.cell.2023.07.035",
}
ADDRESS = "https://wormwideweb.org"
BEHAVIOUR = ("velocity", "head_curvature", "angular_velocity", "body_curvature", "pumping")


def load(path: files.PathLike, *, homogenised: bool = False, target_dt: float = worm_traces.TARGET_DT) -> xr.DataArray:
    """Read the activity of one worm.

    Parameters
    ----------
    path
        A WormWideWeb `.json`: a mapping with `trace_array` (neuron, time), `timestamp_confocal` (s) and `labeled`
        (1-based number of the neuron -> `{"label": ...}`); or a list of `[time, [value of each neuron]]`.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`).
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit), units `"1"` (z-scored ratio as stored); the clock is counted from the first stamp (s). Units
        are the labels, or `u<place>` without one. A list names no neuron, so none is labelled: `neuron_list.txt`
        beside some copies is longer than the traces and says nothing of their order.

    Raises
    ------
    LoaderError
        When the file is not JSON of this layout or its parts do not fit together.

    Notes
    -----
    A label with `?` (`SIA?L`) keeps its candidates and is not a name; Simeon et al. 2024 draw one at random.
    """
    rec = _worm(*_read(path))
    return worm_traces.homogenise(rec, target_dt=target_dt) if homogenised else rec


def load_session(
    path: files.PathLike, *, homogenised: bool = False, target_dt: float = worm_traces.TARGET_DT
) -> xr.DataTree:
    """Read one worm with its behaviour; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium` (homogenised: also `residual`, the smoothed copies and `original`), and those of
        `velocity`, `head_curvature`, `angular_velocity`, `body_curvature`, `pumping` that the file holds one value
        per frame of, on the original clock, with units `"1"`: the file states none.
    """
    found, held = _read(path)
    rec = _worm(found, held)
    recordings = worm_traces.copies(rec, target_dt=target_dt) if homogenised else {"calcium": rec}
    for name in BEHAVIOUR:
        series = np.array(held.get(name, []), dtype=np.float64)
        if series.shape == (rec.sizes["time"],):
            recordings[name] = recording(
                series[:, None], modality="behavior", units="1", time=rec["time"].values, unit=[name], name=name,
                attrs={**ABOUT, "source": found.name},
            )  # fmt: skip
            step = "loaders.datasets.atanas2023.load_session"
            recordings[name] = add_history(recordings[name], step, units_from="not in the file")
    return session(recordings, attrs={**ABOUT, "source": found.name})


def _read(path: files.PathLike) -> tuple[Path, dict[str, Any]]:
    """Give the file's parts in the mapping's terms, whichever of the two layouts it has."""
    found = files.existing(path)
    with files.reading(found, "JSON"):
        held = json.loads(found.read_text("utf-8"))
    if isinstance(held, dict) and {"trace_array", "timestamp_confocal"} <= set(held):
        return found, held
    if isinstance(held, list) and held and all(isinstance(row, list) and len(row) == 2 for row in held):
        sizes = {len(row[1]) if isinstance(row[1], list) else 0 for row in held}
        if len(sizes) != 1 or not min(sizes):
            raise LoaderError(f"{found}: frames hold different numbers of neurons: {min(sizes)} to {max(sizes)}")
        with files.reading(found, "a list of [time, values]"):
            values = np.array([row[1] for row in held], dtype=np.float64)
            return found, {"trace_array": values.T, "timestamp_confocal": [float(row[0]) for row in held]}
    shown = ", ".join(list(held)[:8]) if isinstance(held, dict) else type(held).__name__
    raise LoaderError(
        f"{found}: a mapping with trace_array and timestamp_confocal, or a list of [time, values], is needed; "
        f"found {shown}"
    )


def _worm(path: Path, held: dict[str, Any]) -> xr.DataArray:
    with files.reading(path, "a worm of WormWideWeb"):
        values = np.array(held["trace_array"], dtype=np.float64)
        time = np.array(held["timestamp_confocal"], dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(time):
            raise LoaderError(
                f"{path}: trace_array has shape {values.shape} (neuron, time) for {len(time)} time stamps"
            )
        labels = [""] * len(values)
        for number, about in dict(held.get("labeled", {})).items():
            if not 1 <= int(number) <= len(values):
                raise LoaderError(f"{path}: labeled names neuron {number} outside 1 to {len(values)}")
            labels[int(number) - 1] = str(about["label"])
        return worm_traces.worm(
            values.T, time, labels, function="loaders.datasets.atanas2023.load",
            attrs={**ABOUT, "source": path.name, "session": path.stem},
        )  # fmt: skip
