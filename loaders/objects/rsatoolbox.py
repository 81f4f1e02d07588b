"""Datasets and dissimilarities of rsatoolbox, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp import schema
from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.objects._labels import columns, coordinates
from neurointerp.recordings import add_history, recording

SECONDS = {"s": 1.0, "ms": 1e-3}


def load(
    source: Any, *, modality: str, units: str, stimulus: str | None = None, unit: str | None = None,
    time_units: str | None = None, name: str | None = None,
) -> xr.DataArray:  # fmt: skip
    """Turn an rsatoolbox `Dataset` or `TemporalDataset` into a recording.

    Parameters
    ----------
    source
        A `Dataset` (observation, channel), or a `TemporalDataset` (observation, channel, time).
    modality, units
        As `neurointerp.recording` takes them; rsatoolbox states neither.
    stimulus
        The descriptor of observations that says what was shown; it becomes the coordinate `stimulus`, as text.
    unit
        The descriptor of channels that labels them; default `unit` where there is one, else their positions.
    time_units
        `"s"` or `"ms"`: of the descriptor `time` of a `TemporalDataset`, which does not state it.
    name
        Of the recording.

    Returns
    -------
    xarray.DataArray
        (trial, unit), or (trial, time, unit). Descriptors of observations and channels are coordinates; those that hold
        neither one number nor one text each are named in `history`.

    Raises
    ------
    LoaderError
        When the object is none of these, a descriptor is not there, or the units of the time are not given.
    RecordingError
        When labels of units repeat.

    Notes
    -----
    van den Bosch JJF, et al. (2025) A Python toolbox for representational similarity analysis. eLife 14:RP107828.

    Examples
    --------
    >>> import numpy as np
    >>> from rsatoolbox.data import Dataset
    >>> made = Dataset(np.eye(2), obs_descriptors={"image": ["cat", "dog"]}, channel_descriptors={"voxel": ["a", "b"]})
    >>> rec = load(made, modality="fmri", units="1", stimulus="image", unit="voxel")
    >>> rec.stimulus.values.tolist(), rec.unit.values.tolist()
    (['cat', 'dog'], ['a', 'b'])
    """
    kind = type(source).__name__
    if not all(hasattr(source, part) for part in ("measurements", "obs_descriptors", "channel_descriptors")):
        raise LoaderError(f"{kind} is no Dataset of rsatoolbox; its RDMs are read by load_rdms")
    values = np.asarray(source.measurements)
    seen, channels = dict(source.obs_descriptors), dict(source.channel_descriptors)
    _needed(kind, "observations", stimulus, seen)
    _needed(kind, "channels", unit, channels)
    unit = unit or ("unit" if "unit" in channels else None)
    labels = [str(one) for one in channels.pop(unit)] if unit else None
    shown = {} if stimulus is None else {"stimulus": np.array([str(one) for one in seen.pop(stimulus)], dtype=object)}
    on_trials, left = coordinates({**seen, **shown}, "trial", values.shape[0], "observation")
    on_units, others = coordinates(channels, "unit", values.shape[1], "channel")
    coords = {**on_trials, **on_units}
    about: dict[str, Any] = {"modality": modality, "units": units, "unit": labels, "coords": coords, "name": name}
    if values.ndim == 3:
        stamps = np.asarray(source.time_descriptors["time"], dtype=np.float64)
        if time_units not in SECONDS:
            raise LoaderError(f"{kind}: does not state the units of its time; pass time_units='s' or 'ms'")
        dims, time = ("trial", "time", "unit"), stamps * SECONDS[time_units]
        rec = recording(values.transpose(0, 2, 1), dims=dims, time=time, **about)
    else:
        rec = recording(values, dims=("trial", "unit"), **about)
    return add_history(rec, "loaders.objects.rsatoolbox.load", stimulus=stimulus, left_out=[*left, *others])


def to_dataset(rec: xr.DataArray) -> Any:
    """Turn a recording of trials into an rsatoolbox `Dataset`, or `TemporalDataset` where it has time.

    Parameters
    ----------
    rec
        (trial, unit) or (trial, time, unit).

    Returns
    -------
    rsatoolbox.data.Dataset
        Coordinates on `trial` and `unit` are descriptors, the labels among them; `time` is in the clock's units. The
        attrs that are one text or number are descriptors of the whole.

    Raises
    ------
    LoaderError
        When dims are others, or rsatoolbox is not installed.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.eye(2), modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", ["cat", "dog"])})
    >>> [str(one) for one in to_dataset(rec).obs_descriptors["stimulus"]]
    ['cat', 'dog']
    """
    data = files.library("rsatoolbox.data", None)
    schema.check(rec)
    if rec.dims not in (("trial", "unit"), ("trial", "time", "unit")):
        raise LoaderError(f"to_dataset: dims are {rec.dims}; (trial, unit) or (trial, time, unit) are needed")
    about = {
        "descriptors": {key: one for key, one in rec.attrs.items() if isinstance(one, str | int | float)},
        "obs_descriptors": {"trial": list(rec["trial"].values), **_lists(columns(rec, "trial"))},
        "channel_descriptors": {"unit": rec["unit"].values.tolist(), **_lists(columns(rec, "unit"))},
    }
    if rec.ndim == 2:
        return data.Dataset(rec.values, **about)
    stamps = {"time": rec["time"].values.tolist()}
    return data.TemporalDataset(rec.values.transpose(0, 2, 1), time_descriptors=stamps, **about)


def load_rdms(source: Any, *, stimulus: str) -> xr.DataArray:
    """Turn rsatoolbox `RDMs` into labelled matrices.

    Parameters
    ----------
    source
        The `RDMs`.
    stimulus
        The descriptor of patterns that names the stimuli.

    Returns
    -------
    xarray.DataArray
        (rdm, stimulus, stimulus2), with the descriptors of the matrices along `rdm`; the attr `measure` is
        rsatoolbox's. One of them (`.isel(rdm=0)`) is what `geometry.rsa` takes for a recording.

    Raises
    ------
    LoaderError
        When the object holds no RDMs, or the descriptor is missing or names a stimulus twice.

    Examples
    --------
    >>> import numpy as np
    >>> from rsatoolbox.rdm import RDMs
    >>> one = RDMs(np.array([[1.0, 2.0, 3.0]]), pattern_descriptors={"image": ["cat", "dog", "owl"]})
    >>> load_rdms(one, stimulus="image").sel(stimulus="cat", stimulus2="owl").values
    array([2.])
    """
    kind = type(source).__name__
    if not hasattr(source, "get_matrices") or not hasattr(source, "pattern_descriptors"):
        raise LoaderError(f"{kind} is no RDMs of rsatoolbox")
    _needed(kind, "patterns", stimulus, dict(source.pattern_descriptors))
    names = np.array([str(one) for one in source.pattern_descriptors[stimulus]], dtype=object)
    if len(set(names)) < len(names):
        raise LoaderError(f"{kind}: {stimulus!r} names {len(names) - len(set(names))} stimuli more than once")
    values = np.asarray(source.get_matrices(), dtype=np.float64)
    on_rdms, _ = coordinates(dict(source.rdm_descriptors), "rdm", len(values), "rdm")
    return xr.DataArray(
        values,
        dims=("rdm", "stimulus", "stimulus2"),
        coords={"stimulus": names, "stimulus2": names.copy(), **on_rdms},
        name="rdm",
        attrs={"measure": str(source.dissimilarity_measure)},
    )


def to_rdms(found: xr.Dataset | xr.DataArray) -> Any:
    """Turn dissimilarities into rsatoolbox `RDMs`.

    Parameters
    ----------
    found
        The result of `geometry.rdm`, or matrices (stimulus, stimulus2) or (rdm, stimulus, stimulus2).

    Returns
    -------
    rsatoolbox.rdm.RDMs
        With `stimulus` as the descriptor of patterns; coordinates along `rdm` are descriptors of the matrices.

    Raises
    ------
    LoaderError
        When the dims are others, rows and columns are not the same stimuli in the same order, a matrix is not
        symmetric, or rsatoolbox is not installed.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rec = ni.recording(np.eye(3), modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", ["cat", "dog", "owl"])})
    >>> to_rdms(geometry.rdm(rec, metric="euclidean")).dissimilarities.round(2).tolist()
    [[0.67, 0.67, 0.67]]
    """
    module = files.library("rsatoolbox.rdm", None)
    matrices = found["rdm"] if isinstance(found, xr.Dataset) else found
    if matrices.dims not in (("stimulus", "stimulus2"), ("rdm", "stimulus", "stimulus2")):
        raise LoaderError(f"to_rdms: dims are {matrices.dims}; (stimulus, stimulus2) are needed, rdm may lead")
    names = matrices["stimulus"].values
    if list(names) != list(matrices["stimulus2"].values):
        raise LoaderError("to_rdms: rows and columns are not the same stimuli in the same order")
    values = np.atleast_3d(matrices.values.T).transpose(2, 1, 0)
    if not np.allclose(values, values.transpose(0, 2, 1), equal_nan=True):
        raise LoaderError("to_rdms: a dissimilarity matrix is symmetric, and this is not")
    rows, others = np.triu_indices(len(names), k=1)
    measure = found.attrs.get("parameters", {}).get("metric") or matrices.attrs.get("measure")
    return module.RDMs(
        values[:, rows, others],
        dissimilarity_measure=measure,
        rdm_descriptors=_lists(columns(matrices, "rdm")),
        pattern_descriptors={"stimulus": [str(one) for one in names]},
    )


def _needed(kind: str, what: str, name: str | None, held: dict[str, Any]) -> None:
    if name is not None and name not in held:
        raise LoaderError(f"{kind}: no descriptor of {what} is called {name!r}; there are {', '.join(held) or 'none'}")


def _lists(found: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in found.items()}
