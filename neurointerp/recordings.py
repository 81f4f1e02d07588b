"""The constructors: a recording from values and labels, a session from recordings."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError
from neurointerp.history import raw_files
from neurointerp.schema import RATE_TOLERANCE, SCHEMA_VERSION, check, plain, segment_bounds


def recording(
    values: Any,
    *,
    modality: str,
    units: str,
    sampling_rate: float | None = None,
    time: Any = None,
    unit: Sequence[str] | None = None,
    dims: Sequence[str] = ("time", "unit"),
    coords: Mapping[str, Any] | None = None,
    name: str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Build a recording: a labelled array that every analysis takes.

    Parameters
    ----------
    values
        Numbers with one axis per entry of `dims`; missing values are NaN. Lazy arrays stay lazy.
    modality
        One of activations, spikes, calcium, eeg, meg, ieeg, fmri, behavior, stimulus.
    units
        Units of the values, anything pint parses; `"1"` for dimensionless.
    sampling_rate
        Samples per unit of the clock (Hz for seconds). Without `time` the clock is `i / sampling_rate`
        seconds. With `time` both must agree. Left out, it is computed where the clock is regular.
    time
        The clock: float64 seconds or integer counts, or `("time", stamps, {"units": "token"})`. Counts
        without stated units count tokens for activations and frames for anything else.
    unit
        Unique labels; `u0, u1, ...` (zero-padded) when left out.
    dims
        `(time, unit)`, `(trial, time, unit)` or `(trial, unit)`; `subject` may lead, others precede unit.
    coords
        Further coordinates as xarray takes them, such as `{"region": ("unit", [...])}`.
    name, attrs
        Name of the array and further attrs (`subject`, `system`, `source`, ...).

    Returns
    -------
    xarray.DataArray
        The recording, checked. `values` is not copied and not changed.

    Raises
    ------
    RecordingError
        When the contract is broken; the message lists every violation.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((3, 2)), modality="eeg", units="V", sampling_rate=2.0, unit=["Cz", "Pz"])
    >>> rec.time.values
    array([0. , 0.5, 1. ])
    """
    dims = tuple(dims)
    array = values if hasattr(values, "dtype") and hasattr(values, "shape") else np.asarray(values)
    if array.ndim != len(dims):
        raise RecordingError(f"values have {array.ndim} axes but dims name {len(dims)}: {dims}")
    sizes = dict(zip(dims, array.shape, strict=True))
    labels = _labels(sizes, unit, time, sampling_rate, modality)
    labels |= {key: _strings_as_objects(value) for key, value in (coords or {}).items()}
    try:
        rec = xr.DataArray(array, dims=dims, coords=labels, name=name)
    except ValueError as error:
        raise RecordingError(f"labels do not fit the values: {error}") from error
    if name is None and hasattr(array, "dask"):
        rec.name = None  # xarray takes that of the task, which is another in each graph
    rec.attrs = {"modality": modality, "units": units}
    if sampling_rate is None and "time" in rec.coords:
        sampling_rate = _regular_rate(rec)
    if sampling_rate is not None:
        rec.attrs["sampling_rate"] = float(sampling_rate)
    rec.attrs |= {key: plain(value) for key, value in (attrs or {}).items()}
    rec.attrs.setdefault("history", [])
    rec.attrs["schema_version"] = SCHEMA_VERSION
    check(rec)
    return rec


def session(
    recordings: Mapping[str, xr.DataArray],
    *,
    events: Any = None,
    stimuli: Mapping[str, xr.DataArray] | None = None,
    structure: Mapping[str, xr.DataArray] | None = None,
    truth: Mapping[str, xr.DataArray] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Put recordings with their own clocks, their events and what is known about them in one tree.

    Parameters
    ----------
    recordings
        Name -> recording; kept at `/recordings/<name>` as the variable `recording`.
    events
        Table (DataFrame or mapping of columns) with `onset` (s) and, as known, `duration` (s), `trial_type`,
        `stimulus` and others; kept at `/events` along the dim `event`.
    stimuli, structure
        Name -> array; kept at `/stimuli/<name>` (variable `stimulus`) and `/structure/<name>` (variable
        `structure`; a connectome has dims `(source, target)`, optionally `kind`).
    truth
        For simulations: name -> array, kept as the variables of `/truth`.
    attrs
        JSON attrs of the root (`subject`, `session`, `source`, ...).

    Returns
    -------
    xarray.DataTree
        `session["recordings/eeg/recording"]` is the recording again.

    Raises
    ------
    RecordingError
        When a recording breaks the contract, a name holds `/`, or the event table lacks `onset`.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((3, 2)), modality="eeg", units="V", sampling_rate=2.0)
    >>> tree = ni.session({"eeg": rec}, events={"onset": [0.5], "trial_type": ["tone"]})
    >>> tree["events/onset"].values
    array([0.5])
    """
    nodes: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=plain(dict(attrs or {})))}
    nodes["/"].attrs["schema_version"] = SCHEMA_VERSION
    for name, rec in recordings.items():
        check(rec)
        nodes[_node("recordings", name)] = rec.to_dataset(name="recording")
    for group, variable, arrays in (("stimuli", "stimulus", stimuli), ("structure", "structure", structure)):
        for name, array in (arrays or {}).items():
            nodes[_node(group, name)] = array.to_dataset(name=variable)
    if events is not None:
        nodes["/events"] = _events(events)
    if truth:
        nodes["/truth"] = xr.Dataset(dict(truth))
    return xr.DataTree.from_dict(nodes)


def add_history(recording: xr.DataArray, function: str, /, **parameters: Any) -> xr.DataArray:
    """Give a copy (values shared) whose `history` ends with one more step.

    Parameters
    ----------
    recording
        What the function made.
    function
        Its name, `module.function`.
    **parameters
        The arguments of the call, its seed among them. An array with labels that went in beside the recording
        itself (another recording, a result) is kept as its digest, under `inputs`: its values are read. The raw
        files that it came from are kept under `raw`.

    Returns
    -------
    xarray.DataArray
        The step is `{"function", "version", "parameters"}` and, where there are any, `"inputs"` and `"raw"`.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((3, 2)), modality="eeg", units="V", sampling_rate=2.0)
    >>> step = add_history(rec, "mine.add", other=rec, times=2.0).attrs["history"][-1]
    >>> step["parameters"], step["inputs"]["other"] == ni.digest(rec)
    ({'times': 2.0}, True)
    """
    others = {key: value for key, value in parameters.items() if isinstance(value, xr.DataArray | xr.Dataset)}
    arguments = {key: value for key, value in parameters.items() if key not in others}
    step: dict[str, Any] = {"function": function, "version": version(), "parameters": plain(arguments)}
    if others:
        from neurointerp.store import digest

        step["inputs"] = {key: digest(value) for key, value in others.items()}
        step["raw"] = {key: files for key, value in others.items() if (files := raw_files(value.attrs))}
    out = recording.copy(deep=False)
    out.attrs = {**recording.attrs, "history": [*recording.attrs.get("history", []), step]}
    return out


@cache
def version() -> str:
    """Give the version of neurointerp that is running."""
    try:
        return metadata.version("neurointerp")
    except metadata.PackageNotFoundError:
        return "0+uninstalled"


def _labels(
    sizes: Mapping[str, int], unit: Any, time: Any, sampling_rate: float | None, modality: str
) -> dict[Hashable, Any]:
    labels: dict[Hashable, Any] = {}
    if "time" in sizes:
        labels["time"] = _clock(sizes["time"], time, sampling_rate, modality)
    if "trial" in sizes:
        labels["trial"] = np.arange(sizes["trial"])
    if "unit" in sizes:
        width = len(str(max(sizes["unit"] - 1, 0)))
        given = [f"u{i:0{width}d}" for i in range(sizes["unit"])] if unit is None else list(unit)
        if len(given) != sizes["unit"]:
            raise RecordingError(f"unit has {len(given)} labels for {sizes['unit']} units")
        names = [str(label) if isinstance(label, str | int | np.integer) else label for label in given]
        try:
            "".join(name for name in names if isinstance(name, str)).encode()
        except UnicodeEncodeError as error:
            raise RecordingError(f"unit has a label that is no Unicode text: {error}") from error
        labels["unit"] = ("unit", _objects(names))
    return labels


def _clock(size: int, time: Any, sampling_rate: float | None, modality: str) -> tuple[str, Any, dict[str, str]]:
    if time is None:
        if sampling_rate is None or not sampling_rate > 0:
            raise RecordingError(
                f"a clock is needed: pass time= (s, or counts) or sampling_rate= > 0, found {sampling_rate!r}"
            )
        return "time", np.arange(size) / float(sampling_rate), {"units": "s"}
    attrs: dict[str, str] = {}
    if isinstance(time, xr.DataArray | xr.Variable):
        time, attrs = time.values, dict(time.attrs)
    elif isinstance(time, tuple) and len(time) == 3 and isinstance(time[0], str | tuple):
        time, attrs = time[1], dict(time[2])
    stamps = np.asarray(time)
    if stamps.shape != (size,):
        raise RecordingError(f"time has shape {stamps.shape} for {size} samples")
    if stamps.dtype == np.float32 or stamps.dtype == np.float16:
        raise RecordingError(f"time has dtype {stamps.dtype}, too coarse for a clock; build it in float64 seconds")
    if stamps.dtype.kind == "u" and stamps.size and stamps.max() > np.iinfo(np.int64).max:
        raise RecordingError(f"time has counts beyond int64, up to {stamps.max()}; count from a later start")
    if stamps.dtype.kind in "iu":
        default = "token" if modality == "activations" else "frame"
        return "time", stamps.astype(np.int64), {"units": attrs.get("units", default)}
    return "time", stamps, {"units": attrs.get("units", "s")}


def _regular_rate(rec: xr.DataArray) -> float | None:
    time = rec["time"].values
    bounds = [(a, b) for a, b in segment_bounds(rec) if b - a > 1]
    if not bounds or time.dtype.kind not in "if":
        return None
    start, stop = max(bounds, key=lambda pair: pair[1] - pair[0])
    span = float(time[stop - 1] - time[start])
    if not 0 < span < math.inf:
        return None
    rate = (stop - start - 1) / span
    rate = round(rate, 6) if abs(round(rate, 6) - rate) <= 1e-9 * rate else rate
    for a, b in bounds:
        off = np.abs((time[a:b] - time[a]) * rate - np.arange(b - a))
        if not off.max() <= RATE_TOLERANCE:
            return None
    return rate


def _events(events: Any) -> xr.Dataset:
    columns = {str(name): np.asarray(events[name]) for name in events}
    if "onset" not in columns:
        raise RecordingError(f"events have no column 'onset' (s); found {', '.join(columns) or 'none'}")
    data = {}
    for name, values in columns.items():
        if name in ("onset", "duration"):
            values = values.astype(np.float64)
        data[name] = ("event", values if values.dtype.kind in "biuf" else _objects(values))
    table = xr.Dataset(data)
    for name in ("onset", "duration"):
        if name in table:
            table[name].attrs["units"] = "s"
    return table


def _node(group: str, name: str) -> str:
    if not name or "/" in name or name in (".", ".."):
        raise RecordingError(f"{group} name {name!r} cannot be a node of the tree: use a plain name without '/'")
    return f"/{group}/{name}"


def _strings_as_objects(value: Any) -> Any:
    """Keep string labels as object arrays: fixed-width ones would cut later labels."""
    if isinstance(value, tuple) and len(value) >= 2:
        return (value[0], _as_plain_array(value[1]), *value[2:])
    if isinstance(value, xr.DataArray | xr.Variable):
        return value.astype(object) if value.dtype.kind in "UT" else value
    return _as_plain_array(value)


def _as_plain_array(value: Any) -> Any:
    array = value if hasattr(value, "dtype") else np.asarray(value)
    return _objects(array) if array.dtype.kind in "UT" else array


def _objects(values: Any) -> np.ndarray:
    out = np.empty(len(values) if not isinstance(values, np.ndarray) else values.shape, dtype=object)
    out[...] = [str(v) if isinstance(v, str) else v for v in values] if out.ndim == 1 else values
    return out
