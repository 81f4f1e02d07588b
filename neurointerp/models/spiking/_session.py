"""What a simulation gives, as a session: recordings, spike times, and what it was made of as the truth."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError
from neurointerp.models.spiking._plan import Plan
from neurointerp.models.spiking.inputs import Current, Noise, PoissonInput
from neurointerp.models.spiking.network import Network, Record
from neurointerp.models.spiking.populations import Neurons
from neurointerp.recordings import add_history, recording, session
from neurointerp.schema import plain


class Run:
    """One finished simulation, on plain arrays, on its way into a session."""

    def __init__(
        self, network: Network, plan: Plan, record: Record, duration: float, step: float, history: dict[str, Any]
    ) -> None:
        self.network, self.plan, self.record = network, plan, record
        self.step, self.length, self.history = step, round(duration / step), history
        self.units = unit_labels(network)
        sizes = [one.size for one in network.populations.values()]
        self.population = np.repeat(np.array(list(network.populations), dtype=object), sizes)
        self.index = np.concatenate([np.arange(size) for size in sizes])
        self.neuron = np.repeat([isinstance(one, Neurons) for one in network.populations.values()], sizes)
        models = [type(one).__name__ for one in network.populations.values()]
        self.model = np.repeat(np.array(models, dtype=object), sizes)

    def tree(
        self,
        spikes: tuple[np.ndarray, np.ndarray],
        states: tuple[np.ndarray, np.ndarray, np.ndarray],
        weights: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> xr.DataTree:
        """Put it together; `states` are (position, potential, adaptation), `weights` (edge, course, final)."""
        spike_step, spike_unit = spikes
        members = {"spikes": self._counts(spike_step, spike_unit, self.neuron, "spikes")}
        if not self.neuron.all():
            members["input_spikes"] = self._counts(spike_step, spike_unit, ~self.neuron, "stimulus")
        position, potential, adaptation = states
        if position.size:
            units = self.network.units
            members["potential"] = self._sampled(potential, position, units, "potential")
            if any(hasattr(one, "kick") or hasattr(one, "d") for one in self.network.populations.values()):
                members["adaptation"] = self._sampled(adaptation, position, units, "adaptation")
        structure = {"spike_times": self._times(spike_step, spike_unit)}
        edge, course, final = weights
        if edge.size and self.record.weights:
            structure["weight_course"] = self._course(edge, course)
        return session(
            members,
            structure=structure,
            truth=self._truth(edge, final),
            attrs={"source": SOURCE, "system": "simulated"},
        )

    def trials(self, found: list[tuple[np.ndarray, np.ndarray]]) -> xr.DataTree:
        """Put runs from one initial state together, as trials."""
        each = [self._counts(*spikes, self.neuron, "spikes") for spikes in found]
        first = each[0]
        outside = sum(one.attrs["history"][-1]["parameters"]["events_outside"] for one in each)
        rec = recording(
            np.stack([one.values.astype(np.int32) for one in each]),
            modality="spikes",
            units="1",
            dims=("trial", "time", "unit"),
            time=first["time"],
            unit=[self.units[k] for k in np.flatnonzero(self.neuron)],
            coords={name: first[name].variable for name in ("population", "index", "model")},
            attrs={key: first.attrs[key] for key in ("system", "source", "citation")},
        )
        rec = add_history(rec, "models.spiking.simulate_trials", **self.history, events_outside=outside)
        times = [self._times(*spikes) for spikes in found]
        every = xr.concat(times, "spike").assign_coords(
            spike_trial=("spike", np.repeat(np.arange(len(times)), [one.size for one in times]))
        )
        return session(
            {"spikes": rec},
            structure={"spike_times": every},
            truth=self._truth(np.zeros(0, dtype=np.int64), np.zeros(0)),
            attrs={"source": SOURCE, "system": "simulated"},
        )

    def _counts(self, step: np.ndarray, unit: np.ndarray, kept: np.ndarray, modality: str) -> xr.DataArray:
        """Count spikes by whole steps, so that none is moved by rounding; steps that fill no bin are left out."""
        width = round(self.record.bin_width / self.step)
        bins, places = self.length // width, np.cumsum(kept) - 1
        inside = kept[unit] & (step < bins * width)
        flat = step[inside] // width * int(kept.sum()) + places[unit[inside]]
        counts = np.bincount(flat, minlength=bins * int(kept.sum())).reshape(bins, -1)
        outside = int(kept[unit].sum() - inside.sum())
        return self._recording(counts, np.flatnonzero(kept), modality, "1", width, {"events_outside": outside})

    def _sampled(self, values: np.ndarray, position: np.ndarray, units: str, name: str) -> xr.DataArray:
        every = round(self.record.every / self.step)
        return self._recording(values, position, "spikes", units, every, {"state": name})

    def _recording(
        self, values: np.ndarray, position: np.ndarray, modality: str, units: str, every: int, notes: dict[str, Any]
    ) -> xr.DataArray:
        labels = {"population": self.population, "index": self.index, "model": self.model}
        rec = recording(
            values,
            modality=modality,
            units=units,
            sampling_rate=1 / (every * self.step),
            unit=[self.units[k] for k in position],
            coords={name: ("unit", row[position]) for name, row in labels.items()},
            attrs={"system": "simulated", "source": SOURCE, "citation": CITATION},
        )
        return add_history(rec, "models.spiking.simulate", **self.history, **notes)

    def _times(self, step: np.ndarray, unit: np.ndarray) -> xr.DataArray:
        """Give every spike, by unit and then time, as the spikes loader does."""
        order = np.argsort(_short(unit, self.units.size), kind="stable")  # the kernel gives them in order of time
        sample = step[order]
        coords = {
            "spike_unit": np.repeat(self.units, np.bincount(unit, minlength=self.units.size)),
            "spike_sample": sample,
        }
        attrs = {"units": "s", "sampling_rate": 1 / self.step}
        return _labelled(sample * self.step, "spike", coords, attrs)

    def _course(self, edge: np.ndarray, course: np.ndarray) -> xr.DataArray:
        wires = self.plan.wires
        time = np.arange(len(course)) * self.record.every
        coords = {
            "time": ("time", time, {"units": "s"}),
            "source": ("edge", self.units[wires.origin[edge]]),
            "target": ("edge", self.units[wires.end[edge]]),
        }
        return xr.DataArray(course, dims=("time", "edge"), coords=coords, attrs={"units": "1"})

    def _truth(self, edge: np.ndarray, final: np.ndarray) -> dict[str, xr.DataArray]:
        """Give every synapse with its weight and delay, and the inputs."""
        wires, names = self.plan.wires, [wires.name for wires in self.network.synapses]
        groups = np.repeat(wires.delay, group_sizes(wires)) * self.step
        labels = {
            "source": self.units[wires.origin],
            "target": self.units[wires.end],
            "synapses": np.array(names, dtype=object)[wires.member],
        }
        truth = {
            "weight": _labelled(self.plan.weights, "edge", labels, {}),
            "delay": xr.DataArray(groups, dims="edge", attrs={"units": "s"}),
        }
        if edge.size:
            truth["weight_final"] = xr.DataArray(final, dims="edge")
        for number, drive in enumerate(self.network.inputs):
            truth |= self._input(number, drive)
        return truth

    def _input(self, number: int, drive: Any) -> dict[str, xr.DataArray]:
        """Give what reached each neuron: an amplitude, a deviation or a rate; and the waveform."""
        which = {Current: "amplitude", Noise: "deviation", PoissonInput: "rate"}[type(drive)]
        values = np.where(self.population == drive.target, 1.0, 0.0)
        values[self.population == drive.target] *= getattr(drive, which)
        name = f"input{number}"
        units = "Hz" if which == "rate" else self.network.units
        attrs = plain({"units": units, "kind": type(drive).__name__, "target": drive.target})
        out = {f"{name}_{which}": xr.DataArray(values, dims="unit", coords={"unit": self.units}, attrs=attrs)}
        if isinstance(drive, PoissonInput):
            weight = np.zeros(values.size)
            weight[self.population == drive.target] = drive.weight
            out[f"{name}_weight"] = xr.DataArray(weight, dims="unit", coords={"unit": self.units})
        if isinstance(drive, Current) and drive.waveform is not None:
            hold = float(drive.hold or 0.0)
            wave = np.asarray(drive.waveform, dtype=np.float64)
            out[f"{name}_waveform"] = xr.DataArray(wave, dims=f"{name}_time", attrs={"units": "1", "hold": hold})
        return out


SOURCE = "neurointerp.models.spiking"
CITATION = "Rotter & Diesmann (1999) Biol Cybern 81:381-402; Izhikevich (2003) IEEE Trans Neural Netw 14:1569-1572"


def unit_labels(network: Network) -> np.ndarray:
    """Give the label of every unit: its population and its place there, of equal width."""
    labels = []
    for name, one in network.populations.items():
        width = len(str(one.size - 1))
        labels += [f"{name}{index:0{width}d}" for index in range(one.size)]
    return np.array(labels, dtype=object)


def require_distinct(network: Network) -> None:
    """Refuse populations whose units would have the same labels, such as the eleventh of `e` and the first of `e1`."""
    labels = unit_labels(network).tolist()
    if len(set(labels)) < len(labels):
        label, count = Counter(labels).most_common(1)[0]
        raise RecordingError(
            f"{count} units would have the label {label!r}: a population's name followed by a number must be none of "
            f"another; rename one of {', '.join(map(repr, network.populations))}"
        )


def _labelled(values: np.ndarray, dim: str, coords: dict[str, np.ndarray], attrs: dict[str, Any]) -> xr.DataArray:
    """Give an array with labels along its dim, unread: otherwise xarray takes each string to pandas and back."""
    known = {name: xr.Variable(dim, labels, fastpath=True) for name, labels in coords.items()}
    return xr.DataArray(values, dims=dim, attrs=attrs).assign_coords(known)


def _short(numbers: np.ndarray, size: int) -> np.ndarray:
    """Give numbers below `size` in the fewest bytes: those of up to two are sorted by radix."""
    return numbers.astype(np.min_scalar_type(max(size - 1, 0)))


def group_sizes(wires: Any) -> np.ndarray:
    """Give the number of synapses of each group."""
    if not wires.first.size:
        return np.zeros(0, dtype=np.int64)
    last = np.append(wires.first[1:], wires.pointer.size) - 1
    out: np.ndarray = wires.pointer[last] - wires.pointer[wires.first]
    return out
