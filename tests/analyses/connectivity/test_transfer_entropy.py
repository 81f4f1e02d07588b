"""Transfer entropy against counting words one by one, and on planted spiking networks."""

from collections import Counter
from importlib import import_module

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError


def _network(samples=20_000, seed=0):
    """Draw spikes of six cells: 0 -> 1 and 2 -> 3 excite one bin later, 4 -> 5 inhibits two bins later."""
    rng = np.random.default_rng(seed)
    spikes = np.zeros((samples, 6), dtype=np.int64)
    for t in range(2, samples):
        rate = np.array([0.1, 0.1, 0.1, 0.1, 0.2, 0.2])
        rate[1] += 0.3 * spikes[t - 1, 0]
        rate[3] += 0.3 * spikes[t - 1, 2]
        rate[5] *= 1 - 0.8 * spikes[t - 2, 4]
        spikes[t] = rng.random(6) < rate
    return spikes


def _recording(values, **options):
    return ni.recording(values, **({"modality": "spikes", "units": "1", "sampling_rate": 1000.0} | options))


def _by_counting(x, y, order, source_order, stretches):
    words = Counter()
    for part in stretches:
        for t in range(part.start + max(order, source_order), part.stop):
            words[(y[t], tuple(y[t - order : t]), tuple(x[t - source_order : t]))] += 1
    total = sum(words.values())
    with_source, own, past = Counter(), Counter(), Counter()
    for (now, mine, other), n in words.items():
        with_source[(mine, other)] += n
        own[(now, mine)] += n
        past[mine] += n
    return sum(
        n / total * np.log(n * past[mine] / (with_source[(mine, other)] * own[(now, mine)]))
        for (now, mine, other), n in words.items()
    )


@pytest.mark.parametrize(("order", "source_order", "levels"), [(1, 1, 2), (2, 3, 2), (1, 2, 3)])
def test_equals_counting_words_within_segments(order, source_order, levels, monkeypatch):
    monkeypatch.setattr(import_module("neurointerp.analyses.connectivity.transfer_entropy"), "BLOCK", 2**12)
    values = np.random.default_rng(0).poisson(0.7, (400, 3))
    values[1:, 1] += values[:-1, 0]
    segment = np.repeat([0, 1], [250, 150])
    found = connectivity.transfer_entropy(
        _recording(values, coords={"segment": ("time", segment)}),
        order=order,
        source_order=source_order,
        levels=levels,
    )
    capped = np.minimum(values, levels - 1)
    for i, j in [(0, 1), (1, 0), (2, 1)]:
        expected = _by_counting(capped[:, i], capped[:, j], order, source_order, [slice(0, 250), slice(250, 400)])
        assert float(found.connectivity[i, j]) == pytest.approx(expected, abs=1e-12)


def test_planted_directions_are_found_and_no_others():
    found = connectivity.transfer_entropy(_recording(_network()), order=2, source_order=2)
    planted = [(0, 1), (2, 3), (4, 5)]
    others = [(i, j) for i in range(6) for j in range(6) if i != j and (i, j) not in planted]
    size, p = found.connectivity.values, found.p_value.values
    assert min(size[pair] for pair in planted) > 10 * max(size[pair] for pair in others)
    assert max(p[pair] for pair in planted) < 1e-10
    assert min(p[pair] for pair in others) > 1e-3
    corrected = np.array([float(found.corrected[pair]) for pair in others])
    assert abs(corrected.mean()) < 0.2 * np.mean([size[pair] for pair in others])  # of which it takes the bias off
    assert np.isnan(np.diag(size)).all()


def test_p_values_are_uniform_where_nothing_is_told():
    spikes = (np.random.default_rng(1).random((3000, 30)) < 0.2).astype(int)
    p = connectivity.transfer_entropy(_recording(spikes)).p_value.values
    p = p[~np.isnan(p)]
    assert abs((p < 0.05).mean() - 0.05) < 0.025
    assert abs(np.median(p) - 0.5) < 0.08


def test_synapses_of_a_simulated_network_rank_above_other_pairs():
    from sklearn.metrics import roc_auc_score

    tree = ni.synthetic.spiking_network(
        n_units=40, n_assemblies=1, assembly_size=2, duration=60.0, bin_width=0.002, drive_strength=0.0
    )
    synapses = tree["structure/synapses"].to_dataset().to_dataarray()[0].transpose("source", "target").values
    rec = tree["recordings/spiking_network/recording"].astype(int)
    rec.attrs = tree["recordings/spiking_network/recording"].attrs
    found = connectivity.transfer_entropy(rec).corrected.values
    off = ~np.isnan(found)
    forward = roc_auc_score(synapses[off] != 0, found[off])
    backward = roc_auc_score(synapses.T[off] != 0, found[off])
    assert forward > 0.7
    assert forward > backward + 0.1


def test_what_are_no_counts_or_too_many_words_is_refused():
    values = np.random.default_rng(0).standard_normal((100, 2))
    with pytest.raises(AnalysisError, match=r"200 of 200 values are no counts; bin spikes .* or pass threshold"):
        connectivity.transfer_entropy(_recording(values))
    assert np.isfinite(connectivity.transfer_entropy(_recording(values), threshold=1.0).connectivity[0, 1])
    with pytest.raises(AnalysisError, match="no more than 256 words of past"):
        connectivity.transfer_entropy(_recording(_network(50)), order=9)
    with pytest.raises(AnalysisError, match="no segment has more than 4 bins, the past of one word"):
        connectivity.transfer_entropy(_recording(_network(4)), order=4)
    spikes = _network(200)
    spikes[:, 2] = 0
    found = connectivity.transfer_entropy(_recording(spikes)).connectivity
    assert found.attrs["undefined_units"] == 1
    assert np.isnan(found.values[2]).all()
