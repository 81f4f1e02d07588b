"""Large tensors are fitted first on their leading directions: the answer is that of the whole."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.analyses.tensor import _alternate, _compressed, _rules, _starts
from neurointerp.analyses.tensor._within import fit_within

SHAPE, RANK = (60, 50, 400), 12
RULES = {"nonnegative_cp": (_rules.NONNEGATIVE, _starts.uniform), "cp": (_rules.SIGNED, _starts.normal)}


@pytest.fixture(scope="module", autouse=True)
def small_enough_to_test():
    """Compress tensors that a test can afford."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compressed, "WORTH", 1e6)
        patch.setattr(_compressed, "WORTH_COMPILED", 1e6)
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
    begun = _compressed.started(iter([start]), compressed)
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
        rebuilt = _alternate.along(rebuilt, base, axis)
    np.testing.assert_allclose(np.moveaxis(rebuilt, 0, -1), values, atol=1e-9 * np.abs(values).max())


def test_the_directions_hold_small_components_beside_a_large_one_in_float32():
    rng, shape = np.random.default_rng(3), (30, 40, 250)
    factors = [rng.random((size, 5)) for size in shape]
    small = _alternate.model([factor[:, 1:] for factor in factors], shape)
    values = (_alternate.model([factors[0] * [300, 1, 1, 1, 1], *factors[1:]], shape)).astype(np.float32)
    compressed = _compressed.compress(_alternate.Problem(values, None, _rules.NONNEGATIVE), 5, 0)
    rebuilt = compressed.X.astype(float)
    for axis, base in enumerate([compressed.bases[-1], *compressed.bases[:-1]]):
        rebuilt = _alternate.along(rebuilt, base, axis)
    left = np.moveaxis(rebuilt, 0, -1) - values
    assert np.linalg.norm(left) < 0.01 * np.linalg.norm(small - small.mean())


def test_compiled_sweeps_are_those_in_plain_steps(planted):
    problem = _alternate.Problem(planted.values.astype(float), None, _rules.NONNEGATIVE)
    compressed = _compressed.compress(problem, RANK, 0)
    start = _alternate.balanced(problem.X, _starts.uniform(problem.X, RANK, np.random.default_rng(4)))
    plain = _alternate.fit(compressed, start, 60, 1e-5)
    rows = [np.array(factor.T, order="C") for factor in start]
    bases = [base if len(base) > base.shape[1] else base[:0] for base in compressed.bases]
    losses = fit_within(compressed.X, *bases, *rows, compressed.power, 60, 1e-5)
    assert 10 < len(losses) < 60
    np.testing.assert_allclose(losses, plain.losses, rtol=1e-9)
    factors, weight = _alternate.ordered([row.T for row in rows])
    np.testing.assert_allclose(weight, plain.weight, rtol=1e-6)
    for mine, theirs in zip(factors, plain.factors, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_several_short_starts_end_in_better_minima_of_counts_than_one():
    rng, shape, rank = np.random.default_rng(0), (60, 100, 200), 8
    trials, _, units = (rng.gamma(0.3, size=(size, rank)) for size in shape)
    clock = np.linspace(0, 1, shape[1])[:, None]
    courses = np.exp(-0.5 * ((clock - rng.random(rank)) / (0.02 + 0.1 * rng.random(rank))) ** 2)
    rates = np.einsum("ir,jr,kr->ijk", trials, courses, units)
    X = rng.poisson(rates * 0.5 / rates.mean()).astype(np.float32)
    problem = _alternate.Problem(X, None, _rules.NONNEGATIVE)
    compressed = _compressed.compress(problem, rank, 0)
    assert compressed.starts == _compressed.MOST_STARTS
    errors = {1: [], compressed.starts: []}
    for seed in range(12):
        for tries, found in errors.items():
            draw = np.random.default_rng(seed)
            starts = [_alternate.balanced(X, _starts.uniform(X, rank, draw)) for _ in range(tries)]
            fit = _alternate.fit(problem, _compressed.started(iter(starts), compressed), 10, 1e-6)
            found.append(fit.losses[-1] ** 0.5)
    best = min(map(min, errors.values()))
    there = {tries: sum(error < 1.001 * best for error in found) for tries, found in errors.items()}
    assert there[compressed.starts] >= 11 > there[1]


def test_a_start_is_drawn_only_where_it_is_swept(planted):
    problem = _alternate.Problem(planted.values[:, :, :200], None, _rules.SIGNED)
    start = _alternate.balanced(problem.X, _starts.normal(problem.X, 4, np.random.default_rng(1)))
    signed = _compressed.compress(problem, 4, 0)
    assert signed.starts == 1
    left = iter([start, start])
    _compressed.started(left, signed)
    assert len(list(left)) == 1


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
    assert _compressed.compress(_alternate.Problem(planted.values[..., :40], None, _rules.SIGNED), RANK, 0) is None
