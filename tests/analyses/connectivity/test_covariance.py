"""Covariance against numpy and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import sklearn.covariance as peer

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.analyses.connectivity._moments import pairwise
from neurointerp.analyses.connectivity._shrinkage import centred, shrunk, shrunk_pairwise
from neurointerp.errors import AnalysisError

PEERS = {"empirical": peer.EmpiricalCovariance, "ledoit_wolf": peer.LedoitWolf, "oas": peer.OAS}


def _values(samples=80, units=12, scale=1.0):
    rng = np.random.default_rng(0)
    return scale * (rng.standard_normal((samples, 4)) @ rng.standard_normal((4, units)) + rng.random((samples, units)))


def _recording(values, units="uV"):
    return ni.recording(values, modality="eeg", units=units, sampling_rate=10.0)


@pytest.mark.parametrize("method", PEERS)
@pytest.mark.parametrize(("samples", "units"), [(80, 12), (10, 30), (50, 1)])
def test_equals_scikit_learn(method, samples, units):
    values = _values(samples, units) + 5.0
    found = connectivity.covariance(_recording(values), method=method)
    expected = PEERS[method]().fit(values)
    np.testing.assert_allclose(found.connectivity.values, expected.covariance_, rtol=0, atol=1e-12)
    if method != "empirical":
        assert float(found.shrinkage) == pytest.approx(expected.shrinkage_, abs=1e-12)


@pytest.mark.parametrize("method", PEERS)
def test_float32_stays_also_where_squares_of_squares_underflow(method):
    values = _values(500, scale=1e-13)
    found = connectivity.covariance(_recording(values.astype(np.float32), "T"), method=method).connectivity
    assert found.dtype == np.float32
    expected = PEERS[method]().fit(values / 1e-13).covariance_
    np.testing.assert_allclose(found.values / np.float32(1e-26), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("units", "squared"), [("1", "1"), ("uV", "(uV)**2"), ("m/s", "(m/s)**2")])
def test_units_are_squared_and_convert(units, squared):
    found = connectivity.covariance(_recording(_values(), units)).connectivity
    assert found.attrs["units"] == squared
    assert ni.units.factor(squared, "1" if units == "1" else f"({units}) * ({units})") == pytest.approx(1.0)
    np.testing.assert_array_equal(found.values, found.values.T)


@pytest.mark.parametrize("method", PEERS)
def test_torch_agrees_with_numpy(method):
    torch = pytest.importorskip("torch")
    found, amount = shrunk(centred(torch.tensor(_values())), method)
    expected, same = shrunk(centred(_values()), method)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert amount == pytest.approx(same, abs=1e-12)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(AnalysisError, match="method is 'mcd'; one of empirical, ledoit_wolf, oas is needed"):
        connectivity.covariance(_recording(_values()), method="mcd")


def _with_holes(samples=80, units=6, share=0.2):
    values = _values(samples, units) + 100.0
    values[np.random.default_rng(5).random(values.shape) < share] = np.nan
    return values


def test_missing_values_are_left_out_pair_by_pair_as_pandas_does():
    values = _with_holes()
    found = connectivity.covariance(_recording(values))
    there = (~np.isnan(values)).astype(int)
    samples = there.T @ there
    expected = pd.DataFrame(values).cov().values * (samples - 1) / samples  # pandas divides by one less
    np.testing.assert_allclose(found.connectivity.values, expected, atol=1e-11)
    np.testing.assert_array_equal(found.samples, samples)


@pytest.mark.parametrize("method", PEERS)
def test_pairwise_shrinkage_of_complete_values_is_that_of_scikit_learn(method):
    values = _values(80, 12) * np.logspace(-2, 2, 12)
    found = pairwise(values)
    scale = np.outer(found.scale, found.scale)
    matrix, amount = shrunk_pairwise(found.covariance * scale, found.fourth * scale**2, found.samples, method)
    expected = PEERS[method]().fit(values)
    np.testing.assert_allclose(matrix, expected.covariance_, rtol=1e-9, atol=1e-8)
    assert amount == pytest.approx(getattr(expected, "shrinkage_", 0.0), abs=1e-10)


@pytest.mark.parametrize("method", ["ledoit_wolf", "oas"])
def test_with_missing_values_shrinkage_grows_towards_that_of_fewer_samples(method):
    complete, half = _values(200, 10), _values(200, 10)
    half[np.random.default_rng(0).random(half.shape) < 0.4] = np.nan
    whole, holes = (connectivity.covariance(_recording(values), method=method) for values in (complete, half))
    fewer = connectivity.covariance(_recording(complete[:72]), method=method)  # 0.6 of 0.6 of the samples are shared
    assert float(whole.shrinkage) < float(holes.shrinkage)
    assert float(holes.shrinkage) == pytest.approx(float(fewer.shrinkage), rel=0.5)
    assert np.abs(holes.connectivity - whole.connectivity).max() < 0.5 * float(whole.connectivity.max())


def test_pairs_without_common_samples_are_undefined_or_refused():
    values = _values(80, 4)
    values[:40, 0], values[40:, 1] = np.nan, np.nan
    found = connectivity.covariance(_recording(values)).connectivity.values
    expected = np.zeros((4, 4), dtype=bool)
    expected[0, 1] = expected[1, 0] = True
    np.testing.assert_array_equal(np.isnan(found), expected)
    with pytest.raises(AnalysisError, match="1 pairs of units have fewer than 2 samples in common"):
        connectivity.covariance(_recording(values), method="oas")


def test_subjects_are_averaged():
    values = np.stack([_values(), 3 * _values() + 7])
    rec = ni.recording(values, modality="eeg", units="uV", dims=("subject", "time", "unit"), sampling_rate=10.0)
    found = connectivity.covariance(rec, method="ledoit_wolf")
    each = [peer.LedoitWolf().fit(one) for one in values]
    np.testing.assert_allclose(found.by_subject, [one.covariance_ for one in each], atol=1e-11)
    np.testing.assert_allclose(found.connectivity, np.mean([one.covariance_ for one in each], axis=0), atol=1e-11)
    np.testing.assert_allclose(found.shrinkage, [one.shrinkage_ for one in each], atol=1e-12)
