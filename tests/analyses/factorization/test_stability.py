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

kernel = importlib.import_module("neurointerp.analyses.factorization.stability")


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
