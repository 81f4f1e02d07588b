"""The ridge kernels against scikit-learn, in both of their forms, on numpy and torch."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurointerp.analyses.encoding import _spectrum

WIDE_AND_TALL = [(40, 12), (25, 60)]


def _data(samples, features, units=5):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, features)) * 10.0 ** rng.uniform(-2, 2, features) + 5 * rng.standard_normal(
        features
    )
    y = (x / x.std(axis=0)) @ rng.standard_normal((features, units)) / np.sqrt(features) + 3.0
    return x, y + rng.standard_normal(y.shape)


@pytest.mark.parametrize(("samples", "features"), WIDE_AND_TALL)
@pytest.mark.parametrize("standardize", [True, False])
def test_weights_and_predictions_equal_ridge_with_an_alpha_per_unit(samples, features, standardize):
    x, y = _data(samples, features)
    alpha = np.array([1e-2, 1.0, 10.0, 1e3, 1e5])
    fit = _spectrum.decompose(x, y, standardize)
    weights, intercept = _spectrum.weights(fit, alpha)
    scale = x.std(axis=0) if standardize else np.ones(features)
    reference = Ridge(alpha=alpha, solver="cholesky").fit((x - x.mean(axis=0)) / scale, y)
    np.testing.assert_allclose(weights, reference.coef_.T / scale[:, None], rtol=1e-8, atol=1e-10)
    expected = reference.predict((x - x.mean(axis=0)) / scale)
    np.testing.assert_allclose(_spectrum.predict(fit, x, alpha), expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(x @ weights + intercept, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("samples", "features"), WIDE_AND_TALL)
def test_the_alpha_is_that_of_a_plain_search(samples, features):
    x, y = _data(samples, features)
    alphas = np.logspace(-2, 4, 13)
    folds = list(KFold(5).split(x))
    errors = np.zeros((13, 5))
    for train, test in folds:
        for i, alpha in enumerate(alphas):
            model = make_pipeline(StandardScaler(), Ridge(alpha)).fit(x[train], y[train])
            errors[i] += ((y[test] - model.predict(x[test])) ** 2).sum(axis=0)
    found = _spectrum.best_alpha(x, y, folds, alphas, True)
    np.testing.assert_array_equal(found, alphas[errors.argmin(axis=0)])
    assert len(set(found)) > 1


def test_of_equal_errors_the_largest_alpha_is_taken():
    x, y = _data(40, 12)
    y[:, 1] = 4.0
    alphas = np.array([1.0, 100.0, 10.0])
    assert _spectrum.best_alpha(x, y, list(KFold(4).split(x)), alphas, True)[1] == 100.0


def test_a_constant_feature_gets_no_weight_and_changes_nothing():
    x, y = _data(40, 12)
    alpha = np.ones(5)
    expected = _spectrum.predict(_spectrum.decompose(x, y, True), x, alpha)
    for constant in (0.0, 0.1, 1e8 + 0.1):
        wider = np.c_[np.full(40, constant), x]
        fit = _spectrum.decompose(wider, y, True)
        np.testing.assert_allclose(_spectrum.weights(fit, alpha)[0][0], 0.0, atol=1e-12)
        np.testing.assert_allclose(_spectrum.predict(fit, wider, alpha), expected, rtol=1e-8)


def test_float32_stays_and_is_close():
    x, y = _data(200, 30)
    fits = [_spectrum.decompose(x.astype(kind), y.astype(kind), True) for kind in (np.float32, np.float64)]
    low, high = (_spectrum.predict(fit, x.astype(fit.values.dtype), np.full(5, 10.0, fit.values.dtype)) for fit in fits)
    assert low.dtype == np.float32
    np.testing.assert_allclose(low, high, atol=2e-4)


@pytest.mark.parametrize(("samples", "features"), WIDE_AND_TALL)
def test_torch_agrees_with_numpy(samples, features):
    torch = pytest.importorskip("torch")
    x, y = _data(samples, features)
    alphas = np.logspace(-1, 3, 5)
    outer = list(KFold(3).split(x))
    inner = [[(train[::2], train[1::2]), (train[1::2], train[::2])] for train, _ in outer]
    expected, alpha = _spectrum.nested_predictions(x, y, outer, inner, alphas, True)
    found, torch_alpha = _spectrum.nested_predictions(
        torch.tensor(x), torch.tensor(y), outer, inner, torch.tensor(alphas), True
    )
    assert isinstance(found[0], torch.Tensor)
    np.testing.assert_array_equal(torch_alpha.numpy(), alpha)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-8, atol=1e-8)
