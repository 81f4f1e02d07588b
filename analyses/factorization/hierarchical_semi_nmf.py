"""Semi-non-negative factorization in levels: the features of one level are the data of the next."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix, result, threads
from neurointerp.analyses.factorization._alternate import explained
from neurointerp.analyses.factorization._checks import Search, require_count, search_of
from neurointerp.analyses.factorization._samples import Samples, of_array, of_recording
from neurointerp.analyses.factorization._starts import require_start
from neurointerp.analyses.factorization._tuning import Chain, tuned
from neurointerp.analyses.factorization.semi_nmf import factor, kept_units
from neurointerp.backend import to_numpy
from neurointerp.errors import AnalysisError

NAME = "factorization.hierarchical_semi_nmf"
SHARE, MOST_CHILDREN = 0.15, 4
"""A child loads a parent by at least this part of the parent's largest loading; so many children are kept."""
UPPER_STARTS = 10
"""Times as many starts above the first level, unless they are one (`svd`): small problems, many poor minima."""


@dataclass(frozen=True)
class _Level:
    """What one level gives: effective coefficients and features, and how its own factorization went."""

    coefficients: Any
    features: Any
    loss: float
    iterations: int
    stop_reason: str


def hierarchical_semi_nmf(
    recording: xr.DataArray,
    ranks: Sequence[int],
    *,
    keep_fraction: float | Sequence[float] = 1.0,
    init: str = "random",
    max_iter: int = 2000,
    tolerance: float = 1e-7,
    patience: int = 100,
    restarts: int = 1,
    tuning_steps: int = 0,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> xr.Dataset:
    """Factor a signed recording, then the features found, then theirs: from fine components to coarse ones.

    Level 1 is `semi_nmf` of the recording, `X = G1 F1`; level `l` is that of the features below it,
    `F(l-1) = Gl Fl`, so that `X = G1 G2 ... Gl Fl` with every `G >= 0`. Column `k` of `Gl` tells which components of
    level `l - 1` (children) component `k` of level `l` (parent) is made of. On request all levels are then fitted
    together.

    Parameters
    ----------
    recording
        As for `semi_nmf`, missing values (NaN) and chunks included.
    ranks
        Numbers of components, level by level, at least two and each below the one before: `[400, 200, 100, 50]`.
    keep_fraction
        Part of the units that a component may use, in (0, 1]; one for all levels or one for each. A parent covers
        what its children use together: it needs more than they do.
    init, max_iter, tolerance, patience, restarts
        As for `semi_nmf`, at every level; above the first, ten times as many random
        starts.
    tuning_steps
        Steps of the joint fit of all levels, by Adam on the squared error of `G1 G2 ... GL FL`, after the levels were
        found one by one; 0 for none. After each step negative entries of every `G` are set to 0, and entries of `FL`
        that the winner-take-all had cut stay 0. The best iterate is returned.
    learning_rate
        Of that fit, as a part of the root mean square of each factor.
    seed
        Seed of the starts.

    Returns
    -------
    xarray.Dataset
        Components of all levels lie along one `component` dim, finest level first, with the coordinates `at_level`
        (1, 2, ...) and `place` (number within its level): `res.features[res.at_level == 2]`.

        - `features(component, unit)`: in the units of the recording. After a joint fit those of level `l` are
          `G(l+1) ... GL FL`.
        - `coefficients(<sample dims>, component)`: >= 0, column of `G1 ... Gl`; dimensionless, of unit L2 norm at
          level 1. Times the features of the same level they are the recording as that level sees it.
        - `support(component, unit)`: where `features` is not zero.
        - `loading(level, child, parent)`: `Gl`, where `level` is that of the parent, and `parent` and `child` are
          places in that level and in the one below; NaN where there is no such component, and so at level 1.
        - `parents(level, child, parent)`: the tree. True where the loading is at least 0.15 of the largest of that
          parent and among its four largest; a parent with a single child has none: the branch stops there.
        - `tree_factors`: `"greedy"` or `"tuned"`, the factors that `loading` and `parents` are of.
        - `relative_error(level)`, `explained_variance(level)`: of the recording, as for `semi_nmf`. After a joint fit
          they are the same at all levels, which then make up one product.
        - `loss(iteration)`: squared relative error through all levels, found one by one (iteration 0) and after each
          tuning step; `best_iteration`: the one returned.
        - `iterations(level)`, `stop_reason(level)`: of each level's own factorization.

    Raises
    ------
    AnalysisError
        When `ranks` do not descend or another argument is out of range, and as for `semi_nmf`.
    RecordingError
        When `recording` breaks the contract.

    Notes
    -----
    Deviations from the reference code of Shafran et al.: their joint fit lets `G` go negative and their trees are of
    the levels before it; here `G >= 0` holds after every step, and the tree is of what is returned. A step is relative
    to the size of each factor (theirs is absolute), so that volts and microvolts give one answer. The rule of the tree
    is theirs as it was described; the paper itself was not consulted for it.

    References
    ----------
    Shafran, Geiger, Geva (2025), arXiv:2506.10920 (recursive semi-NMF). Kingma, Ba (2015), Adam: a method for
    stochastic optimization, ICLR.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> leaves = np.concatenate([np.kron(np.eye(2), np.ones((2, 2))), 2 * np.eye(4)], axis=1)
    >>> rec = ni.recording(rng.gamma(0.2, size=(80, 4)) @ leaves, modality="calcium", units="1", sampling_rate=1.0)
    >>> res = factorization.hierarchical_semi_nmf(rec, [4, 2], keep_fraction=[0.375, 0.5], max_iter=200, seed=1)
    >>> res.parents.sel(level=2).sum("child").values, res.at_level.values
    (array([2, 2]), array([1, 1, 1, 1, 2, 2]))
    """
    labels = matrix.labels(recording)
    wanted = _descending(ranks, math.prod(labels.sample_shape))
    kept = _kept(keep_fraction, len(wanted), recording.sizes["unit"])
    search = search_of(NAME, max_iter, tolerance, patience, restarts)
    require_start(init, NAME)
    steps = require_count(tuning_steps, "tuning_steps", NAME, low=0)
    if not isinstance(learning_rate, int | float | np.floating) or not 0 < learning_rate < 1:
        raise AnalysisError(f"{NAME}: learning_rate is {learning_rate!r}; a number between 0 and 1 is needed")
    samples = of_recording(recording, NAME)
    with threads.for_work(4 * math.prod(samples.shape) * wanted[0]):
        chain, levels = _greedy(samples, wanted, kept, init, search, seed)
        chain, losses = tuned(samples, chain, steps, learning_rate, levels[-1].loss)
        if steps:
            levels = _retold(chain, levels, min(losses))
    parameters = {
        "ranks": wanted, "keep_fraction": np.asarray(keep_fraction).tolist(), "init": init, "max_iter": max_iter,
        "tolerance": tolerance, "patience": patience, "restarts": restarts, "tuning_steps": steps,
        "learning_rate": learning_rate,
    }  # fmt: skip
    found = _variables(levels, chain, losses, labels, samples, recording.attrs["units"])
    return result.result(found, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


def _descending(ranks: Sequence[int], most: int) -> list[int]:
    if isinstance(ranks, str) or not isinstance(ranks, Sequence | np.ndarray) or len(ranks) < 2:
        raise AnalysisError(f"{NAME}: ranks is {ranks!r}; two or more numbers of components are needed")
    wanted = [require_count(rank, "a rank", NAME, high=most, why="the number of samples") for rank in ranks]
    if any(below <= above for below, above in itertools.pairwise(wanted)):
        raise AnalysisError(f"{NAME}: ranks are {wanted}; each must be below the one before")
    return wanted


def _kept(keep_fraction: float | Sequence[float], count: int, units: int) -> list[int]:
    parts = list(keep_fraction) if isinstance(keep_fraction, Sequence | np.ndarray) else [keep_fraction] * count
    if len(parts) != count:
        raise AnalysisError(f"{NAME}: {len(parts)} values of keep_fraction for {count} levels; one for each is needed")
    return [kept_units(part, units) for part in parts]


def _greedy(
    samples: Samples, ranks: list[int], kept: list[int], init: str, search: Search, seed: int
) -> tuple[Chain, list[_Level]]:
    """Factor level by level, each from the features of the one below."""
    data, scale = samples, 1.0
    G: Any = None
    loadings, levels = list[Any](), list[_Level]()
    for rank, kept_here in zip(ranks, kept, strict=True):
        more = UPPER_STARTS if levels and init != "svd" else 1
        looking = dataclasses.replace(search, restarts=more * search.restarts)
        fit = factor(data, rank, kept_here, init, looking, seed)
        scale *= data.scale if levels else 1.0  # that of the recording is put back in the end
        F = fit.features * scale
        G = fit.coefficients if G is None else G @ fit.coefficients
        loadings.append(fit.coefficients)
        levels.append(_Level(G, F, samples.loss(F, G), len(fit.losses), fit.stop_reason))
        if rank != ranks[-1]:
            data = of_array(fit.features, NAME)
    return Chain(loadings, levels[-1].features), levels


def _retold(chain: Chain, levels: list[_Level], loss: float) -> list[_Level]:
    """Give the levels of a chain whose factors have changed."""
    G, F = chain.downward(), chain.upward()
    return [_Level(G[i], F[i], loss, level.iterations, level.stop_reason) for i, level in enumerate(levels)]


def tree(loading: np.ndarray) -> np.ndarray:
    """Give (child, parent), bool: the children that each parent keeps."""
    order = np.argsort(-loading, axis=0, kind="stable")
    place = np.argsort(order, axis=0, kind="stable")
    child = (loading > 0) & (loading >= SHARE * loading.max(axis=0)) & (place < MOST_CHILDREN)
    kept: np.ndarray = child & (child.sum(axis=0) > 1)
    return kept


def _variables(
    levels: list[_Level], chain: Chain, losses: list[float], labels: matrix.Labels, samples: Samples, units: str
) -> dict[str, xr.DataArray]:
    F = np.concatenate([to_numpy(level.features) for level in levels])
    G = np.concatenate([to_numpy(level.coefficients) for level in levels], axis=1)
    sizes, numbers = [level.features.shape[0] for level in levels], np.arange(1, len(levels) + 1)
    about: dict[str, Any] = {
        "component": np.arange(len(F)),
        "at_level": ("component", np.repeat(numbers, sizes)),
        "place": ("component", np.concatenate([np.arange(size) for size in sizes])),
    }
    patterns: dict[str, Any] = {"dims": ("component", "unit"), "coords": {**about, **labels.unit_coords}}
    loading = np.full((len(levels), sizes[0], sizes[1]), np.nan)
    parents = np.zeros(loading.shape, dtype=bool)
    for row, (child, parent) in enumerate(itertools.pairwise(sizes), start=1):
        loading[row, :child, :parent] = to_numpy(chain.loadings[row])
        parents[row, :child, :parent] = tree(loading[row, :child, :parent])
    places = {"level": numbers, "child": np.arange(sizes[0]), "parent": np.arange(sizes[1])}
    between: dict[str, Any] = {"dims": ("level", "child", "parent"), "coords": places}
    each: dict[str, Any] = {"dims": "level", "coords": {"level": numbers}}
    return {
        "features": xr.DataArray(F * F.dtype.type(samples.scale), **patterns, attrs={"units": units}),
        "coefficients": labels.unstack(G, "component").assign_coords(about).assign_attrs(units="1"),
        "support": xr.DataArray(F != 0, **patterns),
        "loading": xr.DataArray(loading, **between, attrs={"units": "1"}),
        "parents": xr.DataArray(parents, **between),
        "tree_factors": xr.DataArray(np.array("tuned" if len(losses) > 1 else "greedy", dtype=object)),
        "relative_error": xr.DataArray([level.loss**0.5 for level in levels], **each),
        "explained_variance": xr.DataArray([explained(level.loss, samples) for level in levels], **each),
        "iterations": xr.DataArray([level.iterations for level in levels], **each),
        "stop_reason": xr.DataArray(np.array([level.stop_reason for level in levels], dtype=object), **each),
        "loss": xr.DataArray(losses, dims="iteration", coords={"iteration": np.arange(len(losses))}),
        "best_iteration": xr.DataArray(int(np.argmin(losses))),
    }
