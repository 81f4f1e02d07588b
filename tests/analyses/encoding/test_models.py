"""Kernel ridge, partial least squares and the Poisson GLM, beside scikit-learn and on planted data."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import KernelCenterer, StandardScaler

import neurointerp as ni
from neurointerp import split
from neurointerp.analyses import encoding
from neurointerp.errors import AnalysisError


def _rec(values, modality="stimulus", **options):
    return ni.recording(values, modality=modality, units="1", sampling_rate=10.0, **options)


def _planted(samples=200, features=12, units=4, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, features)) * rng.uniform(0.5, 4, features) + 2.0
    y = (x / x.std(axis=0)) @ rng.standard_normal((features, units)) / np.sqrt(features)
    return _rec(x), _rec(y + noise * rng.standard_normal(y.shape) + 5.0, "fmri")


@pytest.mark.parametrize("samples", [200, 30])
def test_a_linear_kernel_is_ridge(samples):
    features, responses = _planted(samples, 40)
    grid = np.logspace(0, 4, 9)
    found = encoding.kernel_ridge(features, responses, kernel="linear", alphas=grid)
    expected = encoding.ridge(features, responses, alphas=grid)
    for name in ("alpha", "fold_alpha", "score", "correlation", "prediction"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-8)
    rows = StandardScaler().fit_transform(features.values)
    refit = rows @ (rows.T @ found.dual.values) + responses.values.mean(axis=0)
    whole = features.values @ expected.weights.values + expected.intercept.values
    np.testing.assert_allclose(refit, whole, rtol=1e-6)


def test_kernel_predictions_are_those_of_a_centred_kernel_solved_directly():
    features, responses = _planted(90)
    found = encoding.kernel_ridge(features, responses, gammas=0.02, alphas=0.3)
    for train, test in split.blocked(responses, 5):
        scaler = StandardScaler().fit(features.values[train])
        rows, held = (scaler.transform(features.values[index]) for index in (train, test))
        centre = KernelCenterer().fit(rbf_kernel(rows, gamma=0.02))
        known = responses.values[train]
        inside, across = (centre.transform(rbf_kernel(one, rows, gamma=0.02)) for one in (rows, held))
        dual = np.linalg.solve(inside + 0.3 * np.eye(len(train)), known - known.mean(axis=0))
        np.testing.assert_allclose(found.prediction.values[test], across @ dual + known.mean(axis=0), rtol=1e-8)


def test_each_unit_gets_the_width_that_fits_it():
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (400, 1))
    y = np.concatenate([np.sin(6 * x), 0.3 * x], axis=1) + 0.1 * rng.standard_normal((400, 2))
    found = encoding.kernel_ridge(_rec(x), _rec(y, "behavior"), gammas=[0.03, 30.0])
    assert found.gamma.values.tolist() == [30.0, 0.03]
    assert float(found.score.mean("fold").min()) > 0.9
    with pytest.raises(AnalysisError, match=r"kernel 'linear', gammas 2\.0"):
        encoding.kernel_ridge(_rec(x), _rec(y, "behavior"), kernel="linear", gammas=2.0)


@pytest.mark.parametrize("standardize", [True, False])
def test_pls_is_that_of_scikit_learn_at_each_units_rank(standardize):
    features, responses = _planted(150, noise=0.5)
    found = encoding.pls(features, responses, 6, standardize=standardize)
    for unit in range(4):
        model = PLSRegression(int(found["rank"][unit]), scale=standardize, max_iter=1000, tol=1e-9)
        model.fit(features.values, responses.values)
        np.testing.assert_allclose(found.weights.values[:, unit], model.coef_[unit], rtol=1e-5, atol=1e-8)
        refit = features.values @ found.weights.values[:, unit] + float(found.intercept[unit])
        np.testing.assert_allclose(refit, model.predict(features.values)[:, unit], rtol=1e-6)
    for fold, (train, test) in enumerate(split.blocked(responses, 5)):
        model = PLSRegression(int(found.fold_rank[fold, 0]), scale=standardize, max_iter=1000, tol=1e-9)
        predicted = model.fit(features.values[train], responses.values[train]).predict(features.values[test])
        np.testing.assert_allclose(found.prediction.values[test, 0], predicted[:, 0], rtol=1e-5)


def test_pls_stops_early_where_there_is_little_to_say_and_refuses_a_rank_too_large():
    features, _ = _planted(150)
    noise = _rec(np.random.default_rng(5).standard_normal((150, 3)), "fmri")
    assert float(encoding.pls(features, noise, 8)["rank"].mean()) < 3
    with pytest.raises(AnalysisError, match="rank is 13; with 12 features"):
        encoding.pls(features, noise, 13)
    constant = noise.copy(deep=True)
    constant[:, 1] = 4.0
    found = encoding.pls(features, constant, 3)
    assert np.isnan(found.score[:, 1]).all()
    np.testing.assert_allclose(found.prediction[:, 1], 4.0)


def _coupled(samples=3000, seed=0):
    """Three neurons: 0 follows the stimulus and is refractory, 1 is driven by 0 two bins later, 2 fires at random."""
    rng = np.random.default_rng(seed)
    x, counts = rng.standard_normal(samples), np.zeros((samples, 3))
    for t in range(2, samples):
        log_rate = [-1.0 + x[t] - 1.5 * counts[t - 1, 0], -1.5 + 1.0 * counts[t - 2, 0], -1.0]
        counts[t] = rng.poisson(np.exp(log_rate))
    return _rec(x[:, None]), _rec(counts, "spikes")


def test_coupling_filters_are_recovered_and_their_absence_too():
    stimulus, spikes = _coupled()
    found = encoding.poisson_glm(stimulus, spikes, coupling=(1, 2))
    weights = found.weights
    expected = np.zeros((7, 3))
    expected[0, 0], expected[1, 0], expected[4, 1] = 1.0, -1.5, 1.0
    assert weights.feature.values[[0, 1, 4]].tolist() == ["u0", "coupling:u0@1", "coupling:u0@2"]
    assert weights.feature_kind.values.tolist() == ["stimulus"] + ["coupling"] * 6
    np.testing.assert_allclose(weights.values, expected, atol=0.25)
    alone = encoding.poisson_glm(stimulus, spikes)
    assert float((found.score - alone.score).mean("fold")[1]) > 0.05
    assert float(alone.score.mean("fold")[0]) > 0.1
    assert abs(float(found.score.mean("fold")[2])) < 0.02
    assert found.attrs["parameters"]["gap"] == 2
    assert np.isnan(found.prediction.values[:2]).all()


def test_the_glm_is_that_of_scikit_learn_and_its_score_the_deviance_explained():
    stimulus, spikes = _coupled(600)
    found = encoding.poisson_glm(stimulus, spikes, alphas=0.05, lags=(0, 1), standardize=False, gap=0)
    design = np.stack([stimulus.values[1:, 0], stimulus.values[:-1, 0]], axis=1)
    for unit in range(3):
        model = PoissonRegressor(alpha=0.05, max_iter=500, tol=1e-9).fit(design, spikes.values[1:, unit])
        np.testing.assert_allclose(found.weights.values[:, unit], model.coef_, atol=1e-4)
    train, test = split.blocked(spikes, 5)[2]
    model = PoissonRegressor(alpha=0.05, max_iter=500, tol=1e-9).fit(
        design[train[train > 0] - 1], spikes.values[train[train > 0], 1]
    )
    expected = model.predict(design[test - 1])
    np.testing.assert_allclose(found.prediction.values[test, 1], expected, rtol=1e-3)
    counts = spikes.values[test, 1]
    flat = np.full(len(test), spikes.values[train, 1].mean())  # not of the test set
    share = 1 - mean_poisson_deviance(counts, expected) / mean_poisson_deviance(counts, flat)
    assert abs(float(found.score[2, 1]) - share) < 1e-3


def test_what_are_no_counts_is_refused():
    stimulus, spikes = _coupled(100)
    with pytest.raises(AnalysisError, match="responses are negative or no whole numbers"):
        encoding.poisson_glm(stimulus, _rec(spikes.values - 0.5, "spikes"))
    silent = spikes.copy(deep=True)
    silent[:, 2] = 0
    with pytest.raises(AnalysisError, match="1 units have no spike in a training set, first 'u2'"):
        encoding.poisson_glm(stimulus, silent)
    with pytest.raises(AnalysisError, match="coupling must be different whole lags of 1 or more"):
        encoding.poisson_glm(stimulus, spikes, coupling=(0,))


def test_couplings_take_folds_from_a_generator_and_predictions_stay_finite():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 1))
    spikes = _rec(rng.poisson(np.exp(x - 1)), "spikes")
    folds = [(np.arange(200), np.arange(210, 400)), (np.arange(200, 400), np.arange(190))]
    given, again = (encoding.poisson_glm(_rec(x), spikes, coupling=[1], cv=cv) for cv in (folds, iter(folds)))
    np.testing.assert_array_equal(given.score, again.score)
    x[300] = 1e6
    assert np.isfinite(encoding.poisson_glm(_rec(x), spikes, cv=folds).prediction.values[210:]).all()


@pytest.mark.parametrize("method", [encoding.ridge, encoding.kernel_ridge, lambda *two: encoding.pls(*two, 2)])
def test_features_that_never_vary_predict_the_mean(method):
    features, responses = _planted(100, 3)
    found = method(features.copy(data=np.ones(features.shape)), responses)
    assert (found.score <= 1e-9).all()
    assert found.correlation.isnull().all()
