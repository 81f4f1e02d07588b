"""Components matched across recordings by label: planted correspondence, none, other orders, other ranks."""

from itertools import permutations

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.result import check_result

RNG = np.random.default_rng


def fit(features, units=None, component=None):
    """Give what a factorization gives, of given features."""
    names = [f"n{i}" for i in range(features.shape[1])] if units is None else units
    on = {"component": np.arange(len(features)) if component is None else component, "unit": np.array(names, object)}
    return xr.Dataset(
        {"features": (("component", "unit"), features)}, coords=on, attrs={"recording": "x", "modality": "calcium"}
    )


def test_components_are_found_whatever_the_order_of_components_and_units():
    rng = RNG(0)
    features = rng.standard_normal((4, 30))
    turn, order = rng.permutation(4), rng.permutation(30)
    names = np.array([f"n{i}" for i in range(30)], object)
    other = fit((3 * features[turn] + 0.1 * rng.standard_normal((4, 30)))[:, order], names[order])
    res = factorization.match(fit(features), other, draws=200)
    assert dict(zip(res.first_component.values, res.second_component.values, strict=True)) == {
        first: int(np.flatnonzero(turn == first)[0]) for first in range(4)
    }
    assert float(res.cosine.min()) > 0.99
    assert (res.p_value.values == 1 / 201).all()
    by_position = factorization.match(fit(features), fit(other.features.values), draws=200)
    assert float(by_position.cosine.max()) < 0.8
    check_result(res)


def test_pairs_have_the_largest_sum_of_all_and_cosines_are_on_shared_units_alone():
    rng = RNG(1)
    a, b = rng.standard_normal((3, 12)), rng.standard_normal((5, 12))
    res = factorization.match(fit(a), fit(b[:, 4:], [f"n{i}" for i in range(4, 12)]), draws=5)
    a, b = (rows[:, 4:] / np.linalg.norm(rows[:, 4:], axis=1, keepdims=True) for rows in (a, b))
    np.testing.assert_allclose(res.similarity, a @ b.T)
    best = max(permutations(range(5), 3), key=lambda order: sum((a @ b.T)[range(3), order]))
    assert dict(zip(res.first_component.values, res.second_component.values, strict=True)) == dict(enumerate(best))
    assert res.sizes["pair"] == 3
    assert float(res.mean_cosine) == pytest.approx(float(res.cosine.mean()))
    assert (int(res.shared), int(res.only_first), int(res.only_second)) == (8, 4, 0)
    assert (np.diff(res.cosine) <= 0).all()


def test_p_values_of_unrelated_components_are_spread_evenly():
    ps = []
    for seed in range(60):
        a, b = RNG(seed).gamma(0.5, size=(2, 3, 25))
        ps.append([float(factorization.match(fit(a), fit(b), draws=39).p_value[0]),
                   float(factorization.match(fit(a), fit(b), draws=39).mean_p_value)])  # fmt: skip
    for p in np.transpose(ps):
        assert (p <= 0.1).sum() <= 14  # 6 are expected
        assert 0.3 < p.mean() < 0.7


def test_signs_are_left_out_on_request():
    features = RNG(2).standard_normal((3, 20))
    flipped = fit(features * [[1.0], [-1.0], [-1.0]])
    res = factorization.match(fit(features), flipped, signed=False, draws=20)
    np.testing.assert_allclose(np.sort(res.cosine), [-1, -1, 1])
    assert float(res.mean_cosine) == pytest.approx(1)
    assert float(factorization.match(fit(features), flipped, draws=20).cosine.min()) < 0.9


def courses(seed, own, time=300):
    """Give a recording of slow shared courses on units of its own."""
    latent = np.abs(RNG(0).standard_normal((time + 40, 3)).cumsum(axis=0))
    latent = np.clip(latent[40:] - latent[:-40], 0, None)
    values = latent @ RNG(seed).gamma(0.3, size=(3, 14)) + 0.05 * RNG(seed).random((time, 14))
    return ni.recording(values, modality="calcium", units="1", sampling_rate=2.0, unit=[f"{own}{i}" for i in range(14)])


def test_subjects_that_saw_one_film_are_matched_by_the_clock_and_slow_courses_alone_are_not():
    one, two = courses(1, "a"), courses(2, "b")[20:]
    fits = [factorization.nmf(rec, 3, restarts=4, max_iter=200) for rec in (one, two)]
    res = factorization.match(*fits, over="sample", draws=300)
    assert float(res.cosine.min()) > 0.95
    assert float(res.mean_p_value) < 0.05
    assert int(res.shared) == 280
    late = fits[1].assign_coords(time=(fits[1].time.values - 10.0 + 60.0) % 140 + 10.0)
    other = factorization.match(fits[0], late, over="sample", draws=300)
    assert float(other.mean_p_value) > 0.05


def test_trials_are_joined_by_their_labels():
    rng = RNG(3)
    rec = ni.recording(rng.gamma(0.5, size=(12, 6)), modality="fmri", units="1", dims=("trial", "unit"))
    names = np.array([f"s{i}" for i in range(12)], object)
    first = factorization.nmf(rec, 2, max_iter=50).assign_coords(trial=names)
    second = first.isel(trial=rng.permutation(12))
    assert float(factorization.match(first, second, over="sample", draws=9).cosine.min()) == pytest.approx(1)
    bare = factorization.nmf(rec, 2, max_iter=50).drop_vars("trial", errors="ignore")
    with pytest.raises(AlignmentError, match="dim 'trial' of second has no labels"):
        factorization.match(first, bare, over="sample")


def test_the_same_seed_gives_the_same_bytes_and_the_store_keeps_them(tmp_path):
    a, b = RNG(4).random((2, 3, 9))
    results = [factorization.match(fit(a), fit(b), draws=30, seed=seed) for seed in (1, 1, 2)]
    assert results[0].identical(results[1])
    assert not np.array_equal(results[0].null_cosine, results[2].null_cosine)
    assert ni.open(ni.save(results[0], tmp_path / "match.zarr")).load().identical(results[0])


def test_bad_input_is_named():
    good = fit(RNG(0).random((2, 5)))
    holes = fit(np.full((2, 5), np.nan))
    cases = [
        (good, fit(RNG(0).random((2, 5)), list("abcde")), {}, "0 labels on .* are shared, of 5 and 5"),
        (good, fit(RNG(0).random((2, 3)), list("aab")), {}, "labels on 'unit' of second repeat"),
    ]
    for first, second, options, message in cases:
        with pytest.raises(AlignmentError, match=message):
            factorization.match(first, second, **options)
    for first, second, options, message in [
        (good, holes, {}, "'features' of second has 10 missing values"),
        (good, good, {"over": "time"}, "over is 'time'; one of unit, sample"),
        (good, good, {"over": "sample"}, "first has no 'coefficients' along 'component'"),
        (good, good, {"draws": 0}, "draws is 0"),
    ]:
        with pytest.raises(AnalysisError, match=message):
            factorization.match(first, second, **options)


def test_a_dead_component_matches_nothing():
    features = RNG(0).random((2, 6))
    res = factorization.match(fit(features), fit(features * [[1.0], [0.0]]), draws=9)
    np.testing.assert_allclose(res.cosine, [1, 0], atol=1e-12)
