"""What is decoded from what: a recording as samples by features by moments, and the label of each sample."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import split
from neurointerp.errors import AnalysisError
from neurointerp.matrix import Labels, labels, require_complete, require_values, stack
from neurointerp.schema import check

Time = Literal["samples", "each", "features"]


class Samples(NamedTuple):
    """A recording laid out for decoding.

    Attributes
    ----------
    values
        (sample, feature, moment), float64; one moment unless each point in time has a decoder of its own.
    frame
        Recording without values of interest whose sample dims are those of the samples: what splits are made of.
    labels
        Labels of `frame`.
    clock
        The time coordinate of moments or of features, or None where time is among the samples.
    """

    values: NDArray[np.float64]
    frame: xr.DataArray
    labels: Labels
    clock: xr.DataArray | None


def samples(recording: xr.DataArray, time: Time, analysis: str) -> Samples:
    """Lay out a complete recording by what `time` says; refuse what has no such layout."""
    check(recording)
    odd = [str(dim) for dim in recording.dims if dim not in ("subject", "trial", "time", "unit")]
    if odd:
        raise AnalysisError(f"{analysis}: dims {recording.dims} hold {odd[0]!r}: stack it into unit first")
    if time not in ("samples", "each", "features"):
        raise AnalysisError(f"{analysis}: time {time!r}: 'samples', 'each' or 'features' is needed")
    require_values(recording, analysis)
    require_complete(recording, analysis)
    if time == "samples":
        return Samples(_float64(stack(recording).values)[:, :, None], recording, labels(recording), None)
    if not {"trial", "time"} <= set(recording.dims):
        raise AnalysisError(
            f"{analysis}: time={time!r} needs trials in time, found dims {recording.dims}; cut trials with align.epoch"
        )
    timeless = recording.drop_vars(
        [name for name, c in recording.coords.items() if "time" in c.dims and name != "time"]
    )
    frame = timeless.isel(time=0, drop=True)
    values = _float64(recording.values).reshape(-1, recording.sizes["time"], recording.sizes["unit"])
    values = values.reshape(len(values), -1, 1) if time == "features" else values.transpose(0, 2, 1)
    return Samples(values, frame, labels(frame), recording["time"])


def classes(frame: xr.DataArray, target: str, analysis: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Give the class number of each sample and the classes' labels, sorted."""
    if not isinstance(target, str):
        raise AnalysisError(f"{analysis}: target is the name of a sample coordinate, found {type(target).__name__}")
    flat = sample_values(frame, target, analysis)
    names, number = np.unique(flat, return_inverse=True)
    if names.size < 2:
        raise AnalysisError(f"{analysis}: {target!r} has the one class {str(names[0])!r}; two or more are needed")
    rare = np.bincount(number).min()
    if rare < 2:
        lone = names[np.bincount(number).argmin()]
        raise AnalysisError(
            f"{analysis}: class {str(lone)!r} of {target!r} has a single sample, so it cannot be held out; drop it, or "
            "decode a continuous target with decoding.ridge"
        )
    return number.astype(np.int64), names


def sample_values(frame: xr.DataArray, name: str, analysis: str) -> NDArray[Any]:
    """Give a sample coordinate as one value per stacked sample; refuse one that is missing anywhere."""
    if name == "time" or name not in frame.coords:
        known = sorted(
            {str(c) for c, coord in frame.coords.items() if coord.dims and "unit" not in coord.dims} - {"time"}
        )
        raise AnalysisError(
            f"{analysis}: no coordinate {name!r} on the samples {tuple(frame.dims[:-1])}; there are: "
            f"{', '.join(known) or 'none'}"
        )
    split.groups(frame, name)  # refuses coordinates of units and missing labels
    sample = frame.isel(unit=0, drop=True)
    spread = frame[name].broadcast_like(sample.reset_coords(drop=True)).transpose(*sample.dims)
    flat: NDArray[Any] = spread.values.ravel()
    return flat


def _float64(values: Any) -> NDArray[np.float64]:
    return np.asarray(values).astype(np.float64, copy=False)
