"""Which components of one factorization are those of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.factorization._checks import require_count
from neurointerp.analyses.factorization._components import matched, unit_norm
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.result import result
from neurointerp.schema import segment_bounds
from neurointerp.surrogate import MINIMUM_SHIFT

NAME = "factorization.match"
SIDES = ("unit", "sample")
FEWEST = 2
"""Shared labels without which a cosine says nothing."""


def match(
    first: xr.Dataset, second: xr.Dataset, *, over: str = "unit", signed: bool = True, draws: int = 1000, seed: int = 0
) -> xr.Dataset:
    """Pair the components of two factorizations one to one, by what they do on the units or samples that both have.

    Labels are joined exactly, never by position; the cosines are those on the shared labels alone. The pairs are those
    with the largest sum of cosines (Hungarian method), as many as the smaller rank. They are set beside the pairs that
    arise when the labels of the second factorization are permuted: units among themselves; samples by one circular
    shift of each segment where they have a clock, which keeps their slow course (by a tenth of it at least, either
    way), else among themselves.

    Parameters
    ----------
    first, second
        Results of a factorization, of any ranks and any recordings.
    over
        `"unit"`: cosines of `features` over shared units (the same cells on two days, one neuron in two worms).
        `"sample"`: cosines of `coefficients` over shared samples (one film seen by two subjects, a model and a brain
        with the same stimuli): every dim but `component` must be labelled.
    signed
        Whether a pattern and its negative do not match. False where the sign of a component means nothing, as
        with `pca` and `ica`.
    draws
        Permutations.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset
        - `cosine(pair)`, by descending size, with the coordinates `first_component` and `second_component`.
        - `p_value(pair)`: of permutations, (1 + those whose best pair is as alike) / (1 + draws): corrected for
          having looked at all pairs. `null_cosine(draw, pair)`: the pairs of each permutation, descending.
        - `mean_cosine` and `mean_p_value`: of all pairs together.
        - `similarity(first, second)`: all cosines, along the two sets of components.
        - `shared`, `only_first`, `only_second`: how many labels both have, and only one. Units or samples are
          joined by label; what only one has is left out.

    Raises
    ------
    AlignmentError
        When fewer than two labels are shared, samples lie on other dims, or a dim has no labels.
    AnalysisError
        When a result lacks the variable, holds missing values, or an argument is out of range.

    Notes
    -----
    Cosines of non-negative coefficients are large by chance: read them beside the null. A component that is zero on
    all shared labels matches nothing (cosine 0).

    References
    ----------
    Kuhn (1955), The Hungarian method for the assignment problem, Naval Research Logistics Quarterly 2:83.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(60, 3)) @ np.kron(np.eye(3), np.ones(4))
    >>> rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    >>> days = [factorization.nmf(part, 3) for part in (rec[:, :10], rec[::-1, ::-1].assign_coords(time=rec.time))]
    >>> found = factorization.match(*days, draws=99)
    >>> found.cosine.values.round(2), int(found.shared), float(found.p_value[0]) < 0.05
    (array([1., 1., 1.]), 10, True)
    """
    if over not in SIDES:
        raise AnalysisError(f"{NAME}: over is {over!r}; one of {', '.join(SIDES)} is needed")
    draws = require_count(draws, "draws", NAME)
    one, other = (_patterns(each, over, name) for each, name in ((first, "first"), (second, "second")))
    a, b, counts = _joined(one, other)
    similarity = unit_norm(a.values) @ unit_norm(b.values).T
    rows, columns = matched(similarity, signed=signed)
    found = similarity[rows, columns]
    order = np.argsort(-_size(found, signed), kind="stable")
    rows, columns, found = rows[order], columns[order], found[order]
    null = _null(a, b, signed, draws, np.random.default_rng(seed))
    size = _size(found, signed)
    pair = {
        "pair": np.arange(len(found)),
        "first_component": ("pair", first["component"].values[rows]),
        "second_component": ("pair", second["component"].values[columns]),
    }
    sides = {"first": first["component"].values, "second": second["component"].values}
    variables = {
        "cosine": xr.DataArray(found, dims="pair", coords=pair),
        "p_value": xr.DataArray((1 + (null[:, :1] >= size).sum(axis=0)) / (1 + draws), dims="pair", coords=pair),
        "null_cosine": xr.DataArray(null, dims=("draw", "pair"), coords={"draw": np.arange(draws), **pair}),
        "mean_cosine": xr.DataArray(size.mean()),
        "mean_p_value": xr.DataArray((1 + (null.mean(axis=1) >= size.mean()).sum()) / (1 + draws)),
        "similarity": xr.DataArray(similarity, dims=("first", "second"), coords=sides),
        **{name: xr.DataArray(count) for name, count in counts.items()},
    }
    parameters = {"over": over, "signed": signed, "draws": draws}
    return result(variables, analysis=NAME, recording=[first, second], parameters=parameters, seed=seed)


def _patterns(fit: xr.Dataset, over: str, name: str) -> xr.DataArray:
    """Give (component, ...) patterns of a result, every dim of which is labelled."""
    variable = "features" if over == "unit" else "coefficients"
    if not isinstance(fit, xr.Dataset) or variable not in fit or "component" not in fit[variable].dims:
        raise AnalysisError(
            f"{NAME}: {name} has no {variable!r} along 'component'; results of a factorization are needed"
        )
    found = fit[variable].transpose("component", ...).load()
    missing = int(np.isnan(found.values).sum())
    if missing:
        raise AnalysisError(f"{NAME}: {variable!r} of {name} has {missing} missing values; drop them first")
    bare = [dim for dim in found.dims if dim not in found.indexes]
    if bare:
        raise AlignmentError(
            f"{NAME}: dim {bare[0]!r} of {name} has no labels to join by; assign_coords({bare[0]}=...) on both first"
        )
    double = [dim for dim in found.dims if not found.indexes[dim].is_unique]
    if double:
        raise AlignmentError(f"{NAME}: labels on {double[0]!r} of {name} repeat; make them unique first")
    return found


def _joined(one: xr.DataArray, other: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray, dict[str, int]]:
    """Give both on the labels that both have, in the order of the first, and how many those are."""
    dims = one.dims[1:]
    if set(dims) != set(other.dims[1:]):
        raise AlignmentError(f"{NAME}: first lies on {dims}, second on {other.dims[1:]}: the same dims are needed")
    other = other.transpose("component", *dims)
    places = {}
    for dim in dims:
        at = other.indexes[dim].get_indexer(one.indexes[dim])
        places[dim] = (np.flatnonzero(at >= 0), at[at >= 0])
    a, b = (each.isel({dim: places[dim][side] for dim in dims}) for side, each in enumerate((one, other)))
    shared, sizes = int(np.prod(a.shape[1:])), [int(np.prod(each.shape[1:])) for each in (one, other)]
    if shared < FEWEST:
        raise AlignmentError(
            f"{NAME}: {shared} labels on {dims} are shared, of {sizes[0]} and {sizes[1]}; at least {FEWEST} are needed "
            "(give the same thing the same label in both)"
        )
    return _flat(a), _flat(b), {"shared": shared, "only_first": sizes[0] - shared, "only_second": sizes[1] - shared}


def _flat(patterns: xr.DataArray) -> xr.DataArray:
    """Put the labels of all dims on one, in stretches that hold together under a shift."""
    dims = patterns.dims[1:]
    size = patterns.sizes.get("time", 0)
    bounds = (
        segment_bounds(patterns) if size and dims[-1] == "time" else [(i, i + 1) for i in range(patterns.shape[-1])]
    )
    flat = xr.DataArray(patterns.values.reshape(len(patterns), -1), dims=("component", "label"))
    flat.attrs["stretches"] = [
        (start + low, start + high) for start in range(0, flat.shape[1], patterns.shape[-1]) for low, high in bounds
    ]
    return flat


def _null(a: xr.DataArray, b: xr.DataArray, signed: bool, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give (draw, pair) sizes of the cosines of the pairs, descending, with the labels of `b` permuted."""
    one, other = unit_norm(a.values), unit_norm(b.values)
    out = np.empty((draws, min(len(one), len(other))))
    for draw in out:
        cosine = one @ other[:, _moved(b.attrs["stretches"], rng)].T
        draw[:] = np.sort(_size(cosine[matched(cosine, signed=signed)], signed))[::-1]
    return out


def _moved(stretches: list[tuple[int, int]], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give where each label's values come from: shifted within stretches, or anywhere if these are single labels."""
    count = stretches[-1][1]
    if all(high - low == 1 for low, high in stretches):
        return rng.permutation(count)
    out = np.arange(count)
    for low, high in stretches:
        size = high - low
        least = int(MINIMUM_SHIFT * size)
        out[low:high] = low + (np.arange(size) + rng.integers(least, size - least + (least > 0))) % size
    return out


def _size(cosine: NDArray[Any], signed: bool) -> NDArray[np.float64]:
    return cosine if signed else np.abs(cosine)
