"""Relative power in bands of frequencies, by tapers, beside what a network saw in a trial."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError

Floats = NDArray[np.float64]
HALF_BANDWIDTH = 3
"""Of the tapers, in steps of 1 / duration: 1 Hz for trials of 3 s. Five tapers concentrate on it."""


def relative_power(
    values: Floats, rate: float | None, bands: Mapping[str, tuple[float, float]], analysis: str
) -> Floats:
    """Give (trial, band, unit): the power in each band over that from the lowest edge to the highest.

    Values are (trial, unit, time); the mean of each trial is taken off, and power is averaged over five Slepian tapers.
    """
    from scipy.signal.windows import dpss

    picks, whole, size = _picked(values.shape[2], rate, bands, analysis)
    tapers = dpss(size, HALF_BANDWIDTH, 2 * HALF_BANDWIDTH - 1)
    out = np.empty((len(values), len(bands), values.shape[1]))
    for start in range(0, len(values), 32):
        x = values[start : start + 32]
        x = x - x.mean(axis=2, keepdims=True)
        power = sum(np.abs(np.fft.rfft(x * taper)) ** 2 for taper in tapers)
        total = power[..., whole].sum(axis=2)
        share = np.stack([power[..., pick].sum(axis=2) for pick in picks], axis=1)
        out[start : start + 32] = np.divide(
            share, total[:, None], out=np.full_like(share, np.nan), where=total[:, None] > 0
        )
    return out


def _picked(
    size: int, rate: float | None, bands: Mapping[str, tuple[float, float]], analysis: str
) -> tuple[list[NDArray[np.bool_]], NDArray[np.bool_], int]:
    """Give which frequencies are in each band and in any between the lowest and the highest edge."""
    if rate is None:
        raise AnalysisError(f"{analysis}: bands= need a regular clock; the recording has no 'sampling_rate'")
    frequency = np.fft.rfftfreq(size, 1 / rate)
    for name, (low, high) in bands.items():
        if not 0 <= low < high <= rate / 2 or not ((frequency >= low) & (frequency < high)).any():
            raise AnalysisError(
                f"{analysis}: band {name!r} from {low} to {high}: it must lie between 0 and {rate / 2:g}, half the "
                f"sampling rate, and hold one or more of the frequencies of a trial, {frequency[1]:g} apart"
            )
    if size < 2 * HALF_BANDWIDTH + 1:
        raise AnalysisError(f"{analysis}: trials of {size} samples are too short for bands")
    picks = [(frequency >= low) & (frequency < high) for low, high in bands.values()]
    edges = np.array(list(bands.values()))
    return picks, (frequency >= edges.min()) & (frequency < edges.max()), size
