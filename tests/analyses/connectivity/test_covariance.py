"""Covariance against numpy and scikit-learn."""

import numpy as np
import pytest
import sklearn.covariance as peer

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.analyses.connectivity._shrinkage import centred, shrunk
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
