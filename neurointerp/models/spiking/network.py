"""A network: populations, the synapses between them and what reaches them; and what of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurointerp.errors import RecordingError
from neurointerp.models.spiking import _checks
from neurointerp.models.spiking.connections import Synapses
from neurointerp.models.spiking.inputs import Current, Input, Noise, PoissonInput
from neurointerp.models.spiking.populations import Izhikevich, Neurons, Population


@dataclass(frozen=True, eq=False)
class Network:
    """Populations with names, the synapses between them, and the inputs.

    Parameters
    ----------
    populations
        Name -> LIF, AdaptiveLIF, Izhikevich, PoissonSource or SpikeSource. The order is that of the units.
    synapses
        Any number, also several between the same two.
    inputs
        Current, Noise and PoissonInput.
    units
        Units of all potentials and currents: `"mV"`, or `"1"` for a network without dimension.

    Raises
    ------
    RecordingError
        When a name is unknown, sizes do not fit, a number is out of range, or a source is a target.

    Examples
    --------
    >>> from neurointerp.models import spiking
    >>> net = Network({"e": spiking.LIF(3)}, inputs=[spiking.Current("e", 25.0)])
    >>> net.size
    3
    """

    populations: Mapping[str, Population]
    synapses: Sequence[Synapses] = ()
    inputs: Sequence[Input] = ()
    units: str = "mV"

    def __post_init__(self) -> None:
        if not any(isinstance(one, Neurons) for one in self.populations.values()):
            raise RecordingError("a network needs a population of neurons; found " + _listed(self.populations))
        for name, one in self.populations.items():
            if not isinstance(one, Population):
                raise RecordingError(f"population {name!r} is a {type(one).__name__}; LIF(...) and the like are needed")
            if isinstance(one, Izhikevich) and self.units != "mV":
                raise RecordingError(
                    f"population {name!r}: Izhikevich neurons are in mV, the network in {self.units!r}"
                )
        for wires in self.synapses:
            self._check_synapses(wires)
        for drive in self.inputs:
            self._check_input(drive)

    @property
    def size(self) -> int:
        """Give the number of units, sources too."""
        return sum(one.size for one in self.populations.values())

    def neurons(self, name: str, what: str) -> Neurons:
        """Give a population of neurons by its name."""
        found = self.populations.get(name)
        if found is None:
            raise RecordingError(f"{what} names the population {name!r}; there are {_listed(self.populations)}")
        if not isinstance(found, Neurons):
            raise RecordingError(f"{what} needs neurons, but {name!r} is a {type(found).__name__}")
        return found

    def _check_synapses(self, wires: Synapses) -> None:
        if wires.source not in self.populations:
            raise RecordingError(f"synapses come from {wires.source!r}; there are {_listed(self.populations)}")
        target = self.neurons(wires.target, f"synapses {wires.name}")
        wanted = (self.populations[wires.source].size, target.size)
        if np.shape(wires.weights) != wanted:
            raise RecordingError(f"weights of {wires.name} must be {wanted}; found {np.shape(wires.weights)}")
        if wires.tau is not None:
            _checks.positive(wires.tau, target.size, f"tau of {wires.name}")

    def _check_input(self, drive: Input) -> None:
        if not isinstance(drive, Input):
            raise RecordingError(f"an input is a {type(drive).__name__}; Current, Noise or PoissonInput is needed")
        size = self.neurons(drive.target, f"a {type(drive).__name__}").size
        if isinstance(drive, Current):
            _checks.per_unit(drive.amplitude, size, "amplitude")
        elif isinstance(drive, Noise):
            _checks.not_negative(drive.deviation, size, "deviation")
        elif isinstance(drive, PoissonInput):
            _checks.not_negative(drive.rate, size, "rate")
            check = _checks.per_unit if drive.reversal is None else _checks.not_negative
            check(drive.weight, size, f"weight of the Poisson input of {drive.target!r}")
            if drive.tau is not None:
                _checks.positive(drive.tau, size, "tau of the Poisson input")


@dataclass(frozen=True, eq=False)
class Record:
    """What of a simulation is kept beside every spike.

    Parameters
    ----------
    bin_width
        Width (s, whole steps) of the bins in which spikes are counted.
    states
        Population -> indices of the neurons whose potential and adaptation (or recovery) are kept.
    weights
        Whether the course of plastic weights is kept.
    every
        How often states and weights are sampled (s, whole steps).

    Examples
    --------
    >>> Record(states={"e": [0, 1]}).every
    0.001
    """

    bin_width: float = 0.01
    states: Mapping[str, Sequence[int]] = field(default_factory=dict)
    weights: bool = False
    every: float = 1e-3

    def positions(self, network: Network) -> np.ndarray:
        """Give the neurons whose states are kept, by their place among all units."""
        starts = dict(zip(network.populations, _starts(network), strict=True))
        kept: list[Any] = []
        for name, index in self.states.items():
            size = network.neurons(name, "states").size
            chosen = np.asarray(list(index), dtype=np.int64)
            if chosen.size and not 0 <= chosen.min() <= chosen.max() < size:
                raise RecordingError(f"states of {name!r}: indices must lie in 0 to {size - 1}; found {list(index)}")
            kept.append(chosen + starts[name])
        return np.unique(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.int64)


def _starts(network: Network) -> np.ndarray:
    return np.cumsum([0, *(one.size for one in network.populations.values())])[:-1]


def _listed(populations: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, populations)) or "none"
