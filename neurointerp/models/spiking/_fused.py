"""One step of a whole network in one compiled kernel. Compiled: imported where it is first used.

The order of a step: states are advanced, thresholds tested, spikes delivered (synapses are visited from the neurons
that fired, a delay ago), weights changed, and the neurons that fired reset. A compiled function counts references of
every array it is handed, so each gets the arrays it needs and no more: that is a third of the time of a step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from neurointerp.models.spiking import _fused_events as events
from neurointerp.models.spiking import _fused_states as states
from neurointerp.models.spiking._plan import PLAIN, POISSON


class State(NamedTuple):
    """Everything that changes; `fired[slot, low:]` lists who of a population fired, `found[slot]` how many."""

    x: np.ndarray
    w: np.ndarray
    ready: np.ndarray
    drive: np.ndarray
    noise: np.ndarray
    weight: np.ndarray
    trace: np.ndarray
    fired: np.ndarray
    found: np.ndarray
    event: np.ndarray


class Kept(NamedTuple):
    """Room for what is kept: (step, unit) of every spike, and samples of states and weights each `every` steps."""

    step: np.ndarray
    unit: np.ndarray
    every: np.ndarray
    position: np.ndarray
    potential: np.ndarray
    adaptation: np.ndarray
    edge: np.ndarray
    weight: np.ndarray


@numba.njit(cache=True, nogil=True)
def advance(
    cells: Any, channels: Any, wires: Any, plastic: Any, drives: Any, state: Any, kept: Any, rng: Any, t: int, stop: int
) -> tuple[int, int]:
    """Run from step `t` to `stop`, or until the next spikes might not fit; give where it stopped and the spikes."""
    x, w, ready, fired, count = state.x, state.w, state.ready, state.fired, state.found
    kind, low, high, pause = cells.kind, cells.low, cells.high, cells.pause
    source, delay, first, pointer, target = wires.source, wires.delay, wires.first, wires.pointer, wires.target
    weight, drive, terms, threshold, step, unit = (
        state.weight, state.drive, cells.terms, cells.threshold, kept.step, kept.unit,
    )  # fmt: skip
    spikes, depth, room, every = 0, fired.shape[0], step.size - w.size, kept.every[0]
    changing, sampling = drives.wave.size + drives.noise.size > 0, kept.position.size + kept.edge.size > 0
    conducting, learning = channels.population.size > 0, plastic.group.size > 0
    uniform = [states.alike(cells, p) for p in range(kind.size)]
    while t < stop and spikes <= room:
        slot = t % depth
        if sampling and t % every == 0:
            states.sample(cells, state, kept, t)
        if changing:
            states.currents(drives, state, rng, t)
        for p in range(kind.size):
            at_once = kind[p] == PLAIN and uniform[p] and not conducting and not pause[p]
            if kind[p] == PLAIN and not at_once:
                if pause[p]:
                    states.hold_recent(x, ready, cells.reset, fired, count, p, low[p], pause[p], t, 0)
                states.plain(x, drive, terms, low[p], high[p])
                if conducting:
                    states.flow(channels, x, p, high[p] - low[p], low[p])
                if pause[p]:
                    states.hold_recent(x, ready, cells.reset, fired, count, p, low[p], pause[p], t, 1)
            elif kind[p] < POISSON and not at_once:
                states.adapting(cells, channels, state, p, t)
            if at_once:
                found = states.plain_crossed(
                    x, drive, terms[0, low[p]], threshold[low[p]], low[p], high[p], fired, slot
                )
            elif kind[p] < POISSON:
                found = states.crossed(x, threshold, low[p], high[p], fired, slot)
            else:
                found = events.sources(cells, drives, state, rng, p, t, slot)
            count[slot, p] = found
            for k in range(found):
                step[spikes] = t
                unit[spikes] = fired[slot, low[p] + k]
                spikes += 1
        if learning:
            events.fade_traces(plastic, state.trace)
        for g in range(source.size):
            if t >= delay[g]:
                past = (t - delay[g]) % depth
                found = count[past, source[g]]
                if found and wires.plastic[g] < 0:
                    events.deliver(x, weight, target, pointer, first[g], fired, past, low[source[g]], found)
                elif found:
                    events.deliver_plastic(cells, wires, plastic, state, g, past)
        for k in range(drives.poisson.shape[0]):
            events.trains(drives, x, rng, k)
        for q in range(plastic.group.size):
            events.potentiate(cells, wires, plastic, state, slot, q)
        for p in range(kind.size):
            if kind[p] < POISSON and count[slot, p]:
                states.reset(cells, x, w, ready, fired, slot, low[p], count[slot, p], t)
        t += 1
    return t, spikes
