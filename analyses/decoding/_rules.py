"""Linear classification rules on plain arrays: fitted, and their penalty chosen, inside a training set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurointerp.analyses.decoding._discriminant import discriminant
from neurointerp.analyses.decoding._scores import balanced_accuracy
from neurointerp.backend import like, namespace, to_numpy
from neurointerp.least_squares import fitted, rows_of
from neurointerp.least_squares import weights as solved
from neurointerp.split import Fold

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Method = Literal["lda", "logistic", "ridge"]
AUTO = -1.0
"""Stands for shrinkage by the formula of Ledoit and Wolf among the penalties of `lda`."""


class Rule(NamedTuple):
    """One linear rule per draw of labels: the class with the largest `x @ weights + intercept` is predicted.

    Attributes
    ----------
    weights
        (draw, feature, class), for features in their own units.
    intercept
        (draw, class); minus infinity for a class that the training set lacked.
    """

    weights: Any
    intercept: Any


def fit(x: Any, labels: Indices, count: int, method: Method, penalty: Floats) -> Rule:
    """Fit labels (draw, sample) of `count` classes on standardised features (sample, feature).

    `penalty (draw,)`. Features may be torch's for `ridge`, whose rule is of the same library. Two classes give rows of
    opposite sign, whose difference is the rule of scikit-learn.
    """
    if method == "ridge":
        return _ridge(x, labels, count, penalty)
    mean, scale = x.mean(axis=0), standard(x)
    scaled = (x - mean) / scale
    weights = np.zeros((len(labels), x.shape[1], count))
    intercept = np.full((len(labels), count), -np.inf)
    for draw, label in enumerate(labels):
        present = np.unique(label)
        if present.size == 1:
            intercept[draw, present[0]] = 0.0
            continue
        rows, constant = _fitted(scaled, label, method, float(penalty[draw]))
        weights[draw][:, present] = (rows / scale).T
        intercept[draw, present] = constant - (rows / scale) @ mean
    return Rule(weights, intercept)


def decide(rule: Rule, x: Any) -> Any:
    """Give the decision values (draw, sample, class) of features (sample, feature)."""
    return x @ rule.weights + rule.intercept[:, None, :]


def choose(x: Any, labels: Indices, count: int, folds: Sequence[Fold], method: Method, penalties: Floats) -> Floats:
    """Give each draw the penalty (draw,) with the best balanced accuracy over held-out samples of `folds`.

    Of equals the largest is taken. Folds count positions in `x`.
    """
    if penalties.size == 1:
        return np.full(len(labels), penalties[0])
    order = np.sort(penalties)[::-1]
    tested = np.concatenate([test for _, test in folds])
    predicted = np.zeros((order.size, len(labels), tested.size), dtype=np.int64)
    start = 0
    for train, test in folds:
        for index, penalty in enumerate(order):
            rule = fit(rows_of(x, train), labels[:, train], count, method, np.full(len(labels), penalty))
            predicted[index, :, start : start + test.size] = largest(decide(rule, rows_of(x, test)))
        start += test.size
    score = np.stack([balanced_accuracy(labels[:, tested], one, count) for one in predicted])
    best: Floats = order[score.argmax(axis=0)]
    return best


def largest(decided: Any) -> Indices:
    """Give the class (...) of the largest decision value (..., class)."""
    return to_numpy(namespace(decided).argmax(decided, axis=-1))


def standard(x: Floats) -> Floats:
    """Give the standard deviation of each feature, or 1 where it is constant up to rounding."""
    scale = x.std(axis=0)
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(x).max(axis=0, initial=0.0)
    return np.where(constant, 1.0, scale)


def _fitted(scaled: Floats, label: Indices, method: Method, penalty: float) -> tuple[Floats, Floats]:
    """Give rows (class, feature) and constants (class) of the classes in `label`; of two they mirror each other."""
    if method == "lda":
        rows, constant = discriminant(scaled, label, None if penalty == AUTO else penalty)
        if len(rows) > 2:
            return rows, constant
        rows, constant = rows[1:] - rows[:1], constant[1:] - constant[:1]
    else:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1 / penalty, max_iter=10_000).fit(scaled, label)
        rows, constant = model.coef_, model.intercept_
        if len(rows) > 1:
            return rows, constant
    return np.concatenate([-rows, rows]) / 2, np.concatenate([-constant, constant]) / 2


def _ridge(x: Any, labels: Indices, count: int, penalty: Floats) -> Rule:
    """Fit all draws from one decomposition of the features: least squares on targets of -1 and 1."""
    xp, mine = namespace(x), labels[:, :, None] == np.arange(count)  # (draw, sample, class)
    target = like(np.where(mine, 1.0, -1.0).transpose(1, 0, 2).reshape(x.shape[0], -1), x)
    one = fitted(x, target, np.arange(len(x)), standardize=True, smallest=float(penalty.min()))
    weights, intercept = solved(one, like(np.repeat(penalty, count), x))
    rows = xp.permute_dims(xp.reshape(weights, (-1, len(labels), count)), (1, 0, 2))
    constant = xp.reshape(intercept, (len(labels), count))
    if count == 2:  # both columns mirror each other: half of each, so that their difference is one rule
        rows, constant = rows / 2, constant / 2
    absent = like(~mine.any(axis=1), x)
    return Rule(rows, xp.where(absent, xp.full_like(constant, -np.inf), constant))
