"""Tucker decomposition against planted directions, tensorly, and its own bookkeeping."""

import importlib

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.errors import AnalysisError

kernel = importlib.import_module("neurointerp.analyses.tensor.tucker")
SHAPE, RANKS = (10, 40, 25), {"trial": 2, "time": 4, "unit": 3}


def planted(noise=0.1, seed=0, shape=SHAPE, dtype=np.float64):
    """Give a recording of low multilinear rank and noise, and its orthonormal factors."""
    rng = np.random.default_rng(seed)
    factors = [np.linalg.qr(rng.standard_normal((n, r)))[0] for n, r in zip(shape, RANKS.values(), strict=True)]
    core = rng.standard_normal(tuple(RANKS.values()))
    values = np.einsum("abc,ia,jb,kc->ijk", core, *factors)
    values += noise * values.std() * rng.standard_normal(shape)
    dims = tuple(RANKS)
    return ni.recording(values.astype(dtype), modality="eeg", units="V", sampling_rate=10.0, dims=dims), factors


def rebuilt(res):
    factors = [res[f"factor_{dim}"].values for dim in RANKS]
    return np.einsum("abc,ia,jb,kc->ijk", res["core"].values, *factors)


@pytest.mark.parametrize("shape", [SHAPE, (40, 10, 25), (25, 10, 40)])
def test_planted_directions_come_back_and_the_books_are_right(shape):
    rec, true = planted(shape=shape)
    res = tensor.tucker(rec, RANKS)
    X, model = rec.values, rebuilt(res)
    loss = ((X - model) ** 2).sum() / (X**2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(loss, rel=1e-8)
    assert np.diff(res["loss"].values).max(initial=0) <= 0
    for dim, factor in zip(RANKS, true, strict=True):
        found = res[f"factor_{dim}"].values
        np.testing.assert_allclose(found.T @ found, np.eye(RANKS[dim]), atol=1e-10)
        assert np.linalg.svd(found.T @ factor, compute_uv=False).min() > 0.99  # the same subspace
        assert ((found * np.abs(found)).sum(axis=0) >= 0).all()
        np.testing.assert_array_equal(res[dim].values, rec[dim].values if dim in rec.coords else np.arange(shape[0]))
    core = res["core"].values
    for mode in range(3):
        gram = np.moveaxis(core, mode, 0).reshape(core.shape[mode], -1)
        gram = gram @ gram.T
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-10 * gram.max())
        assert (np.diff(np.diag(gram)) <= 1e-12).all()
    assert res["core"].attrs["units"] == "V"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_objective_is_that_of_tensorly():
    from tensorly.decomposition import tucker

    for seed in range(3):
        rec, _ = planted(noise=2.0, seed=seed)
        core, factors = tucker(rec.values, list(RANKS.values()), n_iter_max=300, tol=1e-12)
        theirs = np.linalg.norm(rec.values - np.einsum("abc,ia,jb,kc->ijk", core, *factors))
        ours = float(tensor.tucker(rec, RANKS, max_iter=300, tolerance=1e-13)["relative_error"])
        assert ours <= theirs / np.linalg.norm(rec.values) * (1 + 1e-6)


def test_full_rank_is_exact_and_one_number_serves_all_dims():
    rec, _ = planted(shape=(4, 6, 5))
    assert float(tensor.tucker(rec, {"trial": 4, "time": 6, "unit": 5})["relative_error"]) < 1e-7
    assert tensor.tucker(rec, 3).attrs["parameters"]["rank"] == dict.fromkeys(RANKS, 3)


def test_permuting_and_scaling_go_into_the_answer():
    rec, _ = planted(noise=0.5)
    res = tensor.tucker(rec, RANKS)
    for axis, dim in enumerate(rec.dims):
        order = np.random.default_rng(axis).permutation(rec.sizes[dim])
        turned = tensor.tucker(rec.copy(data=np.take(rec.values, order, axis=axis)), RANKS)
        np.testing.assert_allclose(turned[f"factor_{dim}"].values, res[f"factor_{dim}"].values[order], atol=1e-8)
        np.testing.assert_allclose(turned["core"].values, res["core"].values, atol=1e-8)
    larger = tensor.tucker(rec.copy(data=8 * rec.values), RANKS)
    np.testing.assert_allclose(larger["core"].values, 8 * res["core"].values, rtol=1e-12)
    np.testing.assert_array_equal(larger["factor_unit"].values, res["factor_unit"].values)


def test_float32_is_near_float64():
    low, high = (tensor.tucker(planted(dtype=dtype)[0], RANKS) for dtype in (np.float32, np.float64))
    assert low["core"].dtype == low["factor_time"].dtype == np.float32
    assert abs(float(low["loss"][-1] - high["loss"][-1])) < 1e-6
    np.testing.assert_allclose(low["factor_unit"].values, high["factor_unit"].values, atol=1e-3)


def test_numpy_and_torch_agree():
    torch = pytest.importorskip("torch")
    X = planted()[0].values
    mine, other = (kernel._fit(values, None, [2, 4, 3], 20, 1e-9) for values in (X, torch.asarray(X)))
    np.testing.assert_allclose(other.losses, mine.losses, rtol=1e-9)
    np.testing.assert_allclose(other.core.numpy(), mine.core, atol=1e-8)


def test_missing_values_are_left_out_and_predicted():
    rec, _ = planted(noise=0.0)
    rng = np.random.default_rng(3)
    missing = (rng.random(rec.shape) < 0.15) | (rng.random((rec.sizes["trial"], 1, rec.sizes["unit"])) < 0.1)
    res = tensor.tucker(rec.where(~missing), RANKS, max_iter=2000, tolerance=1e-14)
    rest = rec.values - rebuilt(res)
    loss = (rest[~missing] ** 2).sum() / (rec.values[~missing] ** 2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(loss, rel=1e-6)
    assert (rest[missing] ** 2).sum() / (rec.values[missing] ** 2).sum() < 1e-3
    assert np.diff(res["loss"].values).max() <= 0
    other = rec.where(~missing)
    other.values.view(np.uint64)[missing] = 0xFFF8_0000_DEAD_BEEF
    assert ni.digest(tensor.tucker(other, RANKS, max_iter=9)) == ni.digest(
        tensor.tucker(rec.where(~missing), RANKS, max_iter=9)
    )


def test_bad_arguments_are_named():
    rec, _ = planted(shape=(4, 6, 5))
    for rank, message in [
        (5, "rank of 'trial' is 5; a whole number from 1 to 4 (its size) is needed"),
        ({"trial": 1, "time": 4, "unit": 2}, "rank of 'time' is 4; no more than the product of the other ranks, 2"),
        ({"trial": 1}, "rank names trial; one number for each of trial, time, unit is needed"),
    ]:
        with pytest.raises(AnalysisError) as caught:
            tensor.tucker(rec, rank)
        assert f"tensor.tucker: {message}" in str(caught.value)


def test_small_losses_of_float32_values_are_those_of_float64():
    rng = np.random.default_rng(0)
    values = 1e4 + 10 * rng.standard_normal((4, 120, 7))
    dims = ("trial", "time", "unit")
    recs = [
        ni.recording(values.astype(kind), modality="calcium", units="1", sampling_rate=10.0, dims=dims)
        for kind in (np.float32, np.float64)
    ]
    low, high = (tensor.tucker(rec, 2) for rec in recs)
    assert low["core"].dtype == low["factor_time"].dtype == np.float32
    assert float(low["relative_error"]) == pytest.approx(float(high["relative_error"]), rel=1e-3)  # 0.96 of it before
    assert float(low["explained_variance"]) == pytest.approx(float(high["explained_variance"]), abs=2e-3)
    assert np.diff(low["loss"].values).max() <= 0
