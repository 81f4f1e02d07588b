"""Cross-validated linear classification of each moment, for true labels and permutations, on plain arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurointerp.analyses.decoding._rules import Rule, choose, decide, fit, largest
from neurointerp.analyses.decoding._scores import auc, balanced_accuracy
from neurointerp.analyses.decoding._task import Task
from neurointerp.backend import namespace, placed, to_numpy
from neurointerp.least_squares import rows_of
from neurointerp.split import Fold

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
BATCH = 20_000_000
"""Decision values that are held at a time."""


class Held(NamedTuple):
    """What rules said of samples that they were not fitted on.

    Attributes
    ----------
    decision
        Per fold, (moment, test sample, class) of the true labels; (train moment, test moment, test sample, class)
        where rules were tried at all moments.
    accuracy
        (draw, fold, ...), balanced; draw 0 are the true labels.
    area
        (fold, ...), under the ROC curve, of the true labels.
    penalty
        (fold, moment), of the true labels.
    """

    decision: list[Floats]
    accuracy: Floats
    area: Floats
    penalty: Floats


def cross_validate(values: Floats, ready: Task, *, everywhere: bool = False, device: Any = None) -> Held:
    """Fit a rule per fold, moment and draw of labels on values (sample, feature, moment) of a task, and score it.

    Scales, penalties and rules come from the training samples alone. With `everywhere` each rule is tried at all
    moments, else at its own. With a `device` rules of `ridge` are fitted and tried by torch there.
    """
    labels, outer, count, moments = ready.labels, ready.outer, len(ready.names), values.shape[2]
    if device is not None:
        values = placed(values, device)
    shape = (moments, moments) if everywhere else (moments,)
    decisions, penalty = [], np.zeros((len(outer), moments))
    accuracy, area = np.zeros((len(labels), len(outer), *shape)), np.zeros((len(outer), *shape))
    for fold, (train, test) in enumerate(outer):
        within = [_positions(pair, train) for pair in ready.inner[fold]]
        found = np.zeros((*shape, test.size, count))
        xp = namespace(values)
        held = xp.permute_dims(rows_of(values, test), (2, 0, 1))  # (moment, sample, feature)
        held = held.contiguous() if hasattr(held, "contiguous") else np.ascontiguousarray(held)
        for moment in range(moments):
            x, y = rows_of(values[:, :, moment], train), labels[:, train]
            best = choose(x, y, count, within, ready.method, ready.penalties)
            rule = fit(x, y, count, ready.method, best)
            tried = xp.reshape(held, (-1, held.shape[2])) if everywhere else held[moment]
            for part in _parts(len(labels), len(tried) * count):
                decided = decide(Rule(rule.weights[part], rule.intercept[part]), tried)
                decided = xp.reshape(decided, (-1, *shape[1:], test.size, count))
                accuracy[part, fold, moment] = balanced_accuracy(labels[part, test], largest(decided), count)
                if part.start == 0:
                    found[moment], penalty[fold, moment] = to_numpy(decided[0]), best[0]
                    area[fold, moment] = auc(labels[0, test], found[moment], count)
        decisions.append(found)
    return Held(decisions, accuracy, area, penalty)


def _parts(draws: int, each: int) -> list[slice]:
    """Cut draws into parts whose decisions, `each` numbers a draw, fit in memory."""
    step = max(1, BATCH // max(each, 1))
    return [slice(start, min(start + step, draws)) for start in range(0, draws, step)]


def _positions(pair: Fold, train: Indices) -> Fold:
    """Give a fold of samples as positions in `train`, which is sorted or not."""
    order = np.argsort(train, kind="stable")
    first, second = (order[np.searchsorted(train[order], side)] for side in pair)
    return first, second
