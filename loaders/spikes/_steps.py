"""Spikes of simulated networks kept step by step: tensors (step, batch, unit) of snnTorch and Norse."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders.spikes._trains import positive
from neurointerp.recordings import add_history, recording, session


def is_steps(source: Any) -> bool:
    """Tell whether an object is an array or a tensor with a step, an optional batch and a unit axis."""
    plain = hasattr(source, "shape") and hasattr(source, "dtype") and not hasattr(source, "coords")
    return plain and len(source.shape) in (2, 3)


def steps_recording(
    source: Any, bin_width: float, start: float | None, stop: float | None, rate: float | None
) -> xr.DataArray:
    """Count the spikes of (step, unit) or (step, batch, unit) in bins of whole steps."""
    return _counted(_spikes(source), source, bin_width, start, stop, rate)


def steps_session(
    source: Any, bin_width: float, start: float | None, stop: float | None, rate: float | None
) -> xr.DataTree:
    """Give the counts and, exactly, the step, trial and unit of every spike."""
    spikes = _spikes(source)
    rec = _counted(spikes, source, bin_width, start, stop, rate)
    at = spikes.reshape(spikes.shape[0], -1, spikes.shape[-1]).transpose(2, 1, 0)
    unit, trial, step = np.nonzero(at)
    times = np.repeat(1, unit.size) * at[unit, trial, step]
    unit, trial, step = (np.repeat(index, times) for index in (unit, trial, step))
    coords: dict[str, Any] = {"spike_unit": ("spike", rec["unit"].values[unit])}
    if spikes.ndim == 3:
        coords["spike_trial"] = ("spike", trial)
    values, attrs = (step, {"units": "step"}) if rate is None else (step / rate, {"units": "s", "sampling_rate": rate})
    if rate is not None:
        coords["spike_sample"] = ("spike", step)
    kept = xr.DataArray(values, dims="spike", coords=coords, attrs=attrs)
    return session({"spikes": rec}, structure={"spike_times": kept}, attrs={"source": type(source).__name__})


def _spikes(source: Any) -> np.ndarray:
    """Give the tensor as whole counts on the CPU; anything but counts is refused."""
    values = source.detach().cpu().numpy() if hasattr(source, "detach") else np.asarray(source)
    label = f"{type(source).__name__} {tuple(values.shape)}"
    if values.dtype.kind not in "biuf" or 0 in values.shape:
        raise LoaderError(f"{label}: spikes (step, batch, unit) are needed, found dtype {values.dtype}")
    whole = values.astype(np.int64) if np.isfinite(values).all() else np.full(values.shape, -1)
    wrong = int(((whole < 0) | (whole != values)).sum())
    if wrong:
        raise LoaderError(f"{label}: {wrong} values are no counts of spikes; is this a membrane potential?")
    return whole


def _counted(
    spikes: np.ndarray, source: Any, bin_width: float, start: float | None, stop: float | None, rate: float | None
) -> xr.DataArray:
    label = type(source).__name__
    rate = None if rate is None else positive(rate, "sampling_rate (steps per s)", label)
    size = spikes.shape[0]
    width = _whole(bin_width, rate, "bin_width", label)
    if width < 1:
        raise LoaderError(f"{label}: bin_width is {bin_width!r}: at least one step is needed")
    begin = 0 if start is None else _whole(start, rate, "start", label)
    end = size if stop is None else min(_whole(stop, rate, "stop", label), size)
    bins = (end - begin) // width
    if begin < 0 or bins < 1:
        raise LoaderError(f"{label}: steps {begin} to {end} of {size} hold no bin of {width} steps")
    kept = spikes[begin : begin + bins * width]
    counts = kept.reshape(bins, width, *kept.shape[1:]).sum(axis=1)
    dims = ("time", "unit") if counts.ndim == 2 else ("trial", "time", "unit")
    first = begin + np.arange(bins, dtype=np.int64) * width
    clock: Any = ("time", first, {"units": "step"}) if rate is None else first / rate
    rec = recording(
        counts if counts.ndim == 2 else np.ascontiguousarray(counts.swapaxes(0, 1)),
        modality="spikes",
        units="1",
        time=clock,
        sampling_rate=(1.0 if rate is None else rate) / width,
        dims=dims,
        name="spikes",
        attrs={"source": label},
    )
    return add_history(
        rec,
        "loaders.spikes.load",
        bin_width=bin_width,
        steps_per_bin=width,
        steps_left_out=size - bins * width,
        events_outside=int(spikes.sum() - kept.sum()),
    )


def _whole(value: float, rate: float | None, what: str, label: str) -> int:
    """Give a duration as whole steps: seconds where the length of a step is known."""
    steps = float(value) * (1.0 if rate is None else rate)
    if not abs(steps - round(steps)) <= 1e-6 * max(abs(steps), 1.0):
        unit = "steps" if rate is None else f"s at {rate:g} steps per s"
        raise LoaderError(f"{label}: {what} {value!r} {unit} is not a whole number of steps")
    return round(steps)
