"""How far held-out predictions can be trusted: ceilings, p-values and intervals beside the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import score, split
from neurointerp.align import match
from neurointerp.analyses.encoding._blocks import is_chunked
from neurointerp.analyses.encoding._drift import HighPassed
from neurointerp.analyses.encoding._shuffles import Null, draws_of
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.matrix import labels, require_complete, stack, stretches
from neurointerp.result import result
from neurointerp.statistics import fdr, max_statistic_p, permutation_p

_ANALYSIS = "encoding.evaluate"
Ceiling = Literal["signal_power", "split_half", "leave_one_out"]
BYTES = 2**25
"""Bytes of the responses (float64) that are read together where they are chunked."""


def evaluate(
    fitted: xr.Dataset, responses: xr.DataArray, *, repeats: xr.DataArray | None = None,
    ceiling: Ceiling = "signal_power", null: Null = "circular", block: int = 10, draws: int = 1000,
    resamples: int = 1000, level: float = 0.95, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Add noise ceiling, normalised score, p-values and intervals to an encoding model's result.

    Parameters
    ----------
    fitted
        What a model of this family gave, with its held-out `prediction`. Of a model with `high_pass` responses are
        high-passed here as they were there, within each test set.
    responses
        The recording that it predicted.
    repeats
        Recording of repeated stimuli that the ceiling is taken from: `(trial, unit)` with `stimulus`, of the same
        units; or other subjects' `(subject, ...)` for `"leave_one_out"`. Default: no ceiling.
    ceiling
        Estimator: `"signal_power"` or `"split_half"` (`neurointerp.score.noise_ceiling`, of the mean over repeats, as
        one fits means), or `"leave_one_out"`: the squared correlation of each repeat (or subject) with the mean of
        the others, averaged, which is a lower bound of what predicts a single one.
    null
        How responses lose their relation to predictions: `"circular"` shifts within each stretch by at least a tenth
        of it, `"block"` permutes blocks of `block` samples within it, `"sample"` permutes samples (trials; whole
        stimuli where they return). Each draw moves all units together.
    block
        Samples per block; longer than the responses' memory.
    draws, resamples
        Of the null, and of the bootstrap.
    level
        Coverage of the intervals.
    seed
        Seed of both.

    Returns
    -------
    xarray.Dataset
        All of `fitted`, and, NaN for a unit that does not vary: `pooled_correlation (unit)` of predictions and
        responses over all held-out samples, both about their means in each test fold, and `pooled_score`, the r2 about
        the same means; `p_value (unit)` of the former, one-sided; `q_value`, its Benjamini-Hochberg adjustment over
        units; `p_value_max`, corrected for all units by the largest of each draw;
        `pooled_score_interval (bound, unit)` by a bootstrap of stimuli (where they return) or blocks; `null_correlation
        (draw, unit)`. With `repeats` `noise_ceiling (unit)`, an r2, and `normalized_score (unit)`, `pooled_score`
        over it, NaN where the ceiling is not above 0.

    Raises
    ------
    AlignmentError
        When the responses are others than those predicted.
    AnalysisError
        When values are missing, there is no held-out prediction, an argument is out of range, or the test sets of a
        model with `high_pass` overlap.

    Notes
    -----
    Chunked responses or predictions (dask) are read some units at a time, all samples of these.

    The model is not fitted again to each draw: the null is that held-out predictions say nothing about the
    responses. Means of test folds are taken off, as a training mean goes against the mean of what it left out: without
    that, noise comes out below chance. A little of it is left (-0.06 for 300 samples of noise in five folds, with a
    high-pass or without), so that p-values are conservative. Circular shifts are exchangeable only for stationary
    responses. With `high_pass` draws move what is left of the responses in each test set, and lose the slow cosines of
    the test sets that they come to lie in; samples that no fold tested count as 0 there.

    References
    ----------
    Sahani, Linden (2003), How linear are auditory cortical responses?, NIPS 15:109-116; Schoppe et al. (2016), Front
    Comput Neurosci 10:10; Nichols, Holmes (2002), Hum Brain Mapp 15:1-25; Benjamini, Hochberg (1995), J R Stat Soc B
    57:289-300. Leave-one-out: Nili et al. (2014), A toolbox for representational similarity analysis, PLoS Comput
    Biol 10:e1003553, whose lower bound this is, for responses and not for dissimilarities.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> tree = ni.synthetic.linear_responses(n_samples=300, n_features=4, n_units=2, snr=[9.0, 0.0])
    >>> responses = tree["recordings/responses/recording"]
    >>> found = encoding.ridge(tree["recordings/features/recording"], responses)
    >>> (encoding.evaluate(found, responses, draws=99).p_value < 0.05).values
    array([ True, False])
    """
    _check(fitted, block, draws, resamples, level)
    if list(map(str, responses["unit"].values)) != list(map(str, fitted["unit"].values)):
        raise AnalysisError(f"{_ANALYSIS}: responses have other units than the fitted model; pass those it predicted")
    shell = _predicted(fitted, responses)
    group, fold = _stimuli(responses), np.asarray(fitted["test_fold"].transpose(*responses.dims[:-1]).values).ravel()
    left = group if group is not None else _blocks(responses, block)
    coords, found = labels(responses).unit_coords, []
    for part in _unit_batches(shell, responses):
        orders = draws_of(responses, group, null, block, draws, np.random.default_rng(seed))
        own = responses.isel(unit=part)
        require_complete(own, _ANALYSIS)
        pair = _Pair(
            stack(own).values, stack(shell.isel(unit=part)).values, fold, _filter(fitted, responses, fold, part)
        )
        pooled, null_r = _correlations(pair, orders)
        centred, error = pair.residuals()
        low_high = _interval(centred, error, left[pair.there], resamples, level, np.random.default_rng([seed, 1]))
        found.append((pooled, null_r, score.r2(centred, centred - error), low_high))
    pooled, null_r, pooled_r2, low_high = (np.concatenate(side, axis=-1) for side in zip(*found, strict=True))
    p, corrected = permutation_p(pooled, null_r), max_statistic_p(pooled, null_r)
    one = {
        "pooled_correlation": pooled,
        "pooled_score": pooled_r2,
        "p_value": p,
        "q_value": fdr(p),
        "p_value_max": corrected,
    }
    if repeats is not None:
        one["noise_ceiling"] = _ceiling(repeats, responses, ceiling, seed)
        best = one["noise_ceiling"]
        one["normalized_score"] = np.where(best > 0, one["pooled_score"] / np.where(best > 0, best, 1.0), np.nan)
    kept = {str(name): fitted[name] for name in fitted.data_vars if name not in one}
    return result(
        kept | _labelled(one, low_high, null_r, coords),
        analysis=_ANALYSIS,
        recording=responses,
        parameters={
            "fitted": {name: fitted.attrs[name] for name in ("analysis", "parameters", "recording")},
            "ceiling": ceiling if repeats is not None else None, "null": null, "block": block, "draws": draws,
            "resamples": resamples, "level": level,
        },
        seed=seed,
    )  # fmt: skip


def _labelled(
    one: dict[str, NDArray[np.float64]], low_high: NDArray[np.float64], null_r: NDArray[np.float64],
    coords: Mapping[Any, Any],
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Label figures of each unit, the interval of the score and the null of the correlation."""
    bound = {"bound": np.array(["low", "high"], dtype=object), **coords}
    out = {name: xr.DataArray(values, dims="unit", coords=coords) for name, values in one.items()}
    out["pooled_score_interval"] = xr.DataArray(low_high, dims=("bound", "unit"), coords=bound)
    out["null_correlation"] = xr.DataArray(null_r, dims=("draw", "unit"), coords=coords)
    return {name: array.assign_attrs(units="1") for name, array in out.items()}


def _check(fitted: xr.Dataset, block: int, draws: int, resamples: int, level: float) -> None:
    if not {"prediction", "score", "test_fold"} <= set(fitted.data_vars):
        raise AnalysisError(f"{_ANALYSIS}: the result of an encoding model with held-out predictions is needed")
    if block < 1 or draws < 1 or resamples < 1 or not 0 < level < 1:
        raise AnalysisError(
            f"{_ANALYSIS}: block {block}, draws {draws}, resamples {resamples}, level {level}: 1 or more, and a level "
            "within (0, 1), are needed"
        )


def _predicted(fitted: xr.Dataset, responses: xr.DataArray) -> xr.DataArray:
    """Give the predictions as a recording, if they are of these samples in this order."""
    predicted = fitted["prediction"]
    if set(predicted.dims) != set(responses.dims):
        raise AlignmentError(f"{_ANALYSIS}: predictions have dims {predicted.dims} and responses {responses.dims}")
    shell = predicted.transpose(*responses.dims).assign_attrs(responses.attrs)
    match(shell, responses)
    for name in ("stimulus", "segment"):
        if name in responses.coords and (
            name not in shell.coords or not np.array_equal(shell[name].values, responses[name].values)
        ):
            raise AlignmentError(
                f"{_ANALYSIS}: {name!r} of the responses is not that of those predicted; pass the same recording"
            )
    return shell


def _stimuli(responses: xr.DataArray) -> NDArray[np.int64] | None:
    """Give the stimulus of each sample where stimuli are labelled on trials, else None."""
    if "stimulus" in responses.coords and responses["stimulus"].dims and "trial" in responses["stimulus"].dims:
        return split.groups(responses, "stimulus")
    return None


def _blocks(responses: xr.DataArray, block: int) -> NDArray[np.int64]:
    """Number blocks of so many samples, within stretches."""
    number, parts = 0, []
    for part in stretches(responses):
        size = part.stop - part.start
        parts.append(number + np.arange(size) // block)
        number = int(parts[-1][-1]) + 1
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Pair:
    """Responses and held-out predictions (sample, unit), the fold of each sample, and what filters a test set."""

    observed: np.ndarray
    predicted: np.ndarray
    fold: NDArray[np.int64]
    rows: Callable[[np.ndarray, NDArray[np.int64]], np.ndarray] | None

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """Tell which samples have a prediction."""
        found: NDArray[np.bool_] = ~np.isnan(self.predicted).any(axis=1)
        return found

    def centred(self, values: np.ndarray) -> NDArray[np.float64]:
        """Give samples with a prediction about the mean of their fold, high-passed within it where the model was."""
        kept = values[self.there].astype(np.float64)
        if self.rows is not None:
            number = self.fold[self.there]
            for one in np.unique(number):
                kept[number == one] = self.rows(values, np.flatnonzero(self.there & (self.fold == one)))
        return _about_folds(kept, self.fold[self.there])

    def residuals(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the centred responses, and what predictions miss of the responses that the model was scored on."""
        centred, predicted = self.centred(self.observed), self.predicted[self.there].astype(np.float64)
        seen = self.observed[self.there] if self.rows is None else centred
        return centred, seen - predicted


def _filter(
    fitted: xr.Dataset, responses: xr.DataArray, number: NDArray[np.int64], part: slice
) -> Callable[[np.ndarray, NDArray[np.int64]], np.ndarray] | None:
    """Give what high-passes rows as the model did; refuse test sets that overlap, of which one is known here."""
    cutoff = fitted.attrs["parameters"].get("high_pass")
    if cutoff is None:
        return None
    parts, length = stretches(responses), float(cutoff) * responses.attrs["sampling_rate"]

    def rows(values: np.ndarray, index: NDArray[np.int64]) -> np.ndarray:
        return np.asarray(HighPassed(values, parts, length).rows(index))

    observed = stack(responses.isel(unit=part)).values
    shell = stack(_predicted(fitted, responses).isel(unit=part)).values
    for fold, expected in enumerate(fitted["score"].isel(unit=part).values):
        index = np.flatnonzero(number == fold)
        found = score.r2(rows(observed, index), shell[index]) if index.size else np.full_like(expected, np.inf)
        if not np.allclose(found, expected, rtol=1e-2, atol=1e-3, equal_nan=True):
            raise AnalysisError(
                f"{_ANALYSIS}: fold {fold} was scored on other samples, or other responses: a model with high_pass "
                "needs the responses that it predicted, and test sets that do not overlap (cv=)"
            )
    return rows


def _unit_batches(shell: xr.DataArray, responses: xr.DataArray) -> list[slice]:
    """Give units that are read together: all where they are in memory."""
    units = responses.sizes["unit"]
    width = max(BYTES // (8 * max(responses.size // units, 1)), 1) if is_chunked(shell, responses) else units
    return [slice(start, start + width) for start in range(0, units, width)]


def _correlations(pair: _Pair, orders: Iterator[NDArray[np.int64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the correlation (unit) over samples, and that of each order (draw, sample) of the responses."""
    p = _about_folds(pair.predicted[pair.there].astype(np.float64), pair.fold[pair.there])
    y, moved = pair.observed.astype(np.float64), pair.centred
    real = np.asarray(score.correlation(pair.centred(y), p))
    if pair.rows is not None:
        kept = np.zeros_like(y)
        kept[pair.there] = pair.centred(y)
        y = kept
    null = np.stack([score.correlation(moved(y[order]), p) for order in orders])
    return real, np.where(np.isnan(null), 0.0, null)  # a shifted constant is related to nothing


def _about_folds(values: NDArray[np.float64], fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Take the mean of each fold from its rows."""
    names, number = np.unique(fold, return_inverse=True)
    sums = np.zeros((names.size, values.shape[1]))
    np.add.at(sums, number, values)
    return values - (sums / np.bincount(number)[:, None])[number]


def _interval(
    y: NDArray[np.float64], error: NDArray[np.float64], parts: NDArray[np.int64], resamples: int, level: float, rng: Any
) -> NDArray[np.float64]:
    """Give percentile bounds (bound, unit) of the r2, resampling whole parts; from sums of each part."""
    _, number = np.unique(parts, return_inverse=True)
    count = number.max() + 1
    sums = np.zeros((count, 4, y.shape[1]))
    for index, values in enumerate((np.ones_like(y), y, y * y, error * error)):
        np.add.at(sums[:, index], number, values)
    found = np.empty((resamples, y.shape[1]))
    for draw in range(resamples):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        n, total, square, missed = np.tensordot(times.astype(np.float64), sums, axes=1)
        spread = square - total * total / n
        with np.errstate(invalid="ignore", divide="ignore"):
            found[draw] = np.where(spread > 1e-12 * np.maximum(square, 1e-300), 1 - missed / spread, np.nan)
    tails = [(1 - level) / 2, (1 + level) / 2]
    lost = np.isnan(found).any(axis=0)
    bounds = np.quantile(np.where(lost, 0.0, found), tails, axis=0)
    found_bounds: NDArray[np.float64] = np.where(lost, np.nan, bounds)
    return found_bounds


def _ceiling(repeats: xr.DataArray, responses: xr.DataArray, ceiling: Ceiling, seed: int) -> NDArray[np.float64]:
    if list(repeats["unit"].values) != list(responses["unit"].values):
        raise AnalysisError(f"{_ANALYSIS}: repeats have other units than responses")
    if ceiling == "leave_one_out":
        return np.asarray(score.leave_one_out_ceiling(repeats), dtype=np.float64)
    if ceiling not in ("signal_power", "split_half"):
        raise AnalysisError(f"{_ANALYSIS}: ceiling {ceiling!r}: 'signal_power', 'split_half' or 'leave_one_out'")
    found = score.noise_ceiling(repeats, estimator=ceiling, seed=seed)
    return np.asarray(found.values, dtype=np.float64)
