"""Cross-spectra and phase sums of epochs by the array API: what `_spectra` sums on a device."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from neurointerp.analyses.connectivity._spectra import EPOCHS
from neurointerp.backend import like, namespace, to_numpy

BLOCK = 2**26
"""Bytes of spectra, and of products of pairs, that are held at a time."""


def summed(
    values: Any, starts: Sequence[int], scale: np.ndarray, length: int, way: Any, measures: Collection[str],
    wanted: Sequence[str],
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Give the energy of each unit, the packed cross-spectrum and the sums that are wanted, of epochs of one block.

    Parameters
    ----------
    values
        (sample, unit), of any library.
    starts, length
        Of the epochs.
    scale
        (unit): what values are multiplied with, so that no power under- or overflows; 0 where a unit is constant.
    way
        `_spectra.Tapers` or `Wavelets`.
    measures, wanted
        What is to be computed, and the names of the sums that it needs.
    """
    xp = namespace(values)
    units, (count, n_tapers) = values.shape[1], way.shape
    narrow = values.dtype == xp.float32 and "ciplv" not in measures
    wide = {"dtype": xp.float64, "device": values.device}
    energy, cross = xp.zeros(units, **wide), xp.zeros((2, count, units, units), **wide)
    sums = {name: xp.zeros((count, units, units), **wide) for name in wanted}
    factor = like(scale, energy)
    block = min(EPOCHS, max(1, BLOCK // max(1, 16 * n_tapers * units * max(count, length))))
    for first in range(0, len(starts), block):
        cut = [values[start : start + length, :] for start in starts[first : first + block]]
        epochs = xp.astype(xp.stack(cut), xp.float64)
        epochs = xp.permute_dims((epochs - xp.mean(epochs, axis=1, keepdims=True)) * factor, (0, 2, 1))
        energy += xp.sum(epochs * epochs, axis=(0, 2))
        spectra = way.spectra_of(epochs)
        re, im = (xp.astype(part, xp.float32) if narrow else part for part in (xp.real(spectra), xp.imag(spectra)))
        _add_cross_spectrum(xp, re, im, cross)
        if wanted:
            _add_phase_sums(xp, re, im, sums)
    packed = np.where(np.tri(units, dtype=bool), to_numpy(cross[0, ...]), to_numpy(cross[1, ...]))
    return to_numpy(energy), packed, *(np.tril(to_numpy(total), -1) for total in sums.values())


def _add_cross_spectrum(xp: Any, re: Any, im: Any, cross: Any) -> None:
    """Add x_i conj(x_j), summed over epochs and tapers: three real products of matrices per frequency."""
    a, b = (xp.reshape(part, (part.shape[0], -1, part.shape[-1])) for part in (re, im))
    at, bt = (xp.permute_dims(part, (0, 2, 1)) for part in (a, b))
    mixed = bt @ a
    cross[0, ...] += at @ a + bt @ b
    cross[1, ...] += mixed - xp.permute_dims(mixed, (0, 2, 1))


def _add_phase_sums(xp: Any, re: Any, im: Any, sums: dict[str, Any]) -> None:
    """Add what `_phase_sums.phase_sums` adds, of some frequencies and epochs at a time.

    Products are not made by matrices: Im S of a unit and its copy is 0, which it is only where both terms are rounded
    alike.
    """
    count, epochs, _, units = re.shape
    pairs = max(1, BLOCK // (8 * units * units))
    step = min(count, pairs)
    many = max(1, pairs // step)
    for low in range(0, count, step):
        rows = slice(low, low + step)
        for first in range(0, epochs, many):
            part = slice(first, first + many)
            x, y = _of_epochs(re[rows, part, ...], im[rows, part, ...], "cosine" in sums)
            for name, made in _terms(xp, x, y, sums):
                sums[name][rows, ...] += xp.sum(made, axis=1, dtype=xp.float64)


def _of_epochs(re: Any, im: Any, both: bool) -> tuple[Any, Any]:
    """Give the real (where `both`) and imaginary cross-spectrum (frequency, epoch, unit, unit) over tapers."""
    x: Any = None
    y: Any = None
    for taper in range(re.shape[2]):
        a, b = re[:, :, taper, :], im[:, :, taper, :]
        turned = b[..., :, None] * a[..., None, :] - a[..., :, None] * b[..., None, :]
        y = turned if y is None else y + turned
        if both:
            same = a[..., :, None] * a[..., None, :] + b[..., :, None] * b[..., None, :]
            x = same if x is None else x + same
    return x, y


def _terms(xp: Any, x: Any, y: Any, wanted: Collection[str]) -> list[tuple[str, Any]]:
    made = []
    if "size" in wanted:
        made.append(("size", xp.abs(y)))
    if "square" in wanted:
        made.append(("square", y * y))
    if "sign" in wanted:
        made.append(("sign", xp.sign(y)))
    if "cosine" in wanted:
        power = x * x + y * y
        scale = xp.where(power > 0, 1 / xp.sqrt(xp.where(power > 0, power, xp.ones_like(power))), xp.zeros_like(power))
        made += [("cosine", x * scale), ("sine", y * scale)]
    return made
