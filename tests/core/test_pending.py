"""The digest that is computed beside an analysis: that of the values at the call, never of an earlier one."""

import threading

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError
from neurointerp.result import THREADED_BYTES, pending, result


def _recording(samples):
    values = np.random.default_rng(0).standard_normal((samples, 16))
    return ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)


@pytest.mark.parametrize("samples", [50, 4000])
def test_the_digest_is_that_of_the_recording_and_follows_a_change_in_place(samples):
    rec = _recording(samples)
    begun = pending(rec)
    assert (begun.digest is not None) == (rec.nbytes >= THREADED_BYTES)
    out = result({"x": xr.DataArray(1.0)}, analysis="a.b", recording=begun, parameters={}, seed=0)
    assert out.attrs["recording"] == ni.digest(rec)
    first = connectivity.correlation(rec).attrs["recording"]
    rec.values[0, 0] += 1.0
    second = connectivity.correlation(rec).attrs["recording"]
    assert first == out.attrs["recording"] != second == ni.digest(rec)


def test_an_analysis_that_fails_says_why_and_its_thread_ends():
    before = set(threading.enumerate())
    with pytest.raises(AnalysisError, match="are no counts"):
        connectivity.transfer_entropy(_recording(4000))
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_what_is_not_in_memory_is_left_to_the_result(tmp_path):
    rec = _recording(4000)
    lazy = ni.open(ni.save(rec, tmp_path / "rec.zarr"))
    assert pending(lazy).digest is None
    assert connectivity.correlation(lazy).attrs["recording"] == ni.digest(rec)
