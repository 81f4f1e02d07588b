import numpy as np
import pytest

import neurointerp as ni
from neurointerp import matrix


def test_stacking_keeps_every_label(recordings):
    rec = recordings["stimulus"]
    stacked = matrix.stack(rec)
    assert stacked.values.shape == (120, 8)
    back = stacked.unstack(stacked.values, "unit")
    assert back.drop_attrs().identical(rec.rename(None).drop_attrs()) or back.equals(rec)
    assert back["stimulus"].values.tolist() == ["a", "b", "c", "a", "b", "c"]
    scores = stacked.unstack(stacked.values[:, :2], "component")
    assert scores.dims == ("trial", "time", "component")


def test_float32_stays_and_counts_become_float64(recordings):
    assert matrix.stack(recordings["activations"]).values.dtype == np.float32
    assert matrix.stack(recordings["spikes"]).values.dtype == np.float64
    assert np.shares_memory(matrix.stack(recordings["eeg"]).values, recordings["eeg"].values)


def test_stretches_end_at_segments_and_trials(recordings):
    assert matrix.stretches(recordings["activations"]) == [slice(0, 50), slice(50, 90), slice(90, 120)]
    assert matrix.stretches(recordings["stimulus"]) == [slice(i, i + 20) for i in range(0, 120, 20)]
    trials = recordings["stimulus"].isel(time=0, drop=True)
    assert matrix.stretches(trials) == [slice(i, i + 1) for i in range(6)]
    movie = ni.recording(
        np.zeros((4, 2, 3)), modality="stimulus", units="1", sampling_rate=1.0, dims=("time", "row", "unit")
    )
    with pytest.raises(ni.AnalysisError, match="'row' between time and unit"):
        matrix.stretches(movie)


def test_missing_values_are_counted(recordings):
    rec = recordings["eeg"].copy(deep=True)
    matrix.require_complete(rec, "x")
    rec[:, 3] = np.nan
    rec[0, 5] = np.nan
    with pytest.raises(
        ni.AnalysisError, match=r"x: 121 missing values in 2 of 8 units \(1 without any value\), first in unit 'u3'"
    ):
        matrix.require_complete(rec, "x")
