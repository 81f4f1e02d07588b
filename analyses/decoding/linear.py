"""Classes decoded from all units by a linear rule, at each moment or from whole trials, on samples it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.decoding._cross import Held, cross_validate
from neurointerp.analyses.decoding._rules import Method, choose, fit
from neurointerp.analyses.decoding._samples import Time
from neurointerp.analyses.decoding._task import Task, parameters, scores, task
from neurointerp.result import result

NAME = "decoding.linear"
Floats = NDArray[np.float64]


def linear(
    recording: xr.DataArray,
    target: str,
    *,
    method: Method = "lda",
    penalty: float | Sequence[float] | None = None,
    time: Time = "samples",
    cv: int | Iterable[tuple[Any, Any]] = 5,
    by: str | None = None,
    gap: int = 0,
    permutations: int = 0,
    exchange: str | None = None,
    device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Decode a label of samples from all units with a linear rule, scored on samples it was not fitted on.

    .. math:: \hat c = \arg\max_c \; w_c^\top x + b_c

    Means, scales, penalties and weights come from the training samples of a fold alone; a penalty is chosen by a
    cross-validation inside them.

    Parameters
    ----------
    recording
        Any recording without missing values: `subject`, `trial` and `time` are its sample dims.
    target
        Coordinate on sample dims with the class of each (`condition`, `stimulus`, ...). Every value is a class, an
        empty string too: select the samples that take part first.
    method
        `"lda"`, linear discriminant analysis with a shrunk covariance; `"logistic"`, penalised logistic regression
        (scikit-learn's); `"ridge"`, least squares on targets of -1 and 1, for which all permutations are solved at
        once. The first and last give the numbers of scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr")` and
        `RidgeClassifier` on standardised features.
    penalty
        One, or several to choose from. For `lda` the shrinkage, 0 to 1 (default: the formula of Ledoit and Wolf, of
        each class); for `logistic` 1 / C (default `np.logspace(-2, 4, 4)`); for `ridge` alpha (default
        `np.logspace(-4, 2, 7)`), the last two on features of unit variance.
    time
        `"samples"`: one rule for all moments, each of which is a sample. Of trials in time also `"each"`: every point
        in time has a rule of its own; `"features"`: units at all times are the features of one rule.
    cv
        Number of outer and inner folds, at most one per group (or trial) of the rarest class. Or the outer folds
        themselves, `(train, test)` int arrays on the stacked samples, as `neurointerp.split` gives them; inner folds
        are then five. Given folds that share a stimulus, or what `by` names, are refused.
    by
        What is held out whole: `subject`, `stimulus`, `segment` or any other sample coordinate. By default subjects
        where there are several; else stimuli where they return; else trials, in order, spread over classes; else
        contiguous blocks of time. (Trials are dealt in contiguous runs of each class.)
    gap
        Training samples this close to a test sample in its stretch are left out; for blocks of time.
    permutations
        Number of permutations of the labels, each through the same folds and choices.
    exchange
        Sample coordinate within whose values alone labels change places (`run`, ...). Stimuli that are held out change
        places as wholes; else trials do, within their subject. Labels that change in the course of a stretch are
        shifted circularly in it instead.
    device
        Of `method="ridge"`: fit and try rules with torch on this device (`"cuda"`, `"cpu"`), in float64. Default:
        numpy. No GPU was measured.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset
        `balanced_accuracy (fold)`, the mean over the classes that a test set has; `auc (fold)`, of more than two
        classes each against the rest, NaN where a test set has one class; `penalty (fold)` (-1: by formula);
        `chance`; `prediction` and `decision (<sample dims>[, class])`, held out, where test sets overlap of the
        last, empty or NaN in no test set; `confusion (label, predicted)`, counts. Of a rule fitted on all samples:
        `weights` and `pattern (class, unit)`, `intercept (class)`. With `permutations` `null (draw)` of the mean
        over folds, `chance_interval (bound)` (95 in 100 draws), `p_value`. With `time="each"` all have `time` too
        and `p_corrected` is among the maxima over time; with `"features"` weights and patterns have it. Of two
        classes the `class` dim has the second alone, whose decision is positive.

    Raises
    ------
    AnalysisError
        When values or labels are missing, classes are fewer than two or cannot be held out, given folds leak, labels
        cannot be exchanged, an argument is out of range, or there is no such device.

    Notes
    -----
    `pattern` is :math:`\operatorname{Cov}(x) W \operatorname{Cov}(W^\top x)^{+}` (Haufe et al. 2014): what a unit shows
    of the decision, where a weight may only cancel noise. `mne.decoding` leaves the last factor out for two classes.

    References
    ----------
    Ledoit, Wolf (2004), J Multivariate Analysis 88:365. Haufe et al. (2014), On the interpretation of weight vectors of
    linear models in multivariate neuroimaging, NeuroImage 87:96. Permutation within and of whole blocks: Winkler et
    al. (2015), Multi-level block permutation, NeuroImage 123:253.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import decoding
    >>> label = np.array(["a", "b"] * 20)
    >>> values = np.random.default_rng(0).standard_normal((40, 3)) + 2 * (label == "b")[:, None]
    >>> rec = ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"condition": ("trial", label)})
    >>> found = decoding.linear(rec, "condition", permutations=20)
    >>> bool(found.balanced_accuracy.mean() > 0.9), round(float(found.p_value), 3)
    (True, 0.048)
    """
    ready = task(recording, target, time=time, method=method, penalty=penalty, cv=cv, by=by, gap=gap,
                 permutations=permutations, exchange=exchange, seed=seed, analysis=NAME,
                 device=device)  # fmt: skip
    done = cross_validate(ready.samples.values, ready, device=device)
    moment = {"time": ready.samples.clock} if time == "each" else {}
    every = slice(None) if moment else 0
    scored = scores(done.accuracy[..., every], done.area[..., every], ready, moment)
    penalties = xr.DataArray(done.penalty[:, every], dims=("fold", *moment), coords=moment, attrs={"units": "1"})
    return result(
        {**scored, "penalty": penalties, **_held_out(ready, done, moment), **_model(ready, recording, time)},
        analysis=NAME,
        recording=recording,
        parameters=parameters(ready, cv=cv, target=target, method=method, penalty=penalty, time=time, by=by, gap=gap,
                              permutations=permutations, exchange=exchange,
                              device=None if device is None else str(device)),
        seed=seed,
    )  # fmt: skip


def class_labels(names: NDArray[Any]) -> NDArray[Any]:
    """Give classes as the strings that label a result."""
    return np.array([str(name) for name in names], dtype=object)


def _held_out(ready: Task, done: Held, moment: dict[str, Any]) -> dict[str, xr.DataArray]:
    """Label decisions and predictions of held-out samples, and count them by class."""
    names, (samples, _, moments) = class_labels(ready.names), ready.samples.values.shape
    decision = np.full((samples, moments, names.size), np.nan)
    for (_, test), found in zip(ready.outer, done.decision, strict=True):
        decision[test] = found.transpose(1, 0, 2)
    tested = ~np.isnan(decision).any(axis=2)
    choice = np.where(tested, np.nan_to_num(decision, nan=0.0).argmax(axis=2), -1)
    confusion = np.zeros((moments, names.size, names.size), dtype=np.int64)
    for one in range(moments):
        kept = tested[:, one]
        np.add.at(confusion[one], (ready.labels[0, kept], choice[kept, one]), 1)
    predicted = np.append(names, "")[choice]
    values, rows = _rows(decision.transpose(2, 0, 1), names)
    frame = ready.samples.labels
    dims, shape = (*frame.sample_dims, *moment), (*frame.sample_shape, *([moments] if moment else []))
    coords: dict[Any, Any] = {**frame.sample_coords, **moment}
    pair = {"label": names, "predicted": names, **moment}
    counts = np.moveaxis(confusion, 0, 2) if moment else confusion[0]
    return {
        "prediction": xr.DataArray(predicted.reshape(shape), dims=dims, coords=coords),
        "decision": xr.DataArray(
            values.reshape(len(rows), *shape), dims=("class", *dims), coords={"class": rows, **coords},
            attrs={"units": "1"},
        ),
        "confusion": xr.DataArray(counts, dims=("label", "predicted", *moment), coords=pair, attrs={"units": "1"}),
    }  # fmt: skip


def _model(ready: Task, recording: xr.DataArray, time: Time) -> dict[str, xr.DataArray]:
    """Fit a rule on all samples for each moment, with the penalty of the best score over the outer folds."""
    values, label, count, method = ready.samples.values, ready.labels[:1], len(ready.names), ready.method
    fitted = []
    for moment in range(values.shape[2]):
        x = values[:, :, moment]
        rule = fit(x, label, count, method, choose(x, label, count, ready.outer, method, ready.penalties))
        weights, names = _rows(rule.weights[0].T, class_labels(ready.names))
        constant, _ = _rows(rule.intercept[0], class_labels(ready.names))
        fitted.append((weights, pattern(x, weights), constant))
    found = [np.stack([one[i] for one in fitted], axis=-1) for i in range(3)]  # (class, feature, moment)
    units = {name: coord for name, coord in recording.coords.items() if coord.dims == ("unit",)}
    dims: tuple[str, ...] = ("class", "unit", "time")
    coords: dict[Any, Any] = {"class": names, **units}
    if time == "samples":
        dims, found = dims[:2], [one[..., 0] for one in found]
    else:
        coords["time"] = ready.samples.clock
    if time == "features":
        split = (len(names), recording.sizes["time"], recording.sizes["unit"])
        found[:2] = [one.reshape(split).transpose(0, 2, 1) for one in found[:2]]
        found[2] = found[2][..., 0]
    own = dims if time == "each" else dims[:1]
    own = tuple(dim for dim in own if dim != "unit")
    unit = recording.attrs["units"]
    return {
        "weights": xr.DataArray(found[0], dims=dims, coords=coords, attrs={"units": f"1 / ({unit})"}),
        "pattern": xr.DataArray(found[1], dims=dims, coords=coords, attrs={"units": unit}),
        "intercept": xr.DataArray(
            found[2], dims=own, coords={name: c for name, c in coords.items() if name in own}, attrs={"units": "1"}
        ),
    }


def pattern(x: Floats, weights: Floats) -> Floats:
    """Give the pattern (class, feature) of weights (class, feature) on features (sample, feature)."""
    centred = x - x.mean(axis=0)
    latent = centred @ weights.T
    covariance = centred.T @ latent / (len(x) - 1)
    inner = latent.T @ latent / (len(x) - 1)
    found: Floats = (covariance @ np.linalg.pinv(inner, hermitian=True)).T
    return found


def _rows(by_class: Floats, names: NDArray[Any]) -> tuple[Floats, NDArray[Any]]:
    """Give (class, ...) as a result has it: of two classes the second alone, by the difference to the first."""
    if len(by_class) == 2:
        return by_class[1:] - by_class[:1], names[1:]
    return by_class, names
