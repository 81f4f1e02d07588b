"""Encoding models in scikit-learn pipelines."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.linear_model import RidgeCV as ScikitRidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurointerp.analyses.encoding import RidgeCV


def _data(samples=200, features=30, targets=40, dtype=np.float64):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, features)) * rng.uniform(0.3, 3, features) + 1
    y = x @ rng.standard_normal((features, targets)) * rng.uniform(0, 1, targets) + 5 * rng.standard_normal(
        (samples, targets)
    )
    return x.astype(dtype), y.astype(dtype)


@parametrize_with_checks([RidgeCV()])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize("target", [0, 7, 20])
def test_alpha_and_weights_are_those_of_scikit_learn_target_by_target(target):
    x, y = _data()
    alphas = np.logspace(-1, 4, 11)
    mine = RidgeCV(alphas).fit(x, y)
    theirs = ScikitRidgeCV(alphas, cv=KFold(5), scoring="neg_mean_squared_error").fit(x, y[:, target])
    assert mine.alpha_[target] == theirs.alpha_
    np.testing.assert_allclose(mine.coef_[target], theirs.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(mine.predict(x)[:, target], theirs.predict(x), rtol=1e-8, atol=1e-8)


def test_one_target_has_one_alpha_and_scores_in_cross_validation():
    x, y = _data()
    model = RidgeCV(np.logspace(-1, 4, 11)).fit(x, y[:, 3])
    assert model.coef_.shape == (30,)
    np.testing.assert_allclose(model.coef_, Ridge(model.alpha_).fit(x, y[:, 3]).coef_, rtol=1e-8)
    assert cross_val_score(model, x, y[:, 3], cv=3).shape == (3,)


@pytest.mark.parametrize("shape", [(300, 60), (100, 160)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_alphas_weights_and_scores_are_those_of_himalaya(shape, dtype):
    himalaya = pytest.importorskip("himalaya.ridge", reason="himalaya is not installed")
    x, y = _data(*shape, targets=200, dtype=dtype)
    alphas = np.logspace(0, 5, 16).astype(dtype)
    mine = RidgeCV(alphas).fit(x, y)
    options = {"solver_params": {"warn": False}}
    theirs = himalaya.RidgeCV(alphas=alphas, cv=5, fit_intercept=True, **options).fit(x, y)
    same = np.isclose(mine.alpha_, theirs.best_alphas_, rtol=1e-5)
    assert same.mean() >= (1.0 if dtype == np.float64 else 0.99)
    assert len(set(mine.alpha_)) > 3
    tolerance = 1e-8 if dtype == np.float64 else 2e-4
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(mine.coef_[same], theirs.coef_.T[same], atol=tolerance * scale)
    np.testing.assert_allclose(mine.intercept_[same], theirs.intercept_[same], atol=100 * tolerance)
    np.testing.assert_allclose(mine.predict(x)[:, same], theirs.predict(x)[:, same], atol=100 * tolerance)


def test_bad_alphas_are_refused():
    x, y = _data()
    with pytest.raises(ValueError, match="alphas must be finite numbers above 0"):
        RidgeCV([0.0, 1.0]).fit(x, y)
