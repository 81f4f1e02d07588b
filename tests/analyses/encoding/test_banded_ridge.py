"""Banded ridge: planted bands, agreement with ridge and himalaya, scores that sum."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

import neurointerp as ni
from neurointerp import least_squares
from neurointerp.analyses import encoding
from neurointerp.analyses.encoding import _bands, _search
from neurointerp.errors import AlignmentError, AnalysisError


def _rec(values, modality="stimulus", **options):
    return ni.recording(values, modality=modality, units="1", sampling_rate=1.0, **options)


def _bands_and_responses(samples=400, seed=0, noise=1.0):
    """Two bands: unit 0 reads the first, unit 1 the second, unit 2 both, unit 3 neither."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((samples, 8)), rng.standard_normal((samples, 40))
    wa, wb = rng.standard_normal((8, 4)) / np.sqrt(8), rng.standard_normal((40, 4)) / np.sqrt(40)
    y = a @ (wa * [1, 0, 1, 0]) + b @ (wb * [0, 1, 1, 0]) + noise * rng.standard_normal((samples, 4))
    return {"a": _rec(a), "b": _rec(b)}, _rec(y, "fmri")


def test_shares_find_the_planted_bands_and_scores_are_split_between_them():
    bands, responses = _bands_and_responses()
    found = encoding.banded_ridge(bands, responses, draws=30)
    share, split = found.share, found.band_score.mean("fold")
    assert float(share.sel(band="a")[0]) > 0.9
    assert float(share.sel(band="b")[1]) > 0.9
    assert 0.1 < float(share.sel(band="a")[2]) < 0.9
    assert float(split.sel(band="a")[0]) > 0.35
    assert abs(float(split.sel(band="b")[0])) < 0.05
    assert float(split.sel(band="b")[1]) > 0.2
    assert float(found.score.mean("fold")[3]) < 0.02


def test_scores_of_bands_and_mean_sum_to_the_score_of_the_prediction():
    bands, responses = _bands_and_responses()
    responses = responses + 7.0 * np.linspace(0, 1, 400)[:, None]  # training means are not those of test blocks
    responses.attrs = {"modality": "fmri", "units": "1", "sampling_rate": 1.0, **responses.attrs}
    found = encoding.banded_ridge(bands, responses, draws=5)
    np.testing.assert_allclose(found.band_score.sum("band") + found.mean_score, found.score, atol=1e-10)
    for fold, test in enumerate(np.array_split(np.arange(400), 5)):
        expected = r2_score(responses.values[test], found.prediction.values[test], multioutput="raw_values")
        np.testing.assert_allclose(found.score[fold], expected, atol=1e-10)
    assert float(np.abs(found.mean_score).max()) > 0.1


@pytest.mark.parametrize("samples", [300, 40])
def test_one_band_is_ridge(samples):
    bands, responses = _bands_and_responses(samples)
    grid = np.logspace(0, 4, 9)
    found = encoding.banded_ridge(bands["b"], responses, alphas=grid)
    expected = encoding.ridge(bands["b"], responses, alphas=grid)
    for name in ("weights", "intercept", "alpha", "score", "correlation", "prediction"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("samples", [300, 40])
def test_weights_are_those_of_ridge_on_scaled_bands(samples):
    bands, responses = _bands_and_responses(samples)
    found = encoding.banded_ridge(bands, responses, draws=10, standardize=False, alphas=np.logspace(-1, 4, 11))
    x = np.concatenate([bands["a"].values, bands["b"].values], axis=1)
    for unit in range(4):
        root = np.sqrt(np.repeat(found.share[:, unit].values, [8, 40]))
        reference = Ridge(float(found.alpha[unit])).fit(x * root, responses.values[:, unit])
        np.testing.assert_allclose(found.weights[:, unit], reference.coef_ * root, rtol=1e-6, atol=1e-8)
    assert list(found.feature_band.values) == ["a"] * 8 + ["b"] * 40
    assert found.feature.values[8] == "b:u00"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_search_finds_what_himalaya_finds_with_the_same_draws(dtype, monkeypatch):
    himalaya = pytest.importorskip("himalaya.ridge", reason="himalaya is not installed")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((250, 60)).astype(dtype)
    groups = np.repeat([0, 1, 2], 20)
    y = (x @ (rng.standard_normal((60, 150)) * rng.uniform(0, 1, (3, 150))[groups])).astype(dtype)
    y += (4 * rng.standard_normal(y.shape)).astype(dtype)
    gammas = rng.dirichlet(np.ones(3), 8).astype(dtype)
    alphas = np.logspace(-1, 4, 12).astype(dtype)
    options = {"n_iter": gammas, "alphas": alphas, "progress_bar": False}
    peer = himalaya.GroupRidgeCV(groups=groups, cv=5, fit_intercept=True, solver_params=options).fit(x, y)
    folds = list(KFold(5).split(x))
    whole = least_squares.moments(x, y, np.arange(250))
    for worth in (np.inf, 0.0):  # without and with the shortcuts of large problems
        monkeypatch.setattr(_search, "WORTH", worth)
        monkeypatch.setattr(least_squares, "WORTH", worth)
        best = _bands.search(x, y, whole, folds, alphas, False, groups, gammas)
        np.testing.assert_allclose(best.error / 250, -peer.cv_scores_.max(axis=0), rtol=2e-5)
        own, _ = _bands.refit(x, y, whole, best, False, groups)
        same = np.isclose(best.share, np.exp(peer.deltas_.T) * best.alpha[:, None], rtol=1e-3).all(axis=1)
        assert same.mean() >= (1.0 if dtype == np.float64 else 0.98)
        np.testing.assert_allclose(own[:, same], peer.coef_[:, same], atol=1e-8 if dtype == np.float64 else 2e-3)


def test_the_gradient_is_that_of_finite_differences_and_steps_never_do_worse():
    bands, responses = _bands_and_responses(120)
    x = np.concatenate([bands["a"].values, bands["b"].values], axis=1)
    y, groups = responses.values, np.repeat([0, 1], [8, 40])
    folds = list(KFold(4).split(x))
    parts = [_bands._kernels(x, y, fold, True, groups, 2) for fold in folds]
    at = np.array([2.0, 4.0])
    slope = _bands._error(at, parts, 2)[1]
    for b in range(2):
        moved = [_bands._error(at + sign * 1e-5 * np.eye(2)[b], parts, 2)[0] for sign in (1, -1)]
        np.testing.assert_allclose(slope[b], (moved[0] - moved[1]) / 2e-5, rtol=1e-5)
    whole = least_squares.moments(x, y, np.arange(120))
    alphas, gammas = np.logspace(0, 3, 4), _bands.shares(2, 3, np.random.default_rng(0))
    rough = _bands.search(x, y, whole, folds, alphas, True, groups, gammas)
    fine = _bands.refine(x, y, folds, rough, True, groups, 20)
    assert (fine.error <= rough.error).all()
    assert (fine.error[:3] < rough.error[:3]).all()
    np.testing.assert_allclose(fine.share.sum(axis=1), 1.0)
    again = _bands._error(np.log(fine.alpha[2] / fine.share[2]), parts, 2)[0]
    np.testing.assert_allclose(again, fine.error[2], rtol=1e-8)


def test_bands_by_a_coordinate_and_with_lags():
    bands, responses = _bands_and_responses()
    values = np.concatenate([rec.values for rec in bands.values()], axis=1)
    layer = ("unit", np.repeat([3, 7], [8, 40]))
    one = _rec(values, coords={"layer": layer})
    found = encoding.banded_ridge(one, responses, bands="layer", draws=4, lags=(0, 1))
    assert list(found.band.values) == ["3", "7"]
    assert list(found.feature_band.values) == (["3"] * 8 + ["7"] * 40) * 2
    plain = encoding.banded_ridge(bands, responses, draws=4, lags=(0, 1))
    np.testing.assert_allclose(found.score, plain.score, rtol=1e-9)


def test_bad_bands_are_refused():
    bands, responses = _bands_and_responses(60)
    with pytest.raises(AnalysisError, match="bands='layer' is no coordinate"):
        encoding.banded_ridge(bands["a"], responses, bands="layer")
    with pytest.raises(AnalysisError, match="recordings by the name of their band"):
        encoding.banded_ridge({}, responses)
    with pytest.raises(AnalysisError, match="draws 0, steps 0"):
        encoding.banded_ridge(bands, responses, draws=0)
    with pytest.raises(AlignmentError):
        encoding.banded_ridge({"a": bands["a"], "b": bands["b"][1:]}, responses)


def test_a_single_alpha_still_finds_the_bands():
    bands, responses = _bands_and_responses()
    found = encoding.banded_ridge(bands, responses, alphas=400.0, draws=10)
    assert float(found.share.sel(band="a")[0]) > 0.8
    assert float(found.share.sel(band="b")[1]) > 0.8
    equal = encoding.banded_ridge(bands, responses, alphas=400.0, draws=1)
    assert (found.score.mean("fold")[:2] > equal.score.mean("fold")[:2] + 0.01).all()
