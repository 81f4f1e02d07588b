"""Non-negative factorization against planted parts, scikit-learn, and itself without some of the values."""

import importlib
from functools import partial

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.errors import AnalysisError

METHODS = [factorization.nmf, factorization.semi_nmf]
kernel, samples, checks = (
    importlib.import_module(f"neurointerp.analyses.factorization.{name}") for name in ("nmf", "_samples", "_checks")
)


def planted(seed=0, time=300, units=40, rank=5, noise=0.02):
    """Give a recording of non-negative parts, each of a few units, and the parts."""
    rng = np.random.default_rng(seed)
    parts = rng.gamma(2.0, size=(rank, units)) * (rng.random((rank, units)) < 0.2)
    course = rng.gamma(2.0, size=(time, rank)) * (rng.random((time, rank)) < 0.3)
    values = course @ parts
    values = np.abs(values + noise * values.std() * rng.standard_normal(values.shape))
    return ni.recording(values, modality="spikes", units="1", sampling_rate=10.0), parts


def matched(found, truth):
    """Give the mean cosine of the best one-to-one match."""
    found, truth = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (found, truth))
    return float((found @ truth.T)[linear_sum_assignment(found @ truth.T, maximize=True)].mean())


@pytest.mark.parametrize("init", ["random", "kmeans", "svd"])
def test_planted_parts_are_found(init):
    rec, parts = planted()
    res = factorization.nmf(rec, 5, init=init, restarts=3)
    assert matched(res.features.values, parts) > 0.99
    assert (res.features.values >= 0).all()
    assert (res.coefficients.values >= 0).all()
    assert (np.diff(res.loss.values) <= 0).all()


@pytest.mark.parametrize("modality", ["activations", "calcium", "eeg", "fmri", "spikes"])
def test_the_objective_is_that_of_scikit_learn_or_better(recordings, modality):
    from sklearn.decomposition import NMF

    rec = recordings[modality]
    rec = rec.copy(data=np.abs(rec.values))
    X = rec.values.astype(np.float64)
    theirs = []
    for seed in range(4):
        model = NMF(3, init="random", max_iter=3000, tol=1e-8, random_state=seed)
        theirs.append(np.linalg.norm(X - model.fit_transform(X) @ model.components_) / np.linalg.norm(X))
    ours = factorization.nmf(rec, 3, restarts=4)
    assert float(ours.relative_error) <= min(theirs) * 1.002


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_that_of_the_stored_arrays_on_what_was_observed(method):
    rec, _ = planted()
    rng = np.random.default_rng(1)
    rec.values[rng.random(rec.shape) < 0.2] = np.nan
    res = method(rec, 5)
    known = ~np.isnan(rec.values)
    rest = (rec.values - res.coefficients.values @ res.features.values)[known]
    assert float(res.loss.min()) == pytest.approx((rest**2).sum() / (rec.values[known] ** 2).sum(), rel=1e-6)
    spread = ((rec.values - np.nanmean(rec.values, axis=0))[known] ** 2).sum()
    assert float(res.explained_variance) == pytest.approx(1 - (rest**2).sum() / spread, rel=1e-6)
    assert (np.diff(res.loss.values) <= 1e-12).all()


@pytest.mark.parametrize("method", METHODS)
def test_missing_values_are_predicted_and_zeros_in_their_place_would_not_be(method):
    whole, _ = planted(noise=0.0)
    holes = np.random.default_rng(1).random(whole.shape) < 0.2
    rec = whole.copy(data=np.where(holes, np.nan, whole.values))
    zeros = whole.copy(data=np.where(holes, 0.0, whole.values))
    errors = []
    for given in (rec, zeros):
        res = method(given, 5, restarts=3, max_iter=3000, tolerance=1e-10)
        rest = (whole.values - res.coefficients.values @ res.features.values)[holes]
        errors.append(float(np.linalg.norm(rest) / np.linalg.norm(whole.values[holes])))
    assert errors[0] < 0.1
    assert errors[1] > 0.3
    assert np.isnan(rec.values).sum() == holes.sum()


@pytest.mark.parametrize("method", METHODS)
def test_what_nothing_is_known_of_is_refused(method):
    rec, _ = planted()
    rec.values[:, 3] = np.nan
    rec.values[7] = np.nan
    with pytest.raises(AnalysisError, match=r"1 units \(first 'u03'\) and 1 samples have no value at all"):
        method(rec, 2)


@pytest.mark.parametrize("method", METHODS)
def test_chunks_are_read_one_at_a_time_and_give_the_same_answer(method):
    dask = pytest.importorskip("dask")
    rec, _ = planted()
    rec.values[5, 3] = np.nan
    with dask.config.set(scheduler="synchronous"):
        lazy = method(rec.chunk({"time": 70, "unit": 13}), 4, max_iter=6)
    whole = method(rec, 4, max_iter=6)
    np.testing.assert_allclose(lazy.loss, whole.loss, rtol=1e-9)
    np.testing.assert_allclose(lazy.features, whole.features, atol=1e-8)
    np.testing.assert_allclose(lazy.coefficients, whole.coefficients, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_more_starts_are_never_worse_and_begin_with_the_single_one(method):
    rec, _ = planted(noise=1.0)
    one, several = (method(rec, 6, restarts=count, max_iter=60) for count in (1, 5))
    assert float(several.relative_error) <= float(one.relative_error)
    assert ni.digest(method(rec, 6, restarts=5, max_iter=60)) == ni.digest(several)


def test_numpy_and_torch_agree():
    torch = pytest.importorskip("torch")
    X = planted()[0].values
    X[4, 4] = np.nan
    fits = [
        kernel.factor(samples.of_array(values, "test"), 5, "random", checks.search_of("test", 40, 0.0, 100, 1), 0)
        for values in (X, torch.asarray(X))
    ]
    np.testing.assert_allclose(fits[1].losses, fits[0].losses, rtol=1e-9)
    np.testing.assert_allclose(fits[1].features.numpy(), fits[0].features, atol=1e-7)


def test_float32_is_near_float64():
    rec, _ = planted()
    low = factorization.nmf(rec.astype(np.float32), 5, max_iter=60)
    high = factorization.nmf(rec, 5, max_iter=60)
    assert low.features.dtype == np.float32
    np.testing.assert_allclose(low.loss, high.loss, atol=2e-6)


@pytest.mark.parametrize("size", [8.0, 2.0**-15, 2.0**-40, 2.0**40])  # the last two are divided first
@pytest.mark.parametrize("method", [*METHODS, partial(factorization.semi_nmf, keep_fraction=0.4)])
def test_scaling_the_data_scales_the_features(method, size):
    rec, _ = planted()
    rec = rec.copy(data=rec.values.astype(np.float32))
    res, scaled = (method(one, 4, max_iter=30) for one in (rec, rec.copy(data=np.float32(size) * rec.values)))
    np.testing.assert_allclose(scaled.features, size * res.features, rtol=1e-6)
    np.testing.assert_array_equal(scaled.coefficients, res.coefficients)


def test_permuting_units_and_samples_permutes_the_answer():
    rec, _ = planted()
    rng = np.random.default_rng(2)
    units, rows = rng.permutation(rec.sizes["unit"]), rng.permutation(rec.sizes["time"])
    turned = rec.isel(unit=units).copy(data=rec.values[rows][:, units])
    # after 30 iterations rounding alone decides whether a step lowered the loss
    res, other = (factorization.nmf(one, 4, init="svd", max_iter=20) for one in (rec, turned))
    np.testing.assert_allclose(other.features, res.features.values[:, units], atol=1e-10)
    np.testing.assert_allclose(other.coefficients, res.coefficients.values[rows], atol=1e-10)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x: x - 1.0, {}, r"values are negative \(least -"),
        (lambda x: 0 * x, {}, "all 12000 values are zero"),
        (lambda x: x, {"rank": 41}, "rank is 41; a whole number from 1 to 40"),
        (lambda x: x, {"init": "nndsvd"}, "init is 'nndsvd'; one of random, kmeans, svd"),
        (lambda x: x, {"restarts": 0}, "restarts is 0"),
        (lambda x: x, {"tolerance": -1.0}, "tolerance is -1.0"),
    ],
)
def test_bad_input_is_named(change, options, message):
    rec, _ = planted()
    with pytest.raises(AnalysisError, match=message):
        factorization.nmf(rec.copy(data=change(rec.values)), **{"rank": 3, **options})


@pytest.mark.parametrize("method", METHODS)
def test_large_recordings_begin_with_some_samples_and_end_no_worse(method, monkeypatch):
    coarse = importlib.import_module("neurointerp.analyses.factorization._coarse")
    rec, _ = planted(time=1600, noise=0.3)
    plain = method(rec, 8, max_iter=400)
    early = method(rec, 8, max_iter=3)
    monkeypatch.setattr(coarse, "LARGE", 0)
    begun, soon = method(rec, 8, max_iter=400), method(rec, 8, max_iter=3)
    assert float(soon.relative_error) < float(early.relative_error)
    assert float(begun.relative_error) < 1.01 * float(plain.relative_error)
    assert (np.diff(begun.loss.values) <= 0).all()
    pytest.importorskip("dask")
    chunked = method(rec.chunk({"time": 300}), 8, max_iter=3)
    np.testing.assert_allclose(chunked.loss, soon.loss, rtol=1e-9)
    silent = rec.copy(data=np.where(np.arange(1600)[:, None] == 0, rec.values, 0.0))
    assert float(method(silent, 1, max_iter=50).relative_error) < 1e-3


def test_a_component_that_dies_on_some_samples_is_alive_on_all(monkeypatch):
    coarse = importlib.import_module("neurointerp.analyses.factorization._coarse")
    monkeypatch.setattr(coarse, "LARGE", 0)
    chosen = np.random.default_rng(0).choice(1600, 200, replace=False)
    rec, _ = planted(time=1600, rank=4, noise=0.0)
    rec.values[np.setdiff1d(np.arange(1600), chosen)[:300], :5] += 5 * np.arange(1.0, 6)
    res = factorization.nmf(rec, 5, restarts=3, max_iter=2000, tolerance=1e-10)
    assert float(res.relative_error) < 0.02
