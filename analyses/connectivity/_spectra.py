"""Tapered spectra of epochs, summed into cross-spectra in one pass: the kernel of every spectral measure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError

SUMS = {
    "plv": ("cosine", "sine"),
    "ciplv": ("cosine", "sine"),
    "pli": ("sign",),
    "wpli": ("size",),
    "wpli2_debiased": ("size", "square"),
}
"""What each measure needs beside the summed cross-spectrum; the measures that need nothing are not named."""
MEASURES = ("coherence", "imaginary_coherence", *SUMS, "psi")
BLOCK = 2**26
"""Bytes of spectra that are held at a time."""
LOW_BIAS = 0.9
"""A taper is kept when more than this part of its energy lies within the bandwidth."""


@dataclass(frozen=True)
class Cross:
    """Sums over the epochs of a recording.

    Attributes
    ----------
    spectrum
        (frequency, unit, unit), complex: the cross-spectrum, summed over epochs and tapers; Hermitian.
    sums
        Name -> (frequency, unit, unit), lower triangle: see `_phase_sums.phase_sums`.
    epochs
        How many.
    varies
        (unit): whether the unit changes within some epoch.
    """

    spectrum: np.ndarray
    sums: dict[str, NDArray[np.float64]]
    epochs: int
    varies: NDArray[np.bool_]


def tapers(length: int, mode: str, half_bandwidth: float | None) -> NDArray[np.float64]:
    """Give the tapers (taper, sample), each times the root of its weight, which sum to 1.

    `half_bandwidth` is in cycles per window (default 4); of the 2 x half_bandwidth Slepian tapers those with little
    bias are kept and weighted by their concentration.
    """
    if mode == "fourier":
        window = np.hanning(length)[None]
        return np.asarray(window / np.linalg.norm(window))
    from scipy.signal.windows import dpss

    half = 4.0 if half_bandwidth is None else half_bandwidth
    if not 0.5 <= half < length / 2:
        raise AnalysisError(
            f"a bandwidth of {2 * half:g} cycles per window of {length} samples is outside [1, {length}); choose a "
            "longer window, another bandwidth or mode='fourier'"
        )
    windows, ratios = dpss(length, half, int(2 * half), sym=False, norm=2, return_ratios=True)
    keep = ratios > LOW_BIAS if (ratios > LOW_BIAS).any() else ratios == ratios.max()
    weight = ratios[keep] / ratios[keep].sum()
    return np.asarray(windows[keep] * np.sqrt(weight)[:, None])


def cross_spectra(
    values: np.ndarray, starts: Sequence[int], weights: NDArray[np.float64], bins: slice, measures: Collection[str]
) -> Cross:
    """Sum the cross-spectra of the epochs of (sample, unit) values that begin at `starts`.

    The transform is in float64 whatever `values` are: its rounding would drown the weak end of a steep spectrum. What
    follows is in the type of `values` (float64 with `ciplv`, which is ill-conditioned), and blocks add in float64.
    """
    units, length = values.shape[1], weights.shape[1]
    dtype = np.float32 if values.dtype == np.float32 and "ciplv" not in measures else np.float64
    count = len(range(*bins.indices(length // 2 + 1)))
    wanted = sorted({name for measure in measures for name in SUMS.get(measure, ())})
    sums = {name: np.zeros((count, units, units)) for name in wanted}
    spectrum = np.zeros((count, units, units), dtype=np.complex128)
    energy = np.zeros(units)
    span = np.ptp(values, axis=0).astype(np.float64)
    scale = 1 / np.where(span > 0, span, 1.0)  # so that no power under- or overflows
    block = max(1, BLOCK // max(1, 2 * count * len(weights) * units * np.dtype(dtype).itemsize))
    for first in range(0, len(starts), block):
        shape = (count, min(block, len(starts) - first), len(weights), units)
        re, im = np.empty(shape, dtype), np.empty(shape, dtype)
        for e, start in enumerate(starts[first : first + block]):
            energy += _transform(values[start : start + length], scale, weights, bins, re[:, e], im[:, e])
        _add_cross_spectrum(re, im, spectrum)
        if wanted:
            _add_phase_sums(re, im, sums)
    return Cross(spectrum, sums, len(starts), energy > 1e-24 * len(starts) * length)


def _transform(
    values: np.ndarray, scale: np.ndarray, weights: np.ndarray, bins: slice, re: np.ndarray, im: np.ndarray
) -> np.ndarray:
    """Write the spectra of one epoch (sample, unit) to (frequency, taper, unit); give the energy of each unit."""
    from scipy.fft import rfft

    epoch = values.T.astype(np.float64, order="C")
    epoch -= epoch.mean(axis=1, keepdims=True)
    epoch *= scale[:, None]
    for t, taper in enumerate(weights):
        found = rfft(epoch * taper, axis=1)[:, bins].T
        re[:, t], im[:, t] = found.real, found.imag
    return np.asarray(np.einsum("ut,ut->u", epoch, epoch))


def _add_cross_spectrum(re: np.ndarray, im: np.ndarray, spectrum: np.ndarray) -> None:
    """Add x_i conj(x_j), summed over epochs and tapers: three real matrix products per frequency."""
    for f in range(len(re)):
        a, b = re[f].reshape(-1, re.shape[-1]), im[f].reshape(-1, re.shape[-1])
        mixed = b.T @ a
        spectrum[f].real += a.T @ a + b.T @ b
        spectrum[f].imag += mixed - mixed.T


def _add_phase_sums(re: np.ndarray, im: np.ndarray, sums: dict[str, NDArray[np.float64]]) -> None:
    from neurointerp.analyses.connectivity._phase_sums import phase_sums

    none = np.zeros((0, 0, 0), dtype=re.dtype)
    names = ("size", "square", "sign", "cosine", "sine")
    parts = {name: np.zeros(sums[name].shape, dtype=re.dtype) if name in sums else none for name in names}
    phase_sums(re, im, *(parts[name] for name in names))
    for name, total in sums.items():
        total += parts[name]


def measured(cross: Cross, measure: str) -> NDArray[np.float64]:
    """Give one measure (frequency, unit, unit), or (unit, unit) for the phase slope index; NaN for constant units."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if measure in ("coherence", "imaginary_coherence", "psi"):
            out = _of_coherency(cross.spectrum, measure)
        else:
            out = _of_sums(cross, measure)
            out = out + out.swapaxes(-1, -2)
    units = np.arange(len(cross.varies))
    out[..., units, units] = 1.0 if measure in ("coherence", "plv") else 0.0
    out[..., ~cross.varies, :] = np.nan
    out[..., :, ~cross.varies] = np.nan
    return out


def _of_coherency(spectrum: np.ndarray, measure: str) -> NDArray[np.float64]:
    root = np.sqrt(np.einsum("fii->fi", spectrum).real)
    coherency = spectrum / (root[:, :, None] * root[:, None, :])
    if measure == "coherence":
        return np.asarray(np.minimum(np.abs(coherency), 1.0))
    if measure == "imaginary_coherence":
        return np.asarray(np.clip(coherency.imag, -1.0, 1.0))
    return np.asarray((coherency[:-1].conj() * coherency[1:]).sum(axis=0).imag)


def _of_sums(cross: Cross, measure: str) -> NDArray[np.float64]:
    """Give the lower triangle of a measure of phase; 0 where no epoch has a lag."""
    sums, epochs = cross.sums, cross.epochs
    if measure == "pli":
        return np.asarray(np.abs(sums["sign"]) / epochs)
    if measure in ("plv", "ciplv"):
        cosine, sine = sums["cosine"] / epochs, np.abs(sums["sine"]) / epochs
        if measure == "plv":
            return np.minimum(np.hypot(cosine, sine), 1.0)
        rest = 1 - cosine**2
        return np.where(rest > 0, sine / np.sqrt(rest), 0.0)
    size, total = sums["size"], np.abs(np.tril(cross.spectrum.imag, -1))
    if measure == "wpli":
        return np.where(size > 0, np.minimum(total / size, 1.0), 0.0)
    below = size**2 - sums["square"]
    return np.where(below > 0, (total**2 - sums["square"]) / below, 0.0)
