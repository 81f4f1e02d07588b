"""Kernels of the surrogates that work on Fourier phases, on plain (sample, unit) matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurointerp.backend import like, namespace


def phase_randomized_matrix(
    values: Any, stretches: Sequence[slice], rng: np.random.Generator, *, independent: bool = True
) -> Any:
    """Draw new Fourier phases for each column of a (sample, unit) matrix, within each stretch.

    Parameters
    ----------
    values
        (sample, unit), numpy or torch, floating and finite; not modified.
    stretches
        Slices of the sample axis; samples outside all of them stay, and so do stretches under three samples.
    rng
        Draws the phases.
    independent
        Phases for each column alone, or the same for all.

    Returns
    -------
    array
        (sample, unit), of the library, dtype and device of `values`.
    """
    xp = namespace(values)
    out = xp.asarray(values, copy=True)
    for part in stretches:
        size = part.stop - part.start
        free = (size - 1) // 2  # neither the mean nor, at even length, the Nyquist component has a phase
        angle = np.zeros((size // 2 + 1, values.shape[1]))
        angle[1 : free + 1] = rng.uniform(0, 2 * np.pi, size=(free, values.shape[1] if independent else 1))
        turn = like(np.cos(angle), values) + 1j * like(np.sin(angle), values)
        out[part, :] = xp.fft.irfft(xp.fft.rfft(values[part, :], axis=0) * turn, n=size, axis=0)
    return out


def iaaft_matrix(
    values: Any, stretches: Sequence[slice], rng: np.random.Generator, *, iterations: int = 100
) -> tuple[Any, float]:
    """Iterate each column of a (sample, unit) matrix to its own values and power spectrum, within each stretch.

    Parameters
    ----------
    values, stretches, rng
        As for `phase_randomized_matrix`.
    iterations
        At most this many, in each stretch.

    Returns
    -------
    tuple of array and float
        (sample, unit), of the library, dtype and device of `values`; and the largest relative error of a
        spectrum, the mean left out.
    """
    xp = namespace(values)
    out, worst = xp.asarray(values, copy=True), 0.0
    for part in stretches:
        size = part.stop - part.start
        kept = values[part, :]
        start = like(rng.permuted(np.tile(np.arange(size)[:, None], values.shape[1]), axis=0), values)
        ordered, moduli = xp.sort(kept, axis=0), xp.abs(xp.fft.rfft(kept, axis=0))
        found = _iterated(xp, xp.take_along_axis(kept, start, axis=0), ordered, moduli, iterations)
        miss = xp.sum((xp.abs(xp.fft.rfft(found, axis=0)) - moduli)[1:, :] ** 2, axis=0)
        power = xp.sum(moduli[1:, :] ** 2, axis=0)
        relative = xp.where(power > 0, miss / xp.where(power > 0, power, xp.ones_like(power)), xp.zeros_like(power))
        worst = max([worst, *(float(one) ** 0.5 for one in relative)])
        out[part, :] = found
    return out, worst


def _iterated(xp: Any, found: Any, ordered: Any, moduli: Any, iterations: int) -> Any:
    rank = xp.argsort(xp.argsort(found, axis=0), axis=0)
    for _ in range(iterations):
        spectrum = xp.fft.rfft(found, axis=0)
        size = xp.abs(spectrum)
        turned = xp.where(size > 0, spectrum / xp.where(size > 0, size, xp.ones_like(size)), xp.ones_like(spectrum))
        shaped = xp.fft.irfft(moduli * turned, n=found.shape[0], axis=0)
        new = xp.argsort(xp.argsort(shaped, axis=0), axis=0)
        found = xp.take_along_axis(ordered, new, axis=0)
        if bool(xp.all(new == rank)):
            break
        rank = new
    return found
