"""The networks that are run here and in Brian2, as numbers: needs numpy and nothing else.

Every network is small enough that its spikes, not their average, can be compared.
"""

import numpy as np


def wiring(rng, sources, targets, probability, weight, loops=True):
    """Draw weights (source, target); zero where there is no synapse."""
    weights = np.where(rng.random((sources, targets)) < probability, weight, 0.0)
    weights *= rng.uniform(0.5, 1.5, weights.shape)
    if not loops:
        np.fill_diagonal(weights, 0.0)
    return weights


def signed(rng, size, probability, excitatory, inhibitory):
    """Draw weights of a network whose last fifth is inhibitory."""
    weights = wiring(rng, size, size, probability, 1.0, loops=False)
    inhibits = np.arange(size) >= 0.8 * size
    return np.where(inhibits[:, None], inhibitory * weights, excitatory * weights)


def jump():
    """LIF neurons whose potentials jump, with a delay per synapse and a refractory pause."""
    rng = np.random.default_rng(1)
    size = 100
    return {
        "size": size, "step": 1e-4, "duration": 0.5, "tau": 0.02, "rest": -70.0, "threshold": -50.0, "reset": -60.0,
        "refractory": 0.002, "initial": rng.uniform(-70, -50, size), "current": rng.uniform(18, 26, size),
        "weights": signed(rng, size, 0.1, 0.6, -2.0), "delay": rng.integers(0, 30, (size, size)) * 1e-4,
    }  # fmt: skip


def current():
    """LIF neurons with decaying currents of two time constants, and a waveform."""
    rng = np.random.default_rng(2)
    size = 100
    return {
        "size": size, "step": 1e-4, "duration": 0.5, "tau": rng.uniform(0.01, 0.03, size), "rest": -70.0,
        "threshold": -50.0, "reset": -65.0, "refractory": 0.003, "initial": -70.0, "current": rng.uniform(18, 26, size),
        "excitatory": wiring(rng, 80, size, 0.1, 1.5), "inhibitory": wiring(rng, 20, size, 0.2, -3.0),
        "tau_e": 0.005, "tau_i": 0.01, "delay": 0.0015, "waveform": rng.uniform(0, 1, 50), "hold": 0.01,
        "amplitude": 4.0,
    }  # fmt: skip


def conductance():
    """LIF neurons with conductances."""
    rng = np.random.default_rng(3)
    size = 100
    return {
        "size": size, "step": 1e-4, "duration": 0.5, "tau": 0.02, "rest": -60.0, "threshold": -50.0, "reset": -60.0,
        "refractory": 0.005, "initial": rng.uniform(-60, -50, size), "current": rng.uniform(11, 20, size),
        "excitatory": wiring(rng, 80, size, 0.1, 0.1), "inhibitory": wiring(rng, 20, size, 0.2, 0.6),
        "tau_e": 0.005, "tau_i": 0.01, "reversal_e": 0.0, "reversal_i": -80.0, "delay": 0.001,
    }  # fmt: skip


def adaptive():
    """LIF neurons with an adaptation current, jumps between them.

    The coupling is weak enough for real eigenvalues: with complex ones Brian2's exact method gives NaN.
    """
    rng = np.random.default_rng(4)
    size = 100
    return {
        "size": size, "step": 1e-4, "duration": 0.5, "tau": 0.02, "rest": -70.0, "threshold": -50.0, "reset": -58.0,
        "tau_w": rng.uniform(0.05, 0.2, size), "coupling": 0.1, "kick": rng.uniform(0.5, 3.0, size),
        "initial": rng.uniform(-70, -50, size), "current": rng.uniform(26, 40, size),
        "weights": signed(rng, size, 0.1, 0.5, -1.5), "delay": 0.001,
    }  # fmt: skip


def izhikevich():
    """Izhikevich neurons of mixed kind, steps of 1 ms, currents that decay.

    Short: rounding grows in these neurons, and after 0.24 s two orders of summation give other spikes.
    """
    rng = np.random.default_rng(5)
    size, r = 100, np.random.default_rng(6).random(100)
    inhibits = np.arange(size) >= 80
    return {
        "size": size, "step": 1e-3, "duration": 0.2, "a": np.where(inhibits, 0.02 + 0.08 * r, 0.02),
        "b": np.where(inhibits, 0.25 - 0.05 * r, 0.2), "c": np.where(inhibits, -65.0, -65 + 15 * r**2),
        "d": np.where(inhibits, 2.0, 8 - 6 * r**2), "initial": -65.0, "current": rng.uniform(3, 8, size),
        "weights": signed(rng, size, 0.1, 0.4, -0.6), "tau_s": 0.01, "delay": 0.002,
    }  # fmt: skip


def stdp():
    """Plastic synapses from sources that fire at given times."""
    rng = np.random.default_rng(7)
    sources, targets, spikes = 50, 10, 600
    key = np.unique(rng.integers(0, 5000, spikes) * sources + rng.integers(0, sources, spikes))
    return {
        "size": targets, "step": 1e-4, "duration": 0.5, "tau": 0.02, "rest": -70.0, "threshold": -54.0, "reset": -60.0,
        "refractory": 0.0, "initial": -70.0, "current": rng.uniform(10, 17, targets), "sources": sources,
        "times": key // sources * 1e-4, "index": key % sources, "weights": wiring(rng, sources, targets, 0.6, 1.0),
        "delay": 0.002, "potentiation": 0.05, "depression": 0.055, "least": 0.0, "most": 2.0, "tau_pre": 0.02,
        "tau_post": 0.03,
    }  # fmt: skip


def stochastic():
    """A sparse network after Brunel (2000), irregular, with a Poisson input to each neuron."""
    size = 1000
    rng = np.random.default_rng(8)
    inhibits = np.arange(size) >= 800
    weights = np.where(rng.random((size, size)) < 0.1, np.where(inhibits, -1.5, 0.3)[:, None], 0.0)
    np.fill_diagonal(weights, 0.0)
    return {
        "size": size, "step": 1e-4, "duration": 10.0, "tau": 0.02, "rest": -70.0, "threshold": -50.0, "reset": -60.0,
        "refractory": 0.002, "initial": rng.uniform(-70, -50, size), "weights": weights, "delay": 0.0015,
        "rate": 4500.0, "jump": 0.3,
    }  # fmt: skip


EXACT = {one.__name__: one for one in (jump, current, conductance, adaptive, izhikevich, stdp)}


def irregularity(step, unit, size, seconds):
    """Give the mean rate (Hz), and the mean coefficient of variation over units with ten intervals or more."""
    order = np.lexsort((step, unit))
    step, unit = np.asarray(step)[order], np.asarray(unit)[order]
    found = []
    for neuron in range(size):
        intervals = np.diff(step[unit == neuron])
        if intervals.size >= 10:
            found.append(intervals.std() / intervals.mean())
    return len(step) / size / seconds, float(np.mean(found))
