"""Rules trained at each moment of a trial and tried at every other: when does a code last, and when does it return?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.decoding._cross import cross_validate
from neurointerp.analyses.decoding._rules import Method
from neurointerp.analyses.decoding._task import parameters, scores, task
from neurointerp.errors import AnalysisError
from neurointerp.result import result

NAME = "decoding.time_generalisation"
Floats = NDArray[np.float64]


def time_generalisation(
    recording: xr.DataArray,
    target: str,
    *,
    method: Method = "lda",
    penalty: float | Sequence[float] | None = None,
    cv: int | Iterable[tuple[Any, Any]] = 5,
    by: str | None = None,
    permutations: int = 0,
    correction: Literal["max", "cluster"] = "max",
    threshold: float = 0.05,
    exchange: str | None = None,
    device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Train a linear rule at each time of a trial and score it at every time.

    A square of high scores is a code that lasts, a diagonal a code that moves on, high scores off the diagonal a code
    that returns; below chance it returns inverted.

    Parameters
    ----------
    recording
        (trial, time, unit), `subject` may lead; without missing values.
    target, method, penalty, cv, by, exchange, device, seed
        As for `linear`. With `method="ridge"` the features of a training time are decomposed once for all permutations.
    permutations
        Number of permutations of the labels.
    correction
        `"max"`: p among the largest score of each permutation, at any pair of times. `"cluster"`: pairs of times whose
        score is above the `1 - threshold` quantile of its own null are joined to neighbours (sharing a side), and a
        cluster's sum of scores above chance is compared with the largest cluster of each permutation.
    threshold
        Of `"cluster"`, the p at which pairs of times enter a cluster.

    Returns
    -------
    xarray.Dataset
        `balanced_accuracy`, `auc (fold, train_time, test_time)`, `penalty (fold, train_time)`, `chance`. With
        `permutations` `null (draw, train_time, test_time)` of the mean over folds, `chance_interval (bound, ...)`,
        `p_value (train_time, test_time)` and `p_corrected`; with `"cluster"` also `cluster (train_time, test_time)`,
        from 1, the largest; 0 outside.

    Raises
    ------
    AnalysisError
        As `linear`; when there are no trials in time, or clusters are asked for without permutations.

    Notes
    -----
    A cluster's p-value is about the cluster, not about any pair of times in it. Labels are permuted in whole trials,
    so that the course of each trial is kept. Scores are those of `mne.decoding.GeneralizingEstimator` with the same
    estimator and folds; all times are scored in one product of matrices.

    References
    ----------
    King, Dehaene (2014), Characterizing the dynamics of mental representations: the temporal generalization method,
    Trends in Cognitive Sciences 18:203-210. Maris, Oostenveld (2007), Nonparametric statistical testing of EEG- and
    MEG-data, J Neuroscience Methods 164:177-190.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import decoding
    >>> label = np.array(["a", "b"] * 20)
    >>> values = np.random.default_rng(0).standard_normal((40, 6, 3))
    >>> values[label == "b", 3:, 0] += 3  # one code, from the fourth sample on
    >>> rec = ni.recording(values, modality="eeg", units="uV", sampling_rate=10.0, dims=("trial", "time", "unit"),
    ...                    coords={"condition": ("trial", label)})
    >>> found = decoding.time_generalisation(rec, "condition")
    >>> found.balanced_accuracy.mean("fold").round().astype(int).values[3:, 3:].tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    if correction not in ("max", "cluster") or not 0 < threshold < 1:
        raise AnalysisError(
            f"{NAME}: correction {correction!r}, threshold {threshold}: 'max' or 'cluster', and a p within (0, 1), are "
            "needed"
        )
    if correction == "cluster" and not permutations:
        raise AnalysisError(f"{NAME}: clusters are compared with those of permutations; pass permutations=")
    ready = task(recording, target, time="each", method=method, penalty=penalty, cv=cv, by=by, gap=0,
                 permutations=permutations, exchange=exchange, seed=seed, analysis=NAME,
                 device=device)  # fmt: skip
    done = cross_validate(ready.samples.values, ready, everywhere=True, device=device)
    clock: Any = ready.samples.clock
    coords = {name: xr.DataArray(clock.values, dims=name, attrs=clock.attrs) for name in ("train_time", "test_time")}
    variables = scores(done.accuracy, done.area, ready, coords)
    variables["penalty"] = xr.DataArray(
        done.penalty, dims=("fold", "train_time"), coords={"train_time": coords["train_time"]}, attrs={"units": "1"}
    )
    if correction == "cluster":
        label, p = _clusters(done.accuracy.mean(axis=1), 1 / len(ready.names), threshold)
        for name, found in (("cluster", label), ("p_corrected", p)):
            variables[name] = xr.DataArray(found, dims=tuple(coords), coords=coords, attrs={"units": "1"})
    return result(
        variables,
        analysis=NAME,
        recording=recording,
        parameters=parameters(ready, cv=cv, target=target, method=method, penalty=penalty, by=by,
                              permutations=permutations, correction=correction, threshold=threshold, exchange=exchange,
                              device=None if device is None else str(device)),
        seed=seed,
    )  # fmt: skip


def _clusters(accuracy: Floats, chance: float, threshold: float) -> tuple[NDArray[np.int64], Floats]:
    """Give clusters of the true scores (draw 0 of draw, train, test), by size, and the p of each place: 1 outside."""
    from scipy.ndimage import label

    bar = np.quantile(accuracy, 1 - threshold, axis=0)  # of all draws, the true one among them
    above = accuracy - chance
    found, mass = np.zeros(accuracy.shape[1:], dtype=np.int64), np.zeros(0)
    largest: list[float] = []
    for draw, scored in enumerate(accuracy):
        numbered, count = label((scored > bar) & (above[draw] > 0))
        sums = np.bincount(numbered.ravel(), weights=above[draw].ravel(), minlength=count + 1)[1:].astype(np.float64)
        largest.append(float(sums.max(initial=0.0)))
        if draw == 0:
            found, mass = numbered.astype(np.int64), sums
    p = np.array([np.mean(np.asarray(largest) >= one - 1e-12) for one in mass])
    order = np.argsort(-mass, kind="stable")
    rank = np.concatenate([[0], np.argsort(order) + 1])
    return rank[found], np.concatenate([[1.0], p])[found]
