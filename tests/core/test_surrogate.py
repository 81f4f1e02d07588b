"""Surrogates keep what a unit does alone and nothing of what units do together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
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


# --- generated recordings: what a surrogate keeps, in every stretch of every unit ---

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def generated(draw, trial=False):
    """Draw a recording of noise, counts or float32 with segments, trials and subjects of any small length."""
    dims = draw(st.sampled_from([("trial", "time"), ("subject", "trial", "time")] + [("time",)] * (not trial)))
    sizes = {"time": draw(st.integers(3, 40)), "trial": draw(st.integers(2, 4)), "subject": 2}
    shape = (*(sizes[dim] for dim in dims), draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    values = np.cumsum(rng.standard_normal(shape), axis=-2) * draw(st.sampled_from([1e-6, 1.0, 1e6]))
    kind = draw(st.sampled_from(["float64", "float32", "counts", "constant"]))
    if kind == "counts":
        values = rng.poisson(3.0, shape)
    elif kind == "constant":
        values[..., 0] = 0.1
    cuts = np.sort(rng.integers(0, sizes["time"], draw(st.integers(0, 2))))
    segment = np.searchsorted(cuts, np.arange(sizes["time"]), side="right")
    coords = {"segment": ("time", segment)}
    if "trial" in dims:
        coords["stimulus"] = ("trial", rng.integers(0, 2, sizes["trial"]))
    values = values.astype(np.float32) if kind == "float32" else values
    return ni.recording(values, modality="calcium", units="mV", sampling_rate=10.0, dims=(*dims, "unit"), coords=coords)


def _stretches(rec):
    return [matrix.stack(rec).values[part] for part in matrix.stretches(rec)]


def _largest(rec):
    return max(part.stop - part.start for part in matrix.stretches(rec))


def _spectra(rec):
    return [np.abs(np.fft.rfft(part.astype(np.float64), axis=0)) for part in _stretches(rec)]


@given(generated(), st.booleans(), st.integers(0, 99))
@QUICK
def test_phases_keep_the_spectrum_of_every_stretch(rec, independent, seed):
    if _largest(rec) < 3:
        return
    out = surrogate.phase_randomize(rec, independent=independent, seed=seed)
    ni.check(out)
    assert out.attrs["units"] == "mV"
    assert out.dtype == (np.float32 if rec.dtype == np.float32 else np.float64)
    close = 1e-4 if rec.dtype == np.float32 else 1e-9
    for before, after in zip(_spectra(rec), _spectra(out), strict=True):
        np.testing.assert_allclose(after, before, atol=close * max(before.max(), 1e-300))


@given(generated(), st.integers(0, 99))
@QUICK
def test_iaaft_keeps_the_values_exactly_and_states_the_error_of_the_spectrum(rec, seed):
    if _largest(rec) < 3:
        return
    out = surrogate.iaaft(rec, seed=seed)
    assert out.dtype == rec.dtype
    worst = 0.0
    for before, after in zip(_stretches(rec), _stretches(out), strict=True):
        np.testing.assert_array_equal(np.sort(after, axis=0), np.sort(before, axis=0))
    for before, after in zip(_spectra(rec), _spectra(out), strict=True):
        power = (before[1:] ** 2).sum(axis=0)
        miss = ((after - before)[1:] ** 2).sum(axis=0)
        worst = max([worst, *np.sqrt(miss[power > 1e-20] / power[power > 1e-20])])
    assert out.attrs["history"][-1]["parameters"]["spectrum_error"] == pytest.approx(worst, rel=0.02, abs=1e-4)


@given(generated(), st.integers(0, 99))
@QUICK
def test_shifts_stay_in_their_stretch(rec, seed):
    if _largest(rec) < 2:
        return
    out = surrogate.circular_shift(rec, seed=seed)
    for before, after in zip(_stretches(rec), _stretches(out), strict=True):
        for unit in range(before.shape[1]):
            turns = [np.roll(before[:, unit], k) for k in range(len(before))]
            assert any(np.array_equal(after[:, unit], turn) for turn in turns)


@given(generated(trial=True), st.sampled_from([None, "stimulus"]), st.integers(0, 99))
@QUICK
def test_trials_are_shuffled_whole_per_unit_within_subject_and_stimulus(rec, within, seed):
    stimulus = rec["stimulus"].values
    if within and len(set(stimulus)) == stimulus.size:
        with pytest.raises(AnalysisError, match="no two of"):
            surrogate.shuffle_trials(rec, within=within)
        return
    out = surrogate.shuffle_trials(rec, within=within, seed=seed)
    assert out.dtype == rec.dtype
    before, after = (one.transpose(..., "unit", "trial", "time") for one in (rec, out))
    for place in np.ndindex(before.shape[:-2]):
        for label in set(stimulus) if within else [None]:
            chosen = stimulus == label if within else slice(None)
            assert sorted(map(tuple, after.values[place][chosen])) == sorted(map(tuple, before.values[place][chosen]))


@given(generated(trial=True), st.integers(0, 99))
@QUICK
def test_labels_are_permuted_and_values_left(rec, seed):
    if len(set(rec["stimulus"].values)) < 2:
        with pytest.raises(AnalysisError, match="'stimulus' has one value in each of 1 groups"):
            surrogate.shuffle_labels(rec, "stimulus")
        return
    out = surrogate.shuffle_labels(rec, "stimulus", seed=seed)
    np.testing.assert_array_equal(out.values, rec.values)
    assert sorted(out["stimulus"].values) == sorted(rec["stimulus"].values)
    assert out.drop_vars("stimulus").drop_attrs().identical(rec.drop_vars("stimulus").drop_attrs())


# --- what is lost, and what is not ---


def test_the_same_phases_keep_the_cross_spectra_and_independent_ones_do_not():
    rec = _common_signal(400).assign_coords(segment=("time", np.repeat([0, 1], [150, 250])))

    def cross(one):
        spectra = [np.fft.rfft(part, axis=0) for part in _stretches(one)]
        return [s[:, :, None] * s[:, None, :].conj() for s in spectra]

    same, alone = (surrogate.phase_randomize(rec, independent=flag, seed=1) for flag in (False, True))
    for before, after in zip(cross(rec), cross(same), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-9 * np.abs(before).max())
    assert not np.allclose(same.values, rec.values)
    off_diagonal = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(np.corrcoef(same.values[:150].T), np.corrcoef(rec.values[:150].T), atol=1e-9)
    assert np.abs(np.corrcoef(alone.values.T)[off_diagonal]).max() < 0.5
    assert np.corrcoef(rec.values.T)[off_diagonal].min() > 0.8


def test_phases_make_values_gaussian_and_iaaft_does_not():
    rng = np.random.default_rng(0)
    bursts = rng.exponential(1.0, (2000, 3)) ** 3
    rec = ni.recording(bursts, modality="calcium", units="1", sampling_rate=1.0)
    assert (stats.kurtosis(rec.values) > 20).all()
    assert (np.abs(stats.kurtosis(surrogate.phase_randomize(rec).values)) < 1).all()
    np.testing.assert_array_equal(np.sort(surrogate.iaaft(rec).values, axis=0), np.sort(bursts, axis=0))


def _reference_iaaft(values, iterations, rng):
    """Schreiber and Schmitz (1996) for one series, written on its own: gives the error of the spectrum."""
    ordered, amplitude = np.sort(values), np.abs(np.fft.fft(values))
    found = rng.permutation(values)
    for _ in range(iterations):
        shaped = np.fft.ifft(amplitude * np.exp(1j * np.angle(np.fft.fft(found)))).real
        found = ordered[np.argsort(np.argsort(shaped))]
    miss = (np.abs(np.fft.fft(found)) - amplitude)[1:]
    return np.sqrt((miss**2).sum() / (amplitude[1:] ** 2).sum())


def test_iaaft_is_as_close_to_the_spectrum_as_an_independent_implementation():
    slow = lfilter([1.0], [1.0, -0.9], np.random.default_rng(0).standard_normal((1024, 4)), axis=0)
    for series, limit in ((slow, 0.01), (np.exp(slow / 2), 0.2)):
        rec = ni.recording(series, modality="calcium", units="1", sampling_rate=1.0)
        errors = [
            surrogate.iaaft(rec, iterations=n).attrs["history"][-1]["parameters"]["spectrum_error"]
            for n in (1, 10, 150)
        ]
        reference = [_reference_iaaft(series[:, unit], 150, np.random.default_rng(unit)) for unit in range(4)]
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < min(limit, 1.5 * max(reference))
    lag_one = [np.corrcoef(one[1:, 0], one[:-1, 0])[0, 1] for one in (rec.values, surrogate.iaaft(rec).values)]
    assert lag_one[0] == pytest.approx(lag_one[1], abs=0.02)


def test_the_phases_of_a_surrogate_are_uniform_and_independent_between_units():
    rec = ni.recording(
        np.random.default_rng(0).standard_normal((4097, 2)), modality="eeg", units="V", sampling_rate=1.0
    )
    turned = np.fft.rfft(surrogate.phase_randomize(rec).values, axis=0) / np.fft.rfft(rec.values, axis=0)
    angle = np.angle(turned[1:]) % (2 * np.pi)
    assert stats.kstest(angle[:, 0], "uniform", args=(0, 2 * np.pi)).pvalue > 1e-3
    assert stats.kstest((angle[:, 0] - angle[:, 1]) % (2 * np.pi), "uniform", args=(0, 2 * np.pi)).pvalue > 1e-3


def test_shuffled_trials_keep_signal_correlations_and_lose_noise_correlations():
    rng = np.random.default_rng(0)
    stimulus = np.repeat(np.arange(20), 30)
    tuned = rng.standard_normal((20, 1))[stimulus]
    noise = rng.standard_normal((600, 1))
    rec = ni.recording(
        tuned + noise + 0.2 * rng.standard_normal((600, 2)),
        modality="spikes", units="1", dims=("trial", "unit"), coords={"stimulus": ("trial", stimulus)},
    )  # fmt: skip

    def correlations(one):
        mean = one.groupby("stimulus").mean().values
        residual = one.values - mean[stimulus]
        return np.corrcoef(mean.T)[0, 1], np.corrcoef(residual.T)[0, 1]

    signal, left = correlations(surrogate.shuffle_trials(rec, within="stimulus"))
    assert correlations(rec)[1] > 0.9
    assert signal > 0.9
    assert abs(left) < 0.15
    assert abs(correlations(surrogate.shuffle_trials(rec))[0]) < 0.8


def test_labels_on_time_stay_in_their_segment_and_within_their_block():
    segment = np.repeat([0, 1, 2], [4, 6, 5])
    rec = ni.recording(
        np.zeros((15, 1)), modality="activations", units="1", time=np.arange(15),
        coords={"segment": ("time", segment), "token": ("time", [f"{s}{i}" for i, s in enumerate(segment)]),
                "block": ("time", np.arange(15) % 2)},
    )  # fmt: skip
    moved = surrogate.shuffle_labels(rec, "token")["token"].values
    assert [int(label[0]) for label in moved] == segment.tolist()
    assert moved.tolist() != rec["token"].values.tolist()
    moved = surrogate.shuffle_labels(rec, "token", within="block")["token"].values
    assert [int(label[1:]) % 2 for label in moved] == (np.arange(15) % 2).tolist()
    assert [int(label[0]) for label in moved] == segment.tolist()


@pytest.mark.parametrize("name", ["phase_randomize", "iaaft", "shuffle_trials", "shuffle_labels"])
def test_each_surrogate_is_decided_by_its_seed_and_leaves_the_input_alone(name, recordings):
    rec = recordings["stimulus"]
    call = getattr(surrogate, name)
    arguments = ("stimulus",) if name == "shuffle_labels" else ()
    before = ni.digest(rec)
    one, again, other = (ni.digest(call(rec, *arguments, seed=seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert ni.digest(rec) == before
    step = call(rec, *arguments, seed=1).attrs["history"][-1]
    assert (step["function"], step["parameters"]["seed"]) == (f"surrogate.{name}", 1)


def test_fourier_surrogates_refuse_missing_values_and_clocks_without_a_rate(recordings):
    rec = recordings["calcium"].copy(deep=True)
    rec[3:6, 2] = np.nan
    irregular = ni.recording(np.zeros((4, 1)), modality="eeg", units="V", time=np.array([0.0, 1.0, 2.5, 3.0]))
    short = ni.recording(np.zeros((2, 1)), modality="eeg", units="V", sampling_rate=1.0)
    for call in (surrogate.phase_randomize, surrogate.iaaft):
        with pytest.raises(AnalysisError, match=f"{call.__name__}: 3 missing values in 1 of 8 units"):
            call(rec)
        with pytest.raises(AnalysisError, match="a time dim with a regular clock is needed"):
            call(irregular)
        with pytest.raises(AnalysisError, match="none of the 1 stretches has three samples"):
            call(short)
    with pytest.raises(AnalysisError, match="iterations is 0; at least 1 is needed"):
        surrogate.iaaft(rec, iterations=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: surrogate.shuffle_trials(r.isel(trial=0, drop=True)), "without trials to shuffle"),
        (lambda r: surrogate.shuffle_trials(r, within="block"), "no groups 'block' on the sample dims"),
        (lambda r: surrogate.shuffle_trials(r[:1]), "no two of 1 places on 'trial' may change places"),
        (lambda r: surrogate.shuffle_labels(r, "trial"), "'trial' is no label of samples; there are: stimulus"),
        (lambda r: surrogate.shuffle_labels(r, "unit"), "'unit' is no label of samples"),
        (lambda r: surrogate.shuffle_labels(r, "stimulus", within="stimulus"), "has one value in each of 3 groups"),
    ],
)
def test_what_cannot_be_shuffled_is_refused(call, message, recordings):
    with pytest.raises(AnalysisError, match=message):
        call(recordings["stimulus"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_torch_draws_the_same_phases_and_ranks(dtype):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((60, 3)).astype(dtype)
    parts = [slice(0, 25), slice(25, 60)]
    for independent in (True, False):
        expected = surrogate.phase_randomized_matrix(values, parts, np.random.default_rng(5), independent=independent)
        found = surrogate.phase_randomized_matrix(
            torch.tensor(values), parts, np.random.default_rng(5), independent=independent
        )
        assert isinstance(found, torch.Tensor)
        assert found.numpy().dtype == expected.dtype == dtype
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5 if dtype == np.float32 else 1e-12)
    found, error = surrogate.iaaft_matrix(torch.tensor(values), parts, np.random.default_rng(5), iterations=20)
    expected, reference = surrogate.iaaft_matrix(values, parts, np.random.default_rng(5), iterations=20)
    np.testing.assert_array_equal(np.sort(found.numpy()[:25], axis=0), np.sort(values[:25], axis=0))
    if dtype == np.float64:
        np.testing.assert_array_equal(found.numpy(), expected)
        assert error == pytest.approx(reference)
