"""The part of the compiled kernel that advances states. Compiled: imported where it is first used."""

from __future__ import annotations

import math
from typing import Any

import numba

from neurointerp.models.spiking._plan import ADAPTIVE, QUADRATIC

BLOCK = 32
"""Neurons whose thresholds are tested together; a block is looked through only if one of them fired."""


@numba.njit(cache=True, nogil=True)
def plain(x: Any, drive: Any, terms: Any, low: int, high: int) -> None:
    """Advance linear neurons without adaptation."""
    v, goal, keep = x[low:high], drive[low:high], terms[0, low:high]
    for i in range(v.size):
        v[i] = goal[i] + (v[i] - goal[i]) * keep[i]


@numba.njit(cache=True, nogil=True)
def crossed(x: Any, threshold: Any, low: int, high: int, fired: Any, slot: int) -> int:
    """List who of a population fires."""
    found = 0
    for first in range(low, high, BLOCK):
        last = min(first + BLOCK, high)
        v, limit = x[first:last], threshold[first:last]
        above = 0
        for i in range(v.size):
            above += 1 if v[i] >= limit[i] else 0
        if above:
            for i in range(v.size):
                if v[i] >= limit[i]:
                    fired[slot, low + found] = first + i
                    found += 1
    return found


@numba.njit(cache=True, nogil=True)
def alike(cells: Any, p: int) -> bool:
    """Tell whether a population of linear neurons has one time constant and one threshold."""
    keep, limit = cells.terms[0, cells.low[p] : cells.high[p]], cells.threshold[cells.low[p] : cells.high[p]]
    other = 0
    for i in range(keep.size):
        other += 1 if keep[i] != keep[0] or limit[i] != limit[0] else 0
    return other == 0


@numba.njit(cache=True, nogil=True)
def plain_crossed(x: Any, drive: Any, keep: Any, limit: Any, low: int, high: int, fired: Any, slot: int) -> int:
    """Advance linear neurons that are alike and that nothing else changes before the threshold; list who fires."""
    found = 0
    for first in range(low, high, BLOCK):
        last = min(first + BLOCK, high)
        v, goal, above = x[first:last], drive[first:last], 0
        for i in range(v.size):
            v[i] = goal[i] + (v[i] - goal[i]) * keep
            above += 1 if v[i] >= limit else 0
        if above:
            for i in range(v.size):
                if v[i] >= limit:
                    fired[slot, low + found] = first + i
                    found += 1
    return found


@numba.njit(cache=True, nogil=True)
def hold_recent(
    x: Any, ready: Any, reset: Any, fired: Any, count: Any, p: int, low: int, pause: int, t: int, after: int
) -> None:
    """Reset those who fired so lately that they are refractory: few, found by when they fired, not one by one.

    Before a step that takes back what jumped on a neuron in the last step of its pause; after it, all it did.
    """
    depth = fired.shape[0]
    for ago in range(1, min(pause, t) + 1):
        slot = (t - ago) % depth
        for k in range(count[slot, p]):
            i = fired[slot, low + k]
            if t + after <= ready[i]:
                x[i] = reset[i]


@numba.njit(cache=True, nogil=True)
def reset(cells: Any, x: Any, w: Any, ready: Any, fired: Any, slot: int, low: int, found: int, t: int) -> None:
    """Reset who fired."""
    for k in range(found):
        i = fired[slot, low + k]
        x[i] = cells.reset[i]
        w[i] += cells.kick[i]
        ready[i] = t + cells.refractory[i]


@numba.njit(cache=True, nogil=True)
def flow(channels: Any, x: Any, p: int, size: int, low: int) -> None:
    """Add the currents of a population's channels to its potential, and let them decay."""
    for c in range(channels.population.size):
        if channels.population[c] == p:
            first = channels.start[c]
            v, s = x[low : low + size], x[first : first + size]
            gain, fade = channels.gain_v[first : first + size], channels.fade[first : first + size]
            for i in range(size):
                v[i] += gain[i] * s[i]
            for i in range(size):
                s[i] *= fade[i]


@numba.njit(cache=True, nogil=True)
def adapting(cells: Any, channels: Any, state: Any, p: int, t: int) -> None:
    """Advance neurons with a second variable or with conductances; who is refractory stays at its reset."""
    low, high, kind = cells.low[p], cells.high[p], cells.kind[p]
    v, w, ready = state.x[low:high], state.w[low:high], state.ready[low:high]
    drive, base, terms = state.drive[low:high], cells.reset[low:high], cells.terms[:, low:high]
    if kind == ADAPTIVE:
        _linear(v, w, ready, drive, base, terms, t)
    else:
        _nonlinear(channels, state.x, v, w, ready, drive, base, terms, p, t, kind == QUADRATIC)
    for c in range(channels.population.size):
        if channels.population[c] == p:
            first = channels.start[c]
            s = state.x[first : first + v.size]
            for i in range(v.size):
                if kind == ADAPTIVE and t >= ready[i]:
                    v[i] += channels.gain_v[first + i] * s[i]
                    w[i] += channels.gain_w[first + i] * s[i]
                s[i] *= channels.fade[first + i]


@numba.njit(cache=True, nogil=True)
def _linear(v: Any, w: Any, ready: Any, drive: Any, base: Any, terms: Any, t: int) -> None:
    for i in range(v.size):
        rest = terms[8, i]
        y = (base[i] if t <= ready[i] else v[i]) - rest
        u = drive[i] - rest
        held = terms[6, i] * (base[i] - rest)
        if t < ready[i]:
            v[i] = base[i]
            w[i] = held + (w[i] - held) * terms[7, i]
        else:
            v[i] = rest + terms[0, i] * y + terms[1, i] * w[i] + terms[2, i] * u
            w[i] = terms[3, i] * y + terms[4, i] * w[i] + terms[5, i] * u


@numba.njit(cache=True, nogil=True)
def _nonlinear(
    channels: Any,
    x: Any,
    v: Any,
    w: Any,
    ready: Any,
    drive: Any,
    base: Any,
    terms: Any,
    p: int,
    t: int,
    quadratic: bool,
) -> None:
    """Exponential Euler with conductances held over the step, or the half steps of Izhikevich."""
    for i in range(v.size):
        total, pull = v[i] * 0, drive[i]
        for c in range(channels.population.size):
            if channels.population[c] == p:
                s = x[channels.start[c] + i]
                if math.isnan(channels.reversal[c]):
                    pull += s
                else:
                    total += s
                    pull += s * channels.reversal[c]
        if quadratic:
            half, y = terms[2, i] / 2, v[i]
            for _ in range(2):
                y += half * ((terms[3, i] * y + terms[4, i]) * y + terms[5, i] - w[i] + pull - total * y)
            w[i] += terms[0, i] * (terms[1, i] * y - w[i])
            v[i] = y
        else:
            y = base[i] if t <= ready[i] else v[i]
            goal = terms[6, i] * (y - terms[8, i])
            limit = (pull - w[i]) / (1 + total)
            v[i] = base[i] if t < ready[i] else limit + (y - limit) * math.exp(-terms[0, i] * (1 + total))
            w[i] = goal + (w[i] - goal) * terms[7, i]


@numba.njit(cache=True, nogil=True)
def currents(drives: Any, state: Any, rng: Any, t: int) -> None:
    """Set the current of every neuron from constants, waveforms and noise."""
    drive, base = state.drive, drives.base
    for i in range(drive.size):  # an assignment of arrays takes seconds longer to compile
        drive[i] = base[i]
    for k in range(drives.wave.shape[0]):
        low, high, at, first, size, hold = drives.wave[k]
        if t // hold < size:
            value = drives.waveform[first + t // hold]
            for i in range(high - low):
                drive[low + i] += drives.amplitude[at + i] * value
    for k in range(drives.noise.shape[0]):
        low, high, at, hold = drives.noise[k]
        if t % hold == 0:
            for i in range(high - low):
                state.noise[at + i] = rng.standard_normal() * drives.deviation[at + i]
        for i in range(high - low):
            drive[low + i] += state.noise[at + i]


@numba.njit(cache=True, nogil=True)
def sample(cells: Any, state: Any, kept: Any, t: int) -> None:
    """Keep the states and weights asked for, as they are before the step."""
    row = t // kept.every[0]
    for k in range(kept.position.size):
        i = kept.position[k]
        kept.potential[row, k] = cells.reset[i] if t <= state.ready[i] else state.x[i]
        kept.adaptation[row, k] = state.w[i]
    for k in range(kept.edge.size):
        kept.weight[row, k] = state.weight[kept.edge[k]]
