"""Lagged ridge regression against scikit-learn, and on a planted autoregression."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError


def _recording(values, **options):
    return ni.recording(values, **({"modality": "calcium", "units": "1", "sampling_rate": 10.0} | options))


def _driven(samples=600, units=8, seed=0):
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((units, units)) < 0.15, rng.choice([-0.4, 0.4], (units, units)), 0.0)
    np.fill_diagonal(weights, 0.3)
    x = rng.standard_normal((samples, units))
    for t in range(1, samples):
        x[t] += x[t - 1] @ weights
    return x, weights


def test_weights_equal_scikit_learn_within_segments():
    values = _driven()[0] * 3 + 5
    segment = np.repeat([0, 1], [400, 200])
    recording = _recording(values, coords={"segment": ("time", segment)})
    found = connectivity.effective(recording, order=2, alpha=0.1)
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    rows = np.concatenate([np.arange(2, 400), np.arange(402, 600)])
    past = np.concatenate([z[rows - 1], z[rows - 2]], axis=1)
    expected = Ridge(alpha=0.1 * len(rows)).fit(past, z[rows]).coef_  # (target, lag x source)
    np.testing.assert_allclose(found.weights.values, expected.reshape(8, 2, 8).transpose(2, 0, 1), atol=1e-10)
    np.testing.assert_allclose(found.connectivity, found.weights.sum("lag"), atol=1e-12)
    np.testing.assert_allclose(found["lag"], [0.1, 0.2])


def test_the_score_is_that_of_held_out_blocks():
    values = _driven()[0]
    found = connectivity.effective(_recording(values), alpha=0.01, folds=3)
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    past, now = z[:-1], z[1:]
    error, spread = np.zeros(8), np.zeros(8)
    for fold in np.array_split(np.arange(599), 3):
        rest = np.delete(np.arange(599), fold)
        model = Ridge(alpha=0.01 * len(rest)).fit(past[rest], now[rest])
        error += ((now[fold] - model.predict(past[fold])) ** 2).sum(axis=0)
        spread += ((now[fold] - now[rest].mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found.score, 1 - error / spread, atol=1e-10)


def test_planted_weights_and_directions_are_found():
    values, weights = _driven(3000)
    found = connectivity.effective(_recording(values))
    scale = values.std(axis=0)
    expected = weights * scale[:, None] / scale
    np.testing.assert_allclose(found.connectivity, expected, atol=0.08)
    assert float(found.alpha) < 0.1
    assert float(found.score.min()) > 0


def test_noise_gets_a_large_penalty_and_no_score():
    noise = np.random.default_rng(0).standard_normal((60, 40))
    found = connectivity.effective(_recording(noise))
    assert float(found.alpha) >= 1.0
    assert float(np.abs(found.connectivity).max()) < 0.3
    assert float(found.score.max()) < 0.2


def test_what_cannot_be_is_refused_and_constant_units_are_nan():
    values = _driven(50)[0]
    with pytest.raises(AnalysisError, match="order 0, folds 5 and alpha None: at least 1, 2 and above 0"):
        connectivity.effective(_recording(values), order=0)
    with pytest.raises(AnalysisError, match="2 samples have 48 samples of past in their segment; 5 folds need 10"):
        connectivity.effective(_recording(values), order=48)
    values[:, 3] = 2.0
    found = connectivity.effective(_recording(values))
    assert found.connectivity.attrs["undefined_units"] == 1
    assert np.isnan(found.connectivity.values[3]).all()
    assert np.isfinite(np.delete(np.delete(found.connectivity.values, 3, 0), 3, 1)).all()
