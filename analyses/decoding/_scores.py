"""Scores of held-out decisions on plain arrays, many columns at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def balanced_accuracy(label: Indices, predicted: NDArray[Any], count: int) -> Floats:
    """Give (draw, ...) the mean over classes of the share of their samples that are predicted so.

    Parameters
    ----------
    label
        (draw, sample), class numbers.
    predicted
        (draw, ..., sample).
    count
        Number of classes; those without a sample take no part.
    """
    true = label.reshape(len(label), *[1] * (predicted.ndim - 2), -1)
    hit = predicted == true
    total, classes = np.zeros(predicted.shape[:-1]), np.zeros((len(label), *[1] * (predicted.ndim - 2)))
    for one in range(count):
        mine = true == one
        size = mine.sum(axis=-1)
        total += (hit & mine).sum(axis=-1) / np.maximum(size, 1)
        classes += size > 0
    mean: Floats = total / classes
    return mean


def auc(label: Indices, decision: Floats, count: int) -> Floats:
    """Give the area under the ROC curve of decisions (..., sample, class): the chance that a sample of a class has a
    larger decision value for it than a sample of another, ties counting half.

    Of two classes the difference of their decisions counts; of more, the mean over the classes, each against the rest.
    NaN where a single class has samples.
    """
    if count == 2:
        return _area(label == 1, decision[..., 1] - decision[..., 0])
    there = [one for one in range(count) if 0 < (label == one).sum() < label.size]
    if not there:
        return np.full(decision.shape[:-2], np.nan)
    mean: Floats = np.mean([_area(label == one, decision[..., one]) for one in there], axis=0)
    return mean


def _area(positive: NDArray[np.bool_], decision: Floats) -> Floats:
    from scipy.stats import rankdata

    here = int(positive.sum())
    rest = positive.size - here
    if not here or not rest:
        return np.full(decision.shape[:-1], np.nan)
    rank = rankdata(decision, axis=-1)[..., positive].sum(axis=-1)
    area: Floats = (rank - here * (here + 1) / 2) / (here * rest)
    return area
