"""Outer and inner folds of a decoder: whole subjects, stimuli or trials held out, else blocks of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import split
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.split import Fold

Indices = NDArray[np.int64]


class Scheme(NamedTuple):
    """How samples are held out.

    Attributes
    ----------
    by
        Name of what is held out whole, or None for trials dealt by class, or blocks of time.
    group
        (sample,), its number for each sample; None as `by`.
    trial
        (sample,), the trial (of a subject) of each sample, or None where there are no trials.
    """

    by: str | None
    group: Indices | None
    trial: Indices | None


def scheme(frame: xr.DataArray, target: str | None, number: Indices | None, by: str | None, analysis: str) -> Scheme:
    """Choose what is held out whole: `by`, else subjects, else stimuli that return, else trials or blocks."""
    trial = _trials(frame)
    if by is not None:
        if by == target:
            raise AnalysisError(
                f"{analysis}: held out by {by!r}, no class would be in both train and test; pass another"
            )
        return Scheme(by, split.groups(frame, by), trial)
    for name in ("subject", "stimulus"):
        group = _groups(frame, name) if name != target else None
        if group is None or np.unique(group).size in (1, group.size):
            continue  # nothing to hold out, or nothing that returns
        if number is not None and _groups_of_rarest(group, number) < 2:
            if name == "subject":
                continue
            raise AnalysisError(
                f"{analysis}: a class of {target!r} has a single stimulus, so no stimulus can be held out; pass "
                "by='trial' to score new trials of known stimuli"
            )
        return Scheme(name, group, trial)
    if trial is not None and "time" in frame.dims:
        return Scheme("trial", trial, trial)
    return Scheme(None, None, trial)


def outer_folds(
    frame: xr.DataArray,
    way: Scheme,
    number: Indices | None,
    cv: int | Iterable[tuple[Any, Any]],
    gap: int,
    by: str | None,
) -> tuple[list[Fold], str]:
    """Give the folds that `cv` asks for, and how they were made; `by` is what was asked for by name."""
    if not isinstance(cv, int | np.integer):
        # folds within subjects are a choice that may be made; a trial or a stimulus on both sides is a leak
        folds = split.given(frame, cv, by=by or (way.by if way.by != "subject" else None), gap=gap)
        for fold, (train, test) in enumerate(folds):
            both = 0 if way.trial is None else np.intersect1d(way.trial[train], way.trial[test]).size
            if both:
                raise AnalysisError(f"fold {fold} leaks: moments of {both} trials are in both train and test")
        return folds, "given"
    if not isinstance(gap, int | np.integer) or gap < 0:
        raise AnalysisError(f"gap is {gap!r}: a whole number of samples, 0 or more, is needed")
    label = _dealt(way, number, split.moments(frame), np.arange(len(split.moments(frame))), int(cv), strict=True)
    if way.group is not None:
        kind = f"grouped by {way.by}"
    else:
        kind = "blocked" if way.trial is None or number is None else "trials, by class"
    return split.pairs(label, stretches(frame), gap), kind


def inner_folds(
    frame: xr.DataArray, way: Scheme, number: Indices | None, outer: Sequence[Fold], folds: int, gap: int
) -> list[list[Fold]]:
    """Give, for each outer fold, folds of its training samples alone, made the same way where they suffice."""
    moment, parts = split.moments(frame), stretches(frame)
    found = []
    for train, _ in outer:
        label = np.full(moment.size, -1, dtype=np.int64)
        label[train] = _dealt(way, number, moment, train, folds, strict=False)
        found.append(split.pairs(label, parts, gap))
    return found


def require_classes(outer: Sequence[Fold], number: Indices, names: NDArray[Any], analysis: str) -> None:
    """Refuse folds whose training side lacks a class."""
    for fold, (train, _) in enumerate(outer):
        lacking = np.setdiff1d(np.arange(names.size), number[train])
        if lacking.size:
            raise AnalysisError(
                f"{analysis}: fold {fold} has no training sample of class {str(names[lacking[0]])!r}; use other folds "
                "(cv=), or hold out by something that every class has more than one of (by=)"
            )


def _dealt(
    way: Scheme, number: Indices | None, moment: Indices, among: Indices, folds: int, *, strict: bool
) -> Indices:
    """Give the fold of each of the samples `among`: whole groups, else trials by class, else blocks of time."""
    label = None if number is None else number[among]
    if strict and folds < 2:
        raise AnalysisError(f"cv is {folds!r}: a whole number, at least 2, or (train, test) pairs are needed")
    for group in (way.group, way.trial):
        if group is None:
            continue
        mine = group[among]
        if label is None and group is not way.group:
            continue  # without classes to spread, blocks of trials keep neighbours together
        few = np.unique(mine).size if label is None else _groups_of_rarest(mine, label)
        if few >= 2:
            count = min(folds, few)
            return split.group_labels(mine, count) if label is None else _stratified(mine, label, count)
        if strict and group is way.group:
            whose = "there is" if label is None else "a class has"
            raise AnalysisError(f"{whose} a single group of {way.by!r}: at least 2 are needed to hold one out")
    return split.block_labels(moment[among], folds)


def _stratified(group: Indices, label: Indices, folds: int) -> Indices:
    """Deal whole groups to folds so that classes are spread alike; scikit-learn deals them, in order."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    out = np.zeros(group.size, dtype=np.int64)
    alone = np.unique(group).size == group.size
    splitter = StratifiedKFold(folds) if alone else StratifiedGroupKFold(folds)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # looked at in require_classes
        for fold, (_, test) in enumerate(splitter.split(np.zeros((group.size, 1)), label, None if alone else group)):
            out[test] = fold
    return out


def _groups_of_rarest(group: Indices, label: Indices) -> int:
    return min(np.unique(group[label == one]).size for one in np.unique(label))


def _trials(frame: xr.DataArray) -> Indices | None:
    if "trial" not in frame.dims:
        return None
    within = frame.sizes.get("time", 1)
    total = int(np.prod(frame.shape[:-1], dtype=int))
    return np.arange(total, dtype=np.int64) // max(within, 1)


def _groups(frame: xr.DataArray, name: str) -> Indices | None:
    there = (name in frame.coords and frame[name].dims) or name in frame.dims
    return split.groups(frame, name) if there else None
