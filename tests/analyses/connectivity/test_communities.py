"""Communities against planted ones and networkx, on graphs, results and recordings."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError


def _graph(weights):
    labels = np.array([f"n{i:03d}" for i in range(len(weights))], dtype=object)
    return xr.DataArray(weights, dims=("source", "target"), coords={"source": labels, "target": labels})


def _noise(units=20, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((units, units))
    return _graph(weights + weights.T)


def _blocks(sizes=(5, 9, 5)):
    """Draw a recording whose units share the signal of their block, in shuffled order."""
    rng = np.random.default_rng(1)
    block = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    values = rng.standard_normal((300, len(sizes)))[:, block] + rng.standard_normal((300, len(block)))
    recording = ni.recording(
        values, modality="fmri", units="1", sampling_rate=0.5, coords={"region": ("unit", block.astype(str))}
    )
    return recording, block


def test_planted_blocks_are_found_and_numbered_by_size_then_label():
    recording, block = _blocks()
    found = connectivity.communities(recording)
    assert adjusted_rand_score(block, found.community) == 1.0
    assert np.bincount(found.community).tolist() == [9, 5, 5]
    assert (found.community.values == 1).argmax() < (found.community.values == 2).argmax()
    assert list(found.community["region"].values) == list(recording["region"].values)
    assert list(found["unit"].values) == list(recording["unit"].values)


@pytest.mark.parametrize("resolution", [0.7, 1.0, 1.8])
def test_modularity_equals_that_of_networkx(resolution):
    graph = _noise()
    found = connectivity.communities(graph, resolution=resolution)
    positive = np.clip(graph.values, 0, None)
    np.fill_diagonal(positive, 0)
    members = [set(np.flatnonzero(found.community.values == c).tolist()) for c in np.unique(found.community)]
    expected = nx.community.modularity(nx.from_numpy_array(positive), members, resolution=resolution)
    assert float(found.modularity) == pytest.approx(expected, abs=1e-12)
    assert len(members) > 1


def test_a_higher_resolution_gives_smaller_communities():
    graph = _noise(60)
    counts = [int(connectivity.communities(graph, resolution=r).community.max()) for r in (0.2, 1.0, 4.0)]
    assert counts == sorted(set(counts))


def test_a_result_its_variable_and_the_recording_give_the_same():
    recording, _ = _blocks()
    result = connectivity.correlation(recording)
    of_recording = connectivity.communities(recording)
    of_result = connectivity.communities(result)
    of_variable = connectivity.communities(result.connectivity)
    assert of_recording.identical(of_result)
    assert of_recording.attrs["recording"] == ni.digest(recording)
    assert of_variable.drop_attrs(deep=False).identical(of_recording.drop_attrs(deep=False))


def test_communities_do_not_depend_on_the_order_of_units():
    graph = _noise(40)
    order = np.random.default_rng(3).permutation(40)
    for seed in range(5):
        found = connectivity.communities(graph, seed=seed)
        moved = connectivity.communities(graph.isel(source=order, target=order), seed=seed)
        np.testing.assert_array_equal(moved.community.values, found.community.values[order])
        assert float(moved.modularity) == pytest.approx(float(found.modularity), abs=1e-12)


def test_negative_weights_and_the_diagonal_do_not_count():
    graph = _noise()
    changed = graph.where(graph > 0, 3 * graph)
    np.fill_diagonal(changed.values, 50.0)
    assert connectivity.communities(changed).equals(connectivity.communities(graph))


def test_without_positive_weights_each_unit_is_alone():
    found = connectivity.communities(_graph(-np.ones((4, 4))))
    assert found.community.values.tolist() == [0, 1, 2, 3]
    assert np.isnan(found.modularity)


def test_equal_bytes_and_a_store_round_trip(tmp_path):
    graph = _noise(30)
    found = connectivity.communities(graph, seed=2)
    assert ni.digest(found) == ni.digest(connectivity.communities(graph, seed=2))
    assert ni.open(ni.save(found, tmp_path / "c.zarr")).identical(found)


def test_a_graph_is_not_modified():
    graph = _noise()
    before = graph.copy(deep=True)
    connectivity.communities(graph)
    assert graph.identical(before)


def test_a_constant_unit_is_refused_with_the_remedy():
    recording, _ = _blocks()
    recording = recording.copy(deep=True)
    recording[:, 4] = 2.0
    with pytest.raises(AnalysisError, match=r"37 weights are missing, 1 units have none .*drop them first"):
        connectivity.communities(recording)
    result = connectivity.correlation(recording)
    keep = ~np.isnan(np.diag(result.connectivity))
    assert connectivity.communities(result.isel(source=keep, target=keep)).sizes["unit"] == 18


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_graph(np.triu(np.ones((3, 3)))), r"not symmetric \(largest difference 1\); a directed graph"),
        (_noise(4).rename(target="other"), r"connectivity \(source, target\) is needed, found \('source', 'other'\)"),
        (xr.Dataset(), r"connectivity \(source, target\) is needed, found none"),
        (np.eye(3), r"is needed, found ndarray; pass the result of connectivity.correlation"),
        (_noise(4).drop_vars("target"), "source and target must carry the same unit labels"),
        (_noise(4).isel(target=[1, 0, 2, 3]), "source and target must carry the same unit labels"),
    ],
)
def test_what_is_not_an_undirected_graph_is_refused(graph, message):
    with pytest.raises(AnalysisError, match=message):
        connectivity.communities(graph)


def test_a_resolution_of_zero_is_refused():
    with pytest.raises(AnalysisError, match="resolution is 0; a number above 0 is needed"):
        connectivity.communities(_noise(), resolution=0)


def test_resting_parcels_go_with_their_twin_in_the_other_hemisphere(mirror):
    table = pd.read_csv(mirror / "fmri/seaborn/brain_networks.csv", header=[0, 1, 2], index_col=0)
    recording = ni.recording(
        table.values, modality="fmri", units="1", sampling_rate=0.5, unit=["-".join(key) for key in table]
    )
    found = connectivity.communities(recording)
    null = connectivity.communities(ni.surrogate.circular_shift(recording))
    assert float(found.modularity) > 1.5 * float(null.modularity)
    community = dict(zip(table, found.community.values.tolist(), strict=True))
    pairs = [(key, (*key[:2], "rh")) for key in table if key[2] == "lh" and (*key[:2], "rh") in community]
    assert len(pairs) > 20
    assert np.mean([community[left] == community[right] for left, right in pairs]) > 0.9


def test_consensus_over_runs_is_steadier_than_single_runs():
    """On a graph with many near-best divisions, consensus of two disjoint sets of seeds agrees better than runs do."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(4), 15)
    weights = rng.random((60, 60)) * np.where(block[:, None] == block, 1.35, 1.0)
    graph = _graph((weights + weights.T) / 2)
    one = connectivity.communities(graph, runs=20, seed=0)
    two = connectivity.communities(graph, runs=20, seed=100)
    single = [connectivity.communities(graph, seed=seed).community.values for seed in range(10)]
    alone = np.mean([adjusted_rand_score(a, b) for i, a in enumerate(single) for b in single[:i]])
    assert adjusted_rand_score(one.community, two.community) > alone
    assert adjusted_rand_score(block, one.community) > 0.9
    assert one.run_modularity.sizes == {"run": 20}
    assert 0 < float(one.agreement.min()) <= float(one.agreement.max()) <= 1


def test_one_run_is_louvain_itself_and_agrees_with_itself():
    found = connectivity.communities(_noise(30), seed=3)
    assert float(found.run_modularity[0]) == pytest.approx(float(found.modularity), abs=1e-12)
    np.testing.assert_array_equal(found.agreement, 1)
    with pytest.raises(AnalysisError, match="runs is 0; a whole number of at least 1"):
        connectivity.communities(_noise(4), runs=0)
