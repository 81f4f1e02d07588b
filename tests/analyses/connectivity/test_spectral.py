"""Spectral measures against mne-connectivity, planted phases and each other."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError

PEERS = {
    "coherence": "coh",
    "imaginary_coherence": "imcoh",
    "plv": "plv",
    "ciplv": "ciplv",
    "pli": "pli",
    "wpli": "wpli",
    "wpli2_debiased": "wpli2_debiased",
}
LOWER = np.tril_indices(5, -1)


def _epochs(epochs=20, units=5, samples=200, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((epochs, units, samples)).cumsum(axis=-1)
    return values + 3 * rng.standard_normal((epochs, 1, samples))


def _recording(values, **options):
    options = {"modality": "eeg", "units": "V", "sampling_rate": 100.0, "dims": ("trial", "time", "unit")} | options
    return ni.recording(values, **options)


def _planted(phase, samples=6000, rate=100.0, seed=0):
    """Draw a 10 Hz rhythm with a drifting phase that the second unit carries `phase` later, and noise in both."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * 10 * np.arange(samples) / rate + 0.2 * rng.standard_normal(samples).cumsum()
    clean = np.stack([np.cos(angle), np.cos(angle - phase)], axis=1)
    return _recording(clean + 0.3 * rng.standard_normal(clean.shape), dims=("time", "unit"))


@pytest.mark.parametrize("samples", [200, 201])
@pytest.mark.parametrize(
    "mode", [{"mode": "multitaper"}, {"mode": "multitaper", "bandwidth": 5.0}, {"mode": "fourier"}]
)
@pytest.mark.parametrize(("dtype", "scale", "tolerance"), [(np.float64, 1.0, 1e-10), (np.float32, 1e-13, 1e-5)])
def test_equals_mne_connectivity(mode, samples, dtype, scale, tolerance):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    values = _epochs(samples=samples)
    found = connectivity.spectral(
        _recording((scale * values).transpose(0, 2, 1).astype(dtype)), fmin=3, fmax=50, **mode
    )
    band = {"fmin": 3, "fmax": 50, "sfreq": 100.0, "mode": mode["mode"], "mt_bandwidth": mode.get("bandwidth")}
    expected = mne_connectivity.spectral_connectivity_epochs(values, method=list(PEERS.values()), verbose=False, **band)
    np.testing.assert_allclose(found["frequency"], expected[0].freqs)
    for name, peer in zip(PEERS, expected, strict=True):
        assert found[name].dtype == dtype
        np.testing.assert_allclose(found[name].values[LOWER], peer.get_data("dense")[LOWER], rtol=0, atol=tolerance)
    first, last = expected[0].freqs[0], expected[0].freqs[-1]
    band |= {"fmin": first - 0.01, "fmax": last + 0.01}  # its band leaves out both ends
    slope = mne_connectivity.phase_slope_index(values, verbose=False, **band)
    np.testing.assert_allclose(found.psi.values[LOWER], slope.get_data("dense")[LOWER][:, 0], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-5)])
@pytest.mark.parametrize(("samples", "cycles"), [(200, 5.0), (201, 3.0)])
def test_wavelets_equal_mne_connectivity(samples, cycles, dtype, tolerance):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    values = _epochs(samples=samples)
    values -= values.mean(axis=-1, keepdims=True)
    frequencies = [8.0, 11.0, 20.0, 33.0]
    given = {"mode": "morlet", "frequencies": frequencies, "cycles": cycles}
    found = connectivity.spectral(_recording(values.transpose(0, 2, 1).astype(dtype)), **given)
    band = {"mode": "cwt_morlet", "cwt_freqs": np.array(frequencies), "cwt_n_cycles": cycles, "fmin": 3, "fmax": 50}
    expected = mne_connectivity.spectral_connectivity_epochs(
        values.astype(dtype).astype(float), method=list(PEERS.values()), sfreq=100.0, verbose=False, **band
    )
    assert found.coherence.dims == ("source", "target", "frequency", "time")
    np.testing.assert_allclose(found["time"], expected[0].times)
    for name, peer in zip(PEERS, expected, strict=True):
        # of 20 epochs, the sign of a lag that is 0 to rounding is a twentieth of the index
        allowed = 0.1001 if (name, dtype) == ("pli", np.float32) else tolerance
        assert found[name].dtype == dtype
        np.testing.assert_allclose(found[name].values[LOWER], peer.get_data("dense")[LOWER], rtol=0, atol=allowed)
    coherency = found.coherence  # of which the slope is, at each time, a sum over neighbouring frequencies
    assert found.psi.dims == ("source", "target", "time")
    slope = mne_connectivity.phase_slope_index(
        values.astype(dtype).astype(float), sfreq=100.0, verbose=False, **(band | {"fmin": 7.9, "fmax": 33.1})
    )
    np.testing.assert_allclose(found.psi.values[LOWER], slope.get_data("dense")[LOWER][:, 0], rtol=0, atol=tolerance)
    few = connectivity.coherence(_recording(values.transpose(0, 2, 1).astype(dtype)), decimate=10, **given)
    np.testing.assert_allclose(few.connectivity, coherency[..., ::10], rtol=0, atol=1e-6)
    np.testing.assert_allclose(few["time"], found["time"][::10])


def test_wavelets_follow_a_lag_that_comes_and_goes():
    rng = np.random.default_rng(0)
    t = np.arange(300) / 100
    phase = rng.uniform(0, 2 * np.pi, (60, 1))
    there = (t > 1.5)[None]
    first, noise = np.cos(2 * np.pi * 10 * t + phase), rng.standard_normal((60, 300))
    second = np.where(there, np.cos(2 * np.pi * 10 * t + phase - np.pi / 3), noise)
    epochs = np.stack([first, second], axis=-1) + 0.3 * rng.standard_normal((60, 300, 2))
    found = connectivity.wpli2_debiased(_recording(epochs), mode="morlet", frequencies=[10.0], decimate=50).connectivity
    at = found[0, 1, 0]
    assert float(at.sel(time=2.5)) > 0.9
    assert abs(float(at.sel(time=0.5))) < 0.3


def test_each_function_gives_its_part_of_one_pass():
    recording = _recording(_epochs().transpose(0, 2, 1), coords={"region": ("unit", list("aabbc"))})
    options = {"mode": "fourier", "fmin": 2.0, "fmax": 30.0, "window": 50, "step": 25}
    every = connectivity.spectral(recording, **options)
    assert set(every.data_vars) == {*PEERS, "psi"}
    for name in every.data_vars:
        one = getattr(connectivity, name)(recording, **options)
        assert one.attrs["analysis"] == f"connectivity.{name}"
        np.testing.assert_allclose(one.connectivity.values, every[name].values, rtol=0, atol=1e-12)
        assert list(one["target_region"].values) == list("aabbc")
    assert every.coherence.dims == ("source", "target", "frequency")
    assert every.psi.dims == ("source", "target")
    assert every["frequency"].attrs["units"] == "Hz"
    assert every.coherence.attrs["epochs"] == 20 * 7


def test_symmetry_and_diagonals():
    found = connectivity.spectral(_recording(_epochs().transpose(0, 2, 1)))
    for name in found.data_vars:
        sign = -1 if name in ("imaginary_coherence", "psi") else 1
        np.testing.assert_array_equal(found[name].values, sign * found[name].values.swapaxes(0, 1))
        np.testing.assert_array_equal(
            found[name].values[range(5), range(5)], 1.0 if name in ("coherence", "plv") else 0
        )
    assert float(found["frequency"][0]) > 0
    assert float(found["frequency"][-1]) == 50.0


@pytest.mark.parametrize("phase", [np.pi / 4, -np.pi / 2])
def test_a_planted_lag_is_found_with_its_sign_at_its_frequency(phase):
    found = connectivity.spectral(_planted(phase), window=100, fmin=1, bandwidth=4.0)
    at = found.sel(frequency=10.0)
    assert float(at.coherence[0, 1]) > 0.9
    assert float(at.imaginary_coherence[0, 1]) == pytest.approx(np.sin(phase), abs=0.15)
    assert float(at.imaginary_coherence[0, 1]) == -float(at.imaginary_coherence[1, 0])
    for name in ("pli", "wpli", "wpli2_debiased", "ciplv"):
        assert float(at[name][0, 1]) > 0.9, name
        assert float(found[name].sel(frequency=40.0)[0, 1]) < 0.5, name


def test_a_common_source_has_coherence_but_no_lag():
    found = connectivity.spectral(_planted(0.0), window=100, fmin=10, fmax=11)
    at = found.sel(frequency=10.0)
    assert float(at.coherence[0, 1]) > 0.9
    assert float(at.plv[0, 1]) > 0.9
    assert abs(float(at.imaginary_coherence[0, 1])) < 0.1
    assert abs(float(at.wpli2_debiased[0, 1])) < 0.15
    twin = np.repeat(_epochs()[:, :1], 2, axis=1).transpose(0, 2, 1)
    same = connectivity.spectral(_recording(twin))
    for name in ("imaginary_coherence", "ciplv", "pli", "wpli", "wpli2_debiased", "psi"):
        np.testing.assert_array_equal(same[name].values, 0.0)


def test_the_leading_unit_has_the_positive_slope():
    x = np.random.default_rng(0).standard_normal((4003, 1))
    recording = _recording(np.concatenate([x[3:], x[:-3]], axis=1), dims=("time", "unit"))
    found = connectivity.psi(recording, fmax=30).connectivity.values
    assert found[0, 1] > 0 > found[1, 0]


def test_windows_do_not_cross_segments():
    values = np.random.default_rng(0).standard_normal((300, 3))
    segment = np.repeat([0, 1, 2], [130, 70, 100])
    recording = _recording(values, dims=("time", "unit"), coords={"segment": ("time", segment)})
    found = connectivity.coherence(recording, window=50)
    epochs = np.stack([values[s : s + 50] for s in (0, 50, 130, 200, 250)])
    expected = connectivity.coherence(_recording(epochs))
    assert found.connectivity.attrs["epochs"] == 5
    np.testing.assert_allclose(found.connectivity, expected.connectivity, atol=1e-12)


def test_blocks_of_epochs_add_up(monkeypatch):
    from neurointerp.analyses.connectivity import _spectra

    recording = _recording(_epochs().transpose(0, 2, 1))
    whole = connectivity.spectral(recording)
    monkeypatch.setattr(_spectra, "BLOCK", 1)
    parts = connectivity.spectral(recording)
    for name in whole.data_vars:
        np.testing.assert_allclose(parts[name].values, whole[name].values, rtol=0, atol=1e-12)


def test_a_constant_unit_is_undefined_and_a_silent_epoch_is_not():
    values = _epochs().transpose(0, 2, 1)
    values[:, :, 1] = 0.1
    values[3, :, 2] = 0.0
    found = connectivity.spectral(_recording(values))
    others = [0, 2, 3, 4]
    for name in found.data_vars:
        assert found[name].attrs["undefined_units"] == 1
        assert np.isnan(found[name].values[1]).all()
        assert np.isnan(found[name].values[:, 1]).all()
        assert np.isfinite(found[name].values[np.ix_(others, others)]).all()


@pytest.mark.parametrize("place", [None, "cpu"])
@pytest.mark.parametrize("level", [0.1, 1e6 + 0.1, 123456.789e10])
def test_what_rounding_leaves_of_a_constant_unit_is_no_variation(level, place):
    if place is not None:
        pytest.importorskip("torch")
    values = _epochs().transpose(0, 2, 1)
    values[:, :, 1] = level
    for given in (_recording(values), _recording(values).chunk(trial=6)):
        found = connectivity.wpli(given, device=place).connectivity
        assert found.attrs["undefined_units"] == 1
        assert np.isnan(found.values[1]).all()


def test_permuted_units_permute_the_answer():
    recording = _recording(_epochs().transpose(0, 2, 1))
    order = [3, 0, 4, 1, 2]
    found = connectivity.spectral(recording.isel(unit=order))
    expected = connectivity.spectral(recording).isel(source=order, target=order)
    for name in found.data_vars:
        np.testing.assert_allclose(found[name].values, expected[name].values, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "stockwell"}, "mode is 'stockwell'; one of multitaper, fourier, morlet is needed"),
        ({"mode": "morlet"}, r"mode 'morlet' takes frequencies=\[...\] and cycles, not fmin None"),
        (
            {"mode": "morlet", "frequencies": [4.0, 10.0]},
            "wavelet of 7 cycles at 4 has 279 .* take frequencies above 5.57",
        ),
        ({"mode": "morlet", "frequencies": [20.0, 10.0]}, "2 or more, ascending, above 0 and up to half"),
        ({"mode": "morlet", "frequencies": [np.nan]}, r"frequencies are \[nan\]; 2 or more, ascending"),
        ({"mode": "morlet", "frequencies": [20.0, np.nan]}, r"frequencies are \[20.0, nan\]; 2 or more, ascending"),
        ({"measures": ()}, "no measures; one or more of coherence, imaginary_coherence"),
        ({"mode": "morlet", "frequencies": [20.0, 30.0], "decimate": 0}, "cycles 7.0 and decimate 0"),
        ({"frequencies": [20.0]}, "frequencies are those of wavelets; with mode='multitaper' pass fmin and fmax"),
        ({"measures": ("coh",)}, "a measure is 'coh'; one of coherence, imaginary_coherence, plv"),
        ({"window": 201}, "no segment holds a window of 201 samples, the longest has 200; pass a shorter window"),
        ({"window": 2}, "a window of 2 samples every 2; at least 4 every 1 are needed"),
        ({"window": 8}, r"a bandwidth of 8 cycles per window of 8 samples is outside \[1, 8\)"),
        (
            {"fmin": 30.0, "fmax": 30.2},
            r"1 frequencies from fmin=30.0 to fmax=30.2, 2 needed; .* one every 0.5 up to 50",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(options, message):
    with pytest.raises(AnalysisError, match=message):
        connectivity.spectral(_recording(_epochs().transpose(0, 2, 1)), **options)


def test_one_epoch_says_nothing_of_phase():
    one = _recording(_epochs(1).transpose(0, 2, 1))
    with pytest.raises(AnalysisError, match="1 epoch with 7 tapers; any two units agree in one epoch, at least 2"):
        connectivity.wpli(one)
    assert float(connectivity.coherence(one).connectivity[0, 1].max()) < 1
    with pytest.raises(AnalysisError, match="1 epoch with 1 tapers"):
        connectivity.coherence(one, mode="fourier")


@pytest.mark.parametrize("units", [5, 40])  # rows as they are, and rows that are filled up
@pytest.mark.parametrize(("mode", "bandwidth"), [("fourier", None), ("multitaper", None), ("multitaper", 4.0),
                                                 ("multitaper", 10.0)])  # fmt: skip
def test_quick_sums_of_lags_equal_the_general_ones(units, mode, bandwidth):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((9, 80, units)) @ (np.eye(units) + 0.3 * rng.standard_normal((units, units)))
    values[1:, 1:, 1] += values[1:, :-1, 0]
    values[..., 3] = values[..., 2]
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=80.0, dims=("trial", "time", "unit"))
    options = {"mode": mode, "bandwidth": bandwidth, "fmin": 5, "fmax": 35}
    quick = connectivity.spectral(rec, measures=("wpli", "imaginary_coherence"), **options)
    general = connectivity.spectral(rec, measures=("wpli", "imaginary_coherence", "wpli2_debiased"), **options)
    for name in quick.data_vars:
        np.testing.assert_allclose(quick[name].values, general[name].values, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(quick.wpli[2, 3], 0.0)  # a unit and its copy have no lag, not even one of rounding
    np.testing.assert_array_equal(quick.wpli.values, quick.wpli.values.swapaxes(0, 1))


@pytest.mark.parametrize("place", [None, "cpu"])
def test_very_many_epochs_in_single_precision_lose_no_digits(place):
    if place is not None:
        pytest.importorskip("torch")
    t = np.arange(200_000)
    x = np.stack([np.cos(2 * np.pi * t / 8), np.cos(2 * np.pi * t / 8 + 0.8)], axis=1)
    x += 0.02 * np.random.default_rng(0).standard_normal(x.shape)
    options = {"measures": ("coherence", "wpli2_debiased"), "window": 32, "fmin": 10, "fmax": 16}
    wide = connectivity.spectral(_recording(x, dims=("time", "unit")), **options)
    narrow = connectivity.spectral(_recording(x.astype(np.float32), dims=("time", "unit")), device=place, **options)
    for name in wide.data_vars:
        assert wide[name].attrs["epochs"] == 6250
        np.testing.assert_allclose(narrow[name].values, wide[name].values, rtol=0, atol=2e-6)


def test_the_order_of_values_in_memory_does_not_matter():
    values = np.random.default_rng(0).standard_normal((4, 3, 128)).transpose(0, 2, 1)
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0, dims=("trial", "time", "unit"))
    found, other = connectivity.coherence(rec), connectivity.coherence(rec.copy(data=np.ascontiguousarray(values)))
    np.testing.assert_array_equal(found.connectivity.values, other.connectivity.values)
    assert found.attrs == other.attrs
    assert rec.values.strides == values.strides


@pytest.mark.parametrize("units", [2, 8, 9, 19])  # lines of the cache that are full, and not
def test_coherencies_are_those_of_complex_sums_whatever_the_number_of_units(units):
    rng = np.random.default_rng(units)
    values = rng.standard_normal((12, 40, units)) @ rng.standard_normal((units, units))
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=40.0, dims=("trial", "time", "unit"))
    found = connectivity.spectral(rec, mode="fourier")
    spectra = np.fft.rfft((values - values.mean(axis=1, keepdims=True)) * np.hanning(40)[:, None], axis=1)[:, 1:]
    each = spectra[..., :, None] * spectra[..., None, :].conj()
    power = np.sqrt((np.abs(spectra) ** 2).sum(axis=0))
    coherency = each.sum(axis=0) / (power[:, :, None] * power[:, None, :])
    wanted = {
        "coherence": np.abs(coherency),
        "imaginary_coherence": coherency.imag,
        "wpli": np.abs(each.imag.sum(axis=0)) / np.maximum(np.abs(each.imag).sum(axis=0), 1e-300),
    }
    off = ~np.eye(units, dtype=bool)
    for name, one in wanted.items():
        # the last frequency has no imaginary part but rounding
        np.testing.assert_allclose(found[name].values[off][:, :-1], np.moveaxis(one, 0, -1)[off][:, :-1], atol=1e-10)
    slope = (coherency[:-1].conj() * coherency[1:]).sum(axis=0).imag
    np.testing.assert_allclose(found["psi"].values[off], slope[off], atol=1e-10)


def test_coherence_of_many_units_holds_three_times_its_answer():
    import tracemalloc

    x = np.random.default_rng(0).standard_normal((2_000, 300), dtype=np.float32)
    rec = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    connectivity.coherence(rec[:, :3], window=256)  # compiles
    tracemalloc.start()
    try:
        found = connectivity.coherence(rec, window=256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3.2 * found["connectivity"].nbytes
