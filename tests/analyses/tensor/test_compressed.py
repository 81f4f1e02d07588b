"""Large tensors are fitted first on their leading directions: the answer is that of the whole."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.analyses.tensor import _alternate, _compressed, _rules, _starts

SHAPE, RANK = (60, 50, 400), 12
RULES = {"nonnegative_cp": (_rules.NONNEGATIVE, _starts.uniform), "cp": (_rules.SIGNED, _starts.normal)}


@pytest.fixture(scope="module", autouse=True)
def small_enough_to_test():
    """Compress tensors that a test can afford."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compressed, "WORTH", 1e6)
        yield


@pytest.fixture(scope="module")
def planted():
    """Give trials of twelve components with noise, float32, and the factors."""
    rng = np.random.default_rng(0)
    factors = [rng.gamma(0.5, size=(size, RANK)) + 0.01 for size in SHAPE]
    values = np.einsum("ir,jr,kr->ijk", *factors)
    values = (values + 0.3 * values.std() * np.abs(rng.standard_normal(SHAPE))).astype(np.float32)
    return ni.recording(values, modality="calcium", units="1", sampling_rate=10.0, dims=("trial", "time", "unit"))


@pytest.mark.parametrize("method", list(RULES))
def test_a_fit_on_leading_directions_starts_the_whole_one_where_it_nearly_ends(planted, method):
    rule, drawn = RULES[method]
    problem = _alternate.Problem(planted.values, None, rule)
    start = _alternate.balanced(planted.values, drawn(planted.values, RANK, np.random.default_rng(1)))
    compressed = _compressed.compress(problem, RANK, 0)
    assert compressed is not None
    assert compressed.X.size < 0.1 * problem.X.size
    begun = _compressed.started(start, compressed)
    whole = _alternate.fit(problem, begun, 100, 1e-6)
    plain = _alternate.fit(problem, start, 200, 1e-6)
    assert whole.losses[-1] <= plain.losses[-1] * (1 + 1e-3)
    assert whole.losses[0] <= 1.02 * whole.losses[-1] < 0.2 * plain.losses[0]
    residual = planted.values - _alternate.model([*whole.factors[:-1], whole.factors[-1] * whole.weight], SHAPE)
    assert whole.losses[-1] == pytest.approx((residual.astype(float) ** 2).sum() / problem.power, rel=1e-3)


def test_the_directions_hold_a_tensor_of_low_rank_exactly():
    rng = np.random.default_rng(2)
    factors = [rng.standard_normal((size, 5)) for size in (30, 40, 25, 200)]
    values = _alternate.model(factors, (30, 40, 25, 200))
    compressed = _compressed.compress(_alternate.Problem(values, None, _rules.SIGNED), 5, 0)
    rebuilt = compressed.X
    for axis, base in enumerate([compressed.bases[-1], *compressed.bases[:-1]]):
        rebuilt = _compressed.along(rebuilt, base, axis)
    np.testing.assert_allclose(np.moveaxis(rebuilt, 0, -1), values, atol=1e-9 * np.abs(values).max())


def test_public_calls_agree_in_memory_in_blocks_and_over_seeds(planted):
    pytest.importorskip("dask")
    once = tensor.nonnegative_cp(planted, RANK, seed=3)
    again = tensor.nonnegative_cp(planted, RANK, seed=3)
    assert once.identical(again)
    lazy = tensor.nonnegative_cp(planted.chunk({"trial": 25, "unit": 150}), RANK, init="random", seed=3)
    assert float(lazy["relative_error"]) == pytest.approx(float(once["relative_error"]), rel=2e-3)
    assert (np.diff(once["loss"].values) <= 1e-7).all()


def test_missing_values_and_dims_too_short_to_gain_are_fitted_whole(planted):
    holes = planted.values.copy()
    holes[0, 0, 0] = 0
    seen = np.ones(SHAPE, bool)
    seen[0, 0, 0] = False
    assert _compressed.compress(_alternate.Problem(holes, seen, _rules.SIGNED), RANK, 0) is None
    assert _compressed.compress(_alternate.Problem(planted.values[..., :80], None, _rules.SIGNED), RANK, 0) is None
