"""Non-negative CP against planted factors, tensorly, and its own bookkeeping."""

import importlib
from functools import reduce

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.errors import AnalysisError
from neurointerp.result import check_result

kernel, rules, starts = (
    importlib.import_module(f"neurointerp.analyses.tensor.{name}") for name in ("_alternate", "_rules", "_starts")
)
STARTS = importlib.import_module("neurointerp.analyses.tensor.nonnegative_cp").KIND.starts
DIMS = ("subject", "trial", "time", "unit")


def planted(
    shape: tuple[int, ...], rank: int, noise: float = 0.1, seed: int = 0, dtype: type = np.float64
) -> tuple[xr.DataArray, list[np.ndarray]]:
    """Give a recording of sparse gamma factors plus rectified noise, and the factors (columns of norm 1)."""
    rng = np.random.default_rng(seed)
    factors = [rng.gamma(0.5, 1.0, (size, rank)) for size in shape]
    model = rebuilt(factors, np.ones(rank))
    values = model + noise * model.std() * np.abs(rng.standard_normal(shape))
    dims = DIMS[-len(shape) :]
    coords = {"condition": ("trial", ["go", "stop"] * (shape[dims.index("trial")] // 2))}
    rec = ni.recording(
        values.astype(dtype), modality="calcium", units="1", sampling_rate=10.0, dims=dims, coords=coords
    )
    return rec, [factor / np.linalg.norm(factor, axis=0) for factor in factors]


def rebuilt(factors: list[np.ndarray], weight: np.ndarray) -> np.ndarray:
    columns = zip(*(factor.T for factor in factors), strict=True)
    return sum(w * reduce(np.multiply.outer, column) for w, column in zip(weight, columns, strict=True))


def factors_of(res: xr.Dataset, rec: xr.DataArray) -> list[np.ndarray]:
    return [res[f"factor_{dim}"].values for dim in rec.dims]


def match_score(found: list[np.ndarray], true: list[np.ndarray]) -> float:
    cosine = np.prod([a.T @ b for a, b in zip(found, true, strict=True)], axis=0)
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    return float(cosine[rows, columns].mean())


# the largest dim comes last, first and in the middle; four dims; more components than trials
CASES = [((10, 20, 30), 3), ((30, 20, 10), 3), ((8, 40, 12), 4), ((4, 6, 15, 10), 3), ((4, 30, 25), 6)]


@pytest.mark.parametrize(("shape", "rank"), CASES)
def test_planted_factors_come_back(shape, rank):
    rec, true = planted(shape, rank, noise=0.03)
    runs = [tensor.nonnegative_cp(rec, rank, seed=seed) for seed in range(3)]
    best = min(runs, key=lambda run: float(run["relative_error"]))
    assert match_score(factors_of(best, rec), true) > 0.99


def test_planted_trials_come_back_from_counts():
    tree = ni.synthetic.tensor_trials(rank=3)
    rec = tree["recordings/tensor_trials/recording"]
    res = tensor.nonnegative_cp(rec, 3)
    true = [tree[f"truth/factor_{dim}"].values for dim in rec.dims]
    assert match_score(factors_of(res, rec), true) > 0.97


@pytest.mark.parametrize(("shape", "rank"), CASES)
@pytest.mark.parametrize("init", ["random", "svd"])
def test_bookkeeping(shape, rank, init):
    rec, _ = planted(shape, rank)
    res = tensor.nonnegative_cp(rec, rank, init=init)
    factors, X = factors_of(res, rec), rec.values
    error = ((X - rebuilt(factors, res["weight"].values)) ** 2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(error / (X**2).sum(), rel=1e-8)
    assert float(res["loss"][-1]) == pytest.approx(float(res["relative_error"]) ** 2, rel=1e-12)
    about_mean = ((X - X.mean(axis=tuple(range(X.ndim - 1)))) ** 2).sum()
    assert float(res["explained_variance"]) == pytest.approx(1 - error / about_mean, abs=1e-8)
    assert np.diff(res["loss"].values).max() <= 0
    assert (np.diff(res["weight"].values) <= 0).all()
    for factor in factors:
        assert (factor >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1)


@pytest.mark.parametrize(("shape", "rank"), [((12, 20, 30), 4), ((10, 40, 25), 12)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_not_worse_than_tensorly(shape, rank):
    from tensorly.decomposition import non_negative_parafac_hals

    rec, _ = planted(shape, rank, noise=0.5)
    ours = [float(tensor.nonnegative_cp(rec, rank, seed=seed)["relative_error"]) for seed in range(5)]
    theirs = [
        float(non_negative_parafac_hals(rec.values, rank, 500, "random", random_state=seed, return_errors=True)[1][-1])
        for seed in range(5)
    ]
    assert min(ours) <= 1.01 * min(theirs)


def test_one_sweep_is_the_textbook_one():
    """Compare a plain sweep with column updates written from the residual tensor itself."""
    rec, _ = planted((6, 7, 8), 3)
    X = rec.values
    start = kernel.balanced(X, starts.uniform(X, 3, np.random.default_rng(1)))
    factors = [factor.copy() for factor in start]
    for mode in (0, 1) * kernel.INNER + (2,):
        for r in [*range(3)] * kernel.PASSES[0]:
            others = [factor[:, r] for place, factor in enumerate(factors) if place != mode]
            without = [np.delete(factor, r, axis=1) for factor in factors]
            residual = X - rebuilt(without, np.ones(2))
            image = np.moveaxis(residual, mode, 0).reshape(X.shape[mode], -1) @ np.multiply.outer(*others).ravel()
            size = np.prod([other @ other for other in others])
            if size > 0:  # a column that met only zeros stays as it is
                factors[mode][:, r] = np.maximum(image / size, 0)
    swept, loss = kernel.Problem(X, None, rules.NONNEGATIVE).sweep(start, (X**2).sum())
    np.testing.assert_allclose(rebuilt(swept, np.ones(3)), rebuilt(factors, np.ones(3)), atol=1e-10)
    assert loss == pytest.approx(((X - rebuilt(factors, np.ones(3))) ** 2).sum() / (X**2).sum(), abs=1e-12)


def test_stop_reason_is_honest():
    rec, _ = planted((10, 20, 30), 4, noise=0.5)
    cut = tensor.nonnegative_cp(rec, 4, max_iter=3)
    assert cut["stop_reason"].item() == "max_iter"
    assert cut.sizes["iteration"] == 3
    full = tensor.nonnegative_cp(rec, 4)
    assert full["stop_reason"].item() == "tolerance"
    longer = tensor.nonnegative_cp(rec, 4, tolerance=0.0)
    assert float(full["loss"][-1] - longer["loss"][-1]) < 1e-5


def test_extrapolation_pays():
    rec, _ = planted((10, 40, 25), 8, noise=0.0)
    X = rec.values
    factors = kernel.balanced(X, starts.uniform(X, 8, np.random.default_rng(0)))
    fit = kernel.fit(kernel.Problem(X, None, rules.NONNEGATIVE), factors, 60, 0.0)
    power = (X**2).sum()
    for _ in range(len(fit.losses)):
        factors, loss = kernel.Problem(X, None, rules.NONNEGATIVE).sweep(factors, power)
    assert fit.losses[-1] < loss


def test_a_dead_component_may_come_back():
    rec, _ = planted((6, 8, 10), 2)
    X = rec.values
    dead = starts.uniform(X, 2, np.random.default_rng(0))
    dead[0][:, 1] = 0
    fit = kernel.fit(kernel.Problem(X, None, rules.NONNEGATIVE), kernel.balanced(X, dead), 100, 1e-7)
    assert fit.weight.min() > 0
    assert fit.losses[-1] < 0.05


@pytest.mark.parametrize("init", ["random", "svd"])
@pytest.mark.parametrize(("shape", "rank"), CASES)
def test_numpy_and_torch_agree(shape, rank, init):
    torch = pytest.importorskip("torch")
    X = planted(shape, rank)[0].values
    fits = []
    for values in (X, torch.asarray(X)):
        start = kernel.balanced(values, STARTS[init](values, rank, np.random.default_rng(3)))
        fits.append(kernel.fit(kernel.Problem(values, None, rules.NONNEGATIVE), start, 20, 1e-7))
    assert isinstance(fits[1].weight, torch.Tensor)
    np.testing.assert_allclose(fits[1].losses, fits[0].losses, rtol=1e-8)
    for mine, other in zip(fits[0].factors, fits[1].factors, strict=True):
        np.testing.assert_allclose(other.numpy(), mine, atol=1e-8)


def test_permuting_units_permutes_the_answer():
    rec, _ = planted((10, 20, 15), 3)
    order = np.random.default_rng(1).permutation(15)
    res = tensor.nonnegative_cp(rec, 3, init="svd")
    turned = tensor.nonnegative_cp(rec.isel(unit=order), 3, init="svd")
    np.testing.assert_allclose(turned["factor_unit"].values, res["factor_unit"].values[order], atol=1e-6)
    np.testing.assert_allclose(turned["factor_time"].values, res["factor_time"].values, atol=1e-6)
    np.testing.assert_allclose(turned["weight"].values, res["weight"].values, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-26, 1e6])
def test_the_scale_of_the_values_lies_in_the_weights(dtype, scale):
    rec, _ = planted((10, 20, 15), 3, dtype=dtype)
    scaled = (rec * dtype(scale)).assign_attrs(rec.attrs)
    res, other = (tensor.nonnegative_cp(each, 3, init="svd") for each in (rec, scaled))
    assert res["weight"].dtype == res["factor_unit"].dtype == dtype
    np.testing.assert_allclose(other["weight"].values / dtype(scale), res["weight"].values, rtol=1e-3)
    np.testing.assert_allclose(other["factor_unit"].values, res["factor_unit"].values, atol=1e-3)
    np.testing.assert_allclose(other["explained_variance"], res["explained_variance"], atol=1e-5)


def test_same_seed_same_bytes():
    rec, _ = planted((10, 20, 15), 3)
    before = rec.copy(deep=True)
    first, again = (tensor.nonnegative_cp(rec, 3, seed=2) for _ in range(2))
    other = tensor.nonnegative_cp(rec, 3, seed=3)
    assert first.identical(again)
    assert ni.digest(first) == ni.digest(again)
    assert not np.array_equal(first["loss"].values, other["loss"].values)
    assert rec.identical(before)


def test_result_on_every_modality_is_labelled_and_survives_the_store(recordings, tmp_path):
    for modality, rec in recordings.items():
        trials = rec if rec.ndim == 3 else ni.align.windows(rec, 10)
        trials = trials.clip(min=0, keep_attrs=True)
        res = tensor.nonnegative_cp(trials, 2, max_iter=10)
        check_result(res)
        assert res.attrs["parameters"] == {
            "rank": 2, "max_iter": 10, "tolerance": 1e-6, "init": "random", "restarts": 1,
            "device": None, "precision": None,
        }  # fmt: skip
        for dim in trials.dims:
            assert res[f"factor_{dim}"].dims == (dim, "component")
        for name, coord in trials.coords.items():
            np.testing.assert_array_equal(res[name].values, coord.values)
        assert res["weight"].attrs["units"] == rec.attrs["units"]
        assert ni.open(ni.save(res, tmp_path / f"{modality}.zarr")).load().identical(res)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank is 0; a whole number from 1 to 24 (all sizes but the largest, multiplied) is needed"),
        ({"rank": 25}, "rank is 25; a whole number from 1 to 24"),
        ({"rank": 1.5}, "rank is 1.5; a whole number"),
        ({"max_iter": 0}, "max_iter is 0; a whole number of at least 1 is needed"),
        ({"init": "hosvd"}, "init is 'hosvd'; one of random, svd is needed"),
        ({"tolerance": -1e-3}, "tolerance is -0.001; a number of at least 0 is needed"),
    ],
)
def test_bad_arguments_are_named(options, message):
    rec, _ = planted((4, 10, 6), 2)
    with pytest.raises(AnalysisError) as caught:
        tensor.nonnegative_cp(rec, **({"rank": 2} | options))
    assert f"tensor.nonnegative_cp: {message}" in str(caught.value)


def test_bad_values_are_counted(recordings):
    rec, _ = planted((4, 10, 6), 2)
    with pytest.raises(AnalysisError) as caught:
        tensor.nonnegative_cp(recordings["eeg"], 2)
    assert str(caught.value) == (
        "tensor.nonnegative_cp: dims are ('time', 'unit'), three or more are needed; cut a continuous recording into "
        "trials with neurointerp.align.windows(recording, length)"
    )
    signed = rec.copy(deep=True)
    signed[0, 0, :2] = [-3, -1]
    with pytest.raises(AnalysisError, match=r"2 of 240 values are negative \(least -3\); rectify"):
        tensor.nonnegative_cp(signed, 2)
    gone = rec.copy(deep=True)
    gone[1, 2, 3] = gone[:, :, 4] = np.nan
    with pytest.raises(AnalysisError, match=r"41 values are missing, and all of 1 of 6 labels of 'unit' \(first"):
        tensor.nonnegative_cp(gone, 2)
    with pytest.raises(AnalysisError, match="all 240 values are zero; there is nothing to factor"):
        tensor.nonnegative_cp(xr.zeros_like(rec), 2)
    with pytest.raises(AnalysisError, match=r"result of connectivity.affinity is needed, found a Dataset of weight"):
        tensor.nonnegative_cp(xr.Dataset({"weight": 1.0}), 2)


def _holes(rec: xr.DataArray, share: float) -> np.ndarray:
    """Tell what is missing: single values, and whole units of some trials."""
    rng = np.random.default_rng(5)
    missing = rng.random(rec.shape) < share / 2
    missing |= rng.random((rec.sizes["trial"], 1, rec.sizes["unit"])) < share / 2
    return missing


def test_factors_come_back_though_a_third_is_missing():
    rec, true = planted((10, 20, 30), 3, noise=0.03)
    missing = _holes(rec, 0.35)
    assert missing.mean() > 0.3
    res = tensor.nonnegative_cp(rec.where(~missing), 3, restarts=3, max_iter=1000)
    assert match_score(factors_of(res, rec), true) > 0.99
    model = rebuilt(factors_of(res, rec), res["weight"].values)
    error = ((rec.values - model)[~missing] ** 2).sum() / (rec.values[~missing] ** 2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(error, rel=1e-8)
    hidden = np.abs(rec.values - model)[missing].mean() / rec.values[missing].mean()
    assert hidden < 0.1  # what was never seen is predicted
    mean = np.where(missing, np.nan, rec.values)
    about = ((mean - np.nanmean(mean, axis=(0, 1))) ** 2)[~missing].sum()
    explained = 1 - ((rec.values - model)[~missing] ** 2).sum() / about
    assert float(res["explained_variance"]) == pytest.approx(explained, abs=1e-8)
    assert np.diff(res["loss"].values).max() <= 0


@pytest.mark.parametrize("init", ["random", "svd"])
def test_what_stands_under_the_mask_has_no_influence(init):
    rec, _ = planted((10, 20, 15), 3)
    missing = _holes(rec, 0.2)
    wild = rec.where(~missing, 1e9)
    one, two = (tensor.nonnegative_cp(each.where(~missing), 3, init=init) for each in (rec, wild))
    for name in ("factor_unit", "factor_time", "weight", "loss"):
        np.testing.assert_array_equal(one[name].values, two[name].values)


def test_a_masked_fit_is_a_stationary_point_of_the_error_that_counts():
    """Compare with scipy's L-BFGS-B on the observed error alone, started from ours: nothing is left to gain."""
    from scipy.optimize import minimize

    rec, _ = planted((6, 8, 10), 2, noise=0.5)
    missing = _holes(rec, 0.3)
    res = tensor.nonnegative_cp(rec.where(~missing), 2, max_iter=3000, tolerance=1e-13)
    X, sizes = np.where(missing, 0, rec.values), np.cumsum([6 * 2, 8 * 2])

    def loss(x):
        A, B, C = (part.reshape(-1, 2) for part in np.split(x, sizes))
        R = np.where(missing, 0, np.einsum("ir,jr,kr->ijk", A, B, C) - X)
        gradient = [np.einsum("ijk,jr,kr->ir", R, B, C), np.einsum("ijk,ir,kr->jr", R, A, C)]
        gradient.append(np.einsum("ijk,ir,jr->kr", R, A, B))
        return 0.5 * (R**2).sum(), np.concatenate([g.ravel() for g in gradient])

    A, B, C = factors_of(res, rec)
    start = np.concatenate([A.ravel(), B.ravel(), (C * res["weight"].values).ravel()])
    better = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * start.size)
    assert better.fun >= loss(start)[0] * (1 - 1e-5)


def test_restarts_keep_the_best_and_say_how_the_others_did():
    rec, _ = planted((10, 20, 15), 4, noise=0.5)
    res = tensor.nonnegative_cp(rec, 4, restarts=5, seed=7)
    alone = {seed: float(tensor.nonnegative_cp(rec, 4, seed=seed)["relative_error"]) for seed in range(7, 12)}
    assert list(res["restart_seed"].values) == sorted(alone, key=alone.get)
    np.testing.assert_allclose(res["restart_error"].values, sorted(alone.values()), rtol=1e-12)
    assert float(res["relative_error"]) == min(alone.values())
    with pytest.raises(AnalysisError, match="restarts is 0; a whole number of at least 1"):
        tensor.nonnegative_cp(rec, 4, restarts=0)
