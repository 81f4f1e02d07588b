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


@pytest.fixture
def worms(mirror):
    """Give (subject, time, unit) of two freely moving worms: labelled neurons, on one clock."""
    each = {}
    for worm in WORMS:
        rec = ni.load("dag2023-common", worm, mirror=str(mirror))
        named = [u for u in rec.unit.values[:300] if not np.isnan(rec.sel(unit=u).values).any()]
        each[worm] = rec.sel(unit=named)
    shared = [u for u in each[WORMS[0]].unit.values if u in set(each[WORMS[1]].unit.values)]
    assert len(shared) > 30
    return ni.align.stack_subjects({worm: rec.sel(unit=shared) for worm, rec in each.items()})


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


def test_communities_of_correlation_and_of_affinity_beside_the_connectome(mirror, worms):
    """Communities of one neuron class stand together; the affinity's and the correlation's are related."""
    r = connectivity.correlation(worms.isel(subject=0, drop=True))
    by_correlation = graphs.block_model(r, starts=3)
    found = connectivity.dynamic_connectome(worms, 4, smooth=3.0, bin_size=6, restarts=4, starts=3)
    assert list(found.unit.values) == list(worms.unit.values)
    motif = found.component.values[~found.background.values]
    assert motif.size
    label = by_correlation.community.isel(level=0).values
    assert len(set(label)) > 1
    partners = [
        (i, j)
        for i, a in enumerate(worms.unit.values)
        for j, b in enumerate(worms.unit.values)
        if i < j and a[:-1] == b[:-1] and {a[-1], b[-1]} == {"L", "R"}
    ]
    together = np.mean([label[i] == label[j] for i, j in partners])
    chance = np.mean(label[:, None] == label[None])
    assert len(partners) > 5
    assert together > chance + 0.15  # left and right cells of a pair work together
    wired = wiring(mirror, WHITE).sum("kind").sel(source=worms.unit.values, target=worms.unit.values)
    anatomy = graphs.block_model(wired.copy(data=wired.values + wired.values.T), weighted=False, starts=3)
    best = max(normalized_mutual_info_score(a, label) for a in anatomy.community.values)
    assert 0 < best < 0.7  # related to the wiring, far from the same


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
