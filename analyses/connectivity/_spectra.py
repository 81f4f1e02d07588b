"""Tapered spectra of epochs, summed into cross-spectra in one pass: the kernel of every spectral measure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.backend import like, namespace
from neurointerp.errors import AnalysisError
from neurointerp.streaming import Rows

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
EPOCHS = 512
"""Epochs that are summed in the type of the spectra, before sums in float64: more of them would lose digits."""
LINE = 64
"""Bytes of a line of the cache."""
LOW_BIAS = 0.9
"""A taper is kept when more than this part of its energy lies within the bandwidth."""


@dataclass(frozen=True)
class Cross:
    """Sums over the epochs of a recording.

    Attributes
    ----------
    packed
        (frequency, unit, unit): the cross-spectrum, summed over epochs and tapers. It is Hermitian: the real part is on
        and below the diagonal, the imaginary part above, which is half of what both would take.
    sums
        Name -> (frequency, unit, unit), of which the lower triangle counts: see `_phase_sums.phase_sums`.
    epochs
        How many.
    varies
        (unit): whether the unit changes within some epoch.
    times
        How many of the rows of `packed` are times of one frequency; 1 but for wavelets.
    """

    packed: NDArray[np.float64]
    sums: dict[str, NDArray[np.float64]]
    epochs: int
    varies: NDArray[np.bool_]
    times: int = 1

    @cached_property
    def root(self) -> NDArray[np.float64]:
        """(frequency, unit): one over the root of the power."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / np.sqrt(np.einsum("fii->fi", self.packed)))

    @property
    def imaginary(self) -> NDArray[np.float64]:
        """(frequency, unit, unit): the imaginary part."""
        upper = np.triu(self.packed, 1)
        return np.asarray(upper - upper.swapaxes(-1, -2))

    @property
    def spectrum(self) -> NDArray[np.complex128]:
        """(frequency, unit, unit): real and imaginary part together."""
        lower = np.tril(self.packed)
        return np.asarray(lower + np.tril(lower, -1).swapaxes(-1, -2) + 1j * self.imaginary)


@dataclass(frozen=True)
class Tapers:
    """Fourier transforms of an epoch times each taper (taper, sample), at the frequencies of `bins`."""

    weights: NDArray[np.float64]
    bins: slice
    times: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """How many frequencies and tapers."""
        return len(range(*self.bins.indices(self.weights.shape[1] // 2 + 1))), len(self.weights)

    def spectra_of(self, epochs: Any) -> Any:
        """Give the spectra of epochs (epoch, unit, sample) of any library: (frequency, epoch, taper, unit)."""
        xp = namespace(epochs)
        tapered = epochs[:, None, :, :] * like(self.weights, epochs)[None, :, None, :]
        return xp.moveaxis(xp.fft.rfft(tapered, axis=-1)[..., self.bins], -1, 0)

    def transform(self, epoch: np.ndarray, re: np.ndarray, im: np.ndarray) -> None:
        """Write the spectra of an epoch (unit, sample) to (frequency, taper, unit)."""
        from neurointerp.analyses.connectivity._fused import split_spectra

        units, length = epoch.shape
        tapered, spectra = np.empty_like(epoch), np.empty((units, length // 2 + 1), np.complex128)
        for t, taper in enumerate(self.weights):
            np.fft.rfft(np.multiply(epoch, taper, out=tapered), axis=1, out=spectra)
            split_spectra(spectra, self.bins.start or 0, 1, re[:, t], im[:, t])


@dataclass(frozen=True)
class Wavelets:
    """Convolutions of an epoch with wavelets: their spectra (frequency, bin), at every `decimate`-th sample."""

    spectra: np.ndarray
    halves: tuple[int, ...]
    length: int
    decimate: int

    @property
    def times(self) -> int:
        """How many samples of an epoch are kept."""
        return -(-self.length // self.decimate)

    @property
    def shape(self) -> tuple[int, int]:
        """How many pairs of a frequency and a time, and one for the tapers."""
        return len(self.spectra) * self.times, 1

    def spectra_of(self, epochs: Any) -> Any:
        """Give the convolutions of such epochs: (frequency and time, epoch, 1, unit)."""
        xp = namespace(epochs)
        whole = xp.fft.fft(epochs, n=self.spectra.shape[1], axis=-1)
        wavelets = xp.asarray(self.spectra, device=epochs.device)
        parts = [
            xp.fft.ifft(whole * wavelets[f, :], axis=-1)[..., half : half + self.length : self.decimate]
            for f, half in enumerate(self.halves)
        ]
        return xp.moveaxis(xp.concat(parts, axis=-1), -1, 0)[:, :, None, :]

    def transform(self, epoch: np.ndarray, re: np.ndarray, im: np.ndarray) -> None:
        """Write the convolutions of an epoch (unit, sample) to (frequency and time, 1, unit)."""
        from scipy.fft import fft, ifft

        from neurointerp.analyses.connectivity._fused import split_spectra

        whole = fft(epoch, n=self.spectra.shape[1], axis=1)
        for f, (wavelet, half) in enumerate(zip(self.spectra, self.halves, strict=True)):
            rows = slice(f * self.times, (f + 1) * self.times)
            split_spectra(ifft(whole * wavelet, axis=1), half, self.decimate, re[rows, 0], im[rows, 0])


def morlet(
    frequencies: Sequence[float], cycles: float, length: int, rate: float, decimate: int, analysis: str
) -> Wavelets:
    """Give Morlet wavelets of `cycles` cycles, five deviations to either side, of no mean.

    The deviation is cycles / (2 pi frequency); the scale, which no measure depends on, is that of unit length.
    """
    from scipy.fft import fft, next_fast_len

    found = []
    for frequency in frequencies:
        deviation = cycles / (2 * np.pi * frequency)
        half = np.arange(0.0, 5 * deviation, 1 / rate)
        t = np.concatenate([-half[:0:-1], half])
        wave = np.exp(2j * np.pi * frequency * t) - np.exp(-2 * (np.pi * frequency * deviation) ** 2)
        wave *= np.exp(-(t**2) / (2 * deviation**2))
        found.append(wave / np.linalg.norm(wave))
    longest = max(len(wave) for wave in found)
    if longest > length:
        lowest = 10 * cycles / (2 * np.pi * length / rate)
        raise AnalysisError(
            f"{analysis}: a wavelet of {cycles:g} cycles at {min(frequencies):g} has {longest} samples, longer than a "
            f"window of {length}; take frequencies above {lowest:.3g}, fewer cycles or a longer window"
        )
    size = next_fast_len(length + longest - 1)
    spectra = np.stack([fft(wave, n=size) for wave in found])
    return Wavelets(spectra, tuple(len(wave) // 2 for wave in found), length, decimate)


def tapers(length: int, mode: str, half_bandwidth: float | None, analysis: str) -> NDArray[np.float64]:
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
            f"{analysis}: a bandwidth of {2 * half:g} cycles per window of {length} samples is outside [1, {length}); "
            "choose a longer window, another bandwidth or mode='fourier'"
        )
    windows, ratios = dpss(length, half, int(2 * half), sym=False, norm=2, return_ratios=True)
    keep = ratios > LOW_BIAS if (ratios > LOW_BIAS).any() else ratios == ratios.max()
    weight = ratios[keep] / ratios[keep].sum()
    return np.asarray(windows[keep] * np.sqrt(weight)[:, None])


def cross_spectra(
    values: np.ndarray | Rows, starts: Sequence[int], length: int, way: Tapers | Wavelets, measures: Collection[str]
) -> Cross:
    """Sum the cross-spectra of the epochs of (sample, unit) values, of `length` samples, that begin at `starts`.

    The transform is in float64 whatever `values` are: its rounding would drown the weak end of a steep spectrum. What
    follows is in the type of `values` (float64 with `ciplv`, which is ill-conditioned), and blocks add in float64.
    Of `Rows` each epoch is that of the block in which it begins.
    """
    wanted = sorted({name for measure in measures for name in SUMS.get(measure, ())})
    about = (length, way, tuple(measures), wanted)
    if isinstance(values, Rows):
        scale = np.where(values.about.varies, 1 / values.about.span, 0.0)
        kernel = partial(_of_block, starts=np.asarray(starts), about=about, scale=scale)
        energy, packed, *totals = values.total(kernel, after=length - 1)
    else:
        from neurointerp.analyses.connectivity._fused import spans

        span = spans(values)
        scale = np.where(span > 0, 1 / np.where(span > 0, span, 1.0), 0.0)
        energy, packed, *totals = _summed(values, starts, scale, *about)
    varies = energy > 1e-24 * len(starts) * length
    return Cross(packed, dict(zip(wanted, totals, strict=True)), len(starts), varies, way.times)


def _of_block(
    values: Any, first: int, own: slice, *, starts: NDArray[np.int64], about: tuple[Any, ...], scale: np.ndarray
) -> tuple[np.ndarray, ...]:
    from neurointerp.analyses.connectivity._spectral_sums import summed

    begun = starts - first
    here = begun[(begun >= own.start) & (begun < own.stop)].tolist()
    return (_summed if isinstance(values, np.ndarray) else summed)(values, here, scale, *about)


def _summed(
    values: np.ndarray, starts: Sequence[int], scale: np.ndarray, length: int, way: Tapers | Wavelets,
    measures: Collection[str], wanted: Sequence[str],
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Give the energy of each unit, the packed cross-spectrum and the sums that are wanted, of epochs of one block.

    `scale` is what each unit is multiplied with, so that no power under- or overflows: 0 for one that is constant, of
    whose mean rounding would leave something that looks like variation.
    """
    from neurointerp.analyses.connectivity._fused import centred_epoch

    units = values.shape[1]
    dtype = np.float32 if values.dtype == np.float32 and "ciplv" not in measures else np.float64
    count, n_tapers = way.shape
    sums = {name: np.zeros((count, units, units)) for name in wanted}
    packed = np.zeros((count, units, units))
    energy = np.zeros(units)
    epoch = np.empty((units, length))
    rows, width = _room(n_tapers, units, wanted)
    block = min(EPOCHS, max(1, BLOCK // max(1, 2 * count * rows * width * np.dtype(dtype).itemsize)))
    spectra = _aligned_zeros((count, 2, min(block, len(starts)), rows, width), dtype)
    re, im = (spectra[:, part, :, :n_tapers, :units] for part in range(2))
    for first in range(0, len(starts), block):
        begun = starts[first : first + block]
        for e, start in enumerate(begun):
            centred_epoch(values[start : start + length], scale, epoch, energy)
            way.transform(epoch, re[:, e], im[:, e])
        spectra[:, :, len(begun) :] = 0
        _add_cross_spectrum(spectra, packed, list(wanted), sums)
    return energy, packed, *sums.values()


def _room(n_tapers: int, units: int, wanted: Sequence[str]) -> tuple[int, int]:
    """Give the tapers and units that spectra are held of: more than there are, of zeros, where that is quicker."""
    from neurointerp.analyses.connectivity._phase_sums import LANES, TAPERS

    if list(wanted) != ["size"] or n_tapers > TAPERS:
        return n_tapers, units
    return 1 if n_tapers == 1 else TAPERS, units if units < LANES else -(-units // LANES) * LANES


def _aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Give zeros that begin where a line of the cache does: no vector then lies on two lines."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + LINE, dtype=np.uint8)
    first = -room.ctypes.data % LINE
    found: np.ndarray = room[first : first + size].view(dtype).reshape(shape)
    return found


def _add_cross_spectrum(
    spectra: np.ndarray, packed: np.ndarray, wanted: list[str], sums: dict[str, NDArray[np.float64]]
) -> None:
    """Add x_i conj(x_j), summed over epochs and tapers, and what is wanted of the parts (frequency, unit, unit).

    The real part is one product of matrices per frequency. So is the imaginary part, unless the sums give it.
    """
    from neurointerp.analyses.connectivity._coherency import fold
    from neurointerp.analyses.connectivity._phase_sums import TAPERS, lag_sums, lag_sums_of_one, phase_sums

    (count, _, epochs, rows, width), units = spectra.shape, packed.shape[1]
    both = spectra.reshape(count, 2 * epochs * rows, width)
    if wanted == ["size"] and rows in (1, TAPERS):
        lag, size = (_aligned_zeros((count, width, width), spectra.dtype) for _ in range(2))
        if rows == 1:
            lag_sums_of_one(spectra.reshape(count, 2, epochs, width), lag, size)
        else:
            lag_sums(spectra, lag, size)
        for each, late, page in zip(both, lag, packed, strict=True):
            fold(each.T @ each, late, page)
        sums["size"] += size[:, :units, :units]
        return
    for each, (re, im), page in zip(both, spectra.reshape(count, 2, epochs * rows, width), packed, strict=True):
        mixed = im.T @ re
        fold(each.T @ each, mixed - mixed.T, page)
    if not wanted:
        return
    none = np.zeros((0, 0, 0), dtype=spectra.dtype)
    names = ("size", "square", "sign", "cosine", "sine")
    parts = {name: np.zeros(sums[name].shape, dtype=spectra.dtype) if name in sums else none for name in names}
    phase_sums(spectra, *(parts[name] for name in names))
    for name, total in sums.items():
        total += parts[name]


def measured(cross: Cross, measure: str, dtype: Any) -> np.ndarray:
    """Give one measure (unit, unit, frequency), NaN for constant units; of the phase slope index (unit, unit, time)."""
    from neurointerp.analyses.connectivity import _coherency

    count, units = cross.packed.shape[:2]
    if measure in ("coherence", "imaginary_coherence"):
        out = np.empty((units, units, count), dtype)
        _coherency.write(cross.packed, cross.root, measure == "imaginary_coherence", out)
    elif measure == "wpli":
        out = np.empty((units, units, count), dtype)
        _coherency.write_weighted_lag(cross.packed, cross.sums["size"], out)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _slope(cross) if measure == "psi" else _of_sums(cross, measure)
        out = np.ascontiguousarray(np.moveaxis(found, 0, -1), dtype=dtype)
    same = np.arange(units)
    out[same, same] = 1.0 if measure in ("coherence", "plv") else 0.0
    out[~cross.varies] = np.nan
    out[:, ~cross.varies] = np.nan
    return out


def _slope(cross: Cross) -> NDArray[np.float64]:
    """Give the phase slope index (time, unit, unit)."""
    coherency = cross.spectrum * (cross.root[:, :, None] * cross.root[:, None, :])
    by_time = coherency.reshape(-1, cross.times, *coherency.shape[1:])
    return np.asarray((by_time[:-1].conj() * by_time[1:]).sum(axis=0).imag)


def _of_sums(cross: Cross, measure: str) -> NDArray[np.float64]:
    """Give a symmetric measure of phase (frequency, unit, unit); 0 where no epoch has a lag."""
    sums, epochs = cross.sums, cross.epochs
    if measure == "pli":
        found = np.abs(sums["sign"]) / epochs
    elif measure == "wpli2_debiased":
        size, total = sums["size"], np.abs(cross.imaginary)
        below = size**2 - sums["square"]
        found = np.where(below > 0, (total**2 - sums["square"]) / below, 0.0)
    else:
        cosine, sine = sums["cosine"] / epochs, np.abs(sums["sine"]) / epochs
        rest = 1 - cosine**2
        found = (
            np.minimum(np.hypot(cosine, sine), 1.0)
            if measure == "plv"
            else np.where(rest > 0, sine / np.sqrt(rest), 0.0)
        )
    lower = np.tril(found, -1)
    return lower + lower.swapaxes(-1, -2)
