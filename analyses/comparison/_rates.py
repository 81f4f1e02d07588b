"""One sampling rate for all recordings whose clock counts seconds."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from neurointerp import align, matrix
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.recordings import add_history, recording

Rate = float | Literal["slowest"]


def at_one_rate(flat: dict[str, xr.DataArray], rate: Rate) -> dict[str, xr.DataArray]:
    """Bring every recording with a clock in seconds to one rate, at most the slowest there is; others stay."""
    timed = {name: rec for name, rec in flat.items() if _in_seconds(rec)}
    irregular = [name for name, rec in timed.items() if "sampling_rate" not in rec.attrs]
    if irregular:
        raise AnalysisError(
            f"compare: rate={rate!r}: recording {irregular[0]!r} has an irregular clock; put it on a regular one with "
            "align.interpolate first"
        )
    if not timed:
        raise AnalysisError(f"compare: rate={rate!r}: no recording has a clock in seconds; leave rate out")
    rates = {name: float(rec.attrs["sampling_rate"]) for name, rec in timed.items()}
    slowest = min(rates, key=rates.__getitem__)
    if (isinstance(rate, str) and rate != "slowest") or (not isinstance(rate, str) and not 0 < rate < np.inf):
        raise AnalysisError(f"compare: rate is {rate!r}: a number of samples per second or 'slowest' is needed")
    target = rates[slowest] if isinstance(rate, str) else float(rate)
    if target > rates[slowest]:
        raise AnalysisError(
            f"compare: rate is {target:g} Hz and recording {slowest!r} has {rates[slowest]:g} Hz; a higher rate cannot "
            "be made up: match to that one or a lower one"
        )
    return {
        name: _noted(at_rate(name, rec, target), rate=target, rate_before=rates[name])
        if name in timed
        else _noted(rec, rate=None, left="the clock does not count seconds")
        for name, rec in flat.items()
    }


def _noted(rec: xr.DataArray, **parameters: Any) -> xr.DataArray:
    return add_history(rec, "comparison.at_one_rate", **parameters)


def at_rate(name: str, rec: xr.DataArray, rate: float) -> xr.DataArray:
    """Resample with a low-pass filter; counts of spikes are added up, which needs a whole number of bins."""
    if rec.attrs["sampling_rate"] == rate:
        return rec
    try:
        if rec.attrs["modality"] == "spikes" and rec.dtype.kind in "biu":
            return _added_up(rec, rate)
        return align.resample(rec, rate)
    except AlignmentError as error:
        raise AnalysisError(f"compare: recording {name!r}: {error}") from error


def _in_seconds(rec: xr.DataArray) -> bool:
    return "time" in rec.dims and rec["time"].dtype.kind == "f"


def _added_up(rec: xr.DataArray, rate: float) -> xr.DataArray:
    """Add up counts of neighbouring bins of a segment; a rest at its end that fills no bin is left out."""
    factor = round(rec.attrs["sampling_rate"] / rate)
    if abs(rec.attrs["sampling_rate"] / rate / factor - 1) > 1e-9:
        raise AlignmentError(
            f"counts of spikes at {rec.attrs['sampling_rate']:g} Hz do not add up to {rate:g} Hz: bin the events anew "
            "with align.bin_events"
        )
    data = rec.data if rec.chunks else rec.values
    values, rows, segment = [], [], []
    for number, stretch in enumerate(matrix.stretches(rec)):
        if not (bins := (stretch.stop - stretch.start) // factor):
            continue
        part = data[stretch][: bins * factor]
        values.append(part.reshape(bins, factor, rec.sizes["unit"]).sum(axis=1))
        rows.append(stretch.start + factor * np.arange(bins))
        segment.append(np.full(bins, number))
    if not values:
        raise AlignmentError(f"no segment is as long as one bin of {rate:g} Hz ({factor} samples); take a higher rate")
    coords: dict[str, Any] = {
        str(key): one.variable for key, one in rec.coords.items() if one.dims == ("unit",) and key != "unit"
    }
    if "segment" in rec.coords:
        coords["segment"] = ("time", np.concatenate(segment))
    out = recording(
        np.concatenate(values), modality="spikes", units=rec.attrs["units"], unit=list(rec["unit"].values),
        time=("time", rec["time"].values[np.concatenate(rows)], dict(rec["time"].attrs)), coords=coords,
        attrs={key: value for key, value in rec.attrs.items() if key not in ("modality", "units", "sampling_rate")},
    )  # fmt: skip
    return add_history(out, "comparison.added_up", rate=rate, bins=factor)
