"""How far components come back: against planted components, noise, and tensortools' score written out."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.errors import AnalysisError


def planted(rank=3, **options):
    tree = ni.synthetic.tensor_trials(rank=rank, n_trials=15, n_samples=25, n_units=12, **options)
    return tree["recordings/tensor_trials/recording"].clip(min=0, keep_attrs=True)


def test_planted_components_come_back_and_too_many_do_not():
    rec = planted(noise="gaussian", noise_level=0.2)
    true, over = (tensor.stability(rec, rank, restarts=4) for rank in (3, 7))
    assert float(true["stability"]) > 0.98
    assert float(over["stability"]) < 0.9
    assert (true["component_stability"] > 0.98).all()
    assert float(over["component_stability"].min()) < 0.8
    assert true.attrs["parameters"]["method"] == "nonnegative_cp"


@pytest.mark.parametrize("method", [tensor.cp, tensor.nonnegative_cp])
def test_similarity_is_the_best_permutation_of_products_of_cosines(method):
    """Williams (2018), every permutation tried; norms of components left out."""
    rec, seeds = planted(), (4, 5, 6)
    res = tensor.stability(rec, 3, method=partial(method, max_iter=15), restarts=3, seed=4)
    runs = [method(rec, 3, max_iter=15, seed=seed) for seed in seeds]
    for i in range(3):
        for j in range(3):
            best = max(
                np.mean(
                    [
                        np.prod(
                            [
                                runs[i][f"factor_{dim}"].values[:, a] @ runs[j][f"factor_{dim}"].values[:, b]
                                for dim in rec.dims
                            ]
                        )
                        for a, b in enumerate(order)
                    ]
                )
                for order in permutations(range(3))
            )
            assert float(res["similarity"][i, j]) == pytest.approx(best, abs=1e-12)
    np.testing.assert_allclose(res["relative_error"], [float(run["relative_error"]) for run in runs])
    assert int(res["best_restart"]) == int(np.argmin(res["relative_error"].values))
    assert list(res["restart_seed"].values) == list(seeds)
    assert res.attrs["parameters"]["options"] == {"max_iter": 15}


def test_what_is_no_cp_decomposition_is_refused():
    rec = planted()
    with pytest.raises(AnalysisError, match="restarts is 1; a whole number of at least 2 is needed"):
        tensor.stability(rec, 2, restarts=1)
    with pytest.raises(
        AnalysisError, match=r"method gave .*core.*; one factor \(dim, component\) for each dim is needed"
    ):
        tensor.stability(rec, 2, method=tensor.tucker)
