"""Outer and inner folds of an encoding model: by stimulus where stimuli return, else blocks of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import split
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.split import Fold

Indices = NDArray[np.int64]


def outer_folds(
    recordings: Sequence[xr.DataArray], usable: Indices, cv: int | Iterable[tuple[Any, Any]], gap: int
) -> tuple[list[Fold], str]:
    """Give the folds of the usable samples that `cv` asks for, and how they were made."""
    if not isinstance(cv, int | np.integer):
        folds = given_folds(cv, int(np.prod(recordings[0].shape[:-1])))
        _refuse_shared(_repeated(recordings), folds)
        return _within(folds, usable), "given"
    group = _repeated(recordings)
    if group is None:
        return _within(split.blocked(recordings[0], cv, gap=gap), usable), "blocked"
    stimuli = np.unique(group).size
    if stimuli < 2:
        raise AnalysisError(
            "encoding: every sample has the same 'stimulus', which returns, so each fold would leak; pass the "
            "folds as cv=, or drop the coordinate if the label does not mean the same stimulus"
        )
    label = split.group_labels(group, min(cv, stimuli), "stimulus")
    return _within(split.pairs(label, stretches(recordings[0]), gap), usable), "grouped by stimulus"


def inner_folds(recordings: Sequence[xr.DataArray], outer: Sequence[Fold], folds: int, gap: int) -> list[list[Fold]]:
    """Give, for each outer fold, folds of its training samples alone."""
    group, moment, stretch = _repeated(recordings), split.moments(recordings[0]), stretches(recordings[0])
    found = []
    for train, _ in outer:
        label = np.full(moment.size, -1)
        stimuli = 0 if group is None else np.unique(group[train]).size
        if group is not None and stimuli >= 2:
            label[train] = split.group_labels(group[train], min(folds, stimuli), "stimulus")
        else:
            label[train] = split.block_labels(moment[train], folds)
        found.append(split.pairs(label, stretch, gap))
    return found


def _repeated(recordings: Sequence[xr.DataArray]) -> Indices | None:
    """Give the stimulus number of each sample if a stimulus is shown more than once, else None."""
    for recording in recordings:
        if "stimulus" in recording.coords and recording["stimulus"].dims:
            one = recording
            if "subject" in recording.dims and "subject" not in recording["stimulus"].dims:
                one = recording.isel(subject=0)  # shown to all subjects at once is not a repeat
            label = split.groups(one, "stimulus")
            shown = np.zeros(len(label), dtype=bool)
            shown[[part.start for part in stretches(one)]] = True
            shown[1:] |= label[1:] != label[:-1]
            if shown.sum() > np.unique(label).size:
                return split.groups(recording, "stimulus")
    return None


def given_folds(cv: Iterable[tuple[Any, Any]], samples: int) -> list[Fold]:
    """Check folds that were passed: int arrays within the samples, with none on both sides."""
    found: list[Fold] = []
    for number, (train, test) in enumerate(cv):
        sides = [np.asarray(side) for side in (train, test)]
        if any(side.ndim != 1 or side.dtype.kind not in "iu" for side in sides):
            raise AnalysisError(f"cv fold {number}: train and test must be one-dimensional int arrays")
        if any(side.size and (side.min() < 0 or side.max() >= samples) for side in sides):
            raise AnalysisError(f"cv fold {number}: indices must lie within the {samples} stacked samples")
        shared = split.common(*sides).size
        if shared:
            raise AnalysisError(f"cv fold {number} leaks: {shared} samples are in both train and test")
        found.append((sides[0], sides[1]))
    if not found:
        raise AnalysisError("cv holds no folds: pass a number, or (train, test) pairs of int arrays")
    return found


def _refuse_shared(group: Indices | None, folds: Sequence[Fold]) -> None:
    """Refuse folds that train on a stimulus they test on, where stimuli return."""
    for number, (train, test) in enumerate(folds):
        both = 0 if group is None else np.intersect1d(group[train], group[test]).size
        if both:
            raise AnalysisError(
                f"cv fold {number} leaks: {both} groups of 'stimulus' are in both train and test; split.grouped holds "
                "them out whole"
            )


def _within(folds: Sequence[Fold], usable: Indices) -> list[Fold]:
    """Keep the samples that have every lag."""
    kept = [(split.common(train, usable), split.common(test, usable)) for train, test in folds]
    for number, (train, test) in enumerate(kept):
        if not train.size or not test.size:
            raise AnalysisError(
                f"cv fold {number}: {train.size} training and {test.size} test samples have all lags; both need "
                "at least one"
            )
    return kept
