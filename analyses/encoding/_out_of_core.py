"""Ridge, with or without bands, from sums over samples: folds, penalties, scores and a prediction that stays lazy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.encoding._blocks import Blocks, blocks
from neurointerp.analyses.encoding._design import Design, column_labels, span, usable
from neurointerp.analyses.encoding._folds import inner_folds, outer_folds
from neurointerp.analyses.encoding._problem import Problem, checked_lags, matched, model, parameters
from neurointerp.analyses.encoding._search import lowest
from neurointerp.analyses.encoding._sums import Held, cells_of, errors, facing, set_sums
from neurointerp.backend import like, to_numpy
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import BATCH, Fit, Moments, decompose, weights
from neurointerp.matrix import labels
from neurointerp.split import Fold

Indices = NDArray[np.int64]
Floats = NDArray[Any]


class Answer(NamedTuple):
    """What is fitted and found.

    Attributes
    ----------
    weights, intercept, alpha, share
        (feature, unit), (unit), (unit), (unit, band), of all samples.
    fold_weights, fold_level, fold_alpha
        (fold, feature, unit), (fold, unit), (fold, unit); levels are predictions for the mean features of all samples.
    score, correlation
        (fold, unit), of held-out samples.
    band_score, mean_score
        (fold, band, unit), (fold, unit): what bands, and the mean, have of the score.
    """

    weights: Floats
    intercept: Floats
    alpha: Floats
    share: Floats
    fold_weights: Floats
    fold_level: Floats
    fold_alpha: Floats
    score: Floats
    correlation: Floats
    band_score: Floats
    mean_score: Floats


class _Set(NamedTuple):
    """Sums of a set about its own means, and which units vary in it."""

    sums: Moments
    varies: NDArray[np.bool_]


def prepare_blocks(
    name: str, features: xr.DataArray, responses: xr.DataArray | None, *, cv: int | Iterable[tuple[Any, Any]],
    lags: Sequence[int] | xr.DataArray | None, gap: int | None, high_pass: float | None, device: str | None,
    search: bool = True,
) -> tuple[Problem, Callable[[Fold], list[Fold]]]:  # fmt: skip
    """Check, match and split by the labels alone, then read the values once.

    Folds inside a fold, which a `search` needs, are made when they are asked for.
    """
    if high_pass is not None:
        raise AnalysisError(
            f"{name}: high_pass needs whole runs of samples, and {'features' if responses is None else 'recordings'} "
            "here are chunked (dask): .load() them where they fit into memory, or high-pass each segment before they "
            "are stored"
        )
    delays = checked_lags(name, lags, responses is None)
    features, responses = matched(name, features, responses, delays)
    margin = max(map(abs, span(delays))) if gap is None else gap
    there = usable(features, delays)
    outer, kind = outer_folds([responses, features], there, cv, margin)
    folds = cv if isinstance(cv, int) else 5

    def inner(pair: Fold) -> list[Fold]:
        return inner_folds([responses, features], [pair], folds, margin)[0]

    if search:
        inner(outer[0])  # too few samples are refused before anything is read
    read = blocks(name, features, responses, delays, there, device)
    inputs = Design(np.empty((0, 0)), there, column_labels(features, delays))
    problem = Problem(
        features,
        responses,
        inputs,
        labels(responses),
        read,
        None,
        outer,
        [],
        parameters(cv, outer, delays, margin, device),
        kind,
    )
    return problem, inner


def labelled(problem: Problem, found: Answer) -> dict[str, xr.DataArray]:
    """Label an answer as `ridge` gives it."""
    read: Blocks = problem.x
    units = problem.target.unit_coords
    coords = {"fold": np.arange(len(problem.outer))} | units
    number = np.full((read.shape[0], 1), -1)
    for fold, (_, test) in enumerate(problem.outer):
        number[test] = fold
    each = {
        "score": found.score.astype(read.dtype), "correlation": found.correlation.astype(read.dtype),
        "fold_alpha": found.fold_alpha,
    }  # fmt: skip
    out = {name: xr.DataArray(values, dims=("fold", "unit"), coords=coords) for name, values in each.items()}
    values = predicted(read, problem.outer, found).reshape(*problem.target.sample_shape, read.shape[2])
    out["prediction"] = xr.DataArray(
        values, dims=(*problem.target.sample_dims, "unit"), coords=problem.target.sample_coords | units
    )
    out["test_fold"] = problem.target.unstack(number, "fold").isel(fold=0, drop=True)
    return model(problem, found.weights, found.intercept, found.alpha) | out


def answer(
    read: Blocks, outer: Sequence[Fold], inner: Callable[[Fold], list[Fold]], alphas: NDArray[np.float64],
    standardize: bool, *, shares: NDArray[np.float64] | None = None, groups: Indices | None = None,
) -> Answer:  # fmt: skip
    """Fit all folds and all samples, units in batches.

    Parameters
    ----------
    read
        Features and responses.
    outer, inner
        Folds, and what makes folds inside the training set of one.
    alphas, shares
        (alpha,), (draw, band): all are tried where there is a choice. Default: all features are one band.
    standardize
        Scale features by their deviation over training samples.
    groups
        (feature,), the band of each.
    """
    shares = np.ones((1, 1)) if shares is None else shares
    groups = np.zeros(read.shape[1], dtype=np.int64) if groups is None else groups
    out = _empty(read, len(outer), shares.shape[1])
    choice = alphas.size * len(shares) > 1
    total = np.zeros((len(shares), alphas.size, read.shape[2]))
    every = [share[groups] for share in shares]
    for number, pair in enumerate(outer):
        folds = inner(pair) if choice else []
        kept: dict[int, Held] = {}
        for units, sets in _batches(read, [pair, *folds]):
            own_errors = np.zeros_like(total[:, :, units])
            for draw, index in np.ndindex(len(shares), len(folds) + 1 if choice else 0):
                train, test = sets(index)
                held = kept.get(index) or facing(
                    _decomposed(train.sums, every[draw], standardize, read, float(alphas.min())), test.sums
                )
                if len(shares) == 1:
                    kept[index] = held
                found = errors(held, train.sums, test.sums, alphas)
                (own_errors if index else total[:, :, units])[draw] += found
            best = _best(own_errors, alphas)
            train, test = sets(0)
            known = {0: kept[0].fit} if 0 in kept else {}
            own, constant = _solved(train.sums, best, every, standardize, read, known)
            out.fold_weights[number][:, units], out.fold_level[number, units] = own, constant + read.x_mean @ own
            out.fold_alpha[number, units] = best[1]
            _score(out, number, units, own, train.sums, test, groups)
    best, known = _best(total, alphas), {}
    for units, sets in _batches(read, [(read.usable,)]):
        some = (best[0][units], best[1][units])
        out.weights[:, units], out.intercept[units] = _solved(sets(0)[0].sums, some, every, standardize, read, known)
    return out._replace(alpha=best[1], share=shares[best[0]])


def predicted(read: Blocks, outer: Sequence[Fold], found: Answer) -> Any:
    """Give held-out predictions as a dask array (sample, unit), which is computed when it is looked at or saved."""
    import dask.array
    from dask.delayed import delayed

    da: Any = dask.array  # which has no types
    task: Any = delayed
    tested = np.zeros((read.shape[0], len(outer)), dtype=bool)
    for fold, (_, test) in enumerate(outer):
        tested[test, fold] = True
    parts = [slice(start, min(start + BATCH, read.shape[2])) for start in range(0, read.shape[2], BATCH)]
    models = [task((found.fold_weights[:, :, part], found.fold_level[:, part])) for part in parts]
    mean = task(np.asarray(read.x_mean, dtype=read.dtype))
    make_rows = task(_rows)
    call, out = task(_predict), []
    for rows, _, x, make in read.rows():
        design = make_rows(x, make, mean)
        shape = rows.stop - rows.start
        out.append([
            da.from_delayed(call(design, tested[rows], model), (shape, part.stop - part.start), dtype=read.dtype)
            for part, model in zip(parts, models, strict=True)
        ])  # fmt: skip
    return da.block(out)


def _rows(x: np.ndarray, make: Callable[[np.ndarray], np.ndarray], mean: np.ndarray) -> np.ndarray:
    about: np.ndarray = make(x) - mean  # else float32 would lose in an intercept what it has in a product
    return about


def _predict(rows: np.ndarray, tested: NDArray[np.bool_], model: tuple[Floats, Floats]) -> np.ndarray:
    """Give the mean prediction of the folds that test each row; NaN where none does."""
    total = np.zeros((len(rows), model[0].shape[2]), dtype=rows.dtype)
    for fold in np.flatnonzero(tested.any(axis=0)):
        which = np.flatnonzero(tested[:, fold])
        total[which] += rows[which] @ model[0][fold] + model[1][fold]
    times = tested.sum(axis=1)[:, None]
    mean: np.ndarray = np.where(times > 0, total / np.maximum(times, 1).astype(rows.dtype), rows.dtype.type(np.nan))
    return mean


def _empty(read: Blocks, folds: int, bands: int) -> Answer:
    _, features, units = read.shape
    whole, each = (np.zeros(shape, dtype=read.dtype) for shape in ((features, units), (folds, features, units)))
    one, per_fold = np.zeros(units, dtype=read.dtype), np.zeros((folds, units))
    return Answer(
        whole, one, np.ones(units), np.ones((units, bands)), each, per_fold.astype(read.dtype), per_fold.copy(),
        per_fold.copy(), per_fold.copy(), np.zeros((folds, bands, units)), per_fold.copy(),
    )  # fmt: skip


def _batches(
    read: Blocks, folds: Sequence[tuple[Indices, ...]]
) -> Iterator[tuple[slice, Callable[[int], tuple[_Set, ...]]]]:
    """Give units that are read together, and what gives the sums of the sets of a fold for them."""
    cells = cells_of(read.shape[0], [one for fold in folds for one in fold])
    width, grams = len(folds[0]), None
    for units in read.batches(cells.table.shape[1]):
        parts = read.sums(cells, units, gram=grams is None)
        grams = [part.gram for part in parts] if grams is None else grams
        parts = [part._replace(gram=gram) for part, gram in zip(parts, grams, strict=True)]
        mean = (read.x_mean, read.y_mean[units])

        def sets(index: int, parts: Any = parts, mean: Any = mean) -> tuple[_Set, ...]:
            found = []
            for place, samples in enumerate(folds[index]):
                mine = [parts[cell] for cell in np.flatnonzero(cells.table[index * width + place])]
                low, high = (np.stack([to_numpy(getattr(one, side)) for one in mine]) for side in ("low", "high"))
                found.append(_Set(set_sums(mine, mean, samples), high.max(axis=0) > low.min(axis=0)))
            return tuple(found)

        yield units, sets


def _decomposed(train: Moments, share: Floats, standardize: bool, read: Blocks, smallest: float) -> Fit:
    column = None if (share == 1).all() else like(share, train.feature_mean)
    resolution = float(np.finfo(read.dtype).eps)
    return decompose(None, None, train, standardize=standardize, smallest=smallest, share=column, resolution=resolution)


def _best(errors: Floats, alphas: NDArray[np.float64]) -> tuple[Indices, Floats]:
    """Give each unit its draw and its alpha by errors (draw, alpha, unit)."""
    draw = errors.min(axis=1).argmin(axis=0)
    return draw, lowest(np.take_along_axis(errors, draw[None, None], axis=0)[0], alphas)


def _solved(
    train: Moments, best: tuple[Indices, Floats], shares: Sequence[Floats], standardize: bool, read: Blocks,
    known: dict[int, Fit],
) -> tuple[Floats, Floats]:  # fmt: skip
    """Give weights (feature, unit) and intercepts (unit), each unit with its own draw and alpha.

    Of a single draw the decomposition is kept in `known`, for other units.
    """
    draw, alpha = best
    own, constant = np.empty((read.shape[1], len(draw))), np.empty(len(draw))
    for index in map(int, np.unique(draw)):
        units = np.flatnonzero(draw == index)
        where = like(units, train.cross)
        fit = known.get(index) or _decomposed(train, shares[index], standardize, read, float(alpha[units].min()))
        if len(shares) == 1:
            known[index] = fit
        some = fit._replace(right=train.cross[:, where], response_mean=train.response_mean[where])
        found = weights(some, like(alpha[units], train.feature_mean))
        own[:, units], constant[units] = map(to_numpy, found)
    return own, constant


def _score(out: Answer, fold: int, units: slice, own: Floats, train: Moments, test: _Set, groups: Indices) -> None:
    """Put down scores of weights (feature, unit) on a test set, and what each band has of them."""
    n, sums = len(test.sums.train), test.sums
    gram, cross, power = (to_numpy(one) for one in (sums.gram, sums.cross, sums.power))
    off = to_numpy(sums.feature_mean - train.feature_mean)[:, None] * own
    level = to_numpy(sums.response_mean - train.response_mean)
    image = gram @ own
    both, spread = (own * cross).sum(axis=0), np.maximum((own * image).sum(axis=0), 0.0)
    missed = off.sum(axis=0) - level  # the mean prediction about the mean response
    safe = np.where(test.varies & (power > 0), power, np.nan)
    out.score[fold, units] = (2 * both - spread - n * missed**2) / safe
    with np.errstate(divide="ignore", invalid="ignore"):
        r = both / np.sqrt(spread * safe)
    out.correlation[fold, units] = np.clip(np.where(spread > 0, r, np.nan), -1.0, 1.0)
    for band in range(out.band_score.shape[1]):
        rows = groups == band
        part = (own[rows] * (2 * cross[rows] - image[rows])).sum(axis=0) - n * missed * off[rows].sum(axis=0)
        out.band_score[fold, band, units] = part / safe
    out.mean_score[fold, units] = n * missed * level / safe
