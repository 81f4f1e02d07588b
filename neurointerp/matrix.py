"""Recording to (sample, unit) matrix and back; the only place that stacks."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.schema import check, is_in_memory, segment_bounds
from neurointerp.streaming import Rows, require_room, rows_of


@dataclass(frozen=True)
class Labels:
    """What is needed to label what comes out of a recording that was stacked into a (sample, unit) matrix.

    Attributes
    ----------
    sample_dims, sample_shape
        The dims that were stacked, in order, and their sizes.
    sample_coords, unit_coords
        The coordinates that lie on those dims, and those on `unit`.
    """

    sample_dims: tuple[str, ...]
    sample_shape: tuple[int, ...]
    sample_coords: dict[Hashable, xr.DataArray]
    unit_coords: dict[Hashable, xr.DataArray]

    def unstack(self, array: Any, dim: str, labels: Any = None) -> xr.DataArray:
        """Give a (sample, k) array back on the recording's own sample dims and `dim` (labelled 0..k-1)."""
        values = np.asarray(array)
        shaped = values.reshape(*self.sample_shape, values.shape[1])
        if dim == "unit" and labels is None:
            return xr.DataArray(shaped, dims=(*self.sample_dims, dim), coords=self.sample_coords | self.unit_coords)
        names = np.arange(values.shape[1]) if labels is None else labels
        return xr.DataArray(shaped, dims=(*self.sample_dims, dim), coords={**self.sample_coords, dim: names})


@dataclass(frozen=True)
class Stacked(Labels):
    """A recording as a matrix, and its labels.

    Attributes
    ----------
    values
        (sample, unit); float32 stays, any other type is float64. `streaming.Rows` where `streamed` gave it of a
        recording that is chunked.
    """

    values: Any


def stack(recording: xr.DataArray, analysis: str = "this analysis") -> Stacked:
    """Stack every dim but `unit` of a recording into samples.

    Parameters
    ----------
    recording
        Any recording; lazy values are read, where there is room for them.
    analysis
        Named where there is none.

    Returns
    -------
    Stacked
        The (sample, unit) matrix and its labels. The recording's own memory is shared where its dtype allows:
        kernels do not write into it.

    Raises
    ------
    RecordingError
        When `recording` breaks the contract.
    AnalysisError
        When the recording is chunked and its values do not fit into memory.
    """
    found = labels(recording)
    return Stacked(**vars(found), values=_matrix(in_memory(recording, analysis)))


def streamed(recording: xr.DataArray) -> Stacked:
    """Stack as `stack` does; the values of a recording that is chunked (dask) are left where they are, as `Rows`."""
    if not recording.chunks:
        return stack(recording)
    return Stacked(**vars(labels(recording)), values=rows_of(recording))


def in_memory(recording: xr.DataArray, analysis: str) -> xr.DataArray:
    """Give a recording itself where it is in memory, else with its values read.

    Those of one that is chunked (dask), which says that it is large, are refused where they do not fit.
    """
    if is_in_memory(recording):
        return recording
    if recording.chunks:
        require_room(recording.size * (4 if recording.dtype == np.float32 else 8), analysis)
    read = recording.copy(data=recording.values)
    check(read)
    return read


def in_order(recording: xr.DataArray) -> xr.DataArray:
    """Give a recording whose values lie in memory in the order of its dims; itself where they do, or are not there.

    What is stacked and digested is put in order once, not twice.
    """
    if not is_in_memory(recording) or recording.values.flags.c_contiguous:
        return recording
    return recording.copy(data=np.ascontiguousarray(recording.values))


def labels(recording: xr.DataArray) -> Labels:
    """Give the labels that `stack` gives, without reading the values.

    Raises
    ------
    RecordingError
        When `recording` breaks the contract.
    """
    check(recording)
    coords = recording.coords
    return Labels(
        sample_dims=tuple(str(dim) for dim in recording.dims[:-1]),
        sample_shape=tuple(recording.shape[:-1]),
        sample_coords={name: c for name, c in coords.items() if c.dims and "unit" not in c.dims},
        unit_coords={name: c for name, c in coords.items() if c.dims == ("unit",)},
    )


def blocks(recording: xr.DataArray) -> Iterator[np.ndarray]:
    """Give the rows of the matrix that `stack` gives, in order, one chunk at a time.

    A recording that is not chunked (dask) is one block.
    """
    if recording.chunks:
        yield from rows_of(recording).blocks()
    else:
        yield _matrix(recording)


def _matrix(recording: xr.DataArray) -> np.ndarray:
    array = np.asarray(recording.values)
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    return array.reshape(-1, array.shape[-1]).astype(dtype, copy=False)


def stretches(recording: xr.DataArray) -> list[slice]:
    """Give the stretches of the stacked sample axis that lags, windows and shifts may not leave.

    A stretch is one segment of one trial of one subject. Without a `time` dim every sample stands alone.
    With further dims between `time` and `unit` (a feature map) there is no single time axis: refused.
    """
    dims = [str(dim) for dim in recording.dims[:-1]]
    total = int(np.prod([recording.sizes[dim] for dim in dims], dtype=int))
    if "time" not in dims:
        return [slice(i, i + 1) for i in range(total)]
    if dims[-1] != "time":
        raise AnalysisError(
            f"dims {tuple(recording.dims)} have {dims[-1]!r} between time and unit: stack it into unit first"
        )
    size = recording.sizes["time"]
    bounds = segment_bounds(recording)
    return [slice(row + a, row + b) for row in range(0, total, max(size, 1)) for a, b in bounds if b > a]


def require_values(recording: xr.DataArray, analysis: str) -> None:
    """Refuse a recording without samples or without units; reads none."""
    if not recording.size:
        sizes = ", ".join(f"{dim} {size}" for dim, size in recording.sizes.items())
        raise AnalysisError(f"{analysis}: a recording holds no values ({sizes}); one sample and one unit are the least")


def require_complete(recording: xr.DataArray, analysis: str) -> None:
    """Refuse a recording with missing values, naming how many and the first unit concerned."""
    if recording.dtype.kind != "f":
        return
    if recording.chunks:
        require_all(rows_of(recording), recording["unit"].values, analysis)
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(recording.values.sum()):
            return
    missing = np.isnan(recording.values).reshape(-1, recording.shape[-1])
    _require_none(missing.sum(axis=0), len(missing), recording["unit"].values, analysis)


def require_all(rows: Rows, units: np.ndarray, analysis: str) -> None:
    """Refuse rows with missing values as `require_complete` does, in one pass over them."""
    _require_none(rows.about.missing, len(rows), units, analysis)


def _require_none(missing: np.ndarray, samples: int, units: np.ndarray, analysis: str) -> None:
    count = int(missing.sum())
    if count:
        unit = str(units[int(np.argmax(missing > 0))])
        whole = int((missing == samples).sum())
        raise AnalysisError(
            f"{analysis}: {count} missing values in {int((missing > 0).sum())} of {len(units)} units ({whole} without "
            f"any value), first in unit {unit!r}; drop them (.drop_sel(unit=[...])) or fill them first"
        )
