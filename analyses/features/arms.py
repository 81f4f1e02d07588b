"""The directions that a sparse factorization is compared with, side by side in one result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.analyses import factorization
from neurointerp.analyses.features._reading import auc, group_labels, groups_of, raise_maxima, require_whole
from neurointerp.analyses.features.sparse_autoencoder import sparse_autoencoder
from neurointerp.errors import AnalysisError
from neurointerp.result import result as build

NAME = "features.arms"
METHODS = (
    "semi_nmf", "pca", "kmeans", "sparse_autoencoder", "sparse_encoder", "top_k_autoencoder", "difference_in_means",
    "best_unit", "random",
)  # fmt: skip

SUPERVISED = ("difference_in_means", "best_unit")


def arms(
    recording: xr.DataArray,
    rank: int,
    *,
    label: str = "condition",
    group: str | None = None,
    keep_fraction: float = 0.01,
    methods: Sequence[str] = METHODS,
    init: str = "random",
    max_iter: int = 2000,
    penalty: float = 0.1,
    active: int = 10,
    max_epochs: int = 400,
    seed: int = 0,
) -> xr.Dataset:
    """Give the features of semi-NMF and of its rivals at equal size, as one result with an `arm` for each component.

    What reads a factorization reads this: `concept_detection(arms(train, 100), train, held_out)` is the table of
    the comparison, `steering` takes components of any arm.

    Parameters
    ----------
    recording
        Any recording without missing values, labelled.
    rank
        Components of each arm, where labels do not set their number.
    label, group
        Coordinates that name the concept and tell groups apart, as for `concept_detection`.
    keep_fraction, init, max_iter
        Of `semi_nmf`; `random` uses as many units.
    methods
        Which arms, in this order:

        - `semi_nmf`.
        - `pca`: each of `rank` components with both signs, so `2 rank` directions.
        - `kmeans`: centroids, with membership as coefficients.
        - `sparse_autoencoder`: decoder of a ReLU autoencoder of width `rank`; `sparse_encoder` its encoder;
          `top_k_autoencoder` the decoder of one that keeps `active` codes.
        - `difference_in_means`: for each concept the mean sample of it less that of all others. Supervised.
        - `best_unit`: for each concept the unit (and sign) whose largest value in a group tells it best by AUC on
          these data. Supervised.
        - `random`: standard normal weights on random units.
    penalty, active, max_epochs
        Of `sparse_autoencoder`; `active` of its top-k variant (at most `rank`).
    seed
        Of all arms.

    Returns
    -------
    xarray.Dataset
        `features(component, unit)`, `coefficients(<sample dims>, component)` (>= 0, unit norm), `support`, with the
        coordinates `arm(component)` and `number(component)` within it, and `assigned(component)`: the concept that
        a supervised direction was made for, else "".

    Raises
    ------
    AnalysisError
        When values or labels are missing, a supervised arm has one label only, a method is unknown, or an argument is
        out of range.

    Notes
    -----
    Where an arm has no coefficients of its own (supervised ones and `random`), they are the positive parts of the
    samples' products with the direction.

    References
    ----------
    The arms of Shafran, Geiger, Geva (2025), arXiv:2506.10920 are difference in means and autoencoders; the others, and
    training autoencoders on the same few samples, are additions.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rng = np.random.default_rng(0)
    >>> rec = ni.recording(rng.standard_normal((40, 5)), modality="calcium", units="1", dims=("trial", "unit"),
    ...                    coords={"condition": ("trial", ["a", "b"] * 20)})
    >>> found = arms(rec, 3, keep_fraction=0.4, methods=["semi_nmf", "pca", "difference_in_means"])
    >>> found.arm.to_series().value_counts(sort=False).to_dict()
    {'semi_nmf': 3, 'pca': 6, 'difference_in_means': 2}
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        raise AnalysisError(f"{NAME}: methods are {list(methods)}; different ones of {', '.join(METHODS)} are needed")
    require_whole(active, "active", NAME)
    if not 0 < keep_fraction <= 1:
        raise AnalysisError(f"{NAME}: keep_fraction is {keep_fraction!r}; a number in (0, 1] is needed")
    matrix.require_complete(recording, NAME)
    stacked = matrix.stack(recording)
    number = groups_of(recording, group, NAME)
    labels = group_labels(recording, label, number, NAME)
    task = _Task(recording, stacked.values, number, labels, rank, seed)
    told = [method for method in methods if method in SUPERVISED]
    if told and len(task.concepts) < 2:
        raise AnalysisError(f"{NAME}: {told[0]} needs two values of {label!r} or more, found {task.concepts}")
    options: dict[str, Any] = {"keep_fraction": keep_fraction, "init": init, "max_iter": max_iter}
    sae: list[xr.Dataset] = []  # trained once for its two arms

    def autoencoder() -> xr.Dataset:
        if not sae:
            sae.append(sparse_autoencoder(recording, rank, penalty=penalty, max_epochs=max_epochs, seed=seed))
        return sae[0]

    makers: dict[str, Callable[[], _Arm]] = {
        "semi_nmf": lambda: _of(factorization.semi_nmf(recording, rank, seed=seed, **options), task),
        "pca": lambda: _signed(factorization.pca(recording, rank, seed=seed), task),
        "kmeans": lambda: _kmeans(task),
        "sparse_autoencoder": lambda: _of(autoencoder(), task),
        "sparse_encoder": lambda: _of(autoencoder(), task, "encoder"),
        "top_k_autoencoder": lambda: _of(
            sparse_autoencoder(recording, rank, active=min(active, rank), max_epochs=max_epochs, seed=seed), task
        ),
        "difference_in_means": lambda: _differences(task),
        "best_unit": lambda: _best_units(task),
        "random": lambda: _random(task, math.ceil(keep_fraction * stacked.values.shape[1] * (1 - 1e-12))),
    }
    found = {method: makers[method]() for method in methods}
    parameters = {
        "rank": rank, "label": label, "group": group, "methods": list(methods), "penalty": penalty, "active": active,
        "max_epochs": max_epochs,
        **options,
    }  # fmt: skip
    return build(
        _side_by_side(found, stacked, recording), analysis=NAME, recording=recording, parameters=parameters, seed=seed
    )


@dataclass(frozen=True)
class _Task:
    recording: xr.DataArray
    values: np.ndarray
    number: np.ndarray
    labels: np.ndarray
    rank: int
    seed: int

    @property
    def concepts(self) -> list[str]:
        return sorted(set(self.labels.tolist()))


@dataclass(frozen=True)
class _Arm:
    """Features (component, unit), coefficients (sample, component), and the concept of each where labels made it."""

    features: np.ndarray
    coefficients: np.ndarray
    assigned: Sequence[str] | None = None


def _of(result: xr.Dataset, task: _Task, features: str = "features") -> _Arm:
    given = result["coefficients"].transpose(*task.recording.dims[:-1], "component").values
    return _Arm(result[features].values, given.reshape(-1, given.shape[-1]))


def _signed(result: xr.Dataset, task: _Task) -> _Arm:
    arm = _of(result, task)
    both = np.concatenate([arm.coefficients, -arm.coefficients], axis=1)
    return _Arm(np.concatenate([arm.features, -arm.features]), np.maximum(both, 0))


def _kmeans(task: _Task) -> _Arm:
    from sklearn.cluster import KMeans

    if task.rank > len(task.values):
        raise AnalysisError(f"{NAME}: rank is {task.rank}; at most {len(task.values)}, the number of samples")
    fit = KMeans(task.rank, n_init=3, random_state=task.seed).fit(task.values)
    return _Arm(fit.cluster_centers_, np.eye(task.rank)[fit.labels_])


def _differences(task: _Task) -> _Arm:
    of_sample = task.labels[task.number]
    rows = [task.values[of_sample == c].mean(axis=0) - task.values[of_sample != c].mean(axis=0) for c in task.concepts]
    return _projected(task, np.stack(rows).astype(np.float64), task.concepts)


def _best_units(task: _Task) -> _Arm:
    largest = np.full((len(task.labels), 2 * task.values.shape[1]), -np.inf)
    raise_maxima(largest, task.number, np.concatenate([task.values, -task.values], axis=1))
    units = task.values.shape[1]
    F = np.zeros((len(task.concepts), units))
    for row, concept in zip(F, task.concepts, strict=True):
        best = int(auc(largest, task.labels == concept).argmax())
        row[best % units] = 1.0 if best < units else -1.0
    return _projected(task, F, task.concepts)


def _random(task: _Task, kept: int) -> _Arm:
    rng = np.random.default_rng(task.seed)
    F = np.zeros((task.rank, task.values.shape[1]))
    for row in F:
        row[rng.choice(row.size, kept, replace=False)] = rng.standard_normal(kept)
    return _projected(task, F)


def _projected(task: _Task, F: np.ndarray, assigned: Sequence[str] | None = None) -> _Arm:
    return _Arm(F, np.maximum(task.values @ F.T, 0), assigned)


def _side_by_side(found: dict[str, _Arm], stacked: matrix.Stacked, recording: xr.DataArray) -> dict[str, Any]:
    sizes = [len(arm.features) for arm in found.values()]
    along = {
        "component": np.arange(sum(sizes)),
        "arm": ("component", np.repeat(np.array(list(found), dtype=object), sizes)),
        "number": ("component", np.concatenate([np.arange(size) for size in sizes])),
    }
    F = np.concatenate([arm.features for arm in found.values()]).astype(np.float64)
    G = np.concatenate([arm.coefficients for arm in found.values()], axis=1).astype(np.float64)
    norms = np.linalg.norm(G, axis=0)
    assigned = [one for arm in found.values() for one in arm.assigned or [""] * len(arm.features)]
    coefficients = stacked.unstack(G / np.where(norms > 0, norms, 1), "component").assign_coords(along)
    on: dict[Any, Any] = {**along, **stacked.unit_coords}
    return {
        "features": xr.DataArray(F, dims=("component", "unit"), coords=on, attrs={"units": recording.attrs["units"]}),
        "coefficients": coefficients.assign_attrs(units="1"),
        "support": xr.DataArray(F != 0, dims=("component", "unit"), coords=on),
        "assigned": xr.DataArray(np.array(assigned, dtype=object), dims="component", coords=along),
    }
