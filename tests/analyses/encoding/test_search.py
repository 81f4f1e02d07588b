"""The ridge kernels against scikit-learn, in all of their forms, on numpy and torch."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurointerp import least_squares
from neurointerp.analyses.encoding import _search, _sums

WIDE_AND_TALL = [(40, 12), (25, 60)]


def _data(samples, features, units=5):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, features)) * 10.0 ** rng.uniform(-2, 2, features) + 5 * rng.standard_normal(
        features
    )
    y = (x / x.std(axis=0)) @ rng.standard_normal((features, units)) / np.sqrt(features) + 3.0
    return x, y + rng.standard_normal(y.shape)


def _fit(x, y, standardize=True, smallest=1.0):
    sums = least_squares.moments(x, y, np.arange(len(x)))
    return least_squares.decompose(x, y, sums, standardize=standardize, smallest=smallest)


def _choose(x, y, folds, alphas, standardize=True):
    return _search.choose(x, y, least_squares.moments(x, y, np.arange(len(x))), folds, alphas, standardize)


@pytest.fixture
def always_fast(monkeypatch):
    """Take the shortcuts of large problems in small ones."""
    monkeypatch.setattr(least_squares, "WORTH", 0.0)
    monkeypatch.setattr(_search, "WORTH", 0.0)


@pytest.mark.parametrize(("samples", "features"), WIDE_AND_TALL)
@pytest.mark.parametrize("standardize", [True, False])
def test_weights_and_predictions_equal_ridge_with_an_alpha_per_unit(samples, features, standardize):
    x, y = _data(samples, features)
    alpha = np.array([1e-2, 1.0, 10.0, 1e3, 1e5])
    fit = _fit(x, y, standardize)
    weights, intercept = least_squares.weights(fit, alpha)
    scale = x.std(axis=0) if standardize else np.ones(features)
    reference = Ridge(alpha=alpha, solver="cholesky").fit((x - x.mean(axis=0)) / scale, y)
    np.testing.assert_allclose(weights, reference.coef_.T / scale[:, None], rtol=1e-8, atol=1e-10)
    expected = reference.predict((x - x.mean(axis=0)) / scale)
    np.testing.assert_allclose(least_squares.predict(fit, x, alpha), expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(x @ weights + intercept, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("samples", "features"), WIDE_AND_TALL)
def test_penalties_below_the_rounding_of_the_gram_matrix_are_solved_from_the_features(samples, features):
    rng = np.random.default_rng(0)
    u, s, vt = np.linalg.svd(rng.standard_normal((samples, features)), full_matrices=False)
    x = (u @ np.diag(np.logspace(0, -3, len(s))) @ vt).astype(np.float32)
    y = rng.standard_normal((samples, 3)).astype(np.float32)
    centred = x.astype(float) - x.mean(axis=0, dtype=float)
    expected = Ridge(alpha=1e-6, solver="svd").fit(centred, y.astype(float)).predict(centred)
    off = []
    for smallest in (1e-6, 1e9):  # the latter says that no small penalty will be asked for
        fit = _fit(x, y, standardize=False, smallest=smallest)
        off.append(np.abs(least_squares.predict(fit, x, np.full(3, 1e-6, np.float32)) - expected).max())
    assert off[0] < 0.02
    assert off[0] < 0.5 * off[1]


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
    found = _choose(x, y, folds, alphas)
    np.testing.assert_allclose(found.errors, errors, rtol=1e-7)
    np.testing.assert_array_equal(found.alpha, alphas[errors.argmin(axis=0)])
    assert len(set(found.alpha)) > 1


@pytest.mark.parametrize(("samples", "features"), [(300, 60), (120, 200)])
@pytest.mark.parametrize("standardize", [True, False])
def test_the_shortcuts_of_large_problems_change_no_alpha(samples, features, standardize, monkeypatch):
    x, y = _data(samples, features, 400)
    y *= np.random.default_rng(1).uniform(0.1, 9, 400)
    alphas, folds = np.logspace(0, 6, 20), list(KFold(5).split(x))
    plain = _choose(x, y, folds, alphas, standardize)
    monkeypatch.setattr(least_squares, "WORTH", 0.0)
    monkeypatch.setattr(_search, "WORTH", 0.0)
    fast = _choose(x, y, folds, alphas, standardize)
    np.testing.assert_array_equal(fast.alpha, plain.alpha)
    assert len(set(plain.alpha)) > 3
    computed = np.isfinite(fast.errors)
    assert computed.sum(axis=0).min() >= 2
    if standardize:
        assert computed.mean() < 0.5, "all alphas were computed"
    np.testing.assert_allclose(fast.errors[computed], plain.errors[computed], rtol=1e-9)


def test_a_fold_taken_from_the_whole_is_the_fold_summed_anew(always_fast):
    x, y = _data(200, 12)
    whole = least_squares.moments(x, y, np.arange(200))
    train = np.r_[0:70, 110:200]
    fast, plain = least_squares.moments(x, y, train, whole), least_squares.moments(x, y, train)
    assert least_squares._downdated(x, y, train, whole) is not None
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    x[90] = 1e6  # what is left out dwarfs what stays: no difference of sums would be exact
    whole = least_squares.moments(x, y, np.arange(200))
    assert least_squares._downdated(x, y, train, whole) is None
    np.testing.assert_array_equal(least_squares.moments(x, y, train, whole).gram, plain.gram)


@pytest.mark.parametrize(("samples", "features"), [(300, 60), (120, 200)])
def test_float32_chooses_the_alphas_of_float64_and_settles_near_ties(samples, features, monkeypatch):
    x, y = _data(samples, features, 1000)
    x = x / x.std(axis=0)
    alphas, folds = np.logspace(0, 6, 40), list(KFold(5).split(x))
    exact = _choose(x, y, folds, alphas)
    low = [array.astype(np.float32) for array in (x, y, alphas)]
    settled = _choose(low[0], low[1], folds, low[2])
    same = np.isclose(settled.alpha, exact.alpha, rtol=1e-5)
    assert same.mean() >= 0.999
    both = np.isfinite(settled.errors) & np.isfinite(exact.errors)
    power = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert (
        float((np.abs(settled.errors[both] - exact.errors[both]) / np.broadcast_to(power, both.shape)[both]).max())
        < 1e-4
    )
    monkeypatch.setattr(_search, "WORTH", np.inf)
    monkeypatch.setattr(_search, "TIE", 1.0)  # all of them again in float64, so to its precision
    found = _choose(low[0].astype(float).astype(np.float32), low[1], folds, low[2])
    near = _choose(low[0].astype(float), low[1].astype(float), folds, low[2].astype(float))
    there = np.isfinite(found.errors)
    assert there.mean() > 0.9
    np.testing.assert_allclose(found.errors[there], near.errors[there], rtol=1e-6)


@pytest.mark.parametrize("kind", ["numpy float64", "numpy float32", "torch float64"])
def test_errors_of_long_recordings_are_those_of_predictions(kind, monkeypatch):
    library, dtype = kind.split()
    x, y = (array.astype(dtype) for array in _data(600, 9, 5))
    x, y = x + np.asarray(3.0, dtype), y - np.asarray(2.0, dtype)
    y[:, 4] = 1.5
    gap = [(np.setdiff1d(train, [test[0] - 1, test[-1] + 1]), test) for train, test in KFold(3).split(x[:590])]
    folds = [*gap, (np.arange(100, 400), np.arange(380, 595)[20:])]  # not a partition
    alphas = np.logspace(-1, 4, 7)
    exact = _choose(x.astype(float), y.astype(float), folds, alphas)
    monkeypatch.setattr(_sums, "TALL", 0)
    monkeypatch.setattr(_sums, "LONG", 1)
    monkeypatch.setattr(_sums, "BATCH", 2)
    monkeypatch.setattr(_sums, "ROWS", 70)
    given = x, y, alphas.astype(dtype)
    if library == "torch":
        given = tuple(map(pytest.importorskip("torch").tensor, given))
    assert _sums.is_tall(given[0], least_squares.moments(*given[:2], np.arange(600)), folds)
    found = _choose(*given[:2], folds, given[2])
    # float32 features are summed as they are: what is off is the scale's last digits alone
    np.testing.assert_allclose(found.errors, exact.errors, rtol=1e-9 if dtype == "float64" else 1e-7)
    np.testing.assert_allclose(np.asarray(found.alpha), exact.alpha, rtol=1e-6)


def test_sets_that_overlap_are_divided_into_cells():
    sets = [np.array([4, 1, 2]), np.array([2, 3, 7]), np.array([0, 1, 2, 3])]
    cells = _sums.cells_of(9, sets)
    for one, row in zip(sets, cells.table, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(np.isin(cells.code, np.flatnonzero(row))), np.sort(one))
    assert (cells.code[[5, 6, 8]] == -1).all()
    assert cells.table.any(axis=0).all()
    assert cells.table.shape == (3, 6)  # 0; 1; 2; 3; 4; 7


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_sums_and_predictions_of_many_blocks_are_those_of_one(library, monkeypatch):
    x, y = _data(100, 12)
    if library == "torch":
        x, y = map(pytest.importorskip("torch").tensor, (x, y))
    train, alpha = np.r_[3:40, 60:100], y[0] * 0 + 2.0
    whole = least_squares.moments(x, y, train)
    fit = _fit(x, y)
    expected = least_squares.predict(fit, x, alpha)
    for module in (least_squares, _search):
        monkeypatch.setattr(module, "ROWS", 7)
    monkeypatch.setattr(_search, "BATCH", 2)
    for one, other in zip(least_squares.moments(x, y, train), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(_search.in_batches(fit, x, alpha), expected, rtol=1e-10, atol=1e-10)


def test_of_equal_errors_the_largest_alpha_is_taken():
    x, y = _data(40, 12)
    y[:, 1] = 4.0
    alphas = np.array([1.0, 100.0, 10.0])
    assert _choose(x, y, list(KFold(4).split(x)), alphas).alpha[1] == 100.0


def test_a_constant_feature_gets_no_weight_and_changes_nothing():
    x, y = _data(40, 12)
    alpha = np.ones(5)
    expected = least_squares.predict(_fit(x, y), x, alpha)
    for constant in (0.0, 0.1, 1e8 + 0.1):
        wider = np.c_[np.full(40, constant), x]
        fit = _fit(wider, y)
        np.testing.assert_allclose(least_squares.weights(fit, alpha)[0][0], 0.0, atol=1e-12)
        np.testing.assert_allclose(least_squares.predict(fit, wider, alpha), expected, rtol=1e-8)


def test_float32_stays_and_is_close():
    x, y = _data(200, 30)
    fits = [_fit(x.astype(kind), y.astype(kind)) for kind in (np.float32, np.float64)]
    low, high = (
        least_squares.predict(fit, x.astype(fit.values.dtype), np.full(5, 10.0, fit.values.dtype)) for fit in fits
    )
    assert low.dtype == np.float32
    np.testing.assert_allclose(low, high, atol=2e-4)


@pytest.mark.parametrize(("samples", "features"), WIDE_AND_TALL)
@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_torch_agrees_with_numpy(samples, features, kind, always_fast):
    torch = pytest.importorskip("torch")
    x, y = (array.astype(kind) for array in _data(samples, features))
    x = x / x.std(axis=0)
    alphas = np.logspace(-1, 3, 9).astype(kind)
    outer = list(KFold(3).split(x))
    inner = [[(train[::2], train[1::2]), (train[1::2], train[::2])] for train, _ in outer]
    both = []
    for arrays in ((x, y, alphas), map(torch.tensor, (x, y, alphas))):
        a, b, grid = arrays
        both.append(_search.nested(a, b, least_squares.moments(a, b, np.arange(len(x))), outer, inner, grid, True))
    (expected, used, chosen), (found, torch_used, torch_chosen) = both
    assert isinstance(found[0], torch.Tensor)
    np.testing.assert_allclose(torch_chosen.alpha.numpy(), chosen.alpha)
    np.testing.assert_allclose(torch_used, used)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-8 if kind == "float64" else 1e-3, atol=1e-3)


@pytest.mark.parametrize("side", ["train", "test"])
def test_samples_that_a_fold_draws_twice_count_twice_in_tall_problems(side, monkeypatch):
    """As in bootstraps that are given as folds; sums over cells hold each sample once."""
    x, y = _data(600, 3)
    index, twice = np.arange(600), np.r_[np.arange(200), np.arange(200), np.arange(200)]
    fold = (np.r_[twice[:400], index[200:300]], index[300:]) if side == "train" else (index[300:], twice)
    alphas = np.logspace(0, 4, 5)
    plain = _choose(x, y, [fold], alphas)
    monkeypatch.setattr(_sums, "TALL", 500)
    np.testing.assert_allclose(_choose(x, y, [fold], alphas).errors, plain.errors, rtol=1e-9)
