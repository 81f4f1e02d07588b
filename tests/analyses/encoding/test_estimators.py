"""Encoding models in scikit-learn pipelines."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.linear_model import RidgeCV as ScikitRidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import neurointerp as ni
from neurointerp.analyses.encoding import BandedRidgeCV, RidgeCV, banded_ridge


def _data(samples=200, features=30, targets=40, dtype=np.float64):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, features)) * rng.uniform(0.3, 3, features) + 1
    y = x @ rng.standard_normal((features, targets)) * rng.uniform(0, 1, targets) + 5 * rng.standard_normal(
        (samples, targets)
    )
    return x.astype(dtype), y.astype(dtype)


@parametrize_with_checks([RidgeCV(), BandedRidgeCV()])
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


def test_bands_are_those_of_banded_ridge():
    x, y = _data(targets=5)
    groups = ["b"] * 10 + ["a"] * 20
    alphas = np.logspace(0, 4, 9)
    model = BandedRidgeCV(groups, alphas=alphas, draws=9, standardize=True, random_state=3).fit(x, y)
    bands = {"b": _rec(x[:, :10]), "a": _rec(x[:, 10:])}
    expected = banded_ridge(bands, _rec(y), alphas=alphas, draws=9, seed=3)
    assert model.bands_.tolist() == ["b", "a"]
    np.testing.assert_allclose(model.share_.T, expected.share)
    np.testing.assert_allclose(model.alpha_, expected.alpha)
    np.testing.assert_allclose(model.coef_.T, expected.weights, rtol=1e-8)
    np.testing.assert_allclose(model.intercept_, expected.intercept, rtol=1e-8)


def test_each_band_has_the_penalty_that_scikit_learn_is_given():
    x, y = _data(targets=3)
    groups = np.arange(30) // 15
    model = BandedRidgeCV(groups, alphas=np.logspace(0, 4, 9), draws=9).fit(x, y)
    for target in range(3):
        root = np.sqrt(model.share_[target][groups])
        reference = Ridge(model.alpha_[target]).fit(x * root, y[:, target])
        np.testing.assert_allclose(model.coef_[target], reference.coef_ * root, rtol=1e-7, atol=1e-10)


def test_one_band_is_ridge_also_in_pipelines_and_searches():
    x, y = _data(targets=4)
    alphas = np.logspace(-1, 4, 6)
    np.testing.assert_allclose(BandedRidgeCV(alphas=alphas).fit(x, y).coef_, RidgeCV(alphas).fit(x, y).coef_, rtol=1e-8)
    pipeline = make_pipeline(StandardScaler(), BandedRidgeCV(np.arange(30) % 2, alphas=alphas))
    found = GridSearchCV(pipeline, {"bandedridgecv__draws": [1, 4]}, cv=2).fit(x, y[:, 0])
    assert found.predict(x).shape == (200,)
    assert found.best_estimator_[-1].share_.shape == (2,)


@pytest.mark.parametrize(("options", "message"), [({"groups": [0, 1]}, "30 features"), ({"draws": 0}, "draws is 0")])
def test_bad_bands_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BandedRidgeCV(**options).fit(*_data())


def _rec(values):
    return ni.recording(values, modality="stimulus", units="1", sampling_rate=1.0)
