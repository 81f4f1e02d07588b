"""Networks of spiking neurons beside Brian2: the same spikes at the same steps, and the same statistics.

Brian2 2.9 does not run with the numpy that is used here, so what it gives is kept beside the script that makes it
(`data/brian2/brian2_reference.py`). `NEUROINTERP_BRIAN2` names a Python that has Brian2: then the script is run again.
"""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurointerp.models import spiking

DATA = Path(__file__).parent / "data" / "brian2"
spec = importlib.util.spec_from_file_location("brian2_networks", DATA / "networks.py")
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)

MEMBRANE = ("size", "tau", "rest", "threshold", "reset", "refractory", "initial")
ADAPTATION = ("tau_w", "coupling", "kick")


def cells(net, model=spiking.LIF, more=()):
    return model(**{name: net[name] for name in (*MEMBRANE, *more) if name in net})


def parts_of(weights):
    """Give the weights from excitatory and from inhibitory neurons, each with the rows of the other at zero."""
    size = weights["excitatory"].shape[1]
    top, bottom = np.zeros((size, size)), np.zeros((size, size))
    top[:80], bottom[80:] = weights["excitatory"], weights["inhibitory"]
    return top, bottom


def network(name, net):
    """Give the network as it is described here."""
    constant = spiking.Current("n", net["current"])
    if name == "jump":
        wires = [spiking.Synapses("n", "n", net["weights"], delay=net["delay"])]
        return spiking.Network({"n": cells(net)}, wires, [constant])
    if name in ("current", "conductance"):
        wires = [
            spiking.Synapses(
                "n", "n", part, tau=net[f"tau_{kind}"], reversal=net.get(f"reversal_{kind}"), delay=net["delay"]
            )
            for kind, part in zip("ei", parts_of(net), strict=True)
        ]
        wave = [spiking.Current("n", net["amplitude"], net["waveform"], net["hold"])] if name == "current" else []
        return spiking.Network({"n": cells(net)}, wires, [constant, *wave])
    if name == "adaptive":
        wires = [spiking.Synapses("n", "n", net["weights"], delay=net["delay"])]
        return spiking.Network({"n": cells(net, spiking.AdaptiveLIF, ADAPTATION)}, wires, [constant])
    if name == "izhikevich":
        wires = [spiking.Synapses("n", "n", net["weights"], tau=net["tau_s"], delay=net["delay"])]
        quadratic = spiking.Izhikevich(**{key: net[key] for key in ("size", "a", "b", "c", "d", "initial")})
        return spiking.Network({"n": quadratic}, wires, [constant])
    rule = spiking.STDP(
        **{key: net[key] for key in ("potentiation", "depression", "least", "most", "tau_pre", "tau_post")}
    )
    source = spiking.SpikeSource(net["sources"], net["times"], net["index"])
    wires = [spiking.Synapses("source", "n", net["weights"], delay=net["delay"], plasticity=rule)]
    return spiking.Network({"n": cells(net), "source": source}, wires, [constant])


def spikes(tree):
    """Give (step, unit) of every spike of the neurons, by step and then unit."""
    times = tree["structure/spike_times/structure"]
    units = tree["recordings/spikes/recording"]["unit"].values
    place = {unit: k for k, unit in enumerate(units)}
    rows = [
        (step, place[unit])
        for step, unit in zip(times["spike_sample"].values, times["spike_unit"].values, strict=True)
        if unit in place
    ]
    return np.array(sorted(rows))


def reference(name):
    return np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1, dtype=int)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("name", networks.EXACT)
def test_every_spike_is_at_the_step_of_brian2(name, device):
    net = networks.EXACT[name]()
    wanted = reference(name)
    assert len(wanted) > 400
    tree = spiking.simulate(network(name, net), net["duration"], step=net["step"], device=device)
    np.testing.assert_array_equal(spikes(tree), wanted)
    if name == "stdp":
        source, target, weight = np.loadtxt(DATA / "stdp_weights.csv", delimiter=",", skiprows=1).T
        truth = tree["truth"]
        order = np.lexsort((target, source))
        assert list(truth["weight"]["source"].values[:2]) == [f"source{int(k):02d}" for k in source[order][:2]]
        np.testing.assert_allclose(truth["weight_final"].values, weight[order], rtol=1e-9)
        assert np.abs(truth["weight_final"] - truth["weight"]).max() > 0.2, "nothing was learnt"


def test_a_stochastic_network_has_the_rate_and_irregularity_of_brian2():
    net, about = networks.stochastic(), json.loads((DATA / "reference.json").read_text())["networks"]["stochastic"]
    lif = spiking.Network(
        {"n": cells(net)},
        [spiking.Synapses("n", "n", net["weights"], delay=net["delay"])],
        [spiking.PoissonInput("n", net["rate"], net["jump"])],
    )
    step, unit = spikes(spiking.simulate(lif, net["duration"], step=net["step"])).T
    rate, cv = networks.irregularity(step, unit, net["size"], net["duration"])
    assert rate == pytest.approx(np.mean(about["rate"]), rel=0.02)
    assert cv == pytest.approx(np.mean(about["cv"]), rel=0.02)


@pytest.mark.slow
def test_brian2_gives_the_reference_again(tmp_path):
    python = os.environ.get("NEUROINTERP_BRIAN2")
    if not python:
        pytest.skip("set NEUROINTERP_BRIAN2 to a Python that has Brian2 (how to make one: data/brian2)")
    subprocess.run([python, str(DATA / "brian2_reference.py"), str(tmp_path)], check=True, capture_output=True)
    for name in networks.EXACT:
        np.testing.assert_array_equal(np.loadtxt(tmp_path / f"{name}.csv", delimiter=",", skiprows=1), reference(name))
