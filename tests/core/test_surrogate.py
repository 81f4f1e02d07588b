"""Surrogates keep what a unit does alone and nothing of what units do together."""

import numpy as np
import pytest
from scipy.signal import lfilter

import neurointerp as ni
from neurointerp import matrix, surrogate
from neurointerp.errors import AnalysisError


def _common_signal(samples=2000, units=6):
    rng = np.random.default_rng(0)
    shared = lfilter([1.0], [1.0, -0.8], rng.standard_normal(samples))
    values = shared[:, None] + 0.5 * rng.standard_normal((samples, units))
    return ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)


def test_every_unit_keeps_its_values_in_each_stretch(recordings):
    for recording in recordings.values():
        shifted = surrogate.circular_shift(recording, seed=3)
        ni.check(shifted)
        assert shifted.dtype == recording.dtype
        assert shifted.drop_attrs().coords.equals(recording.drop_attrs().coords)
        before, after = matrix.stack(recording).values, matrix.stack(shifted).values
        assert not np.array_equal(before, after)
        for part in matrix.stretches(recording):
            np.testing.assert_array_equal(np.sort(after[part], axis=0), np.sort(before[part], axis=0))


def test_the_power_spectrum_of_each_unit_is_kept_and_the_correlation_lost():
    recording = _common_signal()
    shifted = surrogate.circular_shift(recording)
    power = [np.abs(np.fft.rfft(rec.values, axis=0)) ** 2 for rec in (recording, shifted)]
    np.testing.assert_allclose(power[1], power[0], rtol=1e-6, atol=1e-6 * power[0].max())
    off_diagonal = ~np.eye(6, dtype=bool)
    assert np.corrcoef(recording.values.T)[off_diagonal].min() > 0.8
    assert np.abs(np.corrcoef(shifted.values.T)[off_diagonal]).max() < 0.3


@pytest.mark.parametrize("size", [10, 25, 100])
def test_shifts_differ_between_units_and_are_never_small(size):
    values = np.zeros((size, 2000))
    values[0] = 1.0
    rng = np.random.default_rng(1)
    offset = surrogate.circular_shift_matrix(values, [slice(0, size)], rng).argmax(axis=0)
    least = int(surrogate.MINIMUM_SHIFT * size)
    assert set(offset) == set(range(least, size - least + 1))


def test_short_stretches_use_every_shift():
    values = np.zeros((3, 200))
    values[0] = 1.0
    offset = surrogate.circular_shift_matrix(values, [slice(0, 3)], np.random.default_rng(0)).argmax(axis=0)
    assert set(offset) == {0, 1, 2}


def test_values_stay_in_their_own_trial_and_subject():
    shape = (2, 3, 12, 4)
    values = np.broadcast_to(np.arange(6.0).reshape(2, 3, 1, 1), shape) + np.arange(12.0)[:, None] / 100
    recording = ni.recording(
        values, modality="eeg", units="V", sampling_rate=1.0, dims=("subject", "trial", "time", "unit")
    )
    shifted = surrogate.circular_shift(recording)
    np.testing.assert_array_equal(np.floor(shifted.values), np.floor(values))
    first = shifted.isel(time=0).values.reshape(6, 4) % 1
    assert len({tuple(row) for row in first.round(2)}) > 1, "each trial has offsets of its own"


def test_trials_without_time_are_permuted_per_unit_and_subject():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((2, 400, 1)) + np.array([0.0, 100.0])[:, None, None]
    recording = ni.recording(
        np.repeat(shared, 3, axis=2), modality="fmri", units="1", dims=("subject", "trial", "unit")
    )
    shifted = surrogate.circular_shift(recording)
    np.testing.assert_array_equal(np.sort(shifted.values, axis=1), np.sort(recording.values, axis=1))
    for subject in shifted.values:
        assert np.abs(np.corrcoef(subject.T)[~np.eye(3, dtype=bool)]).max() < 0.2


def test_missing_values_travel_with_their_unit():
    values = np.arange(40.0).reshape(20, 2)
    values[:3, 0] = np.nan
    recording = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    shifted = surrogate.circular_shift(recording)
    assert np.isnan(shifted.values).sum(axis=0).tolist() == [3, 0]


def test_the_seed_decides_and_the_input_is_left_alone():
    recording = _common_signal(200)
    before = ni.digest(recording)
    first, second = (surrogate.circular_shift(recording, seed=1) for _ in range(2))
    assert ni.digest(first) == ni.digest(second) != ni.digest(surrogate.circular_shift(recording, seed=2))
    assert ni.digest(recording) == before
    step = first.attrs["history"][-1]
    assert step["function"] == "surrogate.circular_shift"
    assert step["parameters"] == {"seed": 1, "minimum_shift": 0.1}


def test_torch_is_moved_as_numpy_is():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((30, 4))
    parts = [slice(0, 12), slice(12, 30)]
    for move in (surrogate.circular_shift_matrix, surrogate.permuted_matrix):
        found = move(torch.tensor(values), parts, np.random.default_rng(5))
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), move(values, parts, np.random.default_rng(5)))


def test_single_samples_cannot_be_shifted():
    recording = ni.recording(
        np.zeros((3, 2)), modality="eeg", units="V", time=np.arange(3.0), coords={"segment": ("time", [0, 1, 2])}
    )
    with pytest.raises(AnalysisError, match="none of the 3 stretches has two samples"):
        surrogate.circular_shift(recording)
