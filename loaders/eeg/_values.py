"""Values that are read when they are used, by way of MNE, and only the part that is used."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurointerp.loaders.eeg._opened import asking

NEAR = 8192
"""Samples between two wanted ones that are read through, not jumped over."""
CHECKED = 1024
"""Samples at the beginning, in the middle and at the end that are looked at when a file is opened."""


READING = threading.Lock()
"""Threads of dask read in turn: the capture of warnings is one for the process."""


class _Lazy(BackendArray):
    """The array interface that xarray indexes; `_read` gives what an outer index selects."""

    def __init__(self, data: Any, label: str, shape: tuple[int, ...], channels: list[int], scale: np.ndarray) -> None:
        self.data, self.label, self.shape = data, label, shape
        self.channels, self.scale = np.asarray(channels), scale
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        found: np.ndarray = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )
        return found

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        wanted = [
            np.arange(*index.indices(size)) if isinstance(index, slice) else np.asarray(index)
            for size, index in zip(self.shape, key, strict=True)
        ]
        plain = [np.atleast_1d(index) for index in wanted]
        values = np.empty(tuple(index.size for index in plain))
        if values.size:
            with READING, asking(self.label):
                values[...] = self._read(*plain)
            scale = self.scale[plain[-1]]
            if (scale != 1).any():
                values *= scale
        return values[tuple(0 if np.ndim(index) == 0 else slice(None) for index in wanted)]

    def _read(self, *wanted: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class _LazyRaw(_Lazy):
    """(time, unit) of a Raw whose data are on disk; `kept` are its samples that the recording has."""

    def __init__(self, *described: Any, kept: np.ndarray | None) -> None:
        super().__init__(*described)
        self.kept = kept

    def _read(self, *wanted: np.ndarray) -> np.ndarray:
        samples = wanted[0] if self.kept is None else self.kept[wanted[0]]
        unique, back = np.unique(samples, return_inverse=True)
        rows = np.empty((unique.size, wanted[1].size))
        picks, order = np.unique(self.channels[wanted[1]], return_inverse=True)
        cuts = np.flatnonzero(np.diff(unique) > NEAR) + 1
        for first, last in itertools.pairwise([0, *cuts, unique.size]):
            whole = unique[last - 1] - unique[first] == last - 1 - first
            step = int(last - first) if whole else NEAR  # in blocks, so that a thinned one takes little memory
            for at in range(first, last, step):
                part = unique[at : min(at + step, last)]
                start = int(part[0])
                block = self.data.get_data(picks=picks, start=start, stop=int(part[-1]) + 1, verbose="warning")
                rows[at : at + part.size] = block[order][:, part - start].T
        return rows if unique.size == samples.size and (unique == samples).all() else rows[back]


class _LazyEpochs(_Lazy):
    """(trial, time, unit) of Epochs whose data are on disk."""

    def _read(self, *wanted: np.ndarray) -> np.ndarray:
        picks = self.channels[wanted[2]]
        trials = self.data[wanted[0]].get_data(copy=True, verbose="warning")
        found: np.ndarray = trials[:, picks][:, :, wanted[1]].transpose(0, 2, 1)
        return found


def values_of(data: Any, label: str, channels: list[int], scale: np.ndarray, kept: np.ndarray | None) -> Any:
    """Give (time, unit), (trial, time, unit) or, of several Evoked, (trial, time, unit) values.

    What MNE has in memory is copied; what it has on disk is read when it is used, and then kept.
    """
    if isinstance(data, list):
        stacked = np.stack([one.data[channels].T for one in data]) * scale
        return stacked if len(data) > 1 else stacked[0]
    if hasattr(data, "first_samp"):
        size = data.n_times if kept is None else kept.size
        lazy: _Lazy = _LazyRaw(data, label, (size, len(channels)), channels, scale, kept=kept)
    else:
        lazy = _LazyEpochs(data, label, (len(data), len(data.times), len(channels)), channels, scale)
    if data.preload:
        return lazy._outer(tuple(slice(None) for _ in lazy.shape))
    lazy.data = data.copy()  # what the caller does to its object later must not reach the recording
    return indexing.MemoryCachedArray(indexing.LazilyIndexedArray(lazy))  # type: ignore[no-untyped-call]


def sample_of(rec: xr.DataArray) -> np.ndarray:
    """Read a little of a recording: some of its beginning, its middle and its end."""
    along = "trial" if "trial" in rec.dims else "time"
    size, count = rec.sizes[along], 2 if along == "trial" else CHECKED
    starts = sorted({0, max(size // 2 - count // 2, 0), max(size - count, 0)})
    where = np.unique(np.concatenate([np.arange(start, min(start + count, size)) for start in starts]))
    values: np.ndarray = rec.isel({along: where}).values
    return values
