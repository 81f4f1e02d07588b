"""Feature maps and responses as plain arrays of the same trials, and the folds that they are scored on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import score, split
from neurointerp.analyses.encoding._folds import given_folds
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.matrix import require_complete, require_values
from neurointerp.schema import check
from neurointerp.split import Fold

REACH = 15.0
"""Within so much of their mean the values of a channel are brought, in its deviations where they already are."""


@dataclass(frozen=True)
class Trials:
    """What a readout is fitted on.

    Attributes
    ----------
    responses
        (trial, unit) recording, NaN where a unit was not seen.
    place
        (trial) row of `maps` that each trial saw.
    maps
        (stimulus, ...) what is read.
    group
        (trial) number of the stimulus, for folds that do not leak.
    """

    responses: xr.DataArray
    place: np.ndarray
    maps: xr.DataArray
    group: np.ndarray

    def seen(self, values: np.ndarray) -> np.ndarray:
        """Give what each trial saw."""
        seen: np.ndarray = values[self.place]
        return seen

    def folds(self, cv: int | Iterable[tuple[Any, Any]], analysis: str) -> list[Fold]:
        """Give folds of whole stimuli, or those that are given, which may not share one."""
        if isinstance(cv, int | np.integer):
            label = split.group_labels(self.group, int(cv), "stimulus")
            return split.pairs(label, [slice(i, i + 1) for i in range(len(label))])
        folds = given_folds(cv, len(self.group))
        for number, (train, test) in enumerate(folds):
            shared = np.intersect1d(self.group[train], self.group[test]).size
            if shared or not train.size or not test.size:
                raise AnalysisError(
                    f"{analysis}: fold {number} leaks: {shared} stimuli are in both train ({train.size} trials) and "
                    f"test ({test.size})"
                )
        return folds

    def validation(self, train: np.ndarray, share: float, rng: np.random.Generator, analysis: str) -> np.ndarray:
        """Draw whole stimuli of a training fold; give the positions within it of their trials."""
        stimuli = np.unique(self.group[train])
        count = round(share * len(stimuli))
        if not 0 < count < len(stimuli):
            raise AnalysisError(f"{analysis}: {share!r} of {len(stimuli)} training stimuli leaves none on one side")
        if count < 3:
            raise AnalysisError(
                f"{analysis}: {share!r} of {len(stimuli)} training stimuli are {count} to stop training by; a "
                "correlation over fewer than 3 says nothing: pass a larger validation="
            )
        chosen = rng.choice(stimuli, count, replace=False)
        return np.flatnonzero(np.isin(self.group[train], chosen))


def trials_of(features: xr.DataArray, responses: xr.DataArray, analysis: str) -> Trials:
    """Match maps with the trials that saw them: by `stimulus` where both name it, else by `trial`."""
    for recording in (features, responses):
        check(recording)
        require_values(recording, analysis)
    require_complete(features, analysis)
    if responses.dims != ("trial", "unit") or features.dims[0] != "trial":
        raise AnalysisError(
            f"{analysis}: responses (trial, unit) and features (trial, ..., unit) are needed; found {responses.dims} "
            f"and {features.dims}"
        )
    named = ["stimulus" in one.coords and one["stimulus"].dims == ("trial",) for one in (features, responses)]
    if not all(named):
        if any(named):
            raise AlignmentError(
                f"{analysis}: only one of features and responses names its 'stimulus'; both or none must"
            )
        one, other = (rec["trial"].values.tolist() if "trial" in rec.coords else None for rec in (features, responses))
        if features.sizes["trial"] != responses.sizes["trial"] or one != other:
            raise AlignmentError(
                f"{analysis}: features hold {features.sizes['trial']} trials and responses {responses.sizes['trial']}, "
                "or under other labels; give both a 'stimulus', or the same trials"
            )
        every = np.arange(responses.sizes["trial"])
        return Trials(responses, every, features, every)
    shown = [str(label) for label in features["stimulus"].values]
    place = {label: row for row, label in enumerate(shown)}
    if len(place) != len(shown):
        double = next(label for label in place if shown.count(label) > 1)
        raise AlignmentError(f"{analysis}: features hold stimulus {double!r} more than once; keep one map of each")
    wanted = [str(label) for label in responses["stimulus"].values]
    missing = sorted(set(wanted) - set(place))
    if missing:
        raise AlignmentError(
            f"{analysis}: features lack {len(missing)} of {len(set(wanted))} stimuli of the responses, such as "
            f"{missing[0]!r}"
        )
    rows = np.array([place[label] for label in wanted])
    group = np.unique(wanted, return_inverse=True)[1]  # whatever the order of the maps
    return Trials(responses, rows, features, group)


def grid_of(maps: xr.DataArray, analysis: str) -> np.ndarray:
    """Give (stimulus, channel, row, col) of a feature map, or of tokens whose `row` and `col` fill a grid."""
    if maps.dims == ("trial", "row", "col", "unit"):
        return np.asarray(maps.transpose("trial", "unit", "row", "col").values, dtype=np.float32)
    if maps.dims == ("trial", "token", "unit") and {"row", "col"} <= set(maps.coords):
        rows, cols = (np.unique(maps[name].values, return_inverse=True) for name in ("row", "col"))
        number = rows[1] * len(cols[0]) + cols[1]
        if len(np.unique(number)) != maps.sizes["token"] or maps.sizes["token"] != len(rows[0]) * len(cols[0]):
            raise AnalysisError(
                f"{analysis}: {maps.sizes['token']} tokens do not fill the grid of {len(rows[0])} rows and "
                f"{len(cols[0])} columns"
            )
        ordered = np.asarray(maps.values, dtype=np.float32)[:, np.argsort(number)]
        return ordered.transpose(0, 2, 1).reshape(len(ordered), -1, len(rows[0]), len(cols[0]))
    raise AnalysisError(
        f"{analysis}: features (trial, row, col, unit), or (trial, token, unit) with row and col, are needed; found "
        f"{maps.dims}"
    )


def scaling(values: np.ndarray, axes: tuple[int, ...], *, reach: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and scale of what is there over some axes, kept; a scale of 1 where it varies by rounding alone.

    The scale is the deviation, or more where a value would still lie further than `reach` from the mean.
    """
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=axes, keepdims=True), 1)
    mean = np.where(there, values, 0).sum(axis=axes, keepdims=True, dtype=np.float64) / count
    off = np.where(there, values - mean, 0)
    scale = np.sqrt((off**2).sum(axis=axes, keepdims=True) / count)
    varies = scale > 10 * np.finfo(values.dtype).eps * np.abs(mean)
    scale = np.maximum(scale, np.abs(off).max(axis=axes, keepdims=True) / reach)
    return mean.astype(values.dtype), np.where(varies, scale, 1.0).astype(values.dtype)


def channels(values: np.ndarray, train: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Scale the channels of maps by what they do in training samples.

    One that is silent but in a few images would hold values of hundreds of deviations: these few would decide what is
    learned, and what is predicted where it is heard again. Its scale is larger, and what lies beyond is brought back.
    """
    centre, scale = scaling(values[train], axes, reach=REACH)
    out: np.ndarray = np.clip((values - centre) / scale, -REACH, REACH)
    return out


def curve_of(histories: Sequence[Sequence[float]]) -> xr.DataArray:
    """Give (fold, epoch) what was found after each epoch, NaN after the last of a fold."""
    out = np.full((len(histories), max(map(len, histories))), np.nan)
    for row, history in zip(out, histories, strict=True):
        row[: len(history)] = history
    return xr.DataArray(out, dims=("fold", "epoch"), attrs={"units": "1"})


def require_seen(trials: Trials, folds: Sequence[Fold], analysis: str) -> None:
    """Refuse units that have no response in the training trials of a fold."""
    there = ~np.isnan(np.asarray(trials.responses.values))
    for number, (train, _) in enumerate(folds):
        unseen = np.flatnonzero(~there[train].any(axis=0))
        if unseen.size:
            name = str(trials.responses["unit"].values[unseen[0]])
            raise AnalysisError(
                f"{analysis}: {unseen.size} units have no response in the training trials of fold {number}, first "
                f"{name!r}; drop them"
            )


def scored(trials: Trials, folds: Sequence[Fold], predictions: Sequence[np.ndarray]) -> dict[str, xr.DataArray]:
    """Give held-out predictions, r2 and correlation by fold, and what the noise ceiling makes of them."""
    observed = np.asarray(trials.responses.values, dtype=np.float64)
    total, times = np.zeros_like(observed), np.zeros((len(observed), 1))
    test_fold = np.full(len(observed), -1)
    r2, correlation = (np.full((len(folds), observed.shape[1]), np.nan) for _ in range(2))
    for number, ((_, test), predicted) in enumerate(zip(folds, predictions, strict=True)):
        total[test] += predicted
        times[test] += 1
        test_fold[test] = number
        held = observed[test]
        patterns, which = np.unique(~np.isnan(held), axis=1, return_inverse=True)
        for pattern, seen in enumerate(patterns.T):  # units that miss the same trials are scored together
            units = np.flatnonzero(which.ravel() == pattern)
            if seen.sum() > 1:
                pair = held[np.ix_(seen, units)], predicted[np.ix_(seen, units)].astype(np.float64)
                r2[number, units], correlation[number, units] = score.r2(*pair), score.correlation(*pair)
    labels = {name: c for name, c in trials.responses.coords.items() if c.dims == ("unit",)}
    sample = {name: c for name, c in trials.responses.coords.items() if c.dims == ("trial",)}
    by_fold = {"fold": np.arange(len(folds)), **labels}
    mean = np.where(times > 0, total / np.maximum(times, 1), np.nan)
    out = {
        "score": xr.DataArray(r2, dims=("fold", "unit"), coords=by_fold, attrs={"units": "1"}),
        "correlation": xr.DataArray(correlation, dims=("fold", "unit"), coords=by_fold, attrs={"units": "1"}),
        "prediction": xr.DataArray(
            mean, dims=("trial", "unit"), coords={**sample, **labels}, attrs={"units": trials.responses.attrs["units"]}
        ),
        "test_fold": xr.DataArray(test_fold, dims="trial", coords=sample),
    }
    if "noise_ceiling" in labels:
        ceiling = np.asarray(labels["noise_ceiling"].values, dtype=np.float64)
        mean_r = np.asarray(out["correlation"].mean("fold").values)  # NaN where no fold has one
        usable = np.where(ceiling > 0, ceiling, np.nan)
        explained = np.minimum(np.maximum(mean_r, 0.0) ** 2 / usable, 1.0)
        out["score_of_ceiling"] = xr.DataArray(explained, dims="unit", coords=labels, attrs={"units": "1"})
    return out
