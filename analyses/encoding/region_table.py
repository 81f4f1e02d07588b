"""Which model predicts which region: fits of several models to the same units, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "encoding.region_table"
Floats = NDArray[np.float64]


def region_table(
    results: Mapping[str, xr.Dataset], by: str = "region", *, minimum_ceiling: float = 0.0, seed: int = 0
) -> xr.Dataset:
    """Set the held-out correlations of several models beside each other, region by region, with a sign test.

    Parameters
    ----------
    results
        Model -> what `ridge`, `readout`, `attention_encoder`, ... gave for the same units on the same number of folds.
    by
        Coordinate of the units that names their region (or kind, layer, ...); units without one take no part.
    minimum_ceiling
        Units whose `noise_ceiling` is not above it, or missing, take no part; where units have no ceiling all do.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `correlation (model, region)`, the mean over folds, then units; with a `noise_ceiling` on the units
        `correlation_of_ceiling (model, region)`, each unit's divided by the root of its ceiling first.
        `units (region)`, how many took part, and `included (unit)`, which. `better (model, model2, region)`: the share
        of units that `model` predicts better than `model2`, and `p_value` of that share by the sign test, exact and of
        both sides, which takes units as independent: those of one subject share noise, so it is too small there. Units
        that one of the two has no correlation for, or both the same, are left out of the comparison; 1 where none is
        left.

    Raises
    ------
    AnalysisError
        When results hold no correlations, are of other units or folds, or units have no such coordinate.

    References
    ----------
    The table of models by regions in Saha, Chadha, Khosla (2024), arXiv:2410.14031.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> tree = ni.synthetic.linear_responses(snr=2.0)
    >>> features, responses = (tree[f"recordings/{name}/recording"] for name in ("features", "responses"))
    >>> half = ["V1"] * (responses.sizes["unit"] // 2)
    >>> responses = responses.assign_coords(region=("unit", half + ["V4"] * (responses.sizes["unit"] - len(half))))
    >>> fits = {"all": encoding.ridge(features, responses), "two": encoding.ridge(features[:, :2], responses)}
    >>> found = encoding.region_table(fits)
    >>> bool((found.correlation.sel(model="all") > found.correlation.sel(model="two")).all())
    True
    """
    scores, units = _scores(results, by)
    members, regions, included, ceiling = _regions(units, by, minimum_ceiling)
    models = np.array(list(results), dtype=object)
    table = {"model": models, "region": regions}
    variables = {"correlation": xr.DataArray(_means(scores, members), dims=("model", "region"), coords=table)}
    if ceiling is not None:
        scaled = scores / np.sqrt(np.where(ceiling > 0, ceiling, np.nan))
        variables["correlation_of_ceiling"] = xr.DataArray(
            _means(scaled, members), dims=("model", "region"), coords=table
        )
    square = {"model": models, "model2": models, "region": regions}
    for name, values in zip(("better", "p_value"), _compared(scores, members), strict=True):
        variables[name] = xr.DataArray(values, dims=tuple(square), coords=square)
    variables = {name: one.assign_attrs(units="1") for name, one in variables.items()}
    variables["units"] = xr.DataArray([int(one.sum()) for one in members], dims="region", coords={"region": regions})
    variables["included"] = xr.DataArray(included, dims="unit", coords=units.coords)
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=list(results.values()),
        parameters={"by": by, "minimum_ceiling": minimum_ceiling},
        seed=seed,
    )


def _regions(
    units: xr.DataArray, by: str, minimum: float
) -> tuple[list[NDArray[np.bool_]], NDArray[Any], NDArray[np.bool_], Floats | None]:
    """Give the units of each region, the regions, which units take part at all, and their ceilings."""
    known = units[by]
    included = np.asarray(known.notnull().values) & (known.values.astype(str) != "")  # loaders write "" for unknown
    ceiling = None
    if "noise_ceiling" in units.coords:
        ceiling = np.asarray(units["noise_ceiling"].values, dtype=np.float64)
        included = included & (ceiling > minimum)  # a missing one is not above anything
    label = np.array([str(one) for one in known.values], dtype=object)
    regions = np.array(sorted(set(label[included])), dtype=object)
    if not regions.size:
        raise AnalysisError(f"{_ANALYSIS}: no unit has a {by!r} and a noise_ceiling above {minimum}")
    return [included & (label == one) for one in regions], regions, included, ceiling


def _scores(results: Mapping[str, xr.Dataset], by: str) -> tuple[Floats, xr.DataArray]:
    """Give (model, unit) mean correlations over folds, and one row of units with their coordinates."""
    if not results or any(
        "correlation" not in one or "fold" not in one["correlation"].dims for one in results.values()
    ):
        raise AnalysisError(f"{_ANALYSIS}: results with correlation (fold, unit), by model, are needed")
    first = next(iter(results.values()))["correlation"].transpose("fold", "unit")
    rows = []
    for name, one in results.items():
        r = one["correlation"].transpose("fold", "unit")
        if r.shape != first.shape or not np.array_equal(r["unit"].values, first["unit"].values):
            raise AnalysisError(
                f"{_ANALYSIS}: {name!r} has {r.sizes['fold']} folds of {r.sizes['unit']} units; the first has "
                f"{first.sizes['fold']} of {first.sizes['unit']}: pass fits of the same units, in one order, and folds"
            )
        rows.append(r.mean("fold").values)
    if by not in first.coords or first[by].dims != ("unit",):
        raise AnalysisError(f"{_ANALYSIS}: units have no coordinate {by!r}; assign one, or pass another by=")
    return np.array(rows, dtype=np.float64), first.isel(fold=0, drop=True)


def _means(scores: Floats, members: list[NDArray[np.bool_]]) -> Floats:
    """Give (model, region) means of what is there."""
    out = np.full((len(scores), len(members)), np.nan)
    for column, mine in enumerate(members):
        there = ~np.isnan(scores[:, mine])
        count = there.sum(axis=1)
        total = np.where(there, scores[:, mine], 0.0).sum(axis=1)
        out[:, column] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return out


def _compared(scores: Floats, members: list[NDArray[np.bool_]]) -> tuple[Floats, Floats]:
    """Give (model, model2, region) the share of units that the first predicts better, and its p by the sign test."""
    from scipy.stats import binomtest

    size = len(scores), len(scores), len(members)
    share, p = np.full(size, np.nan), np.ones(size)
    for region, mine in enumerate(members):
        for one in range(size[0]):
            for two in range(size[0]):
                apart = scores[one, mine] - scores[two, mine]  # NaN is neither above nor below
                wins, losses = int((apart > 0).sum()), int((apart < 0).sum())
                if wins + losses:
                    share[one, two, region] = wins / (wins + losses)
                    p[one, two, region] = binomtest(wins, wins + losses).pvalue
    return share, p
