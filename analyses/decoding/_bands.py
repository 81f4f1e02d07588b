"""Relative power in bands of frequencies, by tapers, beside what a network saw in a trial."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError

Floats = NDArray[np.float64]
HALF_BANDWIDTH = 3
"""Of the tapers, in steps of 1 / duration: 1 Hz for trials of 3 s."""
CONCENTRATED = 0.9
"""The share of a taper's energy within that bandwidth from which it takes part, weighed by it (as in MNE)."""


def relative_power(
    values: Floats, rate: float | None, bands: Mapping[str, tuple[float, float]], analysis: str
) -> Floats:
    """Give (trial, band, unit): the power in each band over that from the lowest edge to the highest.

    Values are (trial, unit, time); the mean of each trial is taken off, and power is averaged over Slepian tapers.
    """
    from scipy.signal.windows import dpss

    picks, whole, size = _picked(values.shape[2], rate, bands, analysis)
    tapers, share = dpss(size, HALF_BANDWIDTH, 2 * HALF_BANDWIDTH, sym=False, return_ratios=True)
    good = share > CONCENTRATED
    tapers = tapers[good] * np.sqrt(share[good])[:, None]
    out = np.empty((len(values), len(bands), values.shape[1]))
    for start in range(0, len(values), 32):
        x = values[start : start + 32]
        x = x - x.mean(axis=2, keepdims=True)
        power = np.sum([np.abs(np.fft.rfft(x * taper)) ** 2 for taper in tapers], axis=0)
        total = power[..., whole].sum(axis=2)
        within = np.stack([power[..., pick].sum(axis=2) for pick in picks], axis=1)
        out[start : start + 32] = np.divide(
            within, total[:, None], out=np.full_like(within, np.nan), where=total[:, None] > 0
        )
    return out


def _picked(
    size: int, rate: float | None, bands: Mapping[str, tuple[float, float]], analysis: str
) -> tuple[list[NDArray[np.bool_]], NDArray[np.bool_], int]:
    """Give which frequencies are in each band and in any between the lowest and the highest edge."""
    if not bands:
        raise AnalysisError(f"{analysis}: bands is empty; name one or more, such as {{'alpha': (8, 12)}}")
    if rate is None:
        raise AnalysisError(f"{analysis}: bands= need a regular clock; the recording has no 'sampling_rate'")
    if size < 2 * HALF_BANDWIDTH + 1:
        raise AnalysisError(f"{analysis}: trials of {size} samples are too short for bands")
    frequency = np.fft.rfftfreq(size, 1 / rate)
    for name, (low, high) in bands.items():
        if not 0 <= low < high <= rate / 2 or not ((frequency >= low) & (frequency < high)).any():
            raise AnalysisError(
                f"{analysis}: band {name!r} from {low} to {high}: it must lie between 0 and {rate / 2:g}, half the "
                f"sampling rate, and hold one or more of the frequencies of a trial, {frequency[1]:g} apart"
            )
    picks = [(frequency >= low) & (frequency < high) for low, high in bands.values()]
    edges = np.array(list(bands.values()))
    return picks, (frequency >= edges.min()) & (frequency < edges.max()), size
