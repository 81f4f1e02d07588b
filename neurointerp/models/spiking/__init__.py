"""Networks of spiking neurons: described by a few frozen parts, run by one function, recorded as a session."""

from neurointerp.models.spiking.connections import STDP, Synapses, connect
from neurointerp.models.spiking.inputs import Current, Noise, PoissonInput
from neurointerp.models.spiking.network import Network, Record
from neurointerp.models.spiking.populations import LIF, AdaptiveLIF, Izhikevich, PoissonSource, SpikeSource
from neurointerp.models.spiking.simulation import adjacency, simulate, simulate_trials

__all__ = [
    "LIF",
    "STDP",
    "AdaptiveLIF",
    "Current",
    "Izhikevich",
    "Network",
    "Noise",
    "PoissonInput",
    "PoissonSource",
    "Record",
    "SpikeSource",
    "Synapses",
    "adjacency",
    "connect",
    "simulate",
    "simulate_trials",
]
