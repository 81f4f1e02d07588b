"""Signed CP against planted factors, tensorly, scipy, and its own bookkeeping."""

import importlib

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, minimize

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.errors import AlignmentError, AnalysisError

kernel, rules, starts = (
    importlib.import_module(f"neurointerp.analyses.tensor.{name}") for name in ("_alternate", "_rules", "_starts")
)
DIMS = ("subject", "trial", "time", "unit")
LETTERS = "ijkl"


def rebuilt(factors, weight):
    order = LETTERS[: len(factors)]
    return np.einsum(",".join(f"{letter}r" for letter in order) + ",r->" + order, *factors, weight)


def planted(shape, rank, noise=0.1, seed=0, dtype=np.float64):
    """Give a recording of normal factors and noise, and the factors (columns of norm 1)."""
    rng = np.random.default_rng(seed)
    factors = [rng.standard_normal((size, rank)) for size in shape]
    values = rebuilt(factors, np.ones(rank))
    values += noise * values.std() * rng.standard_normal(shape)
    dims = DIMS[-len(shape) :]
    coords = {"condition": ("trial", ["go", "stop"] * (shape[dims.index("trial")] // 2))}
    rec = ni.recording(values.astype(dtype), modality="eeg", units="V", sampling_rate=10.0, dims=dims, coords=coords)
    return rec, [factor / np.linalg.norm(factor, axis=0) for factor in factors]


def factors_of(res, rec):
    return [res[f"factor_{dim}"].values for dim in rec.dims]


def match_score(found, true):
    cosine = np.prod([a.T @ b for a, b in zip(found, true, strict=True)], axis=0)
    return float(cosine[linear_sum_assignment(cosine, maximize=True)].mean())


# the largest dim comes last, first and in the middle; four dims; more components than trials
CASES = [((10, 20, 30), 3), ((30, 20, 10), 3), ((8, 40, 12), 4), ((4, 6, 15, 10), 3), ((4, 30, 25), 6)]


@pytest.mark.parametrize("init", ["random", "svd"])
@pytest.mark.parametrize(("shape", "rank"), CASES)
def test_planted_factors_come_back_and_the_books_are_right(shape, rank, init):
    rec, true = planted(shape, rank)
    res = tensor.cp(rec, rank, init=init, restarts=3)
    factors, X = factors_of(res, rec), rec.values
    assert match_score(factors, true) > 0.98
    error = ((X - rebuilt(factors, res["weight"].values)) ** 2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(error / (X**2).sum(), rel=1e-8)
    about = ((X - X.mean(axis=tuple(range(X.ndim - 1)))) ** 2).sum()
    assert float(res["explained_variance"]) == pytest.approx(1 - error / about, abs=1e-8)
    assert np.diff(res["loss"].values).max() <= 0
    assert (np.diff(res["weight"].values) <= 0).all()
    assert res["weight"].attrs["units"] == "V"
    for factor in factors:
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1)
    for factor in factors[:-1]:
        assert ((factor * np.abs(factor)).sum(axis=0) >= 0).all()
    np.testing.assert_array_equal(res["condition"].values, rec["condition"].values)


@pytest.mark.parametrize(("shape", "rank"), [((12, 20, 30), 4), ((10, 25, 15), 8)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_not_worse_than_tensorly(shape, rank):
    from tensorly.decomposition import parafac

    rec, _ = planted(shape, rank, noise=1.0)
    ours = float(tensor.cp(rec, rank, restarts=5, max_iter=2000, tolerance=1e-10)["relative_error"])
    theirs = []
    for seed in range(5):
        found = parafac(rec.values, rank, n_iter_max=2000, init="random", tol=1e-10, random_state=seed)
        model = rebuilt(found.factors, found.weights)
        theirs.append(np.linalg.norm(rec.values - model) / np.linalg.norm(rec.values))
    assert ours <= 1.0005 * min(theirs)


def test_no_update_raises_the_error_wherever_it_starts():
    """Each step alone, from random factors, extrapolated or not, also where two components are nearly the same."""
    X = planted((6, 7, 8), 3, noise=0.5)[0].values
    power = (X**2).sum()
    for seed in range(20):
        factors = kernel.balanced(X, starts.normal(X, 4, np.random.default_rng(seed)))
        if seed % 2:
            for factor in factors:
                factor[:, 1] = factor[:, 0] * (1 + 1e-9)
        before = ((X - rebuilt(factors, np.ones(4))) ** 2).sum() / power
        for _ in range(5):
            factors, loss = kernel.swept(X, factors, rules.SIGNED, power)
            assert loss <= before * (1 + 1e-10)
            assert loss == pytest.approx(((X - rebuilt(factors, np.ones(4))) ** 2).sum() / power, rel=1e-7, abs=1e-12)
            before = loss


def test_a_swamp_is_left_sooner_than_by_tensorly():
    """Two collinear components of three: plain least squares crawl."""
    rng = np.random.default_rng(1)
    factors = []
    for size in (15, 16, 17):
        factor = rng.standard_normal((size, 3))
        factor[:, 1] = factor[:, 0] + 0.3 * factor[:, 1]
        factors.append(factor / np.linalg.norm(factor, axis=0))
    X = rebuilt(factors, np.ones(3))
    start = kernel.balanced(X, starts.normal(X, 3, np.random.default_rng(0)))
    power, plain = (X**2).sum(), start
    ours = kernel.fit(kernel.Problem(X, None, rules.SIGNED), start, 200, 0.0).losses[-1]
    for _ in range(200):
        plain, loss = kernel.swept(X, plain, rules.SIGNED, power)
    assert ours < 0.1 * loss


def test_components_that_cancel_are_shown():
    """A tensor of rank 3 that has no best approximation of rank 2 (de Silva and Lim)."""
    x, y = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 2)))[0].T
    values = sum(np.einsum("i,j,k->ijk", *each) for each in ((x, x, y), (x, y, x), (y, x, x)))
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0, dims=("trial", "time", "unit"))
    res = tensor.cp(rec, 2, max_iter=2000, tolerance=0.0)
    assert float(res["congruence"].min()) < -0.95
    assert float(res["weight"][0]) > 3 * np.linalg.norm(values)
    fine = tensor.cp(planted((10, 12, 14), 2)[0], 2)
    assert float(fine["congruence"].min()) > -0.5
    np.testing.assert_allclose(np.diag(fine["congruence"]), 1)


def test_numpy_and_torch_agree():
    torch = pytest.importorskip("torch")
    for shape, rank in CASES:
        X = planted(shape, rank)[0].values
        start = kernel.balanced(X, starts.singular(X, rank, np.random.default_rng(3)))
        fits = [
            kernel.fit(kernel.Problem(values, None, rules.SIGNED), given, 20, 1e-7)
            for values, given in ((X, start), (torch.asarray(X), [torch.asarray(np.array(f)) for f in start]))
        ]
        assert isinstance(fits[1].weight, torch.Tensor)
        np.testing.assert_allclose(fits[1].losses, fits[0].losses, rtol=1e-8, atol=1e-14)
        for mine, other in zip(fits[0].factors, fits[1].factors, strict=True):
            np.testing.assert_allclose(other.numpy(), mine, atol=1e-6)


@pytest.mark.parametrize("method", [tensor.cp, tensor.nonnegative_cp])
def test_permuting_any_dim_permutes_the_answer(method):
    rec, _ = planted((6, 20, 15), 3, noise=0.3)
    rec = abs(rec).assign_attrs(rec.attrs).drop_vars("condition")
    res = method(rec, 3, init="svd")
    for axis, dim in enumerate(rec.dims):
        order = np.random.default_rng(axis).permutation(rec.sizes[dim])
        moved = rec.copy(data=np.take(rec.values, order, axis=axis))
        turned = method(moved, 3, init="svd")
        np.testing.assert_allclose(turned["weight"].values, res["weight"].values, rtol=1e-6)
        for other in rec.dims:
            expected = res[f"factor_{other}"].values
            expected = expected[order] if other == dim else expected
            np.testing.assert_allclose(turned[f"factor_{other}"].values, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-26, 1e6])
def test_the_scale_of_the_values_lies_in_the_weights(dtype, scale):
    rec, _ = planted((10, 20, 15), 3, dtype=dtype)
    scaled = (rec * dtype(scale)).assign_attrs(rec.attrs)
    res, other = (tensor.cp(each, 3, init="svd") for each in (rec, scaled))
    assert res["weight"].dtype == res["factor_unit"].dtype == dtype
    np.testing.assert_allclose(other["weight"].values / dtype(scale), res["weight"].values, rtol=1e-3)
    np.testing.assert_allclose(other["factor_unit"].values, res["factor_unit"].values, atol=1e-3)


@pytest.mark.parametrize("method", [tensor.cp, tensor.nonnegative_cp])
def test_float32_is_near_float64(method):
    """To 1e-6 in the loss, as the docstrings say, and 1e-3 in the factors of a well-determined fit."""
    rec, _ = planted((10, 40, 30), 3, noise=0.2)
    if method is tensor.nonnegative_cp:
        rec = abs(rec).assign_attrs(rec.attrs)
    low, high = (method(rec.astype(dtype), 3, init="svd", max_iter=100) for dtype in (np.float32, np.float64))
    assert abs(float(low["loss"][-1] - high["loss"][-1])) < 1e-6
    for dim in rec.dims:
        np.testing.assert_allclose(low[f"factor_{dim}"].values, high[f"factor_{dim}"].values, atol=1e-3)


def holes(shape, share, seed=5):
    """Tell what is missing: single values, and whole units of some trials."""
    rng = np.random.default_rng(seed)
    return (rng.random(shape) < share / 2) | (rng.random((shape[0], 1, shape[2])) < share / 2)


def test_factors_come_back_though_a_third_is_missing():
    rec, true = planted((12, 20, 30), 3, noise=0.03)
    missing = holes(rec.shape, 0.35)
    res = tensor.cp(rec.where(~missing), 3, restarts=3, max_iter=1000)
    assert match_score(factors_of(res, rec), true) > 0.99
    model = rebuilt(factors_of(res, rec), res["weight"].values)
    error = ((rec.values - model)[~missing] ** 2).sum() / (rec.values[~missing] ** 2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(error, rel=1e-8)
    hidden = ((rec.values - model)[missing] ** 2).sum() / (rec.values[missing] ** 2).sum()
    assert hidden < 0.01  # what was never seen is predicted
    assert np.diff(res["loss"].values).max() <= 0


@pytest.mark.parametrize("rule", ["SIGNED", "NONNEGATIVE"])
def test_what_stands_under_the_mask_has_no_influence(rule):
    """Also NaN and infinity, which a recording may not hold but a kernel may be given."""
    X = np.abs(planted((8, 9, 10), 2)[0].values)
    missing = holes(X.shape, 0.3)
    values = importlib.import_module("neurointerp.analyses.tensor._values")
    fits = []
    for payload in (np.uint64(0x7FF8000000000000), np.uint64(0xFFF8_0000_DEAD_BEEF)):
        held = X.copy()
        held.view(np.uint64)[missing] = payload
        turned, seen = values.Tensor(None, None, held, 1.0).turned
        assert np.isfinite(turned).all()
        assert not turned[~seen].any()
        start = kernel.balanced(turned, starts.uniform(turned, 2, np.random.default_rng(0)))
        fits.append(kernel.fit(kernel.Problem(turned, seen, getattr(rules, rule)), start, 30, 0.0))
    for one, two in zip(fits[0].factors, fits[1].factors, strict=True):
        np.testing.assert_array_equal(one, two)
    assert fits[0].losses == fits[1].losses


def test_a_masked_fit_is_a_stationary_point_of_the_error_that_counts():
    rec, _ = planted((6, 8, 10), 2, noise=0.5)
    missing = holes(rec.shape, 0.3)
    res = tensor.cp(rec.where(~missing), 2, max_iter=3000, tolerance=1e-13)
    X, sizes = np.where(missing, 0, rec.values), np.cumsum([6 * 2, 8 * 2])

    def loss(x):
        A, B, C = (part.reshape(-1, 2) for part in np.split(x, sizes))
        R = np.where(missing, 0, np.einsum("ir,jr,kr->ijk", A, B, C) - X)
        gradient = [np.einsum("ijk,jr,kr->ir", R, B, C), np.einsum("ijk,ir,kr->jr", R, A, C)]
        gradient.append(np.einsum("ijk,ir,jr->kr", R, A, B))
        return 0.5 * (R**2).sum(), np.concatenate([g.ravel() for g in gradient])

    A, B, C = factors_of(res, rec)
    start = np.concatenate([A.ravel(), B.ravel(), (C * res["weight"].values).ravel()])
    better = minimize(loss, start, jac=True, method="L-BFGS-B")
    assert better.fun >= loss(start)[0] * (1 - 1e-5)


def test_subjects_with_other_units_are_one_tensor():
    rec, true = planted((4, 30, 12), 2, noise=0.0)
    subjects = {
        f"s{k}": rec[k].drop_vars(["trial", "condition"], errors="ignore").assign_attrs(rec.attrs).isel(unit=keep)
        for k, keep in enumerate((slice(0, 12), slice(0, 9), slice(2, 12), slice(1, 11)))
    }
    res = tensor.cp(subjects, 2, restarts=3, max_iter=2000, tolerance=1e-12)
    assert list(res["subject"].values) == list(subjects)
    assert set(res["unit"].values) == set(rec["unit"].values)
    assert isinstance(res.attrs["recording"], list)
    order = [list(rec["unit"].values).index(unit) for unit in res["unit"].values]
    found = [res["factor_subject"].values, res["factor_time"].values, res["factor_unit"].values]
    assert match_score(found, [true[0], true[1], true[2][order]]) > 0.999
    listed = tensor.cp(list(subjects.values()), 2, max_iter=5)
    assert list(listed["subject"].values) == ["0", "1", "2", "3"]
    named = [one.assign_attrs(subject=name) for name, one in subjects.items()]
    assert list(tensor.cp(named, 2, max_iter=5)["subject"].values) == list(subjects)
    with pytest.raises(AlignmentError, match=r"subject s1 .*'time'"):
        tensor.cp({**subjects, "s1": subjects["s1"].isel(time=slice(1, None))}, 2)
    with pytest.raises(AnalysisError, match="a dict or list of the recordings of several subjects is needed, found"):
        tensor.cp([1, 2], 2)


def test_chunked_recordings_give_the_same():
    pytest.importorskip("dask")
    rec, _ = planted((6, 20, 15), 2)
    lazy = tensor.cp(rec.chunk({"time": 7}), 2, max_iter=10)
    np.testing.assert_allclose(lazy["loss"].values, tensor.cp(rec, 2, max_iter=10)["loss"].values, rtol=1e-10)
    endless = rec.copy(deep=True)
    endless[0, 0, 0] = np.inf
    with pytest.raises(AnalysisError, match="1 values are infinite"):
        tensor.cp(endless.chunk({"time": 7}), 2)


def test_bad_arguments_are_named(recordings):
    rec, _ = planted((4, 10, 6), 2)
    for options, message in [
        ({"rank": 0}, "rank is 0; a whole number from 1 to 24 (all sizes but the largest, multiplied) is needed"),
        ({"restarts": 0}, "restarts is 0; a whole number of at least 1 is needed"),
        ({"init": "hosvd"}, "init is 'hosvd'; one of random, svd is needed"),
        ({"tolerance": np.nan}, "tolerance is nan; a number of at least 0 is needed"),
    ]:
        with pytest.raises(AnalysisError) as caught:
            tensor.cp(rec, **({"rank": 2} | options))
        assert f"tensor.cp: {message}" in str(caught.value)
    with pytest.raises(AnalysisError, match=r"dims are \('time', 'unit'\), three or more are needed"):
        tensor.cp(recordings["eeg"], 2)
    gone = rec.copy(deep=True)
    gone[:, :, 4] = np.nan
    with pytest.raises(AnalysisError, match=r"40 values are missing, and all of 1 of 6 labels of 'unit' \(first"):
        tensor.cp(gone, 2)


def test_one_trial_and_one_unit_are_tensors_too():
    rec, _ = planted((2, 10, 6), 1, noise=0.0)
    for part in (rec.isel(trial=[0]), rec.isel(unit=[0]), rec.isel(time=[0])):
        assert float(tensor.cp(part, 1)["relative_error"]) < 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_units_that_never_vary_explain_nothing_in_float32_either(seed):
    row = np.random.default_rng(seed).random(7).astype(np.float32)
    rec = ni.recording(
        np.tile(row, (3, 200, 1)), modality="calcium", units="1", sampling_rate=1.0, dims=("trial", "time", "unit")
    )
    assert np.isnan(tensor.cp(rec, 1)["explained_variance"])
