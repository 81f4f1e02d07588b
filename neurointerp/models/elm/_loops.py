"""The memories of a neuron, step by step, forwards and backwards. Compiled: imported where it is first used.

Trials are independent, so each runs through its whole time while its weights stay close; every inner loop goes along
neighbouring numbers.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
SCALE, SLOPE = 1.7159, 2 / 3


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def forward(
    u: Array, w1t: Array, w2t: Array, b2: Array, kappa: Array, gain: Array, smooth: bool,
    decayed: Array, before: Array, delta: Array, memory: Array,
) -> None:  # fmt: skip
    """Fill `decayed`, `delta`, `memory` (time, batch, memory) and `before` (time, batch, hidden)."""
    steps, batch, width = u.shape
    count = b2.size
    for b in range(batch):
        now, active = np.zeros_like(b2), np.empty_like(u[0, 0])  # of one type: a literal would make it float64
        for t in range(steps):
            low, inner, step = decayed[t, b], before[t, b], delta[t, b]
            inner[:] = u[t, b]
            for m in range(count):
                low[m] = kappa[m] * now[m]
                for h in range(width):
                    inner[h] += low[m] * w1t[m, h]
            step[:] = b2
            for h in range(width):
                active[h] = inner[h] / (1 + math.exp(-inner[h])) if smooth else (0.0 if inner[h] <= 0 else inner[h])
                for m in range(count):
                    step[m] += active[h] * w2t[h, m]
            for m in range(count):
                step[m] = SCALE * math.tanh(SLOPE * step[m])
                now[m] = low[m] + gain[m] * step[m]
                memory[t, b, m] = now[m]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def backward(
    grad: Array, squash: Array, slope: Array, w1: Array, w2: Array, kappa: Array,
    to_memory: Array, to_step: Array, to_hidden: Array, to_decayed: Array,
) -> None:  # fmt: skip
    """Fill the gradients (time, batch, memory or hidden) that the gradient of the memories leaves."""
    steps, batch, width = slope.shape
    count = kappa.size
    for b in range(batch):
        carried = np.zeros_like(kappa)
        for t in range(steps - 1, -1, -1):
            whole, step, inner, low = to_memory[t, b], to_step[t, b], to_hidden[t, b], to_decayed[t, b]
            inner[:] = 0
            for m in range(count):
                whole[m] = grad[t, b, m] + carried[m]
                step[m] = whole[m] * squash[t, b, m]
                low[m] = whole[m]
                for h in range(width):
                    inner[h] += step[m] * w2[m, h]
            for h in range(width):
                inner[h] *= slope[t, b, h]
                for m in range(count):
                    low[m] += inner[h] * w1[h, m]
            for m in range(count):
                carried[m] = low[m] * kappa[m]


@numba.njit(cache=True, nogil=True)
def leak(drive: Array, kappa: Array, out: Array) -> None:
    """Fill (time, any) with the leaky sum of `drive`; `kappa` holds one number of the same type."""
    for t in range(len(drive)):
        for i in range(drive.shape[1]):
            out[t, i] = drive[t, i] + kappa[0] * (out[t - 1, i] if t else 0 * kappa[0])
