"""Identification and retrieval: explicit galleries, chance and its interval, ties, what is refused."""

import numpy as np
import pytest
from scipy.stats import hypergeom

import neurointerp as ni
from neurointerp.analyses.decoding import identification, retrieval


def patterns(values, ids=None, unit=None):
    names = [f"s{i:03d}" for i in range(len(values))] if ids is None else ids
    return ni.recording(np.asarray(values, dtype=float), modality="fmri", units="1", dims=("trial", "unit"), unit=unit,
                        coords={"stimulus": ("trial", names)})  # fmt: skip


@pytest.fixture
def pair():
    def make(count=30, noise=2.0, units=40, extra=0, seed=0):
        rng = np.random.default_rng(seed)
        true = rng.standard_normal((count + extra, units))
        return patterns(true[:count] + noise * rng.standard_normal((count, units))), patterns(true)

    return make


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_scores_are_those_of_plain_loops(metric, pair):
    queries, gallery = pair(extra=7)
    distance = {
        "correlation": lambda a, b: np.corrcoef(a, b)[0, 1],
        "cosine": lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b),
        "euclidean": lambda a, b: -np.linalg.norm(a - b),
    }[metric]
    alike = np.array([[distance(q, g) for g in gallery.values] for q in queries.values])
    found = retrieval(queries, gallery, k=[1, 5], metric=metric, draws=50)
    np.testing.assert_allclose(found["likeness"], alike, atol=1e-10)
    own = np.diag(alike)
    rank = (alike > own[:, None]).sum(axis=1) + 1
    np.testing.assert_array_equal(found["rank"], rank)
    assert found["top"].values.tolist() == pytest.approx([(rank <= 1).mean(), (rank <= 5).mean()])
    assert float(found["reciprocal_rank"]) == pytest.approx((1 / rank).mean())
    assert found["chance"].values.tolist() == pytest.approx([1 / 37, 5 / 37])
    told = identification(queries, gallery, metric=metric, draws=50)
    one_way = [(own[i] > np.delete(alike[i], i)).mean() for i in range(30)]
    np.testing.assert_allclose(told["one_way"], one_way)
    two_way = [own[i] + own[j] > alike[i, j] + alike[j, i] for i in range(30) for j in range(i)]
    assert told["accuracy"].values.tolist() == pytest.approx([np.mean(one_way), np.mean(two_way)])
    assert told["pairs"].values.tolist() == [30 * 36, 435]
    assert list(told["gallery"].values) == list(gallery["stimulus"].values)


def test_noise_is_at_chance_and_within_its_interval():
    inside, p = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        queries, gallery = patterns(rng.standard_normal((15, 20))), patterns(rng.standard_normal((15, 20)))
        found = identification(queries, gallery, draws=99)
        low, high = found["chance_interval"].sel(way="two_way").values
        inside.append(low <= float(found["accuracy"].sel(way="two_way")) <= high)
        p.append(float(found["p_value"].sel(way="two_way")))
        assert float(found["null_mean"].sel(way="one_way")) == pytest.approx(0.5, abs=0.03)
    assert np.mean(inside) >= 0.85
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_the_interval_of_chance_is_wider_than_a_binomial_one(pair):
    """Pairs share stimuli: 435 of them are far from 435 independent throws."""
    queries, gallery = pair(noise=50.0)
    low, high = identification(queries, gallery)["chance_interval"].sel(way="two_way").values
    assert high - low > 1.5 * 2 * 1.96 * np.sqrt(0.25 / 435)


def test_repeats_of_a_stimulus_widen_the_interval_of_chance(pair):
    queries, gallery = pair(noise=4.0)
    thrice = queries.isel(trial=np.repeat(np.arange(10), 3))
    found = retrieval(thrice.assign_coords(trial=np.arange(30)), gallery, k=[5])
    few = retrieval(queries, gallery, k=[5])
    assert found.sizes["query"] == 30
    assert list(found["stimulus"].values[:4]) == ["s000", "s000", "s000", "s001"]
    width = [float(one["chance_interval"].diff("bound").squeeze()) for one in (found, few)]
    assert width[0] > 1.3 * width[1]
    with pytest.raises(ni.AnalysisError, match="30 queries of 10 stimuli"):
        identification(thrice, gallery)


def test_chance_of_one_query_is_that_of_a_draw_from_the_gallery():
    rng = np.random.default_rng(0)
    found = retrieval(patterns(rng.standard_normal((1, 8))), patterns(rng.standard_normal((20, 8))), k=[4], draws=4000)
    assert float(found["chance"][0]) == hypergeom(20, 4, 1).mean()
    assert float(found["p_value"][0]) == pytest.approx(1.0 if found["top"][0] == 0 else 0.2, abs=0.02)


def test_units_are_joined_by_name_and_ties_are_no_hits():
    values = np.eye(4) + 0.1
    gallery = patterns(values, unit=["a", "b", "c", "d"])
    queries = patterns(values[:, ::-1], unit=["d", "c", "b", "a"])
    assert retrieval(queries, gallery, k=[1], draws=9)["top"].values.tolist() == [1.0]
    between = patterns([[1.0, 1.0, 0.0, 0.0]], ids=["s000"], unit=["a", "b", "c", "d"])
    found = retrieval(between, gallery, k=[1, 2], draws=9)
    assert found["rank"].values.tolist() == [1.5]
    assert found["top"].values.tolist() == [0.0, 1.0]


def test_duplicates_and_strangers_are_refused(pair):
    queries, gallery = pair(count=6)
    twice = gallery.assign_coords(stimulus=("trial", ["s000", "s000", "s002", "s003", "s004", "s005"]))
    twin = gallery.copy(data=np.where(np.arange(6)[:, None] == 4, gallery.values[1], gallery.values))
    flat = queries.copy(data=np.where(np.arange(6)[:, None] == 2, 1.0, queries.values))
    holed = queries.copy(data=np.where((np.arange(6)[:, None] == 2) & (np.arange(40) < 3), np.nan, queries.values))
    for arguments, message in [
        ((queries, twice), r"1 stimuli stand more than once in the gallery, first 's000' \(2 times\)"),
        ((queries, twin), "2 gallery items have a twin, first 's001'"),
        ((queries, gallery.isel(trial=slice(0, 4))), "2 queries are of stimuli that the gallery lacks, first 's004'"),
        ((queries.isel(unit=slice(0, 5)), gallery), "35 units are in one of queries and gallery alone"),
        ((queries.drop_vars("stimulus"), gallery), "with a coordinate 'stimulus' on trial"),
        ((flat, gallery), "1 queries do not vary over units"),
        ((holed, gallery), "3 missing values in 3 of 40 units"),
    ]:
        for method in (identification, retrieval):
            with pytest.raises(ni.AnalysisError, match=message):
                method(*arguments, **({"k": [1]} if method is retrieval else {}))
    for arguments, message in [
        ({"k": [10]}, "k = 10 of a gallery of 6"),
        ({"k": [0]}, "whole numbers above 0"),
        ({"k": [1], "draws": 0}, "draws is 0"),
        ({"k": [1], "metric": "l1"}, "'correlation', 'cosine' or 'euclidean'"),
    ]:
        with pytest.raises(ni.AnalysisError, match=message):
            retrieval(queries, gallery, **arguments)
