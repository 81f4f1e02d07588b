"""Lagged correlation against scipy pair by pair, and planted delays."""

import numpy as np
import pytest
from scipy.stats import pearsonr

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.analyses.connectivity import _lags
from neurointerp.errors import AnalysisError

SEGMENT = np.repeat([0, 1, 2], [40, 9, 71])


def _values(samples=120, units=4, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    smooth = rng.standard_normal((samples, units)).cumsum(axis=0) + 5
    return (smooth @ (np.eye(units) + rng.standard_normal((units, units)))).astype(dtype)


def _recording(values, rate=10.0, **options):
    return ni.recording(values, modality="calcium", units="1", sampling_rate=rate, **options)


def _expected(values, label, i, j, lag):
    """Give scipy's correlation of all pairs of samples `lag` apart that carry one label."""
    first = np.arange(len(values) - abs(lag)) + max(-lag, 0)
    first = first[label[first] == label[first + lag]]
    return pearsonr(values[first, i], values[first + lag, j]).statistic


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("label", [np.zeros(120, dtype=int), SEGMENT])
def test_equals_scipy_per_pair_within_segments(label, dtype, tolerance):
    values = _values(dtype=dtype)
    found = connectivity.lagged(_recording(values, coords={"segment": ("time", label)}), max_lag=12).connectivity
    assert found.dtype == dtype
    assert found.dims == ("source", "target", "lag")
    for k, lag in enumerate(range(-12, 13)):
        expected = [[_expected(values, label, i, j, lag) for j in range(4)] for i in range(4)]
        np.testing.assert_allclose(found.values[..., k], expected, rtol=0, atol=tolerance)


def test_trials_do_not_touch():
    values = _values(120)
    found = connectivity.lagged(_recording(values.reshape(6, 20, 4), dims=("trial", "time", "unit")), max_lag=15)
    expected = _expected(values, np.repeat(range(6), 20), 0, 2, 15)
    assert float(found.connectivity[0, 2, -1]) == pytest.approx(expected, abs=1e-12)


def test_lag_zero_is_the_correlation_and_negative_lags_are_transposes():
    recording = _recording(_values(), coords={"segment": ("time", SEGMENT)})
    found = connectivity.lagged(recording).connectivity
    np.testing.assert_allclose(found.sel(lag=0.0), connectivity.correlation(recording).connectivity, atol=1e-12)
    np.testing.assert_array_equal(found.values[..., ::-1], found.values.transpose(1, 0, 2))
    np.testing.assert_array_equal(np.diag(found.sel(lag=0.0)), 1.0)


def test_planted_delays_and_signs_are_recovered():
    rng = np.random.default_rng(2)
    x = rng.standard_normal(1020)
    delay, sign = [0, 3, 7, 2], [1, 1, -1, 1]
    values = np.stack([s * x[20 - d : 1020 - d] for d, s in zip(delay, sign, strict=True)], axis=1)
    found = connectivity.lagged(_recording(values + 0.3 * rng.standard_normal(values.shape), 50.0))
    expected = np.subtract.outer(delay, delay).T / 50.0
    np.testing.assert_allclose(found.peak_lag.values, expected, atol=1e-12)
    np.testing.assert_array_equal(np.sign(found.peak.values), np.outer(sign, sign))
    assert np.abs(found.peak.values).min() > 0.85
    assert found.peak_lag.attrs["units"] == found["lag"].attrs["units"] == "s"
    np.testing.assert_allclose(found.peak, found.connectivity.sel(lag=found.peak_lag, method="nearest"))


def test_a_clock_of_counts_gives_lags_of_counts():
    recording = ni.recording(_values(), modality="activations", units="1", time=2 * np.arange(120))
    found = connectivity.lagged(recording, max_lag=2)
    assert found["lag"].values.tolist() == [-4, -2, 0, 2, 4]
    assert found["lag"].attrs["units"] == "token"


def test_a_unit_that_is_constant_where_it_has_partners_is_undefined():
    values = _values()
    values[:, 1] = 2.0
    values[:-1, 2], values[-1, 2] = 0.0, 1.0  # varies only in a sample that no later one follows
    found = connectivity.lagged(_recording(values))
    assert found.connectivity.attrs["undefined_units"] == 1
    assert np.isnan(found.peak.values[1]).all()
    assert np.isnan(found.peak_lag.values[:, 1]).all()
    assert np.isnan(found.connectivity.sel(lag=0.3, method="nearest").values[2, 0])
    assert np.isfinite(found.connectivity.sel(lag=0.3, method="nearest").values[0, 2])
    assert np.isfinite(found.peak.values[2, [0, 2, 3]]).all()


def test_what_has_no_lags_is_refused():
    with pytest.raises(AnalysisError, match=r"max_lag is 119 and the longest segment has 120 samples; .* 0 to 118"):
        connectivity.lagged(_recording(_values()), max_lag=119)
    with pytest.raises(
        AnalysisError, match=r"a regular clock is needed, found no time dim in dims \('trial', 'unit'\)"
    ):
        connectivity.lagged(ni.recording(_values(), modality="eeg", units="V", dims=("trial", "unit")))
    irregular = ni.recording(_values(), modality="eeg", units="V", time=np.arange(120.0) ** 1.5)
    with pytest.raises(AnalysisError, match="a regular clock is needed, found an irregular clock"):
        connectivity.lagged(irregular)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize(("rows", "units", "max_lag"), [(3000, 5, 40), (3001, 3, 200), (500, 4, 2), (70, 2, 60)])
def test_spectra_of_blocks_give_the_products_at_every_lag(rows, units, max_lag, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(_lags, "BLOCK", 2**15)  # so that columns are taken in several blocks too
    values = np.random.default_rng(0).standard_normal((rows, units)).astype(dtype)
    found = np.concatenate([products for _, products in _lags.lagged_products(values, max_lag)], axis=-1)
    wide = values.astype(float)
    expected = [wide[: rows - lag].T @ wide[lag:] for lag in range(max_lag + 1)]
    np.testing.assert_allclose(found / rows, np.stack(expected) / rows, rtol=0, atol=tolerance)
    assert found.dtype == dtype
    assert (_lags._transform_size(rows, max_lag) is not None) == (max_lag > 2 and rows > 100)


def test_subjects_are_taken_alone_and_averaged_on_fishers_z():
    values = np.stack([_values(80, 3, seed=seed) for seed in range(3)])
    rec = _recording(values, dims=("subject", "time", "unit"))
    found = connectivity.lagged(rec, max_lag=4)
    each = np.stack([connectivity.lagged(_recording(one), max_lag=4).connectivity for one in values])
    np.testing.assert_allclose(found.by_subject, each, atol=1e-12)
    expected = np.tanh(np.arctanh(each[:, 0, 1]).mean(axis=0))
    np.testing.assert_allclose(found.connectivity[0, 1], expected, atol=1e-12)
    assert float(found.peak[0, 1]) == pytest.approx(expected[np.abs(expected).argmax()], abs=1e-12)
