"""Real worms beside two connectomes, and a layer of a language model under the same calls."""

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score

import neurointerp as ni
from neurointerp.analyses import connectivity, graphs, tensor
from neurointerp.loaders.datasets import connectome

WHITE = "connectome/aconnectome_white_1986_whole.csv"
WITVLIET = "connectome/witvliet_2020_8.xlsx"
WORMS = ("2022-07-26-31", "2022-07-26-38")


def two_worms(mirror):
    """Give (subject, time, unit) of two freely moving worms: labelled neurons, on one clock."""
    each = {}
    for worm in WORMS:
        rec = ni.load("dag2023-common", worm, mirror=str(mirror))
        named = [u for u in rec.unit.values[:300] if not np.isnan(rec.sel(unit=u).values).any()]
        each[worm] = rec.sel(unit=named)
    shared = [u for u in each[WORMS[0]].unit.values if u in set(each[WORMS[1]].unit.values)]
    assert len(shared) > 30
    return ni.align.stack_subjects({worm: rec.sel(unit=shared) for worm, rec in each.items()})


@pytest.fixture
def worms(mirror):
    return two_worms(mirror)


def wiring(mirror, file):
    if file.endswith("xlsx") and find_spec("openpyxl") is None:
        pytest.skip("openpyxl is not installed")
    return connectome.load(mirror / file)


@pytest.mark.parametrize("file", [WHITE, WITVLIET])
@pytest.mark.parametrize("worm", WORMS)
def test_wired_neurons_correlate_more_than_permuted_labels_say(mirror, worms, worm, file):
    """The effect is small (AUROC about 0.6) and there in both worms and both connectomes."""
    function = connectivity.correlation(worms.sel(subject=worm, drop=True))
    structure = wiring(mirror, file)
    found = graphs.structure_function(function, structure, nulls=500)
    value = found.value.sel(measure="auroc")
    assert 0.52 < float(value) < 0.8
    assert float(found.p_value.sel(measure="auroc")) < 0.05
    names = [u for u in worms.unit.values if u in set(structure.source.values)]
    r = function.connectivity.sel(source=names, target=names).values
    s = structure.sum("kind").sel(source=names, target=names).values
    upper = np.triu_indices(len(names), 1)
    assert float(value) == pytest.approx(roc_auc_score((s + s.T)[upper] > 0, r[upper]))


@pytest.fixture(scope="module")
def motifs(mirror):
    """Give the two worms, and their components of affinity."""
    rec = two_worms(mirror)
    found = connectivity.dynamic_connectome(rec, 4, smooth=3.0, bin_size=6, restarts=4, starts=3)
    assert list(found.unit.values) == list(rec.unit.values)
    return rec, found


def beside(label, anatomy, draws=300):
    """Give NMI of two divisions of the same units, its mean over permuted labels, and how often those reach it."""
    own = normalized_mutual_info_score(anatomy, label)
    rng = np.random.default_rng(0)
    null = np.array([normalized_mutual_info_score(anatomy, rng.permutation(label)) for _ in range(draws)])
    return own, null.mean(), (1 + (null >= own).sum()) / (1 + draws)


@pytest.mark.parametrize("file", [WHITE, WITVLIET])
def test_communities_of_correlation_and_of_affinity_beside_the_connectome(mirror, motifs, file):
    """Communities of both are related to those of the wiring, more than permuted labels are, and far from the same."""
    rec, found = motifs
    wired = wiring(mirror, file).sum("kind")
    names = [unit for unit in rec.unit.values if unit in set(wired.source.values)]
    assert len(names) > 60
    wired = wired.sel(source=names, target=names)
    anatomy = connectivity.communities(wired.copy(data=wired.values + wired.values.T), runs=10).community.values
    affinity = (found.connectivity * found.weight).sum("component")
    for graph in (connectivity.correlation(rec), affinity):
        label = connectivity.communities(graph, runs=10).community.sel(unit=names).values
        own, chance, p = beside(label, anatomy)
        assert p < 0.05
        assert chance + 0.03 < own < 0.7
    component = [beside(found.community.sel(component=k, level=0, unit=names).values, anatomy) for k in range(4)]
    assert min(p for _, _, p in component) * 4 < 0.05


@pytest.mark.parametrize("file", [WHITE, WITVLIET])
def test_affinity_tells_wired_neurons_and_some_motifs_do_alone(mirror, motifs, file):
    _, found = motifs
    structure = wiring(mirror, file)
    affinity = (found.connectivity * found.weight).sum("component")
    whole = graphs.structure_function(affinity, structure, nulls=200).sel(measure="auroc")
    assert 0.55 < float(whole.value) < 0.8
    assert float(whole.p_value) == pytest.approx(1 / 201)
    each = [graphs.structure_function(found.connectivity.sel(component=k), structure, nulls=200) for k in range(4)]
    auroc = [float(one.value.sel(measure="auroc")) for one in each]
    assert max(auroc) > 0.55 > 0.5 > min(auroc)  # one motif follows the wiring, another lies across it


def test_left_and_right_cells_of_a_pair_work_together(mirror):
    rec = two_worms(mirror)
    r = connectivity.correlation(rec.isel(subject=0, drop=True))
    label = graphs.block_model(r, starts=3).community.isel(level=0).values
    assert len(set(label)) > 1
    units = rec.unit.values
    partners = [
        (i, j)
        for i, a in enumerate(units)
        for j, b in enumerate(units)
        if i < j and a[:-1] == b[:-1] and {a[-1], b[-1]} == {"L", "R"}
    ]
    assert len(partners) > 5
    together = np.mean([label[i] == label[j] for i, j in partners])
    assert together > np.mean(label[:, None] == label[None]) + 0.15


def test_a_layer_of_a_language_model_under_the_same_calls():
    rec = ni.load("demo-activations")
    units = rec.isel(unit=slice(0, 384, 8))
    groups = graphs.block_model(units, starts=2)
    assert groups.sizes["unit"] == 48
    counted = graphs.measures(units, threshold=0.1)
    assert 0 < float(counted.density) < 1
    paragraphs = {f"p{k}": units.isel(time=units.segment.values == k)[:60] for k in np.unique(units.segment)[:6]}
    clock = next(iter(paragraphs.values()))
    prompts = ni.recording(
        np.stack([p.values for p in paragraphs.values()]), modality="activations", units="1",
        time=np.arange(clock.sizes["time"]), unit=list(units.unit.values), dims=("trial", "time", "unit"),
    )  # fmt: skip
    pairs = connectivity.affinity(prompts, smooth=0, bin_size=5)
    found = graphs.motifs(tensor.nonnegative_cp(pairs, 3, restarts=3), starts=2)
    assert found.carrier.dims == ("trial", "component")
    assert found.connectivity.shape == (3, 48, 48)
    windows = connectivity.dynamic(units, window=50, step=25)
    assert not np.isnan(windows.connectivity.values).any()
