"""Splits of a recording's samples into training and test sets that do not leak.

Each split is a list of `(train, test)` pairs of int arrays, positions on the stacked sample axis (every dim but
`unit`, in order, as `neurointerp.matrix.stack` lays it out). Nothing here is random.

| to hold out | use |
|---|---|
| blocks of time, with a gap | `blocked(recording, folds, gap=...)` |
| one subject at a time | `leave_one_out(recording, by="subject")` |
| one stimulus at a time, in all subjects at once | `leave_one_out(recording, by="stimulus")` |
| several groups at a time (group k-fold) | `grouped(recording, folds, by=...)` |
| what you or scikit-learn chose | `given(recording, folds)`, which refuses leaks |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.schema import check

Indices = NDArray[np.int64]
Fold = tuple[Indices, Indices]


def blocked(recording: xr.DataArray, folds: int = 5, *, gap: int = 0) -> list[Fold]:
    """Hold out contiguous blocks of time, one after the other.

    Samples are cut, in order of trial and time, into `folds` blocks whose sizes differ by at most one. Where
    a `subject` dim leads, the same block is held out in every subject at once.

    Parameters
    ----------
    recording
        (time, unit), (trial, time, unit) or (trial, unit); `subject` may lead.
    folds
        Number of blocks, at least 2.
    gap
        Training samples this close (in samples) to a test sample are left out, on either side, within a
        stretch (a segment of a trial of a subject). Samples of different stretches are never neighbours, so
        without a `time` dim the gap has no effect.

    Returns
    -------
    list of (train, test)
        One pair per block, in order; each sample is tested once.

    Raises
    ------
    AnalysisError
        When there are fewer samples than folds, or the gap leaves nothing to train on.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((6, 1)), modality="eeg", units="V", sampling_rate=1.0)
    >>> [(train.tolist(), test.tolist()) for train, test in ni.split.blocked(rec, 2, gap=1)]
    [([4, 5], [0, 1, 2]), ([0, 1], [3, 4, 5])]
    """
    check(recording)
    return pairs(block_labels(moments(recording), folds), stretches(recording), gap)


def grouped(recording: xr.DataArray, folds: int = 5, *, by: str = "stimulus", gap: int = 0) -> list[Fold]:
    """Hold out whole groups of samples, such as all presentations of a stimulus.

    Groups are dealt to folds from the largest to the smallest, each to the fold with the fewest samples.

    Parameters
    ----------
    recording
        Any recording.
    folds
        Number of folds, at least 2.
    by
        What makes a group: a coordinate on sample dims (`stimulus`, `condition`, `segment`, ...), or the dim
        `trial` or `subject`. A label is one group wherever it stands, in all trials and subjects.
    gap
        As in `blocked`; for groups that follow each other in time.

    Returns
    -------
    list of (train, test)
        One pair per fold; each sample is tested once and no group is on both sides.

    Raises
    ------
    AnalysisError
        When there is no such coordinate, it is on `unit`, labels are missing, or groups are fewer than folds.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((4, 1)), modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", ["a", "b", "a", "b"])})
    >>> [(train.tolist(), test.tolist()) for train, test in ni.split.grouped(rec, 2)]
    [([1, 3], [0, 2]), ([0, 2], [1, 3])]
    """
    check(recording)
    return pairs(group_labels(groups(recording, by), folds, by), stretches(recording), gap)


def leave_one_out(recording: xr.DataArray, *, by: str, gap: int = 0) -> list[Fold]:
    """Hold out one group at a time: leave-one-subject-out, leave-one-stimulus-out.

    Parameters
    ----------
    recording
        Any recording.
    by, gap
        As in `grouped`.

    Returns
    -------
    list of (train, test)
        One pair per group, in the order in which groups first appear.

    Raises
    ------
    AnalysisError
        As in `grouped`; at least two groups are needed.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((2, 3, 1)), modality="fmri", units="1", dims=("subject", "time", "unit"),
    ...                    sampling_rate=0.5)
    >>> [test.tolist() for train, test in ni.split.leave_one_out(rec, by="subject")]
    [[0, 1, 2], [3, 4, 5]]
    """
    check(recording)
    labels = groups(recording, by)
    if np.unique(labels).size < 2:
        raise AnalysisError(f"leave_one_out: {by!r} has a single group, so nothing is left to train on")
    return pairs(labels, stretches(recording), gap)


def given(
    recording: xr.DataArray, folds: Iterable[tuple[Any, Any]], *, by: str | None = "stimulus", gap: int = 0
) -> list[Fold]:
    """Take folds that were made elsewhere, and refuse those that leak.

    Parameters
    ----------
    recording
        Any recording.
    folds
        Pairs (train, test) of int arrays, positions on the stacked sample axis, such as a splitter of
        scikit-learn yields.
    by
        What may not be on both sides, as in `grouped`. `stimulus` is looked at where there is such a coordinate;
        None turns the question off (a story that is one stimulus from end to end).
    gap
        In samples: no training sample may be this close to a test sample in the same stretch, as in `blocked`.

    Returns
    -------
    list of (train, test)
        The same folds.

    Raises
    ------
    AnalysisError
        When a sample is in both sides, a group is, or training samples lie within the gap; the message gives the
        fold and the count. Also when there are no folds, a side is empty or holds anything but positions.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((4, 1)), modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", ["a", "b", "a", "b"])})
    >>> len(ni.split.given(rec, [([0, 2], [1, 3])]))
    1
    >>> ni.split.given(rec, [([0, 1], [2, 3])])
    Traceback (most recent call last):
    ...
    neurointerp.errors.AnalysisError: fold 0 leaks: 2 groups of 'stimulus' are in both train and test
    """
    check(recording)
    samples = int(np.prod(recording.shape[:-1], dtype=int))
    if by == "stimulus" and not ("stimulus" in recording.coords and recording["stimulus"].dims):
        by = None
    group = None if by is None else groups(recording, by)
    low, high = _reach(stretches(recording), gap)
    found: list[Fold] = []
    for number, (train, test) in enumerate(folds):
        train, test = _indices(train, number, samples), _indices(test, number, samples)
        held = np.isin(np.arange(samples), test)
        shared = int(held[train].sum())
        if shared:
            raise AnalysisError(f"fold {number} leaks: {shared} samples are in both train and test")
        both = 0 if group is None else np.intersect1d(group[train], group[test]).size
        if both:
            raise AnalysisError(f"fold {number} leaks: {both} groups of {by!r} are in both train and test")
        close = int(_near(held, low, high)[train].sum())
        if close:
            raise AnalysisError(
                f"fold {number} leaks: {close} training samples lie within {gap} samples of a test sample"
            )
        found.append((train, test))
    if not found:
        raise AnalysisError("there are no folds: (train, test) pairs of int arrays are needed")
    return found


def moments(recording: xr.DataArray) -> Indices:
    """Give each stacked sample its place in the course of its own subject."""
    total = int(np.prod(recording.shape[:-1], dtype=int))
    subjects = recording.sizes.get("subject", 1)
    return np.arange(total) % max(total // max(subjects, 1), 1)


def groups(recording: xr.DataArray, by: str) -> Indices:
    """Give each stacked sample the number of its group, counted in order of first appearance."""
    sample = recording.isel(unit=0, drop=True)
    if by == "time":
        raise AnalysisError("samples cannot be grouped by 'time': neighbours would leak; use split.blocked")
    if by in sample.coords and sample[by].dims:
        labels = sample[by]
    elif by in sample.dims:
        labels = xr.DataArray(np.arange(sample.sizes[by]), dims=by)
    else:
        known = sorted({str(name) for name, coord in sample.coords.items() if coord.dims} - {"time"})
        raise AnalysisError(
            f"no groups {by!r} on the sample dims {sample.dims}; there are: {', '.join(known) or 'none'}"
        )
    flat = labels.broadcast_like(sample.reset_coords(drop=True)).transpose(*sample.dims).values.ravel()
    if flat.dtype.kind == "f" and np.isnan(flat).any():
        raise AnalysisError(
            f"{int(np.isnan(flat).sum())} samples have no label in {by!r}; drop them or label them first"
        )
    _, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def block_labels(moment: Indices, folds: int) -> Indices:
    """Cut the distinct moments into `folds` contiguous blocks and give each sample its block's number."""
    there = np.zeros(int(moment.max(initial=-1)) + 1, dtype=bool)
    there[moment] = True  # linear in the samples, where np.unique sorts
    distinct = int(there.sum())
    _enough("samples", distinct, folds)
    return (np.cumsum(there) - 1)[moment] * folds // distinct


def group_labels(group: Indices, folds: int, by: str = "group") -> Indices:
    """Deal whole groups to `folds` folds of about equal size and give each sample its fold's number."""
    names, inverse, counts = np.unique(group, return_inverse=True, return_counts=True)
    _enough(f"groups of {by!r}", names.size, folds)
    fold, filled = np.zeros(names.size, dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for index in np.argsort(-counts, kind="stable"):
        fold[index] = filled.argmin()
        filled[fold[index]] += counts[index]
    return fold[inverse]


def pairs(label: Indices, stretch: Sequence[slice], gap: int = 0) -> list[Fold]:
    """Test each label in turn and train on the other samples that are not within `gap` of a test sample.

    Parameters
    ----------
    label
        (sample), the fold of each sample; -1 takes a sample out of all folds.
    stretch
        What `neurointerp.matrix.stretches` gives: samples of different stretches are never neighbours.
    gap
        In samples.
    """
    low, high = _reach(stretch, gap)
    found: list[Fold] = []
    for fold in np.flatnonzero(np.bincount(label[label >= 0])):
        train = np.flatnonzero((label >= 0) & ~_near(label == fold, low, high))
        test = np.flatnonzero(label == fold)
        if not train.size:
            raise AnalysisError(
                f"fold {fold}: a gap of {gap} samples around {test.size} test samples leaves none to train on; "
                "use a smaller gap, or more folds"
            )
        found.append((train, test))
    return found


def common(one: Indices, other: Indices) -> Indices:
    """Give the positions that are in both, in order, each once; linear in them, where `np.intersect1d` sorts.

    Examples
    --------
    >>> import numpy as np
    >>> common(np.array([4, 0, 2]), np.array([2, 3, 4]))
    array([2, 4])
    """
    both = np.zeros((2, int(max(one.max(initial=-1), other.max(initial=-1))) + 1), dtype=bool)
    both[0, one], both[1, other] = True, True
    return np.flatnonzero(both.all(axis=0))


def _reach(stretch: Sequence[slice], gap: int) -> tuple[Indices, Indices]:
    """Give (start, stop) of the samples that lie within `gap` of each sample, in its own stretch."""
    if not isinstance(gap, int | np.integer) or gap < 0:
        raise AnalysisError(f"gap is {gap!r}: a whole number of samples, 0 or more, is needed")
    sizes = [part.stop - part.start for part in stretch]
    first = np.repeat([part.start for part in stretch], sizes)
    last = np.repeat([part.stop for part in stretch], sizes)
    position = np.arange(first.size)
    return np.maximum(position - gap, first), np.minimum(position + gap + 1, last)


def _near(test: NDArray[np.bool_], low: Indices, high: Indices) -> NDArray[np.bool_]:
    """Tell which samples have a test sample within their reach."""
    before = np.concatenate([[0], np.cumsum(test)])
    near: NDArray[np.bool_] = before[high] > before[low]
    return near


def _indices(side: Any, number: int, samples: int) -> Indices:
    index = np.asarray(side)
    if index.ndim != 1 or index.dtype.kind not in "iu" or not index.size:
        raise AnalysisError(
            f"fold {number}: train and test must be one-dimensional int arrays that hold samples, found "
            f"{index.dtype} of shape {index.shape}"
        )
    if index.min() < 0 or index.max() >= samples:
        raise AnalysisError(
            f"fold {number}: indices from {index.min()} to {index.max()} leave the {samples} stacked samples"
        )
    return index.astype(np.int64)


def _enough(what: str, found: int, folds: int) -> None:
    if not isinstance(folds, int | np.integer) or folds < 2:
        raise AnalysisError(f"folds is {folds!r}: a whole number, at least 2, is needed")
    if found < folds:
        raise AnalysisError(f"{found} {what} cannot make {folds} folds; ask for fewer folds")
