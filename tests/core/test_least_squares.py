"""The least squares that encoding and decoding share, against scikit-learn, on numpy and torch, in both forms."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neurointerp import least_squares
from neurointerp.backend import to_numpy


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("samples", "features"), [(40, 12), (25, 60)])
@pytest.mark.parametrize("standardize", [True, False])
def test_a_fit_is_ridge_with_a_penalty_for_each_target(library, samples, features, standardize):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, features)) * rng.uniform(0.1, 9, features) + 3
    y, alpha, train = rng.standard_normal((samples, 3)), np.array([0.1, 5.0, 300.0]), np.arange(3, samples - 2)
    scale = x[train].std(axis=0) if standardize else np.ones(features)
    expected = Ridge(alpha=alpha, solver="cholesky").fit((x[train] - x[train].mean(axis=0)) / scale, y[train])
    predicted = expected.predict((x - x[train].mean(axis=0)) / scale)
    if library == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        x, y, alpha = (torch.as_tensor(one) for one in (x, y, alpha))
    fit = least_squares.fitted(x, y, train, standardize=standardize, smallest=0.1)
    own, constant = least_squares.weights(fit, alpha)
    np.testing.assert_allclose(to_numpy(own), expected.coef_.T / scale[:, None], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(to_numpy(x @ own + constant), predicted, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(to_numpy(least_squares.predict(fit, x, alpha)), predicted, rtol=1e-8, atol=1e-8)


def test_a_constant_feature_far_from_zero_has_no_weight():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.standard_normal(900), np.full(900, 11.9)])
    y = x[:, :1] + rng.standard_normal((900, 1))
    fit = least_squares.fitted(x, y, np.arange(900), standardize=True, smallest=1.0)
    assert fit.feature_scale[1] == 1.0  # the rounding of its mean is no deviation
    assert abs(least_squares.weights(fit, np.ones(1))[0][1, 0]) < 1e-12


def test_what_makes_its_own_rows_takes_the_place_of_an_array():
    class Doubled:
        def __init__(self, values):
            self.values, self.shape, self.dtype = values, values.shape, values.dtype

        def rows(self, index):
            return 2 * self.values[index]

    rng = np.random.default_rng(0)
    x, y, train = rng.standard_normal((30, 4)), rng.standard_normal((30, 2)), np.arange(20)
    found = least_squares.fitted(Doubled(x), y, train, standardize=False, smallest=1.0)
    expected = least_squares.fitted(2 * x, y, train, standardize=False, smallest=1.0)
    np.testing.assert_array_equal(found.values, expected.values)
