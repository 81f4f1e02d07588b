"""Stability over restarts: planted and structureless data, and the matching against every permutation."""

import importlib
from functools import partial
from itertools import permutations

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.errors import AnalysisError
from neurointerp.result import check_result

kernel, components, resample = (
    importlib.import_module(f"neurointerp.analyses.factorization.{name}")
    for name in ("stability", "_components", "_resample")
)


@pytest.fixture
def ensembles() -> xr.DataArray:
    """Give four disjoint signed ensembles of five units, and noise."""
    rng = np.random.default_rng(0)
    features = np.kron(np.eye(4), np.array([1.0, -1.5, 2.0, 0.7, -0.5]))
    active = (rng.random((300, 4)) < 0.2) * rng.gamma(2, 1, (300, 4))
    values = active @ features + 0.1 * rng.standard_normal((300, 20))
    return ni.recording(values, modality="calcium", units="1", sampling_rate=10.0)


def noise_of(rec: xr.DataArray) -> xr.DataArray:
    return rec.copy(data=np.random.default_rng(1).standard_normal(rec.shape))


def test_planted_components_are_stable_and_those_of_noise_are_not(ensembles):
    method = partial(factorization.semi_nmf, keep_fraction=0.25)
    # seed 0 ends in a poor minimum, where pairs of components cancel
    planted = factorization.stability(ensembles, 4, method=method, seed=1)
    null = factorization.stability(noise_of(ensembles), 4, method=method, seed=1)
    assert float(planted["stability"]) > 0.99
    assert float(null["stability"]) < 0.8
    assert planted.attrs["parameters"]["options"] == {"keep_fraction": 0.25}
    assert planted.attrs["parameters"]["method"] == "semi_nmf"


def test_figures_follow_from_the_runs(ensembles):
    rec = noise_of(ensembles)
    method = partial(factorization.semi_nmf, max_iter=30)
    res = factorization.stability(rec, 3, method=method, restarts=4, seed=10)
    runs = [method(rec, 3, seed=seed) for seed in (10, 11, 12, 13)]
    assert list(res["restart_seed"].values) == [10, 11, 12, 13]
    np.testing.assert_array_equal(res["relative_error"].values, [float(run["relative_error"]) for run in runs])
    best = int(res["best_restart"])
    assert best == int(res["relative_error"].values.argmin())

    def cosine(i: int, j: int) -> np.ndarray:
        a, b = (run["features"].values for run in (runs[i], runs[j]))
        cosines = a @ b.T / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
        return max((cosines[range(3), list(order)] for order in permutations(range(3))), key=np.sum)

    for i in range(4):
        for j in range(4):
            assert float(res["matched_cosine"][i, j]) == pytest.approx(cosine(i, j).mean())
    off = res["matched_cosine"].values[~np.eye(4, dtype=bool)]
    assert float(res["stability"]) == pytest.approx(off.mean())
    others = [cosine(best, j) for j in range(4) if j != best]
    np.testing.assert_allclose(res["component_stability"].values, np.mean(others, axis=0))


def test_one_poor_restart_shows_in_the_matrix_and_not_in_the_best(ensembles):
    method = partial(factorization.semi_nmf, keep_fraction=0.25)
    res = factorization.stability(ensembles, 4, method=method, restarts=3)
    assert int(res["best_restart"]) != 0
    assert float(res["matched_cosine"][0, 1:].max()) < 0.8
    assert float(res["matched_cosine"][1, 2]) > 0.99


def test_sign_matters_and_a_dead_component_matches_nothing():
    pattern = np.eye(2, 4)
    cosines = kernel._matched([pattern, -pattern, pattern * [[1], [0]]])
    np.testing.assert_allclose(cosines[0, 1], [0, 0], atol=1)
    assert cosines[0, 1].sum() == pytest.approx(0)
    np.testing.assert_allclose(cosines[0, 2], [1, 0])


def test_deterministic_method_is_perfectly_stable(ensembles):
    res = factorization.stability(ensembles, 3, method=factorization.pca, restarts=2)
    assert float(res["stability"]) == pytest.approx(1)
    np.testing.assert_allclose(res["component_stability"].values, 1)


def test_result_is_the_same_for_the_same_seed_and_survives_the_store(recordings, tmp_path):
    rec = recordings["activations"]
    first, again = (factorization.stability(rec, 2, restarts=2, seed=3) for _ in range(2))
    check_result(first)
    assert first.identical(again)
    assert ni.open(ni.save(first, tmp_path / "stability.zarr")).load().identical(first)


def test_permuting_units_leaves_the_figures(ensembles):
    method = partial(factorization.semi_nmf, init="svd", max_iter=30)
    order = np.random.default_rng(0).permutation(20)
    res = factorization.stability(ensembles, 3, method=method, restarts=2)
    turned = factorization.stability(ensembles.isel(unit=order), 3, method=method, restarts=2)
    np.testing.assert_allclose(turned["matched_cosine"], res["matched_cosine"], atol=1e-8)


def test_bad_input_is_named(ensembles):
    with pytest.raises(AnalysisError) as caught:
        factorization.stability(ensembles, 3, restarts=1)
    assert str(caught.value) == "factorization.stability: restarts is 1; a whole number of at least 2 is needed"
    with pytest.raises(AnalysisError, match=r"factorization\.semi_nmf: rank is 0"):
        factorization.stability(ensembles, 0)


def test_amari_distance_against_its_formula_entry_by_entry():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 4, 9))

    def directed(one, other):
        one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
        p = np.abs(one @ other.T @ np.linalg.inv(other @ other.T))
        rows = sum(sum(p[i, j] for j in range(4)) / max(p[i]) - 1 for i in range(4))
        columns = sum(sum(p[i, j] for i in range(4)) / max(p[:, j]) - 1 for j in range(4))
        return (rows + columns) / (2 * 4 * 3)

    assert components.amari(a, b) == pytest.approx((directed(a, b) + directed(b, a)) / 2)
    assert components.amari(a, b) == components.amari(b, a)
    assert 0 < components.amari(a, b) < 1
    turned = (a * np.array([[2.0], [-1.0], [0.5], [3.0]]))[[2, 0, 3, 1]]
    assert components.amari(a, turned) == pytest.approx(0, abs=1e-12)
    dead = a * np.array([[1.0], [1.0], [1.0], [0.0]])
    assert components.amari(a, dead) >= 0.25
    assert components.amari(a[:1], b[:1]) == 0


def test_distance_of_the_runs_is_small_where_their_cosine_is_large(ensembles):
    method = partial(factorization.semi_nmf, keep_fraction=0.25)
    res = factorization.stability(ensembles, 4, method=method, restarts=3, bootstraps=3)
    apart = res["amari_distance"].values
    np.testing.assert_array_equal(apart, apart.T)
    assert (np.diag(apart) == 0).all()
    assert apart[1, 2] < 0.02 < 0.1 < apart[0, 1]
    assert float(res["bootstrap_cosine"].min()) > 0.98
    assert float(res["bootstrap_amari"].max()) < 0.05


def test_a_component_of_one_moment_is_stable_over_seeds_and_not_over_samples(ensembles):
    rng = np.random.default_rng(2)
    rec = ensembles.copy(deep=True)
    rec.values[100:112, 10:20] = rec.values[200:212, 10:20]
    rec.values[:100, 15:] = 0.1 * rng.standard_normal((100, 5))
    rec.values[112:, 15:] = 0.1 * rng.standard_normal((188, 5))
    rec.values[100:112, 15:] = 4 * rng.random((12, 1)) * np.array([1.0, -1.5, 2.0, 0.7, -0.5])
    method = partial(factorization.semi_nmf, keep_fraction=0.25, init="kmeans", restarts=4, max_iter=100)
    res = factorization.stability(rec, 4, method=method, restarts=2, bootstraps=10)
    assert float(res["component_stability"].min()) > 0.95
    lowest = res["bootstrap_cosine"].min("bootstrap").values
    best = method(rec, 4, seed=int(res["best_restart"]))
    momentary = int(np.abs(best["features"].values[:, 15:]).sum(axis=1).argmax())
    assert lowest.argmin() == momentary
    assert lowest[momentary] < 0.6


def test_the_sign_is_left_out_on_request(ensembles):
    patterns = [np.eye(2, 4), -np.eye(2, 4)[::-1]]
    np.testing.assert_allclose(kernel._matched(patterns, signed=False), 1)
    res = factorization.stability(ensembles, 2, method=factorization.pca, restarts=2, signed=False)
    assert float(res["bootstrap_cosine"].min()) >= 0


@pytest.mark.parametrize("block", [None, 7])
def test_resampled_blocks_never_leave_a_stretch_and_keep_their_order(block):
    rng = np.random.default_rng(0)
    values = np.arange(60.0)[:, None] * [1.0, 2.0]
    coords = {"segment": ("time", np.repeat([0, 1, 2], [31, 20, 9])), "region": ("unit", ["a", "b"])}
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0, coords=coords)
    drawn = resample.resampled(rec, block, rng)
    assert drawn.sizes == rec.sizes
    assert list(drawn["region"].values) == ["a", "b"]
    origin = np.array([0, 1, 2])[np.searchsorted([31, 51], drawn.values[:, 0], side="right")]
    for number in np.unique(drawn["segment"]):
        rows = drawn.values[drawn["segment"].values == number, 0]
        assert (np.diff(rows) == 1).all()
        assert len(set(origin[drawn["segment"].values == number])) == 1
        assert len(rows) <= (block or 3)
    assert [int((origin == which).sum()) for which in range(3)] == [31, 20, 9]


def test_many_stretches_are_drawn_whole():
    values = np.arange(12 * 5.0).reshape(12, 5, 1)
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0, dims=("trial", "time", "unit"))
    drawn = resample.resampled(rec, None, np.random.default_rng(1)).values.reshape(12, 5)
    assert all((np.diff(row) == 1).all() and row[0] % 5 == 0 for row in drawn)
    assert 1 < len({row[0] for row in drawn}) < 12
    flat = ni.recording(values[:, 0], modality="fmri", units="1", dims=("trial", "unit"))
    assert set(resample.resampled(flat, None, np.random.default_rng(1)).values[:, 0]) <= set(values[:, 0, 0])


def test_no_bootstrap_is_an_empty_one(ensembles, tmp_path):
    res = factorization.stability(ensembles, 3, method=factorization.pca, restarts=2, bootstraps=0)
    assert res["bootstrap_cosine"].shape == (0, 3)
    assert ni.open(ni.save(res, tmp_path / "none.zarr")).load().identical(res)
    with pytest.raises(AnalysisError, match="block is 0"):
        factorization.stability(ensembles, 3, block=0)
    with pytest.raises(AnalysisError, match="bootstraps is -1"):
        factorization.stability(ensembles, 3, bootstraps=-1)
