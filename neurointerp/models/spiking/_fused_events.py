"""The part of the compiled kernel that delivers spikes and changes weights. Imported where it is first used."""

from __future__ import annotations

import math
from typing import Any

import numba

from neurointerp.models.spiking._plan import GIVEN, NEVER

MANY = 10
"""Expected events a step above which they are drawn by numpy's own method."""


@numba.njit(cache=True, nogil=True)
def deliver(
    x: Any, weight: Any, target: Any, pointer: Any, first: int, fired: Any, slot: int, low: int, found: int
) -> None:
    """Add the weights of the synapses of those who fired."""
    for k in range(found):
        j = fired[slot, low + k] - low
        start, stop = pointer[first + j], pointer[first + j + 1]
        places, values = target[start:stop], weight[start:stop]
        for e in range(values.size):
            x[places[e]] += values[e]


@numba.njit(cache=True, nogil=True)
def deliver_plastic(cells: Any, wires: Any, plastic: Any, state: Any, g: int, slot: int) -> None:
    """Add the weights of plastic synapses, raise the presynaptic traces and change the weights."""
    q, p, first = wires.plastic[g], wires.source[g], wires.first[g]
    low, pre, post = cells.low[p], plastic.pre[q], plastic.post[q] - plastic.low[q]
    rise, least, most = plastic.rule[q, 0], plastic.rule[q, 4], plastic.rule[q, 5]
    for k in range(state.found[slot, p]):
        j = state.fired[slot, low + k] - low
        state.trace[pre + j] += rise
        for e in range(wires.pointer[first + j], wires.pointer[first + j + 1]):
            state.x[wires.target[e]] += state.weight[e]
            state.weight[e] = min(max(state.weight[e] + state.trace[post + wires.end[e]], least), most)


@numba.njit(cache=True, nogil=True)
def potentiate(cells: Any, wires: Any, plastic: Any, state: Any, slot: int, q: int) -> None:
    """Raise the traces of the neurons of a plastic group that fired now, and change the weights onto them."""
    low, p = plastic.low[q], plastic.target[q]
    pre = plastic.pre[q] - cells.low[wires.source[plastic.group[q]]]
    fall, least, most = plastic.rule[q, 1], plastic.rule[q, 4], plastic.rule[q, 5]
    for k in range(state.found[slot, p]):
        i = state.fired[slot, low + k] - low
        state.trace[plastic.post[q] + i] -= fall
        at = plastic.back_first[q] + i
        for b in range(plastic.back_pointer[at], plastic.back_pointer[at + 1]):
            e = plastic.back_edge[b]
            state.weight[e] = min(max(state.weight[e] + state.trace[pre + wires.origin[e]], least), most)


@numba.njit(cache=True, nogil=True)
def fade_traces(plastic: Any, trace: Any) -> None:
    """Let all traces decay by one step."""
    for q in range(plastic.group.size):
        size = plastic.high[q] - plastic.low[q]
        for i in range(plastic.pre[q], plastic.post[q]):
            trace[i] *= plastic.rule[q, 2]
        for i in range(plastic.post[q], plastic.post[q] + size):
            trace[i] *= plastic.rule[q, 3]


@numba.njit(cache=True, nogil=True)
def sources(cells: Any, drives: Any, state: Any, rng: Any, p: int, t: int, slot: int) -> int:
    """List which sources of a population fire: given times, or the next step that each has drawn."""
    low, high, found = cells.low[p], cells.high[p], 0
    if cells.kind[p] == GIVEN:
        while state.event[p] < drives.event_step.size and drives.event_step[state.event[p]] <= t:
            unit = drives.event_unit[state.event[p]]
            if low <= unit < high:
                state.fired[slot, low + found] = unit
                found += 1
            state.event[p] += 1
        return found
    for i in range(low, high):
        if state.ready[i] < 0:
            state.ready[i] = t - 1 + _gap(cells.terms[0, i], rng)
        if state.ready[i] == t:
            state.fired[slot, low + found] = i
            found += 1
            state.ready[i] = t + _gap(cells.terms[0, i], rng)
    return found


@numba.njit(cache=True, nogil=True)
def _gap(log_silent: float, rng: Any) -> int:
    """Draw the steps to the next spike of a source: geometric, as of one trial a step."""
    if log_silent == 0:
        return NEVER
    return int(min(1 + math.floor(math.log(1 - rng.random()) / log_silent), NEVER))


@numba.njit(cache=True, nogil=True)
def trains(drives: Any, x: Any, rng: Any, k: int) -> None:
    """Add Poisson numbers of events, by multiplying uniform draws where few are expected."""
    low, high, at, place = drives.poisson[k]
    for i in range(high - low):
        expected = drives.expected[at + i]
        if expected > MANY:
            events = rng.poisson(expected)
        else:
            events, product = 0, rng.random()
            while product > drives.none[at + i]:
                events += 1
                product *= rng.random()
        if events:
            x[place + i] += events * drives.weight[at + i]
