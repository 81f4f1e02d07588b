"""A network as flat arrays: what the compiled kernel and the torch loop both run on.

All units stand in one row, population after population. `x` holds the potential of each and, behind them, one
stretch per channel: the currents or conductances of one time constant and reversal potential that reach one
population. An event adds its weight at one place of `x`, whatever it does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurointerp.errors import RecordingError
from neurointerp.models.spiking import _checks, _wiring
from neurointerp.models.spiking._propagators import propagator
from neurointerp.models.spiking.inputs import Current, Noise, PoissonInput
from neurointerp.models.spiking.network import Network
from neurointerp.models.spiking.populations import LIF, AdaptiveLIF, Izhikevich, PoissonSource, SpikeSource

PLAIN, ADAPTIVE, CONDUCTANCE, QUADRATIC, POISSON, GIVEN = range(6)
"""Kinds of population: linear; linear with adaptation; with conductances; Izhikevich; the two sources."""
NEVER = 2**30
"""A step that no simulation reaches."""


class Cells(NamedTuple):
    """Populations (kind, bounds, longest refractory pause) and what is known of each unit.

    The rows of `terms` differ by kind.
    """

    kind: np.ndarray
    low: np.ndarray
    high: np.ndarray
    threshold: np.ndarray
    reset: np.ndarray
    kick: np.ndarray
    refractory: np.ndarray
    pause: np.ndarray
    terms: np.ndarray


class Channels(NamedTuple):
    """Per channel its population, place in `x` and reversal (NaN for a current); along `x` what a step does."""

    population: np.ndarray
    start: np.ndarray
    reversal: np.ndarray
    fade: np.ndarray
    gain_v: np.ndarray
    gain_w: np.ndarray


class Drives(NamedTuple):
    """Currents that change, noise and Poisson trains: bounds of the target, place of their rows, and the rows."""

    base: np.ndarray
    wave: np.ndarray
    amplitude: np.ndarray
    waveform: np.ndarray
    noise: np.ndarray
    deviation: np.ndarray
    poisson: np.ndarray
    expected: np.ndarray
    none: np.ndarray
    weight: np.ndarray
    event_step: np.ndarray
    event_unit: np.ndarray


class Plan(NamedTuple):
    """The whole: its parts, the values at time 0, and how many delays are kept."""

    cells: Cells
    channels: Channels
    wires: _wiring.Wires
    plastic: _wiring.Plastic
    drives: Drives
    weights: np.ndarray
    x: np.ndarray
    w: np.ndarray
    ready: np.ndarray
    depth: int


def plan(network: Network, step: float, dtype: Any) -> Plan:
    """Lay a network out for steps of `step` seconds."""
    counting = np.int32 if np.dtype(dtype) == np.float32 else np.int64
    layout = _Layout(network, step)
    cells, x, w = layout.cells()
    wires, plastic, weights = _wiring.wire(network, layout.low, layout.place, step)
    drives = layout.drives()
    channels = layout.channels()
    x = np.concatenate([x, np.zeros(channels.fade.size - x.size)])
    depth = int(max(wires.delay.max(initial=0), cells.pause.max())) + 1

    def cast(part: Any) -> Any:
        return part._replace(
            **{
                name: np.ascontiguousarray(value, dtype=dtype)
                for name, value in part._asdict().items()
                if value.dtype.kind == "f"
            }
        )

    cells = cast(cells)._replace(refractory=cells.refractory.astype(counting))
    ready = np.full(network.size, -1, dtype=counting)
    return Plan(
        cells,
        cast(channels),
        wires,
        cast(plastic),
        cast(drives),
        weights.astype(dtype),
        x.astype(dtype),
        w.astype(dtype),
        ready,
        depth,
    )


class _Layout:
    """Gathers the channels while populations, synapses and inputs are laid out."""

    def __init__(self, network: Network, step: float) -> None:
        self.network, self.step = network, step
        self.names = list(network.populations)
        self.low = np.cumsum([0, *(one.size for one in network.populations.values())])
        self.conducting = {part.target for part in (*network.synapses, *network.inputs) if _reverses(part)}
        self.found: dict[Any, tuple[int, int, np.ndarray, float]] = {}
        self.end = network.size

    def place(self, target: str, tau: Any, reversal: float | None) -> int:
        """Give where in `x` the first neuron of a population receives events of this kind."""
        p = self.names.index(target)
        if tau is None:
            return int(self.low[p])
        size = self.network.populations[target].size
        taus = _checks.positive(tau, size, "tau")
        key = (p, reversal, taus.tobytes())
        if key not in self.found:
            self.found[key] = (p, self.end, taus, np.nan if reversal is None else float(reversal))
            self.end += size
        return self.found[key][1]

    def cells(self) -> tuple[Cells, np.ndarray, np.ndarray]:
        """Lay the populations out; give also potential and adaptation at time 0."""
        size = self.network.size
        rows = {name: np.zeros(size) for name in ("threshold", "reset", "kick", "x", "w")}
        rows["threshold"][:] = np.inf
        refractory, terms, kind = np.zeros(size, dtype=np.int64), np.zeros((9, size)), []
        for p, (name, one) in enumerate(self.network.populations.items()):
            at = slice(self.low[p], self.low[p + 1])
            if isinstance(one, LIF):
                kind.append(self._linear(name, one, at, rows, terms))
                held, where = np.unique(_checks.per_unit(one.refractory, one.size, "refractory"), return_inverse=True)
                pauses = [_checks.steps(value, self.step, f"refractory of {name!r}") for value in held]
                refractory[at] = np.array(pauses)[where]
            elif isinstance(one, Izhikevich):
                kind.append(QUADRATIC)
                a, b, c, d, v = (
                    _checks.per_unit(getattr(one, key), one.size, key) for key in ("a", "b", "c", "d", "initial")
                )
                rows["threshold"][at], rows["reset"][at], rows["kick"][at] = 30.0, c, d
                rows["x"][at], rows["w"][at] = v, b * v
                terms[:2, at], terms[2, at] = (a * self.step * 1e3, b), self.step * 1e3
                terms[3:6, at] = np.array([[0.04], [5.0], [140.0]])
            elif isinstance(one, PoissonSource):
                kind.append(POISSON)
                terms[0, at] = _log_silent(one, self.step, name)
            else:
                kind.append(GIVEN)
        bounds = (np.array(kind), self.low[:-1], self.low[1:])
        pause = np.array([refractory[a:b].max() for a, b in zip(self.low[:-1], self.low[1:], strict=True)])
        cells = Cells(*bounds, rows["threshold"], rows["reset"], rows["kick"], refractory, pause, terms)
        return cells, rows["x"], rows["w"]

    def _linear(self, name: str, one: LIF, at: slice, rows: dict[str, np.ndarray], terms: np.ndarray) -> int:
        tau, tau_w, coupling, kick = _membrane(one)
        rest = _checks.per_unit(one.rest, one.size, "rest")
        rows["threshold"][at] = _checks.per_unit(one.threshold, one.size, "threshold")
        rows["reset"][at] = _checks.per_unit(one.reset, one.size, "reset")
        rows["kick"][at] = kick
        rows["x"][at] = rest if one.initial is None else _checks.per_unit(one.initial, one.size, "initial")
        terms[6:9, at] = coupling, np.exp(-self.step / tau_w), rest
        if name in self.conducting:
            terms[0, at] = self.step / tau
            return CONDUCTANCE
        solved = propagator(self.step, tau, tau_w, coupling, np.ones(one.size))
        terms[:6, at] = solved[:, :, [0, 1, 3]].reshape(one.size, 6).T
        return ADAPTIVE if isinstance(one, AdaptiveLIF) else PLAIN

    def channels(self) -> Channels:
        """Give every channel that synapses and inputs asked for."""
        fade, gain = np.zeros(self.end), np.zeros((2, self.end))
        for p, start, tau, _ in self.found.values():
            one = self.network.populations[self.names[p]]
            at = slice(start, start + one.size)
            fade[at] = np.exp(-self.step / tau)
            if isinstance(one, LIF) and self.names[p] not in self.conducting:
                membrane, tau_w, coupling, _ = _membrane(one)
                gain[:, at] = propagator(self.step, membrane, tau_w, coupling, tau)[:, :, 2].T
        table = list(self.found.values())
        return Channels(
            np.array([row[0] for row in table], dtype=np.int64),
            np.array([row[1] for row in table], dtype=np.int64),
            np.array([row[3] for row in table], dtype=np.float64),
            fade,
            *gain,
        )

    def drives(self) -> Drives:
        """Lay the inputs out; a place asked for here becomes a channel."""
        base = np.zeros(self.network.size)
        for p, one in enumerate(self.network.populations.values()):
            if isinstance(one, LIF):
                base[self.low[p] : self.low[p + 1]] = one.rest
        waves, noises, trains = _Rows(5), _Rows(4), _Rows(4)
        waveforms: list[np.ndarray] = []
        for drive in self.network.inputs:
            p = self.names.index(drive.target)
            low, high = int(self.low[p]), int(self.low[p + 1])
            if isinstance(drive, Current) and drive.waveform is None:
                base[low:high] += drive.amplitude
            elif isinstance(drive, Current):
                wave = np.asarray(drive.waveform, dtype=np.float64)
                hold = _checks.steps(drive.hold, self.step, "hold of a current", least=1)
                first = sum(one.size for one in waveforms)
                waves.add(low, high, (first, wave.size, hold), drive.amplitude)
                waveforms.append(wave)
            elif isinstance(drive, Noise):
                hold = _checks.steps(drive.hold, self.step, "hold of a noise", least=1)
                noises.add(low, high, (hold,), drive.deviation)
            elif isinstance(drive, PoissonInput):
                place = self.place(drive.target, drive.tau, drive.reversal)
                expected = np.asarray(drive.rate, dtype=np.float64) * self.step
                trains.add(low, high, (place,), expected, drive.weight)
        expected, weight = trains.values(0), trains.values(1)
        event_step, event_unit = self._given()
        return Drives(
            base, waves.table(), waves.values(0), np.concatenate([np.zeros(0), *waveforms]),
            noises.table(), noises.values(0), trains.table(), expected, np.exp(-expected), weight,
            event_step, event_unit,
        )  # fmt: skip

    def _given(self) -> tuple[np.ndarray, np.ndarray]:
        step, unit = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for p, (name, one) in enumerate(self.network.populations.items()):
            if isinstance(one, SpikeSource):
                times = np.asarray(one.times, dtype=np.float64)
                step.append(
                    np.array([_checks.steps(t, self.step, f"times of {name!r}") for t in times], dtype=np.int64)
                )
                unit.append(np.asarray(one.index, dtype=np.int64) + self.low[p])
        steps, units = np.concatenate(step), np.concatenate(unit)
        order = np.lexsort((units, steps))
        if np.any((np.diff(steps[order]) == 0) & (np.diff(units[order]) == 0)):
            raise RecordingError("a source cannot fire twice at one step; take a shorter step")
        return steps[order], units[order]


class _Rows:
    """A table with one row per input (low, high, place of its values, ...) and the values of all in a row."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[tuple[int, ...]] = []
        self.kept: list[list[np.ndarray]] = [[np.zeros(0)], [np.zeros(0)]]

    def add(self, low: int, high: int, more: tuple[int, ...], *values: Any) -> None:
        at = sum(part.size for part in self.kept[0])
        self.rows.append((low, high, at, *more))
        for row, value in zip(self.kept, values, strict=False):
            row.append(_checks.per_unit(value, high - low, "an input"))

    def table(self) -> np.ndarray:
        return np.array(self.rows, dtype=np.int64).reshape(len(self.rows), -1 if self.rows else self.columns)

    def values(self, which: int) -> np.ndarray:
        return np.concatenate(self.kept[which])


def _reverses(part: Any) -> bool:
    return getattr(part, "reversal", None) is not None


def _membrane(one: LIF) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give time constants, coupling and kick; without adaptation, values that leave it at 0."""
    tau = _checks.positive(one.tau, one.size, "tau")
    if not isinstance(one, AdaptiveLIF):
        return tau, np.ones(one.size), np.zeros(one.size), np.zeros(one.size)
    tau_w, coupling, kick = (
        _checks.per_unit(value, one.size, "a number") for value in (one.tau_w, one.coupling, one.kick)
    )
    return tau, tau_w, coupling, kick


def _log_silent(one: PoissonSource, step: float, name: str) -> np.ndarray:
    """Give the logarithm of the probability that a source stays silent in a step."""
    probability = _checks.not_negative(one.rate, one.size, "rate") * step
    if not (probability < 1).all():
        raise RecordingError(f"rate of {name!r} gives {probability.max():g} spikes a step; take a shorter step")
    out: np.ndarray = np.log1p(-probability)
    return out
