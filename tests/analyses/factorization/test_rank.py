"""Ranks of planted components and of noise, by each criterion and for each method; what is held out stays out."""

import importlib
from functools import partial

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import surrogate
from neurointerp.analyses import factorization
from neurointerp.errors import AnalysisError
from neurointerp.result import check_result

kernel, held_out = (
    importlib.import_module(f"neurointerp.analyses.factorization.{name}") for name in ("rank", "_held_out")
)
METHODS = {
    "pca": factorization.pca,
    "nmf": partial(factorization.nmf, max_iter=100),
    "semi_nmf": partial(factorization.semi_nmf, max_iter=100),
    "sparse": partial(factorization.semi_nmf, keep_fraction=0.25, init="kmeans", restarts=4, max_iter=40),
}
RANKS = (1, 2, 3, 4, 5, 6)


def planted(seed, rank=4, time=240, units=20, noise=0.3):
    """Give a recording of disjoint signed ensembles, the first the strongest."""
    rng = np.random.default_rng(seed)
    size = np.repeat(np.linspace(1.4, 0.9, rank), units // rank)
    features = np.kron(np.eye(rank), np.ones(units // rank)) * rng.choice([-1, 1], units) * size
    values = (rng.random((time, rank)) < 0.25) * rng.gamma(2, 1, (time, rank)) @ features
    values += noise * values.std() * rng.standard_normal(values.shape)
    return ni.recording(values, modality="calcium", units="1", sampling_rate=10.0)


def taken(name, rec):
    return rec.copy(data=np.abs(rec.values)) if name == "nmf" else rec


def found(name, rec):
    res = factorization.rank(taken(name, rec), RANKS, method=METHODS[name], folds=3, restarts=5)
    return dict(zip(res.criterion.values, res.suggested.values, strict=True)), res


@pytest.mark.parametrize("name", METHODS)
def test_planted_rank_is_found_and_that_of_noise_is_the_smallest(name):
    suggested, res = found(name, planted(0))
    assert suggested["held_out"] == 4
    assert suggested["parallel"] == 4 == int(res.parallel_rank)
    if name == "sparse":  # the others are unique only up to a turn, or stable beyond it too
        assert suggested["stability"] == 4
    assert (np.diff(res.relative_error.min("restart")) < 1e-3).all()
    rec = planted(0)
    null, res = found(name, rec.copy(data=np.random.default_rng(1).standard_normal(rec.shape)))
    assert null == {"held_out": 1, "stability": 1, "parallel": 1}
    assert int(res.parallel_rank) == 0
    assert res.attrs["parameters"]["ranks"] == list(RANKS)


@pytest.mark.slow
def test_held_out_entries_and_surrogates_find_each_of_several_planted_ranks():
    for truth in (2, 3, 5):
        for seed in range(3):
            rec = planted(seed, rank=truth, units=30)
            for name in ("pca", "nmf"):
                suggested, _ = found(name, rec)
                assert suggested["held_out"] == suggested["parallel"] == truth, (truth, seed, name)


def test_surrogates_call_noise_structured_no_oftener_than_they_say():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(60):
        walk = rng.standard_normal((300, 6)).cumsum(axis=0)
        rec = ni.recording(walk[5:] - walk[:-5], modality="fmri", units="1", sampling_rate=1.0)
        own = kernel._eigenvalues(rec.values)
        null = [kernel._eigenvalues(surrogate.circular_shift(rec, seed=draw).values)[0] for draw in range(19)]
        wrong += own[0] > max(null)
    assert wrong <= 8  # 3 are expected; more than 8 in one of 100 times


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_share_the_known_entries_and_empty_nothing(folds):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((40, 7))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[5, 1:] = np.nan
    values[:, 6] = np.nan
    values[11, 6] = 1.0
    fold = held_out.speckled(values, folds, rng)
    assert (fold[np.isnan(values)] == -1).all()
    assert fold[5, 0] == fold[11, 6] == -1
    for part in range(folds):
        kept = ~np.isnan(np.where(fold == part, np.nan, values))
        assert kept.any(axis=0).all()
        assert kept[(~np.isnan(values)).any(axis=1)].any(axis=1).all()
    whole = held_out.speckled(rng.standard_normal((40, 7)), folds, rng)
    counts = [(whole == part).sum() for part in range(folds)]
    assert sum(counts) == 280
    assert max(counts) - min(counts) < 40


@pytest.mark.parametrize("method", [factorization.semi_nmf, None])
def test_what_is_held_out_has_no_influence_and_its_error_is_that_of_the_prediction(method):
    rec = planted(1, time=60)
    held = held_out.speckled(rec.values, 3, np.random.default_rng(0)) == 1
    other = rec.copy(data=np.where(held, 7.0 + 3 * rec.values, rec.values))
    one, two = (held_out.held_out_error(method, each, 3, held, seed=0) for each in (rec, other))
    if method is not None:
        fit = method(rec.where(~held), 3)
        model = fit.coefficients.values @ fit.features.values
        assert one == pytest.approx(np.linalg.norm((model - rec.values)[held]) / np.linalg.norm(rec.values[held]))
    # the model m is the same, so that both errors follow from it: |m - x| / |x| and |m - 7 - 3x| / |7 + 3x|
    size = np.linalg.norm(rec.values[held])
    assert two != pytest.approx(one)
    assert (
        abs(two * np.linalg.norm(other.values[held]) - np.linalg.norm((other.values - rec.values)[held])) <= one * size
    )


def test_trials_and_missing_values_are_taken(tmp_path):
    rec = planted(0, time=120).values.reshape(12, 10, 20)
    rec[2, 3, 4] = np.nan
    rec = ni.recording(rec, modality="calcium", units="1", sampling_rate=10.0, dims=("trial", "time", "unit"))
    before = rec.copy(deep=True)
    method = partial(factorization.semi_nmf, max_iter=50)
    res, again = (factorization.rank(rec, (2, 3), method=method, folds=2, restarts=2) for _ in range(2))
    check_result(res)
    assert res.identical(again)
    assert rec.identical(before)
    assert ni.open(ni.save(res, tmp_path / "rank.zarr")).load().identical(res)
    lazy = factorization.rank(rec.chunk({"trial": 5}), (2, 3), method=method, folds=2, restarts=2)
    np.testing.assert_allclose(lazy.held_out_error, res.held_out_error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": (2, 1)}, r"ranks are \[2, 1\]; ascending"),
        ({"ranks": ()}, r"ranks are \[\]"),
        ({"ranks": (0, 1)}, "a rank is 0"),
        ({"folds": 1}, "folds is 1"),
        ({"restarts": 1}, "restarts is 1"),
        ({"surrogates": 18}, "surrogates is 18; a whole number of at least 19"),
        ({"ranks": (1, 500)}, "rank is 500; a whole number from 1 to 240"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(AnalysisError, match=message):
        factorization.rank(planted(0), **options)
    with pytest.raises(AnalysisError, match="nothing but zeros could be held out in fold"):
        factorization.rank(planted(0).isel(time=[0], unit=[0, 1]), (1,), folds=5)
    with pytest.raises(AnalysisError, match="1 units; two or more"):
        factorization.rank(planted(0).isel(unit=[0]), (1,))


def test_one_rank_is_no_list_of_ranks():
    rec = ni.recording(np.random.default_rng(0).random((30, 3)), modality="eeg", units="V", sampling_rate=10.0)
    with pytest.raises(AnalysisError, match="ranks are 3"):
        factorization.rank(rec, 3)
