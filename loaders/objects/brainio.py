"""Assemblies of BrainIO (brain-score) as recordings and back: they are xarray arrays with a MultiIndex."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import schema
from neurointerp.errors import LoaderError
from neurointerp.loaders.objects._labels import columns, coordinates
from neurointerp.recordings import add_history, recording

SECONDS = {"s": 1.0, "ms": 1e-3}
MEANT = {"stimulus_id": "stimulus", "repetition": "repeat"}
"""What levels of BrainIO are called in a recording."""


def load(
    source: xr.DataArray, *, modality: str, units: str, time_units: str | None = None, name: str | None = None
) -> xr.DataArray:
    """Turn a `NeuroidAssembly`, or any xarray array laid out as one, into a recording.

    Parameters
    ----------
    source
        With the dims `presentation` and `neuroid`, and perhaps `time_bin`, in any order. Levels of their MultiIndexes
        and plain coordinates are read alike.
    modality, units
        As `neurointerp.recording` takes them.
    time_units
        `"s"` or `"ms"`: of `time_bin_start` and `time_bin_end`, where there are several bins.
    name
        Of the recording.

    Returns
    -------
    xarray.DataArray
        (trial, unit), or (trial, time, unit) with the start of each bin as `time`. `neuroid_id` labels the units,
        `stimulus_id` becomes `stimulus`, `repetition` becomes `repeat`; other levels keep their names, but for those
        that mean something else in a recording (`x`, `y`, `z`: their unit is not known), which get the dim before them.
        A single time bin is no time; `history` keeps it.

    Raises
    ------
    LoaderError
        When dims or `neuroid_id` are missing, or the units of the time are not given.
    RecordingError
        When ids of neuroids repeat.

    Notes
    -----
    Schrimpf M, et al. (2020) Integrative benchmarking to advance neurally mechanistic models of human intelligence.
    Neuron 108:413. BrainIO itself is not needed.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> made = xr.DataArray(np.eye(2), dims=("presentation", "neuroid"),
    ...     coords={"stimulus_id": ("presentation", ["cat", "dog"]), "neuroid_id": ("neuroid", ["n1", "n2"])})
    >>> load(made, modality="spikes", units="1").sel(unit="n2").stimulus.values.tolist()
    ['cat', 'dog']
    """
    known = {"presentation", "neuroid", "time_bin"}
    if not {"presentation", "neuroid"} <= set(source.dims) <= known:
        raise LoaderError(f"dims are {source.dims}: presentation and neuroid, perhaps time_bin, are needed")
    bins = source.sizes.get("time_bin", 0)
    held = {dim: _levels(source, dim) for dim in source.dims}
    if "neuroid_id" not in held["neuroid"]:
        raise LoaderError(f"no neuroid_id among {', '.join(held['neuroid']) or 'the coordinates of neuroid'}")
    labels = [str(one) for one in held["neuroid"].pop("neuroid_id")]
    seen = {MEANT.get(level, level): values for level, values in held["presentation"].items()}
    if "stimulus" in seen:
        seen["stimulus"] = np.array([str(one) for one in seen["stimulus"]], dtype=object)
    on_trials, left = coordinates(seen, "trial", source.sizes["presentation"], "presentation")
    on_units, others = coordinates(held["neuroid"], "unit", source.sizes["neuroid"], "neuroid")
    about: dict[str, Any] = {"modality": modality, "units": units, "unit": labels, "name": name}
    about["coords"] = {**on_trials, **on_units}
    said = {level: np.asarray(values).tolist() for level, values in held.get("time_bin", {}).items()}
    if bins > 1:
        if time_units not in SECONDS:
            raise LoaderError(f"{bins} time bins: pass time_units='s' or 'ms', the units of time_bin_start")
        if "time_bin_start" not in said:
            raise LoaderError(f"{bins} time bins without time_bin_start")
        values = source.transpose("presentation", "time_bin", "neuroid").values
        time = np.array(said["time_bin_start"], dtype=float) * SECONDS[time_units]
        rec = recording(values, dims=("trial", "time", "unit"), time=time, **about)
    else:
        plain = source.isel(time_bin=0) if bins else source
        rec = recording(plain.transpose("presentation", "neuroid").values, dims=("trial", "unit"), **about)
    return add_history(rec, "loaders.objects.brainio.load", time_bins=said, left_out=[*left, *others])


def to_assembly(rec: xr.DataArray) -> xr.DataArray:
    """Lay a recording of trials out as a BrainIO assembly.

    Parameters
    ----------
    rec
        (trial, unit), or (trial, time, unit) with a regular clock of seconds.

    Returns
    -------
    xarray.DataArray
        (presentation, neuroid), or (presentation, neuroid, time_bin) with `time_bin_start` and `time_bin_end` in ms,
        and MultiIndexes of the coordinates. `brainio.assemblies.NeuroidAssembly(found)` takes it.

    Raises
    ------
    LoaderError
        When dims are others, or the clock is not regular.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.eye(2), modality="spikes", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", ["cat", "dog"])})
    >>> to_assembly(rec).sel(stimulus_id="dog").values.ravel()
    array([0., 1.])
    """
    import pandas as pd

    schema.check(rec)
    if rec.dims not in (("trial", "unit"), ("trial", "time", "unit")):
        raise LoaderError(f"to_assembly: dims are {rec.dims}; (trial, unit) or (trial, time, unit) are needed")
    back = {meant: level for level, meant in MEANT.items()}
    levels: dict[Hashable, dict[str, Any]] = {
        "presentation": {back.get(key, key): values for key, values in columns(rec, "trial").items()},
        "neuroid": {"neuroid_id": rec["unit"].values.astype(str), **columns(rec, "unit")},
    }
    if not levels["presentation"]:
        levels["presentation"]["presentation_id"] = rec["trial"].values
    renamed = {"trial": "presentation", "unit": "neuroid"}
    if "time" in rec.dims:
        rate = rec.attrs.get("sampling_rate")
        if rate is None or rec["time"].attrs["units"] != "s":
            raise LoaderError("to_assembly: a regular clock of seconds is needed for time bins")
        start = rec["time"].values * 1000.0
        levels["time_bin"] = {"time_bin_start": start, "time_bin_end": start + 1000.0 / float(rate)}
        renamed["time"] = "time_bin"
    dims = [renamed[str(dim)] for dim in rec.dims]
    found = xr.DataArray(rec.values, dims=dims, name=rec.name, attrs=dict(rec.attrs))
    for dim, held in levels.items():
        index = pd.MultiIndex.from_arrays(list(held.values()), names=list(held))
        found = found.assign_coords(xr.Coordinates.from_pandas_multiindex(index, str(dim)))
    return found.transpose("presentation", "neuroid", ...)


def _levels(source: xr.DataArray, dim: Hashable) -> dict[str, Any]:
    return {str(name): one.values for name, one in source.coords.items() if one.dims == (dim,) and name != dim}
