"""Phy and Kilosort folders: samples, clusters, their groups and metrics, template waveforms, channel positions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.spikes._trains import RESERVED, Trains, split, trains

UNGROUPED = "unsorted"
"""What phy calls a cluster that nobody has put in a group."""


def read_phy(folder: Path, *, sampling_rate: float | None = None) -> Trains:
    """Read a folder with `spike_times.npy` (samples) and `spike_clusters.npy` (or `spike_templates.npy`).

    `params.py` is code: it is never run, its literal `sample_rate` is read as text.
    """
    rate = _rate(folder, sampling_rate)
    samples = _column(folder, "spike_times.npy")
    if samples.dtype.kind not in "iu":
        raise LoaderError(f"{folder}/spike_times.npy: samples are whole numbers, found {samples.dtype}")
    sorted_into = "spike_clusters.npy" if (folder / "spike_clusters.npy").is_file() else "spike_templates.npy"
    clusters = _column(folder, sorted_into)
    rows = split(samples, clusters, folder)
    ids = np.array([int(unit[1:]) for unit in rows], dtype=np.int64)
    coords: dict[str, Any] = {"index": ("unit", ids)}
    columns, notes = _cluster_tables(folder, ids)
    coords |= columns
    shapes, structure, about = _templates(folder, clusters, ids, rate)
    coords |= {name: value for name, value in shapes.items() if name not in coords}
    notes = {"clusters_from": sorted_into, **notes, **about}
    return trains(rows, folder, time_units="samples", rate=rate, coords=coords, structure=structure, notes=notes)


def _rate(folder: Path, given: float | None) -> float:
    stated = None
    if (folder / "params.py").is_file():
        with files.reading(folder / "params.py", "text"):
            text = (folder / "params.py").read_text("utf-8")
        literal = re.search(
            r"^[ \t]*sample_rate[ \t]*=[ \t]*([0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?)[ \t]*(?:#.*)?$", text, re.M
        )
        stated = None if literal is None else float(literal[1])
    if given is None and stated is None:
        raise LoaderError(f"{folder}: no params.py states a literal sample_rate; pass sampling_rate= (Hz)")
    if given is not None and stated is not None and given != stated:
        raise LoaderError(
            f"{folder}: params.py states sample_rate {stated:g}, sampling_rate={given:g} was given; leave it out"
        )
    return float(stated if given is None else given)  # type: ignore[arg-type]


def _column(folder: Path, name: str) -> np.ndarray:
    values = files.array(
        files.existing(folder / name, remedy="a phy folder has spike_times.npy and spike_clusters.npy")
    )
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _cluster_tables(folder: Path, ids: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read every table with a `cluster_id`: a single metric's own file comes before the summary `cluster_info`."""
    import pandas as pd

    found = {p for end in ("csv", "tsv") for stem in ("cluster*", "*metrics*") for p in folder.glob(f"{stem}.{end}")}
    columns: dict[str, Any] = {}
    silent: set[int] = set()
    conflicts: list[str] = []
    for path in sorted(found, key=lambda path: (path.stem == "cluster_info", path.name)):
        with files.reading(path, "a table of clusters"):
            table = pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t")
        key = next((name for name in ("cluster_id", "id") if name in table.columns), None)
        if key is None:
            continue
        table = table[table[key].notna()]
        if table[key].duplicated().any():
            raise LoaderError(f"{path}: cluster {table[key][table[key].duplicated()].iloc[0]} stands more than once")
        silent |= set(table[key].tolist()) - set(ids.tolist())
        for name in (name for name in table.columns if name != key and not str(name).startswith("Unnamed")):
            values = _values(table.set_index(key)[name].reindex(ids), str(name))
            if name in columns and not _equal(columns[name][1], values):
                conflicts.append(f"{path.name}:{name}")
            elif str(name) not in RESERVED:
                columns.setdefault(str(name), ("unit", values))
    columns.setdefault("group", ("unit", np.full(ids.size, UNGROUPED, dtype=object)))
    notes: dict[str, Any] = {"clusters_without_spikes_left_out": sorted(map(int, silent))} if silent else {}
    return columns, notes | ({"columns_in_conflict": conflicts} if conflicts else {})


def _values(column: Any, name: str) -> np.ndarray:
    if column.dtype.kind in "biuf":
        return np.asarray(column.to_numpy())
    fill = UNGROUPED if name == "group" else ""
    return np.array([fill if value != value or value is None else str(value) for value in column], dtype=object)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype.kind == b.dtype.kind and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _templates(
    folder: Path, clusters: np.ndarray, ids: np.ndarray, rate: float
) -> tuple[dict[str, Any], dict[str, xr.DataArray], dict[str, Any]]:
    """Give what the mean waveform of each cluster says about it, and the waveforms themselves."""
    if not (folder / "templates.npy").is_file():
        return {}, {}, {"templates": "absent"}
    dense = _dense(folder)
    used = _column(folder, "spike_templates.npy") if (folder / "spike_templates.npy").is_file() else clusters
    if used.shape != clusters.shape or (used.size and int(used.max()) >= dense.shape[0]):
        raise LoaderError(
            f"{folder}: spike_templates.npy does not fit the {dense.shape[0]} templates and {clusters.size} spikes"
        )
    waveforms, whitened = _unwhitened(folder, _mean_templates(dense, used, clusters, ids))
    height = np.ptp(waveforms, axis=1)
    peak = height.argmax(axis=1)
    at_peak = np.take_along_axis(waveforms, peak[:, None, None], axis=2)[..., 0]
    trough = at_peak.argmin(axis=1)
    after = np.where(np.arange(at_peak.shape[1]) >= trough[:, None], at_peak, -np.inf)
    coords: dict[str, Any] = {
        "template_amplitude": ("unit", height.max(axis=1)),
        "trough_to_peak": ("unit", (after.argmax(axis=1) - trough) / rate, {"units": "s"}),
    }
    places, on_channel = _channels(folder, waveforms.shape[2])
    coords |= {name: ("unit", values[peak], about) for name, (values, about) in places.items()}
    structure = xr.DataArray(
        waveforms,
        dims=("unit", "template_sample", "channel"),
        coords={"unit": np.array([f"c{i}" for i in ids], dtype=object), **on_channel},
        attrs={"units": "1", "sampling_rate": rate},
    )
    return coords, {"templates": structure}, {"templates": "whitened" if whitened else "unwhitened"}


def _dense(folder: Path) -> np.ndarray:
    """Give (template, sample, channel); `templates_ind.npy` names the channels of templates stored sparsely."""
    stored = files.array(folder / "templates.npy")
    if stored.ndim != 3:
        raise LoaderError(f"{folder}/templates.npy: (template, sample, channel) is needed, found shape {stored.shape}")
    sparse = next((folder / n for n in ("templates_ind.npy", "template_ind.npy") if (folder / n).is_file()), None)
    if sparse is None:
        return stored
    index = files.array(sparse).astype(np.int64)
    if index.shape != (stored.shape[0], stored.shape[2]):
        raise LoaderError(f"{sparse}: shape {index.shape} does not fit templates of shape {stored.shape}")
    stated = [folder / name for name in ("channel_map.npy", "channel_positions.npy") if (folder / name).is_file()]
    size = len(files.array(stated[0])) if stated else int(index.max()) + 1
    out = np.zeros((*stored.shape[:2], size), dtype=stored.dtype)
    for template, channels in enumerate(index):
        known = (channels >= 0) & (channels < size)
        out[template][:, channels[known]] = stored[template][:, known]
    return out


def _mean_templates(dense: np.ndarray, used: np.ndarray, clusters: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Average the templates that a cluster's spikes were found with (several after a merge), by spikes."""
    weight = np.zeros((ids.size, dense.shape[0]))
    np.add.at(weight, (np.searchsorted(ids, clusters), used), 1.0)
    weight /= weight.sum(axis=1, keepdims=True)
    mean: np.ndarray = np.einsum("ut,tsc->usc", weight, dense.astype(np.float64), optimize=True)
    return mean


def _unwhitened(folder: Path, waveforms: np.ndarray) -> tuple[np.ndarray, bool]:
    if (folder / "whitening_mat_inv.npy").is_file():
        inverse = files.array(folder / "whitening_mat_inv.npy")
    elif (folder / "whitening_mat.npy").is_file():
        with files.reading(folder / "whitening_mat.npy", "a whitening matrix"):
            inverse = np.linalg.inv(files.array(folder / "whitening_mat.npy"))
    else:
        return waveforms, True
    if inverse.shape != (waveforms.shape[2],) * 2:
        raise LoaderError(f"{folder}: whitening matrix {inverse.shape} does not fit {waveforms.shape[2]} channels")
    return waveforms @ inverse, False


def _channels(folder: Path, size: int) -> tuple[dict[str, tuple[np.ndarray, dict[str, Any]]], dict[str, Any]]:
    """Give what is known of each channel: for the units at their peak, and for the templates."""
    known: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    for name, label in (("channel_map.npy", "channel"), ("channel_shanks.npy", "shank")):
        if (folder / name).is_file():
            known[label] = (_column(folder, name).astype(np.int64), {})
    if (folder / "channel_positions.npy").is_file():
        places = files.array(folder / "channel_positions.npy").astype(np.float64)
        about = {"units": "m", "frame": "probe"}
        known |= {axis: (places[:, i] * 1e-6, about) for i, axis in enumerate("xy")}  # phy keeps micrometres
    for name, (values, _) in known.items():
        if values.shape != (size,):
            raise LoaderError(
                f"{folder}: {values.shape[0]} values of {name} do not fit the {size} channels of templates.npy"
            )
    return known, {name: ("channel", values, about) for name, (values, about) in known.items()}
