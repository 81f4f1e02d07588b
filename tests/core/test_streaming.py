"""The rows of a chunked (dask) recording, block by block."""

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import streaming

da = pytest.importorskip("dask.array")
SAMPLES = 480


def test_rows_see_their_neighbours():
    x = np.random.default_rng(0).standard_normal((SAMPLES, 6))
    rec = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    rows = streaming.rows_of(rec.chunk(time=24))

    def kernel(block, first, own):
        assert np.array_equal(block, x[first : first + len(block)])
        return (np.arange(SAMPLES)[first:][own],)

    for before, after in ((0, 0), (5, 0), (0, 130), (200, 1000)):
        found = rows.total(kernel, before=before, after=after, combine=lambda *parts: (np.concatenate(sum(parts, ())),))
        np.testing.assert_array_equal(found[0], np.arange(SAMPLES))
    assert xr.DataArray(np.concatenate(list(rows.blocks()))).equals(xr.DataArray(x))
