"""Principal components of a chunked recording, from passes over its blocks; on a device from products of matrices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp import backend
from neurointerp.analyses.factorization._spectrum import descending, signed
from neurointerp.device import computed_on
from neurointerp.memory import available
from neurointerp.streaming import Rows

Floats = NDArray[np.float64]


def principal(rows: Rows, rank: int) -> tuple[Floats, Floats, Floats]:
    """Give the leading right singular vectors (rank, unit) of centred rows, all squared singular values, and means.

    Of more samples than units from the triangular factors of blocks, put together in a tree, which are as exact as the
    whole; else from the products of samples, of some units at a time. On a device from products of matrices both ways,
    as of a large recording in memory (`_spectrum.leading`).
    """
    mean = rows.about.total / len(rows)
    centred = _centred(rows, mean)
    if rows.width <= len(rows) and rows.device is None:
        factor = centred.total(_triangular, combine=_joined)[0]
        _, values, vectors = np.linalg.svd(factor, full_matrices=False)
        squares = np.zeros(rows.width)
        squares[: len(values)] = values**2
        return signed(np, vectors[:rank]), squares, mean
    if rows.width <= len(rows):
        squares, basis = _descending(rows, centred.total(partial(_products, wide=_is_wide(rows)))[0])
        return signed(np, basis[:, :rank].T), squares, mean
    squares, basis = _descending(rows, _of_samples(rows))
    starts = rows.slices
    lead = basis[:, :rank]
    image = centred.both(partial(_images, wide=_is_wide(rows)), [(lead[part],) for part in starts])[1][0]
    return signed(np, np.linalg.qr(image)[0].T), squares, mean


def projected(rows: Rows, mean: Floats, features: Floats) -> Floats:
    """Give (rows - mean) features', in float64."""
    kernel = partial(_projected, features=features, wide=_is_wide(rows))
    return np.concatenate(_centred(rows, mean).each(kernel))


def errors(rows: Rows, mean: Floats, mixing: Floats, courses: Floats) -> tuple[float, float, float]:
    """Give the sums of squares of what `mean + courses mixing` leaves, of the rows, and about the means."""
    kernel = partial(_errors, mixing=mixing, mean=mean)
    found: tuple[float, float, float] = _centred(rows, mean).both(kernel, [(courses[part],) for part in rows.slices])[1]
    return found


def _centred(rows: Rows, mean: Floats) -> Rows:
    """Take the means off: in float64, or before values are copied to a device in the type that they have."""
    typed = rows.astype(np.float64) if rows.device is None else rows
    return typed.scaled(mean, np.ones(rows.width))


def _is_wide(rows: Rows) -> bool:
    """Tell whether products are of float64, whatever the values are: where no precision is given."""
    return rows.precision is None


def _descending(rows: Rows, gram: Floats) -> tuple[Floats, Floats]:
    """Give eigenvalues, largest first, and eigenvectors, found where the rows are worked on."""
    if rows.device is None:
        return descending(np, gram)
    values, basis = computed_on(rows.device, None, _decomposed, gram)
    return values, basis


def _decomposed(gram: Any) -> tuple[Floats, Floats]:
    values, basis = descending(backend.namespace(gram), gram)
    return backend.to_numpy(values), backend.to_numpy(basis)


def _of_samples(rows: Rows) -> Floats:
    """Give the products of all samples about the means of units, of some units at a time.

    A device gets no more of them at once than a block holds, or than their products, which must fit there, are.
    """
    inner: Any = 0.0
    for columns in _columns(rows.on(None)):
        part = columns - columns.mean(axis=0)
        if rows.device is None:
            inner = inner + part @ part.T
            continue
        typed = part.T.astype(np.float64 if _is_wide(rows) else rows.dtype)
        kernel = partial(_products, first=0, own=slice(0, 0), wide=_is_wide(rows))
        step = max(_block(rows) // len(rows), len(rows))  # a card has less room than there is here
        for start in range(0, len(typed), step):
            inner = inner + computed_on(rows.device, rows.precision, kernel, typed[start : start + step])[0]
    return np.asarray(inner)


def _block(rows: Rows) -> int:
    """Give how many values the largest block holds."""
    return int(max(part.stop - part.start for part in rows.slices)) * rows.width


def _columns(rows: Rows) -> Iterator[Floats]:
    """Give all rows of some units at a time: as many as a block holds or, where there is room, an eighth of that.

    Each turn reads all values, so that few are wanted.
    """
    size = max(_block(rows), (available() or 0) // 64)
    step = max(1, min(rows.width, size // len(rows)))
    for start in range(0, rows.width, step):
        keep = np.zeros(rows.width, dtype=bool)
        keep[start : start + step] = True
        cut = rows.array[:, start : start + step]  # what has no steps yet need not be read whole
        some = rows.take(keep) if rows.steps else replace(rows, array=cut, width=int(cut.shape[1]))
        yield np.concatenate(some.each(_whole))


def _whole(values: Any, first: int, own: slice) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _triangular(values: Any, first: int, own: slice) -> tuple[Floats]:
    return (np.asarray(np.linalg.qr(values, mode="r")),)


def _joined(*parts: tuple[Floats]) -> tuple[Floats]:
    return (np.asarray(np.linalg.qr(np.concatenate([part for (part,) in parts]), mode="r")),)


def _typed(values: Any, wide: bool) -> Any:
    xp = backend.namespace(values)
    return xp.astype(values, xp.float64, copy=False) if wide else values


def _products(values: Any, first: int, own: slice, *, wide: bool) -> tuple[Floats]:
    values = _typed(values, wide)
    return (np.asarray(backend.to_numpy(values.T @ values), dtype=np.float64),)


def _images(values: Any, first: int, own: slice, lead: Floats, *, wide: bool) -> tuple[None, tuple[Floats]]:
    values = _typed(values, wide)
    return None, (np.asarray(backend.to_numpy(values.T @ backend.like(lead, values)), dtype=np.float64),)


def _projected(values: Any, first: int, own: slice, *, features: Floats, wide: bool) -> Floats:
    values = _typed(values, wide)
    return np.asarray(backend.to_numpy(values @ backend.like(features, values).T), dtype=np.float64)


def _errors(
    values: Any, first: int, own: slice, courses: Floats, *, mixing: Floats, mean: Floats
) -> tuple[None, tuple[float, float, float]]:
    xp = backend.namespace(values)
    about = _typed(values, True)
    left = about - backend.like(courses, about) @ backend.like(mixing, about)
    whole = about + backend.like(mean, about)
    error, power, spread = (float(xp.sum(part * part)) for part in (left, whole, about))
    return None, (error, power, spread)
