"""Measures, nulls and comparisons of graphs against networkx, scikit-learn and planted differences."""

import networkx as nx
import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import neurointerp as ni
from neurointerp.analyses import connectivity, graphs
from neurointerp.errors import AnalysisError


def labelled(weights, names=None):
    labels = np.array([f"n{i:03d}" for i in range(len(weights))] if names is None else names, dtype=object)
    return xr.DataArray(
        np.asarray(weights, float), dims=("source", "target"), coords={"source": labels, "target": labels}
    )


def random_graph(seed=0, size=30, share=0.3):
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.exponential(size=(size, size)) * (rng.random((size, size)) < share), 1)
    return weights + weights.T


def test_measures_equal_those_of_networkx():
    weights = random_graph()
    found = graphs.measures(labelled(weights))
    G, B = nx.from_numpy_array(weights), nx.from_numpy_array((weights > 0).astype(int))
    for _, _, data in G.edges(data=True):
        data["length"] = 1 / data["weight"]
    np.testing.assert_array_equal(found.degree, [d for _, d in B.degree()])
    np.testing.assert_allclose(found.strength, [d for _, d in G.degree(weight="weight")])
    np.testing.assert_allclose(found.clustering, list(nx.clustering(G, weight="weight").values()), atol=1e-12)
    np.testing.assert_allclose(found.betweenness, list(nx.betweenness_centrality(G, weight="length").values()))
    lengths = dict(nx.all_pairs_dijkstra_path_length(G, weight="length"))
    inverse = [1 / lengths[i][j] for i in lengths for j in lengths[i] if i != j]
    assert float(found.global_efficiency) == pytest.approx(sum(inverse) / (30 * 29))
    assert float(found.path_length) == pytest.approx(np.mean([1 / x for x in inverse]))
    assert float(found.transitivity) == pytest.approx(nx.transitivity(B))
    assert float(found.density) == pytest.approx(nx.density(B))
    assert float(found.assortativity) == pytest.approx(nx.degree_assortativity_coefficient(B))
    binary = graphs.measures(labelled((weights > 0).astype(float)))
    assert float(binary.global_efficiency) == pytest.approx(nx.global_efficiency(B))
    assert float(binary.local_efficiency.mean()) == pytest.approx(nx.local_efficiency(B))


def test_rewired_graphs_keep_degrees_weights_and_nearly_strengths():
    graph = ni.synthetic.weighted_lfr()["structure/lfr/structure"]
    found = graphs.rewired(graph, nulls=3, seed=1)
    weights = graph.values
    for draw in found.connectivity.values:
        np.testing.assert_array_equal(draw, draw.T)
        np.testing.assert_array_equal((draw > 0).sum(axis=1), (weights > 0).sum(axis=1))
        np.testing.assert_array_equal(np.sort(draw, axis=None), np.sort(weights, axis=None))
        assert ((draw > 0) != (weights > 0)).mean() > 0.1
    assert found.strength_correlation.min() > 0.95
    assert ni.digest(found) == ni.digest(graphs.rewired(graph, nulls=3, seed=1))


def test_a_small_world_and_a_random_graph():
    small = nx.to_numpy_array(nx.watts_strogatz_graph(100, 8, 0.1, seed=1))
    chance = nx.to_numpy_array(nx.gnm_random_graph(100, 400, seed=1))
    found, null = (graphs.small_world(labelled(each), nulls=10) for each in (small, chance))
    assert float(found.small_worldness) > 2
    assert float(found.p_value) == pytest.approx(1 / 11)
    assert 0.7 < float(null.small_worldness) < 1.4
    assert float(found.clustering) == pytest.approx(nx.average_clustering(nx.from_numpy_array(small)))
    assert float(found.path_length) == pytest.approx(nx.average_shortest_path_length(nx.from_numpy_array(small)))


def test_the_rich_club_is_that_of_networkx_and_a_planted_one_is_found():
    rng = np.random.default_rng(0)
    rate = np.full((80, 80), 0.08)
    rate[:10] = rate[:, :10] = 0.3
    rate[:10, :10] = 0.95
    edges = np.triu(rng.random((80, 80)) < rate, 1)
    edges = (edges | edges.T).astype(float)
    found = graphs.rich_club(labelled(edges), nulls=20)
    expected = nx.rich_club_coefficient(nx.from_numpy_array(edges), normalized=False)
    for degree, value in expected.items():
        assert float(found.coefficient.sel(degree=degree)) == pytest.approx(value)
    high = found.sel(degree=found.degree[found.units == 10][-1])
    assert float(high.normalised) > 1.3
    assert float(high.p_value) == pytest.approx(1 / 21)
    chance = graphs.rich_club(labelled(nx.to_numpy_array(nx.gnm_random_graph(80, 400, seed=1))), nulls=20)
    assert abs(float(chance.normalised.where(chance.units > 8).mean()) - 1) < 0.15


def test_the_weighted_rich_club_is_that_of_its_formula_and_a_planted_one_is_found():
    rng = np.random.default_rng(0)
    rate = np.full((80, 80), 0.08)
    rate[:10] = rate[:, :10] = 0.3
    rate[:10, :10] = 0.95
    edges = np.triu(rng.random((80, 80)) < rate, 1)
    weights = edges * rng.exponential(size=(80, 80))
    weights += weights.T
    found = graphs.rich_club(labelled(weights), nulls=19)
    degree, strongest = (weights > 0).sum(axis=1), np.sort(weights[np.triu_indices(80, 1)])[::-1]
    for k in found.degree.values:
        rich = degree > k
        inside = weights[np.ix_(rich, rich)]
        count = (np.triu(inside) > 0).sum()
        expected = np.triu(inside).sum() / strongest[:count].sum() if count else np.nan
        assert float(found.weighted_coefficient.sel(degree=k)) == pytest.approx(expected, nan_ok=True)
    assert float(found.weighted_coefficient[0]) == pytest.approx(1.0)
    high = found.degree[found.units == 10][-1]
    assert abs(float(found.weighted_normalised.sel(degree=high)) - 1) < 0.2  # weights are dealt out at random
    weights[:10, :10] *= 4
    planted = graphs.rich_club(labelled(weights), nulls=19)
    assert float(planted.weighted_normalised.sel(degree=high)) > 1.2
    assert float(planted.weighted_p_value.sel(degree=high)) == 0.05


def test_structure_function_against_scikit_learn_and_a_null():
    structure = labelled(random_graph(1, 40, 0.2))
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((40, 40))
    function = labelled(np.sqrt(structure.values) + (noise + noise.T) / 2)
    found = graphs.structure_function(function, structure, nulls=200)
    i, j = np.triu_indices(40, 1)
    f, s = function.values[i, j], structure.values[i, j]
    assert float(found.value.sel(measure="auroc")) == pytest.approx(roc_auc_score(s > 0, f))
    assert float(found.value.sel(measure="rank_correlation")) == pytest.approx(spearmanr(f, s).statistic)
    assert (found.p_value == 1 / 201).all()
    assert abs(float(found.null_mean.sel(measure="auroc")) - 0.5) < 0.02
    unrelated = graphs.structure_function(labelled((noise + noise.T) / 2), structure, nulls=200)
    assert (unrelated.p_value > 0.05).all()


def test_structure_is_matched_by_name_and_kind():
    rng = np.random.default_rng(0)
    names = ["AVA", "AVB", "RIM", "RIA", "SMD"]
    wiring = xr.DataArray(
        rng.poisson(0.7, (5, 5, 2)).astype(float), dims=("source", "target", "kind"),
        coords={"source": names, "target": names, "kind": ["chemical", "gap"]},
    )  # fmt: skip
    function = labelled(random_graph(3, 6, 1.0), ["SMD", "u1", "RIM", "AVA", "u2", "AVB"])
    function[0, 2] = function[2, 0] = np.nan
    found = graphs.structure_function(function, wiring, kind="gap", nulls=5)
    assert (int(found.units), int(found.pairs)) == (4, 5)
    shared = ["SMD", "RIM", "AVA", "AVB"]
    s = wiring.sel(kind="gap", source=shared, target=shared).values
    assert int(found.wired_pairs) == int(((s + s.T)[np.triu_indices(4, 1)][1:] > 0).sum())
    for bad, options, message in (
        (wiring, {"kind": "glia"}, "no kind 'glia' in the structure; there are chemical, gap"),
        (wiring.isel(kind=0), {"kind": "gap"}, "the structure has no dim 'kind'"),
        (-wiring, {}, r"0 missing and \d+ negative weights"),
        (wiring * 0, {}, r"0 of \d pairs are wired"),
        (wiring.assign_coords(source=list("abcde"), target=list("abcde")), {}, "0 units have a name in both"),
    ):
        with pytest.raises(AnalysisError, match=message):
            graphs.structure_function(function, bad, **options)


def subjects(difference, seed=0, count=24, units=12):
    """Draw graphs of two groups that differ on the connections among the first four units."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, units, units))
    z = (z + z.swapaxes(1, 2)) / np.sqrt(2)
    z[: count // 2, :4, :4] += difference
    graph = labelled(z[0])
    return xr.DataArray(z, dims=("subject", "source", "target"), coords=graph.coords), ["a"] * (count // 2) + ["b"] * (
        count // 2
    )


@pytest.mark.parametrize("threshold", [None, 2.5])
def test_a_planted_network_differs_and_nothing_else(threshold):
    z, groups = subjects(1.8)
    found = graphs.network_statistic(z, groups, threshold=threshold, permutations=200)
    from scipy.stats import ttest_ind

    t = ttest_ind(z.values[:12], z.values[12:], equal_var=False).statistic
    off = ~np.eye(12, dtype=bool)
    np.testing.assert_allclose(found.statistic.values[off], t[off])
    planted = np.zeros((12, 12), bool)
    planted[:4, :4] = True
    p = found.p_value.values
    assert (p[planted & off] < 0.05).mean() > 0.8
    assert (p[~planted & off] < 0.05).mean() < 0.05


@pytest.mark.slow
def test_the_family_wise_error_is_held():
    false = [
        bool((graphs.network_statistic(*subjects(0.0, seed, 12, 6), permutations=60, seed=seed).p_value < 0.05).any())
        for seed in range(30)
    ]
    assert sum(false) <= 5


def test_threshold_counts_connections():
    z, groups = subjects(3.0)
    found = graphs.network_statistic(z, groups, threshold=3.0, permutations=20)
    component = nx.from_numpy_array((found.statistic.values >= 3.0).astype(int))
    largest = max(nx.connected_components(component), key=len)
    assert float(found.enhanced.max()) == component.subgraph(largest).number_of_edges()


def test_a_recording_of_subjects_gives_fisher_z():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 50, 4))
    rec = ni.recording(values, modality="fmri", units="1", sampling_rate=0.5, dims=("subject", "time", "unit"))
    found = graphs.network_statistic(rec, list("aabbab"), permutations=5)
    z = np.arctanh([np.corrcoef(x, rowvar=False)[0, 1] for x in values])
    assert float(found.difference[0, 1]) == pytest.approx(z[[0, 1, 4]].mean() - z[[2, 3, 5]].mean())


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        (["a", "b"], {}, r"groups name \{'a': 1, 'b': 1\} for 24 subjects"),
        (["a"] * 23 + ["b"], {}, "of two groups of two or more"),
        (["a", "b", "c"] * 8, {}, "of two groups of two or more"),
        (["a", "b"] * 12, {"threshold": 0}, "threshold is 0; a number above 0, or None"),
        (["a", "b"] * 12, {"permutations": 0}, "permutations is 0; a whole number"),
    ],
)
def test_bad_groups_are_named(groups, options, message):
    with pytest.raises(AnalysisError, match=message):
        graphs.network_statistic(subjects(0.0)[0], groups, **options)


def test_graphs_without_edges_are_refused():
    empty = labelled(np.zeros((4, 4)))
    for call in (graphs.measures, graphs.rewired, graphs.small_world, graphs.rich_club):
        with pytest.raises(AnalysisError, match="none of the 4 units has an edge above 0"):
            call(empty)
    with pytest.raises(AnalysisError, match="nulls is 0; a whole number"):
        graphs.rewired(empty, nulls=0)


def symmetric_graph(scale=1.0):
    return labelled(random_graph(3, 20, 0.4) * scale)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_measures_know_no_scale(scale):
    own, scaled = symmetric_graph(), symmetric_graph(scale)
    for call in (graphs.rich_club, graphs.small_world):
        one, other = (call(graph, nulls=3) for graph in (own, scaled))
        for name in ("weighted_coefficient", "small_worldness", "normalised"):
            if name in one:
                np.testing.assert_allclose(other[name].values, one[name].values, rtol=1e-6)
    np.testing.assert_allclose(
        graphs.rewired(scaled, nulls=1).connectivity.values / scale, graphs.rewired(own, nulls=1).connectivity.values
    )
    assert float(connectivity.communities(scaled).modularity) == pytest.approx(
        float(connectivity.communities(own).modularity)
    )


def test_yes_or_no_is_a_graph_and_what_is_none_is_refused():
    edges = symmetric_graph() > 0
    assert int(graphs.measures(edges).degree.sum()) == int(edges.sum())
    twice = symmetric_graph().assign_coords(source=["a"] * 20, target=["a"] * 20)
    for graph, message in (
        (symmetric_graph().astype(complex), "dtype complex128; real numbers are needed"),
        (twice, "unit labels must be unique, 'a' stands 20 times"),
        (symmetric_graph().where(symmetric_graph() < 0.5, np.inf), "are infinite"),
    ):
        with pytest.raises(AnalysisError, match=message):
            graphs.measures(graph)
    alike = labelled(np.ones((6, 6)))
    with pytest.raises(AnalysisError, match="all 15 pairs that have a weight have the same"):
        graphs.structure_function(alike, labelled(random_graph(3, 6, 0.4)))


def test_a_directed_function_and_numbers_out_of_range_are_refused():
    structure, directed = labelled(random_graph(1, 8, 0.5)), random_graph(2, 8, 0.9)
    directed[0, 3] += 1.0
    with pytest.raises(AnalysisError, match="the functional graph is not symmetric"):
        graphs.structure_function(labelled(directed), structure)
    with pytest.raises(AnalysisError, match="nulls is 0; at least 1"):
        graphs.structure_function(structure, structure, nulls=0)
    for swaps in (0, -1, 2.5):
        with pytest.raises(AnalysisError, match=f"swaps is {swaps}; a whole number"):
            graphs.rewired(structure, swaps=swaps)
    one = xr.DataArray(np.zeros((4, 1, 1)), dims=("subject", "source", "target"))
    with pytest.raises(AnalysisError, match="1 units have no connection; two are needed"):
        graphs.network_statistic(one, ["a", "a", "b", "b"])
