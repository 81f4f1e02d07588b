"""Semi-NMF against planted features, a plain transcription of its updates, and its own bookkeeping."""

import importlib
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.errors import AnalysisError
from neurointerp.result import check_result

# the function hides its module as an attribute of the package
kernel, alternate, samples, checks = (
    importlib.import_module(f"neurointerp.analyses.factorization.{name}")
    for name in ("semi_nmf", "_alternate", "_samples", "_checks")
)


def planted(
    seed: int, noise: float = 0.3, units: int = 512, samples: int = 1500, rank: int = 20, active: int = 11
) -> tuple[xr.DataArray, np.ndarray]:
    """Give a recording of sparse signed features (unit norm) with gamma coefficients, and the features."""
    rng = np.random.default_rng(seed)
    features = np.zeros((rank, units))
    for row in features:
        row[rng.choice(units, active, replace=False)] = rng.standard_normal(active)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    signal = (rng.random((samples, rank)) < 0.12) * rng.gamma(2, 1, (samples, rank)) @ features
    values = (signal + noise * signal.std() * rng.standard_normal(signal.shape)).astype(np.float32)
    return ni.recording(values, modality="activations", units="1", time=np.arange(samples)), features


def matched(found: np.ndarray, true: np.ndarray, signed: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Give, for each true feature, the (signed) cosine with its match and the index of that match."""
    norms = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-30)
    cosine = true @ (found / norms).T
    cosine = cosine if signed else np.abs(cosine)
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    return cosine[rows, columns], columns


def f1(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * (found & true).sum() / (found.sum() + true.sum())


def recovery(seed: int, noise: float, keep_fraction: float = 0.02, **options) -> dict[str, float]:
    from sklearn.cluster import KMeans

    rec, true = planted(seed, noise)
    rank = len(true)
    sparse = factorization.semi_nmf(rec, rank, keep_fraction=keep_fraction, seed=seed, **options)
    dense = factorization.semi_nmf(rec, rank, seed=seed, **options)
    pca = factorization.pca(rec, rank)["features"].values
    means = KMeans(rank, n_init=1, random_state=seed).fit(rec.values).cluster_centers_
    cosine, order = matched(sparse["features"].values, true)
    return {
        "semi_nmf": cosine.mean(),
        "f1": f1(sparse["support"].values[order], true != 0),
        "dense": matched(dense["features"].values, true)[0].mean(),
        "pca": matched(pca, true, signed=False)[0].mean(),
        "kmeans": matched(means, true)[0].mean(),
    }


def assert_recovered(score: dict[str, float]) -> None:
    assert score["semi_nmf"] >= 0.90
    assert score["f1"] >= 0.90
    assert score["semi_nmf"] >= 1.5 * score["dense"]
    assert score["semi_nmf"] >= 1.7 * score["pca"]
    assert score["semi_nmf"] >= 1.05 * score["kmeans"]


def test_planted_features_come_back():
    assert_recovered(recovery(2, 0.3, max_iter=200))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_planted_features_come_back_on_five_seeds(noise):
    scores = [recovery(seed, noise) for seed in range(5)]
    assert_recovered({name: float(np.mean([score[name] for score in scores])) for name in scores[0]})


@pytest.mark.slow
@pytest.mark.parametrize("keep_fraction", [0.01, 0.04])
def test_recovery_bears_a_wrong_keep_fraction(keep_fraction):
    cosines = [recovery(seed, 0.3, keep_fraction, max_iter=500)["semi_nmf"] for seed in range(3)]
    assert np.mean(cosines) >= 0.8


@pytest.fixture
def small() -> xr.DataArray:
    return planted(0, units=60, samples=200, rank=5, active=6)[0]


@pytest.mark.parametrize("keep_fraction", [0.1, 0.33, 1.0])
@pytest.mark.parametrize("init", ["random", "kmeans", "svd"])
def test_bookkeeping(small, keep_fraction, init):
    res = factorization.semi_nmf(small, 5, keep_fraction=keep_fraction, init=init, max_iter=300)
    X, F, G = small.values.astype(float), res["features"].values, res["coefficients"].values
    error = ((X - G.astype(float) @ F) ** 2).sum()
    assert float(res["loss"].min()) == pytest.approx(error / (X**2).sum(), abs=1e-6)
    assert float(res["relative_error"]) ** 2 == pytest.approx(float(res["loss"].min()), rel=1e-12)
    assert float(res["loss"].sel(iteration=int(res["best_iteration"]))) == float(res["loss"].min())
    about_mean = ((X - X.mean(axis=0)) ** 2).sum()
    assert float(res["explained_variance"]) == pytest.approx(1 - error / about_mean, abs=1e-4)
    assert (G >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(G, axis=0), 1, rtol=1e-5)
    assert (res["support"].values == (F != 0)).all()
    assert res["support"].values.sum(axis=1).max() <= np.ceil(keep_fraction * 60)
    assert (np.diff(np.linalg.norm(F, axis=1)) <= 0).all()
    assert str(res["stop_reason"].values) in ("tolerance", "max_iter")


def test_best_iterate_is_returned_where_winner_take_all_raises_the_loss():
    rec, _ = planted(0, units=60, samples=150, rank=8, active=6)
    runs = [factorization.semi_nmf(rec, 8, keep_fraction=0.05, seed=seed) for seed in range(6)]
    risen = [run for run in runs if float(run["loss"][-1]) > float(run["loss"].min())]
    assert risen, "no run where the best is not the last: the test shows nothing"
    for run in risen:
        assert int(run["best_iteration"]) < run.sizes["iteration"] - 1


@pytest.mark.parametrize("init", ["random", "kmeans", "svd"])
def test_loss_never_rises_without_winner_take_all(small, init):
    for rec in (small, small.astype(np.float64)):
        res = factorization.semi_nmf(rec, 5, init=init, max_iter=500)
        slack = 0 if rec.dtype == np.float64 else 2e-7  # rounding of the products
        assert np.diff(res["loss"].values).max() <= slack


def test_stop_reason_is_honest(small):
    res = factorization.semi_nmf(small, 3, max_iter=20)
    assert res["stop_reason"].item() == "max_iter"
    assert res.sizes["iteration"] == 20
    res = factorization.semi_nmf(small, 3, tolerance=1e-4, patience=10)
    assert res["stop_reason"].item() == "tolerance"
    loss = res["loss"].values
    assert loss[:-11].min() - loss.min() <= 1e-4
    assert 11 <= len(loss) < 2000


def ding_li_jordan(X: np.ndarray, G: np.ndarray, steps: int) -> tuple[np.ndarray, list[float]]:
    """Give features and squared relative errors of eq. 10 and 11 of the paper, entry by entry as printed."""
    losses = []
    for _ in range(steps):
        F = X.T @ G @ np.linalg.inv(G.T @ G)
        XtF, FtF = X @ F, F.T @ F
        up = np.where(XtF > 0, XtF, 0) + G @ np.where(FtF < 0, -FtF, 0)
        down = np.where(XtF < 0, -XtF, 0) + G @ np.where(FtF > 0, FtF, 0)
        G = G * np.sqrt(up / (down + 1e-12))
        losses.append(np.linalg.norm(X - G @ F.T) ** 2 / np.linalg.norm(X) ** 2)
    return F.T, losses


def test_the_multiplicative_update_is_that_of_the_paper(small):
    X = small.values.astype(np.float64)
    G = np.random.default_rng(5).random((200, 4)) + 0.01
    F = np.linalg.solve(G.T @ G, G.T @ X)
    _, losses = ding_li_jordan(X, G, 1)
    P, inner = X @ F.T, F @ F.T
    updated = kernel._multiplied(P, inner, G, 1e-12)
    assert np.linalg.norm(X - updated @ F) ** 2 / np.linalg.norm(X) ** 2 == pytest.approx(losses[0], rel=1e-6)
    for size in (1.0, 2.0**-40):  # of teslas squares would underflow: those are divided by a power of two
        data = samples.of_array(X * size, "test")
        assert (data.scale == 1) == (size == 1)
        swept = data.sweep(F * size / data.scale, G, lambda P, Q, G, rows: (updated, updated))
        assert swept.loss == pytest.approx(losses[0], rel=1e-6)


def test_many_units_take_little_memory_beside_the_matrix():
    X = np.random.default_rng(0).standard_normal((1000, 10_000), dtype=np.float32)
    X[5, 7] = np.nan
    tracemalloc.start()
    try:
        data = samples.of_array(X, "test")
        assert data.spread == pytest.approx(data.power, rel=1e-2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data.missing == 1
    assert peak < X.nbytes / 2


def test_coordinate_descent_sets_each_column_to_its_best_value(small):
    """Against scipy's non-negative least squares, which coordinate descent converges to with the features fixed."""
    from scipy.optimize import nnls

    X = small.values.astype(np.float64)
    G = np.random.default_rng(5).random((200, 4)) + 0.01
    F = np.linalg.solve(G.T @ G, G.T @ X)
    for _ in range(300):
        G = alternate.descended(G, X @ F.T, F @ F.T)
    np.testing.assert_allclose(G, [nnls(F.T, x)[0] for x in X], atol=1e-8)


def test_the_dense_problem_is_solved_sooner_than_by_the_published_update(small):
    X = small.values.astype(np.float64)
    G = np.random.default_rng(5).random((200, 4)) + 0.01
    theirs = ding_li_jordan(X, G, 60)[1]
    limits = {"max_iter": 30, "tolerance": 0.0, "patience": 100}
    ours = alternate.alternate(
        samples.of_array(X, "test"), G, None, kernel._least_squares, lambda new, old, step: new, **limits
    )
    assert ours.losses[-1] <= theirs[-1]
    assert (np.diff(ours.losses) <= 0).all()


def test_not_worse_than_the_transcription_from_its_own_starts(small):
    X = small.values.astype(np.float64)
    starts = [np.random.default_rng(seed).random((200, 4)) + 0.01 for seed in range(10, 14)]
    theirs = min(min(ding_li_jordan(X, G, 400)[1]) for G in starts)
    ours = min(float(factorization.semi_nmf(small, 4, seed=seed)["relative_error"]) ** 2 for seed in range(4))
    assert ours <= theirs * 1.005


def test_winner_take_all_keeps_the_largest_and_breaks_ties_by_position():
    F = np.array([[1.0, -3.0, 2.0, 0.5], [1.0, 1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 2.0]])
    kept = kernel._keep_largest(F, 2)
    np.testing.assert_array_equal(kept, [[0, -3, 2, 0], [1, 1, 0, 0], [0, 0, 0, 2]])


@pytest.mark.parametrize("init", ["random", "kmeans", "svd"])
@pytest.mark.parametrize("keep_fraction", [0.1, 1.0])
def test_numpy_and_torch_agree(small, init, keep_fraction):
    torch = pytest.importorskip("torch")
    X = small.values.astype(np.float64)
    kept = kernel.kept_units(keep_fraction, 60)
    fits = []
    for values in (X, torch.asarray(X)):
        search = checks.search_of("test", 50, 1e-7, 100, 1)
        fits.append(kernel.factor(samples.of_array(values, "test"), 5, kept, init, search, 3))
    assert isinstance(fits[1].features, torch.Tensor)
    np.testing.assert_allclose(fits[1].losses, fits[0].losses, rtol=1e-9)
    np.testing.assert_allclose(fits[1].features.numpy(), fits[0].features, atol=1e-8)
    np.testing.assert_allclose(fits[1].coefficients.numpy(), fits[0].coefficients, atol=1e-8)


def test_permuting_units_permutes_the_answer(small):
    rec = small.astype(np.float64)
    order = np.random.default_rng(1).permutation(60)
    options = {"keep_fraction": 0.1, "init": "svd", "max_iter": 50}
    res = factorization.semi_nmf(rec, 5, **options)
    turned = factorization.semi_nmf(rec.isel(unit=order), 5, **options)
    np.testing.assert_allclose(turned["features"].values, res["features"].values[:, order], atol=1e-8)
    np.testing.assert_allclose(turned["coefficients"].values, res["coefficients"].values, atol=1e-8)
    assert list(turned["unit"].values) == list(small["unit"].values[order])


@pytest.mark.parametrize("scale", [1e-6, 1e-22])
def test_volts_and_microvolts_give_one_answer(small, scale):
    tiny = (small * np.float32(scale)).assign_attrs(small.attrs)
    res = factorization.semi_nmf(small, 4, init="svd", max_iter=50)
    scaled = factorization.semi_nmf(tiny, 4, init="svd", max_iter=50)
    np.testing.assert_allclose(scaled["loss"].values, res["loss"].values, rtol=1e-4)
    np.testing.assert_allclose(scaled["features"].values / scale, res["features"].values, atol=1e-2)
    np.testing.assert_allclose(scaled["explained_variance"], res["explained_variance"], rtol=1e-4)


def test_same_seed_same_bytes(small):
    before = small.copy(deep=True)
    first, again = (factorization.semi_nmf(small, 4, keep_fraction=0.2, seed=7, max_iter=40) for _ in range(2))
    other = factorization.semi_nmf(small, 4, keep_fraction=0.2, seed=8, max_iter=40)
    assert first.identical(again)
    assert all(first[name].values.tobytes() == again[name].values.tobytes() for name in ("features", "loss"))
    assert not np.array_equal(first["features"].values, other["features"].values)
    assert small.identical(before)


def test_result_on_every_modality_is_labelled_and_survives_the_store(recordings, tmp_path):
    for modality, rec in recordings.items():
        res = factorization.semi_nmf(rec, 3, keep_fraction=0.5, max_iter=20)
        check_result(res)
        assert res["coefficients"].dims == (*rec.dims[:-1], "component")
        for name, coord in rec.coords.items():
            np.testing.assert_array_equal(res[name].values, coord.values)
        assert res["features"].attrs["units"] == rec.attrs["units"]
        path = ni.save(res, tmp_path / f"{modality}.zarr")
        assert ni.open(path).load().identical(res)


def test_more_components_than_units(recordings):
    for init in ("random", "kmeans", "svd"):
        res = factorization.semi_nmf(recordings["calcium"], 12, init=init, max_iter=20)
        assert res["features"].shape == (12, 8)
        assert np.isfinite(res["features"].values).all()


def test_constant_recording_has_no_explained_variance():
    rec = ni.recording(np.full((20, 3), 2.0), modality="eeg", units="V", sampling_rate=1.0)
    res = factorization.semi_nmf(rec, 1)
    assert float(res["relative_error"]) < 1e-5
    assert np.isnan(float(res["explained_variance"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank is 0; a whole number from 1 to 200 (the number of samples) is needed"),
        ({"rank": 201}, "rank is 201; a whole number from 1 to 200"),
        ({"rank": 2.0}, "rank is 2.0; a whole number"),
        ({"rank": True}, "rank is True; a whole number"),
        ({"keep_fraction": 0.0}, "keep_fraction is 0.0; a number in (0, 1] is needed"),
        ({"keep_fraction": 1.5}, "keep_fraction is 1.5"),
        ({"init": "nndsvd"}, "init is 'nndsvd'; one of random, kmeans, svd is needed"),
        ({"max_iter": 0}, "max_iter is 0; a whole number of at least 1 is needed"),
        ({"patience": 0}, "patience is 0; a whole number of at least 1 is needed"),
        ({"tolerance": -1.0}, "tolerance is -1.0; a number of at least 0 is needed"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
    ],
)
def test_bad_arguments_are_named(small, options, message):
    with pytest.raises(AnalysisError) as caught:
        factorization.semi_nmf(small, **({"rank": 3} | options))
    assert f"factorization.semi_nmf: {message}" in str(caught.value)


def test_missing_values_count_for_nothing_with_winner_take_all_too(small):
    holes = small.copy(deep=True)
    holes[3:5, 7] = np.nan
    res = factorization.semi_nmf(holes, 3, keep_fraction=0.2, max_iter=50)
    rest = (holes.values - res["coefficients"].values @ res["features"].values) ** 2
    assert float(res["loss"].min()) == pytest.approx(np.nansum(rest) / np.nansum(holes.values**2), rel=1e-5)


def test_empty_values_are_refused(small):
    with pytest.raises(AnalysisError, match="all 12000 values are zero; there is nothing to factor"):
        factorization.semi_nmf(xr.zeros_like(small), 3)


@pytest.mark.parametrize("seed", range(4))
def test_units_that_never_vary_explain_nothing_in_float32_either(seed):
    row = np.random.default_rng(seed).random(7).astype(np.float32)
    rec = ni.recording(np.tile(row, (200, 1)), modality="calcium", units="1", sampling_rate=1.0)
    assert np.isnan(factorization.semi_nmf(rec, 1)["explained_variance"])
    assert np.isnan(factorization.semi_nmf(rec.chunk({"time": 50}), 1)["explained_variance"])


@pytest.mark.parametrize("wrong", [{"tolerance": None}, {"tolerance": "small"}, {"keep_fraction": "all"}])
def test_what_is_no_number_is_named(wrong):
    rec = ni.recording(np.ones((5, 3)), modality="calcium", units="1", sampling_rate=1.0)
    with pytest.raises(AnalysisError, match=next(iter(wrong))):
        factorization.semi_nmf(rec, 1, **wrong)
