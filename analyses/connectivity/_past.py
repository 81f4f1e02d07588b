"""Regressions on the past of units, all from the products of one matrix of lagged values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._streamed_past import fold_moments, gram_of_past
from neurointerp.backend import namespace, placed, to_numpy
from neurointerp.errors import AnalysisError
from neurointerp.streaming import Rows

LARGEST_ORDER = 10
"""The largest order that is tried where none is given."""
ALPHAS = tuple(np.logspace(-4, 3, 15))
"""Penalties of a ridge that are tried where none is given, as parts of the mean variance of a predictor."""


def order_of(
    subjects: Sequence[np.ndarray | Rows], parts: Sequence[slice], order: int | None, together: bool, analysis: str
) -> int:
    """Give the order, checked, or chosen by BIC: one for all subjects, each (sample, unit) in the same stretches.

    `together` says whether all units are regressed on all, or pair by pair.
    """
    most = require_reach(parts, max(z.shape[1] for z in subjects), order, together, analysis)
    if order is not None:
        return order
    tried = min(most, LARGEST_ORDER)
    return int(np.sum([_scores(z, parts, tried, together, analysis) for z in subjects], axis=0).argmin()) + 1


def require_reach(parts: Sequence[slice], units: int, order: int | None, together: bool, analysis: str) -> int:
    """Give the largest order that so many units leave; refuse one beyond it."""
    if order is not None and order < 1:
        raise AnalysisError(f"{analysis}: order is {order!r}; at least 1 sample of past is needed")
    most = _reach(parts, units if together else 2)
    if (order or 1) > most:
        samples = sum(part.stop - part.start for part in parts)
        raise AnalysisError(
            f"{analysis}: order {order or 1} of {units} units{' together' if together else ''} has too few "
            f"samples ({samples} in {len(parts)} segments), which reach order {most}; "
            + ("take fewer units (pca)" if together and units > 1 else "take longer segments")
        )
    return most


def rows(parts: Sequence[slice], order: int) -> NDArray[np.int64]:
    """Give the samples that have `order` samples of past in their stretch."""
    return np.concatenate([np.arange(part.start + order, max(part.stop, part.start + order)) for part in parts])


def _reach(parts: Sequence[slice], predictors: int) -> int:
    """Give the largest order whose regressions leave as many samples free as they have parameters."""
    sizes = np.array([part.stop - part.start for part in parts], dtype=np.int64)
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        order = (low + high + 1) // 2
        enough = np.maximum(sizes - order, 0).sum() >= 2 * (predictors * order + 1)
        low, high = (order, high) if enough else (low, order - 1)
    return low


def lagged_gram(z: np.ndarray | Rows, parts: Sequence[slice], order: int) -> tuple[Any, int]:
    """Give the centred products (lag, unit, lag, unit) of the present (lag 0) and past, and how many samples.

    Only those with the present are products over all samples: from lags (a, b) to (a + 1, b + 1) one sample leaves
    and one enters in each stretch. Of `Rows` all are, and where those are on a device the products end there too.
    """
    if isinstance(z, Rows):
        gram, count = gram_of_past(z, parts, order)
        return _beside(gram, z), count
    present, units = z.copy(), z.shape[1]
    long = [part for part in parts if part.stop - part.start > order]
    for part in parts:
        present[part.start : part.start + order] = 0  # has no such past in its stretch
    used = rows(parts, order)
    first = [z[[part.start + order - 1 - lag for part in long]] for lag in range(order)]
    last = [z[[part.stop - 1 - lag for part in long]] for lag in range(order)]
    gram = np.empty((order + 1, units, order + 1, units))
    for lag in range(order + 1):
        gram[0, :, lag] = present[lag:].T @ z[: len(z) - lag]
        gram[lag, :, 0] = gram[0, :, lag].T
    for a in range(order):
        for b in range(a, order):
            gram[a + 1, :, b + 1] = gram[a, :, b] + first[a].T @ first[b] - last[a].T @ last[b]
            gram[b + 1, :, a + 1] = gram[a + 1, :, b + 1].T
    total = np.stack([z[used - lag].sum(axis=0) for lag in range(order + 1)]).ravel()
    flat = gram.reshape(((order + 1) * units,) * 2)
    flat -= np.outer(total, total / len(used))
    return gram, len(used)


def _beside(values: np.ndarray, z: np.ndarray | Rows) -> Any:
    """Give values as a tensor on the device that rows are on; numpy's where they are on none."""
    return placed(values, z.device) if isinstance(z, Rows) and z.device is not None else values


def _singular(error: Exception) -> bool:
    return type(error).__name__.endswith("LinAlgError")  # torch has its own


def _dependent(analysis: str) -> AnalysisError:
    return AnalysisError(
        f"{analysis}: the pasts of units are linearly dependent (units that are copies or sums of others, or a common "
        "average reference); drop some units first"
    )


def _residual(power: Any, cross: Any, inner: Any, analysis: str) -> np.ndarray:
    """Give the residual sums of squares of regressions from their products, refusing dependent predictors."""
    xp = namespace(inner)
    smallest, largest = np.inf, float(xp.max(xp.abs(inner))) if math.prod(inner.shape) else 0.0
    try:
        factor = xp.linalg.cholesky(inner)
        smallest = float(xp.min(xp.linalg.diagonal(factor))) ** 2 if largest else np.inf
    except Exception as error:
        if not _singular(error):
            raise
        smallest = 0.0
    if smallest <= 10 * inner.shape[-1] * np.finfo(np.float64).eps * largest:
        raise _dependent(analysis)
    half = xp.linalg.solve(factor, cross[..., None])[..., 0]
    return to_numpy(power - xp.sum(half**2, axis=-1))


def pairs(gram: Any, order: int, analysis: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Give the residuals (source, target) of pairs without and with the source, and the number of predictors."""
    xp = namespace(gram)
    units = gram.shape[1]
    blocks = xp.permute_dims(gram, (1, 3, 0, 2))  # (unit, unit, lag, lag)
    same = np.arange(units)
    own, cross, power = blocks[same, same, 1:, 1:], blocks[same, same, 0, 1:], blocks[same, same, 0, 0]
    reduced = _residual(power, cross, own, analysis)
    full = np.ones((units, units))
    for target in range(units):
        sources = np.delete(same, target)
        inner = xp.empty((units - 1, 2 * order, 2 * order), dtype=xp.float64, device=gram.device)
        inner[:, :order, :order] = own[target]
        inner[:, order:, order:] = own[sources]
        inner[:, :order, order:] = blocks[target, sources, 1:, 1:]
        inner[:, order:, :order] = xp.matrix_transpose(inner[:, :order, order:])
        known = xp.broadcast_to(cross[target], (units - 1, order))
        both = xp.concat([known, blocks[target, sources, 0, 1:]], axis=1)
        full[sources, target] = _residual(power[target], both, inner, analysis)
    return np.tile(reduced, (units, 1)), full, 2 * order


def conditioned(gram: Any, order: int, analysis: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Give the residuals (source, target) without the source and with all, and the number of predictors."""
    units = gram.shape[1]
    past = gram[1:, :, 1:, :].reshape(order * units, order * units)
    cross = gram[0, :, 1:, :].reshape(units, order * units)
    power = namespace(gram).linalg.diagonal(gram[0, :, 0, :])
    full = _residual(power, cross, past, analysis)
    reduced = np.empty((units, units))
    owner = np.tile(np.arange(units), order)
    for source in range(units):
        keep = owner != source
        if not keep.any():
            reduced[source] = to_numpy(power)
            continue
        reduced[source] = _residual(power, cross[:, keep], past[keep, :][:, keep], analysis)
    return reduced, np.tile(full, (units, 1)), order * units


def _scores(z: np.ndarray | Rows, parts: Sequence[slice], most: int, together: bool, analysis: str) -> list[float]:
    """Give the BIC of the orders from 1 to `most`, all on the samples that have `most` samples of past."""
    gram, count = lagged_gram(z, parts, most)
    xp, units = namespace(gram), z.shape[1]
    scores: list[float] = []
    for order in range(1, most + 1):
        part = gram[: order + 1, :, : order + 1]
        if together:
            past = part[1:, :, 1:].reshape(order * units, order * units)
            cross = part[0, :, 1:].reshape(units, order * units)
            try:
                noise = part[0, :, 0] - cross @ xp.linalg.solve(past, cross.T)
            except Exception as error:
                if not _singular(error):
                    raise
                raise _dependent(analysis) from error
            spread = float(xp.linalg.slogdet(noise / count)[1])
            scores.append(float(count * spread + order * units**2 * np.log(count)))
        else:
            _, full, known = pairs(part, order, analysis)
            off = ~np.eye(units, dtype=bool)
            scores.append(float(count * np.log(full[off]).mean() + known * np.log(count)) if off.any() else 0.0)
    return scores


def ridge(
    z: np.ndarray | Rows, present: NDArray[np.int64], order: int, alpha: float | None, n_folds: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Give the weights (source, target, lag) of all samples, the held-out score (target), and the penalty."""
    units = z.shape[1]
    folds = np.array_split(np.arange(len(present)), n_folds)
    alphas: Sequence[float] = ALPHAS if alpha is None else (float(alpha),)
    error, spread = np.zeros((len(alphas), units)), np.zeros(units)
    if isinstance(z, Rows):
        *moments, squares = zip(*fold_moments(z, present, order, folds), strict=True)
        moments = list(zip(*moments, strict=True))
    else:
        past = np.concatenate([z[present - lag] for lag in range(1, order + 1)], axis=1)
        now = z[present]
        moments = [_moments(past[fold], now[fold]) for fold in folds]
    moments = [tuple(_beside(part, z) if np.ndim(part) else float(part) for part in moment) for moment in moments]
    total = tuple(sum(part[1:], start=part[0]) for part in zip(*moments, strict=True))
    for place, (fold, moment) in enumerate(zip(folds, moments, strict=True)):
        rest = tuple(whole - part for whole, part in zip(total, moment, strict=True))
        mean_past, mean_now = rest[1] / rest[4], rest[3] / rest[4]
        if isinstance(z, Rows):
            about = _about(moment, _beside(squares[place], z), mean_past, mean_now)
            spread += to_numpy(about[2])
            for a, coefficients in enumerate(_solutions(rest, alphas)):
                error[a] += to_numpy(_squared_error(about, coefficients))
            continue
        for a, coefficients in enumerate(_solutions(rest, alphas)):
            guess = (past[fold] - mean_past) @ coefficients + mean_now
            error[a] += ((now[fold] - guess) ** 2).sum(axis=0)
        spread += ((now[fold] - mean_now) ** 2).sum(axis=0)
    best = int(error.sum(axis=1).argmin()) if units else 0
    weights = to_numpy(_solutions(total, alphas[best : best + 1])[0])
    score = 1 - error[best] / np.where(spread > 0, spread, 1.0)
    return weights.reshape(order, units, units).transpose(1, 2, 0), score, float(alphas[best])


def _about(moment: Sequence[Any], square: Any, mean_past: Any, mean_now: Any) -> tuple[Any, ...]:
    """Give the products of past and past, past and present, and the squares of the present, about other means."""
    gram, past, cross, now, count = moment
    left, right = past - count * mean_past, now - count * mean_now
    return (
        gram - past[:, None] * mean_past - mean_past[:, None] * left,
        cross - past[:, None] * mean_now - mean_past[:, None] * right,
        square - mean_now * (now + right),
    )


def _squared_error(about: Sequence[Any], coefficients: Any) -> Any:
    gram, cross, square = about
    return square - ((2 * cross - gram @ coefficients) * coefficients).sum(axis=0)


def _moments(past: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    return past.T @ past, past.sum(axis=0), past.T @ now, now.sum(axis=0), float(len(past))


def _solutions(moments: Sequence[Any], alphas: Sequence[float]) -> list[Any]:
    """Give the weights (predictor, target) for each penalty, from one eigendecomposition of centred products."""
    gram, past, cross, now, count = moments
    values, vectors = namespace(gram).linalg.eigh(gram - past[:, None] * past / count)
    turned = vectors.T @ (cross - past[:, None] * now / count)
    return [vectors @ (turned / (values.clip(0.0)[:, None] + alpha * count)) for alpha in alphas]
