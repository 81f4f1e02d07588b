"""Making recordings comparable: one number of units and samples, one scaling."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.analyses.comparison._quality import Quality, of_equal_quality
from neurointerp.analyses.comparison._rates import Rate, at_one_rate
from neurointerp.errors import AnalysisError
from neurointerp.recordings import add_history, recording
from neurointerp.streaming import rows_of

MAX_UNITS = 64
MAX_SAMPLES = 1000
MIN_UNITS = 4
MIN_SAMPLES = 60
KEPT_ATTRS = ("system", "source", "license", "citation", "history")


def matched(
    recordings: Mapping[str, xr.DataArray], *, units: int | None, samples: int | None, seed: int,
    rate: Rate | None = None, quality: Quality | None = None, reliability: float | None = None,
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Cut every recording to the same number of samples and units, z-scored per unit.

    A contiguous window of samples is placed at random, then units are drawn at random among those that vary in it
    (order kept). Both draws depend on the seed and the recording's name alone. Trials become segments. Where asked,
    clocks in seconds are first brought to one rate, and noise last makes all equally reliable.
    """
    if reliability is not None and quality is None:
        raise AnalysisError("compare: reliability needs quality, 'repeats' or 'units': what it is measured by")
    for what, given, least in (("units", units, MIN_UNITS), ("samples", samples, MIN_SAMPLES)):
        if given is not None and given < least:
            raise AnalysisError(f"compare: {what} is {given}; {least} at least are needed")
    flat = {name: _flat(name, rec) for name, rec in recordings.items()}
    if rate is not None:
        flat = at_one_rate(flat, rate)
    count = min(min(len(rec) for rec in flat.values()), samples or MAX_SAMPLES)
    cut = {name: _window(name, rec, count, seed) for name, rec in flat.items()}
    live = {name: _varying(rec) for name, rec in cut.items()}
    width = min(min(len(index) for index in live.values()), units or MAX_UNITS)
    for name, rec in recordings.items():
        if len(live[name]) < MIN_UNITS or count < MIN_SAMPLES:
            raise AnalysisError(
                f"compare: recording {name!r} has {len(live[name])} units that vary over {count} samples; "
                f"{MIN_UNITS} units and {MIN_SAMPLES} samples at least are needed (found {dict(rec.sizes)})"
            )
    drawn = {name: _drawn(name, cut[name], live[name], width, seed) for name in recordings}
    return drawn if quality is None else of_equal_quality(drawn, recordings, quality, reliability, seed)


def _flat(name: str, rec: xr.DataArray) -> xr.DataArray:
    """Give a recording on (time, unit) or, where it has no time, (trial, unit); each epoch becomes a segment."""
    matrix.require_complete(rec, f"compare: recording {name!r}")
    if rec.dims in (("time", "unit"), ("trial", "unit")):
        return rec
    if rec.dims != ("trial", "time", "unit"):
        raise AnalysisError(
            f"compare: recording {name!r} has dims {rec.dims}; pick one subject (.isel(subject=0)) and stack "
            "further dims into unit"
        )
    # of a chunked recording a window alone is ever read
    values = rows_of(rec).array if rec.chunks else matrix.stack(rec).values
    segment = np.concatenate([np.full(s.stop - s.start, i) for i, s in enumerate(matrix.stretches(rec))])
    return recording(
        values,
        modality=rec.attrs["modality"],
        units=rec.attrs["units"],
        unit=list(rec["unit"].values),
        time=("time", _trial_clock(rec), dict(rec["time"].attrs)),
        coords={"segment": ("time", segment)},
        attrs={key: rec.attrs[key] for key in KEPT_ATTRS if key in rec.attrs},
    )


def _trial_clock(rec: xr.DataArray) -> np.ndarray:
    """Give one increasing clock to trials laid end to end, each keeping its own steps."""
    time = rec["time"].values
    step = np.median(np.diff(time)).astype(time.dtype) if time.size > 1 else time.dtype.type(1)
    starts = np.arange(rec.sizes["trial"]).astype(time.dtype) * (time[-1] - time[0] + 2 * step)
    out: np.ndarray = (starts[:, None] + (time - time[0])[None, :]).ravel()
    return out


def _window(name: str, rec: xr.DataArray, count: int, seed: int) -> xr.DataArray:
    start = int(_rng(name, seed, "window").integers(0, len(rec) - count + 1))
    cut = rec[start : start + count]
    return cut.copy(data=cut.values) if rec.chunks else cut


def _varying(rec: xr.DataArray) -> np.ndarray:
    values = np.asarray(rec.values)
    return np.flatnonzero((values != values[:1]).any(axis=0))


def _drawn(name: str, rec: xr.DataArray, live: np.ndarray, width: int, seed: int) -> xr.DataArray:
    chosen = np.sort(_rng(name, seed, "units").choice(live, size=width, replace=False))
    out = rec.isel(unit=chosen)
    values = np.asarray(out.values, dtype=np.float64)
    out = out.copy(data=(values - values.mean(axis=0)) / values.std(axis=0))
    # what labels samples (stimulus, condition) would change how folds are made from one recording to the next; tokens
    # do not, and components are read by them
    kept = ("time", "trial", "segment", "token")
    out = out.drop_vars([k for k, coord in out.coords.items() if coord.dims != ("unit",) and k not in kept])
    out.attrs = {**rec.attrs, "units": "1"}
    left = {"units": rec.sizes["unit"], "constant_units": rec.sizes["unit"] - len(live)}
    return add_history(out, "comparison.matched", units=width, samples=len(rec), of=left, seed=seed)


def _rng(name: str, seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f"{name}/{purpose}".encode())])
