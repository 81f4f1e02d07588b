"""A decoding task made ready: samples, classes, folds, penalties and permuted labels, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.decoding._exchange import exchanges
from neurointerp.analyses.decoding._folds import inner_folds, outer_folds, require_classes, scheme
from neurointerp.analyses.decoding._rules import AUTO, Method
from neurointerp.analyses.decoding._samples import Samples, Time, classes, samples
from neurointerp.backend import torch_device
from neurointerp.errors import AnalysisError
from neurointerp.split import Fold
from neurointerp.statistics import max_statistic_p, permutation_p

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Task(NamedTuple):
    """What `cross_validate` takes, and the labels of what it gives.

    Attributes
    ----------
    samples
        Values (sample, feature, moment), and how to label what is found of them.
    names
        Of the classes.
    labels
        (draw, sample), numbers of classes; draw 0 are the true labels.
    outer, inner
        Folds of samples; per outer fold those that choose among several penalties, none for one.
    kind
        How the outer folds hold out.
    method, penalties
        The rule, and what it chooses from.
    """

    samples: Samples
    names: NDArray[Any]
    labels: Indices
    outer: list[Fold]
    inner: list[list[Fold]]
    kind: str
    method: Method
    penalties: Floats


def task(
    recording: xr.DataArray, target: str, *, time: Time, method: Method, penalty: str | float | Sequence[float] | None,
    cv: int | Iterable[tuple[Any, Any]], by: str | None, gap: int, permutations: int, exchange: str | None, seed: int,
    analysis: str, device: Any = None,
) -> Task:  # fmt: skip
    """Check the arguments of a classification and lay out what it needs."""
    grid = _grid(method, penalty, analysis)
    if device is not None and method != "ridge":
        raise AnalysisError(
            f"{analysis}: device={device!r} is for method='ridge', whose rules are products; {method!r} is fitted by "
            "numpy or scikit-learn, leave device= out"
        )
    if device is not None:
        torch_device(device, analysis)
    laid = samples(recording, time, analysis)
    number, names = classes(laid.frame, target, analysis)
    way = scheme(laid.frame, target, number, by, analysis)
    outer, kind = outer_folds(laid.frame, way, number, cv, gap, by)
    require_classes(outer, number, names, analysis)
    moved = list(exchanges(laid.frame, number, way, exchange, permutations, seed, analysis))
    inner: list[list[Fold]] = [[] for _ in outer]
    if grid.size > 1:
        inner = inner_folds(laid.frame, way, number, outer, int(cv) if isinstance(cv, int | np.integer) else 5, gap)
    labels = np.stack([number, *(number[index] for index in moved)])
    return Task(laid, names, labels, outer, inner, kind, method, grid)


def scores(accuracy: Floats, area: Floats, ready: Task, coords: dict[str, Any]) -> dict[str, xr.DataArray]:
    """Label scores: accuracy (draw, fold, ...) with the mean over folds' null and p-values, and area (fold, ...)."""
    dims = tuple(coords)
    fold = xr.DataArray(np.arange(len(ready.outer)), dims="fold", attrs={"split": ready.kind})
    out = {
        "balanced_accuracy": xr.DataArray(accuracy[0], dims=("fold", *dims), coords={"fold": fold, **coords}),
        "auc": xr.DataArray(area, dims=("fold", *dims), coords={"fold": fold, **coords}),
        "chance": xr.DataArray(1 / len(ready.names)),
    }
    if len(accuracy) > 1:
        mean = xr.DataArray(accuracy.mean(axis=1), dims=("draw", *dims), coords=coords)
        out |= against_null(mean.isel(draw=0), mean.isel(draw=slice(1, None)))
    return {name: array.assign_attrs(units="1") for name, array in out.items()}


def against_null(observed: xr.DataArray, null: xr.DataArray) -> dict[str, xr.DataArray]:
    """Give the null draws, the interval that 95 in 100 of them lie in, and p-values, single and corrected."""
    bound = np.array(["low", "high"], dtype=object)
    low, high = np.quantile(null.values, [0.025, 0.975], axis=0)
    interval = xr.DataArray(
        np.stack([low, high]), dims=("bound", *observed.dims), coords={"bound": bound, **observed.coords}
    )
    out = {"null": null, "chance_interval": interval, "p_value": permutation_p(observed, null)}
    if observed.dims:
        out["p_corrected"] = max_statistic_p(observed, null)
    return out


def parameters(ready: Task, **given: Any) -> dict[str, Any]:
    """Give the parameters of a result: what was passed, folds that were given by their number."""
    cv = given.pop("cv")
    return {"cv": cv if isinstance(cv, int | np.integer) else f"{len(ready.outer)} given folds", **given}


def _grid(method: Method, penalty: str | float | Sequence[float] | None, analysis: str) -> Floats:
    if method not in ("lda", "logistic", "ridge"):
        raise AnalysisError(f"{analysis}: method {method!r}: 'lda', 'logistic' or 'ridge' is needed")
    if penalty is None:
        return {"lda": np.array([AUTO]), "logistic": np.logspace(-2, 4, 4), "ridge": np.logspace(-4, 2, 7)}[method]
    if isinstance(penalty, str):
        raise AnalysisError(f"{analysis}: penalty {penalty!r}: numbers are needed, or None")
    grid = np.atleast_1d(np.asarray(penalty, dtype=np.float64))
    top = 1.0 if method == "lda" else np.inf
    if (
        grid.ndim != 1
        or not grid.size
        or not (np.isfinite(grid) & (grid <= top)).all()
        or ((grid < 0) if method == "lda" else (grid <= 0)).any()
    ):
        allowed = "within [0, 1] (shrinkage)" if method == "lda" else "finite and above 0"
        raise AnalysisError(f"{analysis}: penalties of {method!r} must be {allowed}; found {penalty!r}")
    return grid
