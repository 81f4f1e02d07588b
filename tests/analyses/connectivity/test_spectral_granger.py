"""Granger causality by frequency against nitime, the one in time, and the theory of a planted autoregression."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.analyses.connectivity._autoregression import conditional as _conditional
from neurointerp.errors import AnalysisError


def _driven(samples=4000, seed=0):
    """Draw a 20 Hz rhythm that drives the second unit, that drives the third; the fourth stands apart."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, 4))
    pole = 0.9 * np.exp(2j * np.pi * 20 / 100)
    for t in range(2, samples):
        x[t, 0] += 2 * pole.real * x[t - 1, 0] - abs(pole) ** 2 * x[t - 2, 0]
        x[t, 1] += 0.4 * x[t - 1, 1] + 0.5 * x[t - 1, 0]
        x[t, 2] += 0.3 * x[t - 1, 2] + 0.5 * x[t - 2, 1]
        x[t, 3] += 0.5 * x[t - 1, 3]
    return x


def _recording(values, **options):
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 100.0} | options))


def test_pairwise_equals_nitime_on_the_same_model():
    nitime = pytest.importorskip("nitime.algorithms.autoregressive")
    values = _driven()[:, :2]
    found = connectivity.spectral_granger(_recording(values), order=2, n_frequencies=66)
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    past = np.concatenate([np.ones((len(z) - 2, 1)), z[1:-1], z[:-2]], axis=1)
    weights = np.linalg.lstsq(past, z[2:])[0]
    noise = np.cov((z[2:] - past @ weights).T)
    coefficients = np.stack([-weights[1:3].T, -weights[3:5].T])  # theirs stand on the other side
    frequency, forth, back, _, _ = nitime.granger_causality_xy(coefficients, noise, n_freqs=128)
    np.testing.assert_allclose(found["frequency"][:-1], frequency / (2 * np.pi) * 100)  # theirs ends short of the last
    np.testing.assert_allclose(found.connectivity[0, 1, :-1], forth, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.connectivity[1, 0, :-1], back, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_mean_over_frequencies_is_the_causality_in_time(conditional):
    recording = _recording(_driven())
    found = connectivity.spectral_granger(recording, order=6, conditional=conditional, n_frequencies=513)
    weight = np.ones(513)
    weight[[0, -1]] = 0.5  # the ends belong to one side of the circle alone
    mean = np.average(found.connectivity.values, axis=-1, weights=weight)
    in_time = connectivity.granger(recording, order=6, conditional=conditional).connectivity.values
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(mean[off], in_time[off], rtol=0.03, atol=1e-3)  # fits a short model of the target alone
    assert mean[0, 1] > 0.2


def test_planted_directions_at_their_frequency_and_the_indirect_one():
    recording = _recording(_driven())
    pairwise = connectivity.spectral_granger(recording).connectivity
    conditional = connectivity.spectral_granger(recording, conditional=True).connectivity
    for found in (pairwise, conditional):
        assert 18 < float(found["frequency"][int(found[0, 1].argmax("frequency"))]) < 22
        assert float(found[0, 1].max()) > 30 * max(float(found[1, 0].max()), float(found[0, 3].max()))
        assert float(found[1, 2].max()) > 10 * float(found[2, 1].max())
        assert float(found.min()) > -1e-9
        assert np.isnan(np.einsum("iif->if", found.values)).all()
    assert float(pairwise[0, 2].max()) > 20 * float(conditional[0, 2].max())


def test_two_units_conditional_on_no_other_are_pairwise():
    recording = _recording(_driven()[:, :2])
    one, two = (connectivity.spectral_granger(recording, order=3, conditional=c).connectivity for c in (False, True))
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_the_model_without_a_source_is_that_of_theory():
    """x drives y alone, so that y without x is an ARMA(1, 1), whose innovations have a closed form."""
    a, b, c = 0.5, 0.8, 0.3
    gram = _stationary_gram(np.array([[a, 0.0], [b, c]]))
    found = _conditional(gram, 1, np.array([0.0, 0.2, 0.5]))[0, 1]
    frequency = np.array([0.0, 0.2, 0.5])
    z = np.exp(-2j * np.pi * frequency)
    power = (1 + b**2 * np.abs(z / (1 - a * z)) ** 2) / np.abs(1 - c * z) ** 2
    np.testing.assert_allclose(found, np.log(power / (1 / np.abs(1 - c * z) ** 2)), rtol=1e-9)


def test_the_conditional_mean_over_frequencies_is_exact_where_innovations_share_something():
    """Of three units whose innovations correlate: ln of the variance without the source over that with it."""
    weights = np.array([[0.5, 0.0, 0.0], [0.4, 0.5, 0.0], [0.3, 0.4, 0.4]])
    noise = np.array([[1.0, 0.3, 0.2], [0.3, 1.0, 0.1], [0.2, 0.1, 1.0]])
    frequency = np.linspace(0, 0.5, 1025)
    weight = np.ones(1025)
    weight[[0, -1]] = 0.5
    mean = np.average(_conditional(_stationary_gram(weights, noise), 1, frequency), axis=-1, weights=weight)
    for source in range(3):
        rest = np.delete(np.arange(3), source)
        reduced = _long_regression(weights, noise, rest)
        np.testing.assert_allclose(mean[source, rest], np.log(reduced / np.diag(noise)[rest]), atol=1e-9)
    assert mean[0, 2] > 0.05


def _long_regression(weights, noise, rest, order=60):
    """Give the variances of units that a long past of these alone leaves."""
    from scipy.linalg import solve_discrete_lyapunov

    lags = [solve_discrete_lyapunov(weights, noise)]
    for _ in range(order):
        lags.append(weights @ lags[-1])
    lags = [lag[np.ix_(rest, rest)] for lag in lags]
    past = np.block([[lags[b - a] if b >= a else lags[a - b].T for b in range(order)] for a in range(order)])
    cross = np.concatenate(lags[1:], axis=1)
    return np.diag(lags[0] - cross @ np.linalg.solve(past, cross.T))


def _stationary_gram(weights, noise=None):
    from scipy.linalg import solve_discrete_lyapunov

    units = len(weights)
    now = solve_discrete_lyapunov(weights, np.eye(units) if noise is None else noise)
    gram = np.empty((2, units, 2, units))
    gram[0, :, 0], gram[1, :, 1] = now, now
    gram[0, :, 1] = weights @ now
    gram[1, :, 0] = gram[0, :, 1].T
    return gram


def test_trends_too_few_frequencies_and_dependent_units_are_refused():
    values = _driven(500)
    with pytest.raises(AnalysisError, match="n_frequencies is 1; at least 2 are needed"):
        connectivity.spectral_granger(_recording(values), n_frequencies=1)
    with pytest.raises(AnalysisError, match="linearly dependent"):
        connectivity.spectral_granger(_recording(values[:, [0, 1, 0]]), order=2)
    values[:, 3] = np.exp(0.01 * np.arange(500)) + 1e-3 * values[:, 3]
    with pytest.raises(AnalysisError, match=r"is not stable \(spectral radius 1\.\d+\)|linearly dependent"):
        connectivity.spectral_granger(_recording(values), order=1)
    values[:, 3] = 1.0
    found = connectivity.spectral_granger(_recording(values))
    assert found.connectivity.attrs["undefined_units"] == 1
    assert np.isnan(found.connectivity.values[3]).all()
