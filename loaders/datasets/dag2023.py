"""Whole-brain calcium imaging of freely moving C. elegans: Dag et al. 2023 (Flavell lab, `*-data.h5`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import worm_traces
from neurointerp.recordings import add_history, recording, session

SIGNALS = ("trace_array", "trace_array_original", "traces_array_F_F20")
BEHAVIOUR = {"velocity": "mm/s", "angular_velocity": "rad/s", "head_angle": "rad", "pumping": "1", "reversal_vec": "1"}
"""Behaviour kept in the session -> units. The file states none: see `load_session`."""
ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Dag U, Nwabudike I, Kang D, et al. (2023) Cell 186:2574. doi:10.1016/j.cell.2023.04.023",
}


def load(
    path: files.PathLike,
    *,
    labels: files.PathLike | None = None,
    signal: str = "trace_array",
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the neural activity of one worm.

    Parameters
    ----------
    path
        A `<date>-data.h5` file of the paper's repository.
    labels
        Table of neuron identities (`.csv`) with the columns `neuron` (1-based column of the traces) and
        `label`; `neuron_class`, `LR` and `confidence` are taken where present.
    signal
        `"trace_array"` (each neuron's ratio z-scored), `"trace_array_original"` (the ratio) or
        `"traces_array_F_F20"` (ratio over its 20th percentile).
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`), where only a label that is
        exactly one neuron is a name.
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit), float64, units `"1"`. The clock is `timing/timestamp_confocal` minus its first stamp (s);
        it is not regular, so there is no `sampling_rate`. Units have their label, or `u001`, ... (1-based
        column) without one; where a label stands twice the first column keeps it. Along `unit`: `is_labeled`,
        `index` (column), and from the table `cell_type`, `hemisphere` (L, R or empty) and `confidence`.
        `segment` numbers the stretches of a recording made in several (`gcamp/idx_splits`).

    Raises
    ------
    LoaderError
        When the file or table cannot be read or they do not belong together.

    Notes
    -----
    Labels are kept as annotated, a trailing `?` (an uncertain identity) included.
    """
    found, arrays = _arrays(path)
    rec = _calcium(arrays, found, signal, labels)
    return worm_traces.homogenise(rec, target_dt=target_dt) if homogenised else rec


def load_session(
    path: files.PathLike,
    *,
    labels: files.PathLike | None = None,
    signal: str = "trace_array",
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one worm with its behaviour.

    Parameters
    ----------
    path, labels, signal, homogenised, target_dt
        As for `load`.

    Returns
    -------
    xarray.DataTree
        Recordings `calcium` (homogenised also `residual`, the smoothed copies and `original`), and on the
        original clock `velocity`, `angular_velocity`, `head_angle`, `pumping`,
        `reversal_vec` as far as the file has values. Events: reversals (from `reversal_vec`) and the encounter
        with food. What else the file holds is listed in the root's `left_out`.

    Raises
    ------
    LoaderError
        As for `load`.

    Notes
    -----
    The files state no units of behaviour. Velocity (mm/s) and head angle (rad) are taken from the axes of the
    authors' own plots of these variables (`DK_analysis_functions.jl`, in the repository of the files), angular
    velocity (rad/s) from the package that computes it (`BehaviorDataNIR.jl`). Pumping is in a unit that those
    plots multiply by 4 to get Hz; it is kept as stored, with units `"1"`.
    """
    found, arrays = _arrays(path)
    rec = _calcium(arrays, found, signal, labels)
    held = {
        name: np.asarray(arrays[f"behavior/{name}"], dtype=np.float64)
        for name in BEHAVIOUR
        if f"behavior/{name}" in arrays and np.isfinite(arrays[f"behavior/{name}"]).any()
    }
    traces = worm_traces.copies(rec, target_dt=target_dt) if homogenised else {"calcium": rec}
    recordings = traces | {name: _behaviour(name, values, rec, found) for name, values in held.items()}
    used = {f"gcamp/{signal}", "timing/timestamp_confocal", "timing/time_food_encounter", "gcamp/idx_splits"}
    used |= {f"behavior/{name}" for name in held}
    attrs = {**ABOUT, "source": found.name, "left_out": sorted(set(arrays) - used)}
    return session(recordings, events=_events(arrays, rec["time"].values), attrs=attrs)


def _arrays(path: files.PathLike) -> tuple[Path, dict[str, np.ndarray]]:
    """Read every array of the HDF5 file, by its path inside."""
    h5py = files.library("h5py", "nwb")
    found = files.existing(path)
    arrays: dict[str, np.ndarray] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "biuf":
            arrays[name] = np.asarray(item[()])

    with files.reading(found, "HDF5"), h5py.File(found, "r") as file:
        file.visititems(keep)
    return found, arrays


def _of(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise LoaderError(f"{path}: no {name}; a <date>-data.h5 file of Dag et al. 2023 is needed")
    return arrays[name]


def _calcium(arrays: dict[str, np.ndarray], path: Path, signal: str, labels: files.PathLike | None) -> xr.DataArray:
    if signal not in SIGNALS:
        raise LoaderError(f"{path}: no signal {signal!r}; signals are {', '.join(SIGNALS)}")
    values = _of(arrays, f"gcamp/{signal}", path)
    stamps = _of(arrays, "timing/timestamp_confocal", path)
    if values.ndim != 2 or len(values) != len(stamps):
        raise LoaderError(f"{path}: gcamp/{signal} has shape {values.shape} for {len(stamps)} time stamps")
    identities = _identities(labels, values.shape[1])
    given = identities.pop("label")
    first = [bool(label) and label not in given[:column] for column, label in enumerate(given)]
    names = [label if kept else f"u{i + 1:03d}" for i, (label, kept) in enumerate(zip(given, first, strict=True))]
    coords: dict[str, Any] = {
        "is_labeled": ("unit", np.array(first)),
        "index": ("unit", np.arange(1, values.shape[1] + 1)),
    }
    coords |= {name: ("unit", column) for name, column in identities.items()}
    coords |= _segments(arrays, len(values))
    with files.reading(path, "a worm of Dag et al. 2023"):
        rec = recording(
            values, modality="calcium", units="1", time=stamps.astype(np.float64) - float(stamps[0]), name="calcium",
            unit=names, coords=coords,
            attrs={**ABOUT, "source": path.name, "session": path.name.removesuffix("-data.h5")},
        )  # fmt: skip
    repeated = sorted({label for label, kept in zip(given, first, strict=True) if label and not kept})
    return add_history(
        rec, "loaders.datasets.dag2023.load", signal=signal, first_stamp=float(stamps[0]), labeled=sum(first),
        repeated_labels=repeated,
    )  # fmt: skip


def _segments(arrays: dict[str, np.ndarray], frames: int) -> dict[str, Any]:
    """Number the stretches of `idx_splits`, whose columns are (first, last) frame, 1-based."""
    splits = arrays.get("gcamp/idx_splits")
    if splits is None or splits.ndim != 2 or splits.shape[1] < 2:
        return {}
    return {"segment": ("time", np.searchsorted(splits[0], np.arange(1, frames + 1), side="right") - 1)}


def _identities(labels: files.PathLike | None, neurons: int) -> dict[str, Any]:
    """Give label, cell type, hemisphere and confidence of every column of the traces ("" or NaN if unknown)."""
    import pandas as pd

    if labels is None:
        return {"label": [""] * neurons}
    path = files.existing(labels)
    with files.reading(path, "a table of labels"):
        table = pd.read_csv(path)
    missing = {"neuron", "label"} - set(table.columns)
    if missing:
        raise LoaderError(f"{path}: no column {' and '.join(sorted(missing))}; it has {', '.join(table.columns)}")
    outside = [int(n) for n in table["neuron"] if not 1 <= n <= neurons]
    if outside or table["neuron"].duplicated().any():
        what = f"neuron {outside[0]} outside 1 to {neurons}" if outside else "a neuron that stands twice"
        raise LoaderError(f"{path}: {what}; is this the table of another worm?")
    rows = table.set_index("neuron").reindex(range(1, neurons + 1))
    columns: dict[str, Any] = {"label": _texts(rows["label"])}
    if "neuron_class" in rows:
        columns["cell_type"] = _texts(rows["neuron_class"])
    if "LR" in rows:
        columns["hemisphere"] = [side if side in ("L", "R") else "" for side in _texts(rows["LR"])]
    if "confidence" in rows:
        columns["confidence"] = rows["confidence"].to_numpy(dtype=np.float64)
    return columns


def _texts(column: Any) -> list[str]:
    return [text if isinstance(text, str) else "" for text in column]


def _behaviour(name: str, values: np.ndarray, rec: xr.DataArray, path: Path) -> xr.DataArray:
    with files.reading(path, f"behaviour {name}"):
        coords = {"segment": rec.coords["segment"]} if "segment" in rec.coords else None
        behaviour = recording(
            values[:, None], modality="behavior", units=BEHAVIOUR[name], time=rec["time"].values, unit=[name],
            name=name, coords=coords, attrs={**ABOUT, "source": path.name},
        )  # fmt: skip
    return add_history(behaviour, "loaders.datasets.dag2023.load_session", units_from="not in the file, see its doc")


def _events(arrays: dict[str, np.ndarray], time: np.ndarray) -> dict[str, list[Any]] | None:
    rows: list[tuple[float, float, str]] = []
    reversing = arrays.get("behavior/reversal_vec")
    if reversing is not None:
        edges = np.diff(np.concatenate([[0], (reversing > 0).astype(np.int8), [0]]))
        ends = np.append(time, time[-1] + np.median(np.diff(time)))
        for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            rows.append((float(time[start]), float(ends[stop] - time[start]), "reversal"))
    for frame in np.ravel(arrays.get("timing/time_food_encounter", [])).astype(int):
        rows.append((float(time[frame - 1]), 0.0, "food_encounter"))  # a 1-based frame
    columns = [list(column) for column in zip(*sorted(rows), strict=True)]
    return dict(zip(("onset", "duration", "trial_type"), columns, strict=True)) if rows else None
