"""Whether two recordings differ by more than chance, and by more than how they were recorded."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.recordings import version
from neurointerp.schema import SCHEMA_VERSION

NAME = "comparison.differences"
STEPS = 21
CHANCE = "within chance"
EXPLAINED = "within what recording explains"
BEYOND = "beyond what recording explains"
UNDECIDED = "undecided"
Floats = NDArray[np.float64]


def differences(comparison: xr.DataTree, *, seed: int = 0) -> xr.Dataset:
    r"""Tell for every two recordings whether their figures differ, and whether poorer recording of one explains it.

    Figures are compared by their intervals: of a difference :math:`a - b` the bounds are those of Zou and Donner
    (2008), :math:`a - b - \sqrt{(a - a_{low})^2 + (b_{high} - b)^2}` and likewise above. Two recordings differ where,
    for any figure, the difference is further from 0 than its bound, widened for the number of figures (Bonferroni).
    If they do, each of the two is made worse as in `comparison.sensitivity`, one factor at a time from its best to
    its worst level: the change that the factor brings (mean over replicates, linear between levels) is added to every
    figure (one that is undefined there stays as it is). Where some setting brings *all* figures within their bounds of
    the other recording's, the difference is one that recording explains: it may still be one between systems, but these
    recordings cannot tell.

    Parameters
    ----------
    comparison
        What `compare(..., sensitivity=True)` gave, with intervals.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `difference (recording, recording2, metric)`, the first minus the second, and `difference_interval` (..., bound)
        for each figure alone. `excess (recording, recording2)`: the largest difference as a multiple of its widened
        bound; above 1 they differ. `excess_explained (recording, recording2, factor)`: the same at the setting of
        `recording` that comes closest to `recording2`, and `level_explained`, its level. `verdict (recording,
        recording2)`: "within chance", "within what recording explains", "beyond what recording explains", or
        "undecided" where no figure has intervals in both. Times are left out between different clocks.

    Raises
    ------
    AnalysisError
        When the comparison has no intervals or no sensitivity, or that is of other recordings or another matching.

    References
    ----------
    Zou, Donner (2008), Construction of confidence limits about effect measures, Statistics in Medicine 27:1693-1702.
    That a setting must explain all figures at once is a choice made here. Combinations of factors other than `all`,
    and losses beyond the worst level, are not tried.

    Examples
    --------
    A comparison of one figure, written by hand: losing a quarter of the signal of one gives the figure of the other.

    >>> import numpy as np, xarray as xr
    >>> labels = {"recording": np.array(["good", "poor"], dtype=object), "metric": ["effective_dimension"]}
    >>> root = xr.Dataset(
    ...     {"summary": (("recording", "metric", "arm"), [[[2.0]], [[3.0]]]),
    ...      "interval": (("recording", "metric", "bound"), [[[1.8, 2.2]], [[2.7, 3.3]]], {"level": 0.95}),
    ...      "interval_freedom": ("recording", [9.0, 9.0])},
    ...     {**labels, "arm": ["data"], "bound": ["low", "high"], "clock": ("recording", ["s", "s"]),
    ...      "unit_of_metric": ("metric", ["1"])}, {"recording": {}})
    >>> value = np.array([[2.0, 4.0], [3.0, 5.0]]).reshape(2, 1, 1, 2, 1)
    >>> degraded = xr.Dataset({"value": (("recording", "metric", "factor", "level", "replicate"), value)},
    ...                       {**labels, "factor": ["signal"], "level": [1.0, 0.5]})
    >>> found = differences(xr.DataTree.from_dict({"/": root, "/sensitivity": degraded}))
    >>> found["verdict"].values[0, 1], found["level_explained"].values[0, 1].item()
    ('within what recording explains', 0.75)
    """
    if "interval" not in comparison or "sensitivity" not in comparison.children:
        raise AnalysisError(f"{NAME}: intervals and sensitivity are needed: compare(..., sensitivity=True)")
    root = comparison.to_dataset(inherit=False)
    value = root["summary"].sel(arm="data").values
    bounds = root["interval"].transpose("recording", "metric", "bound").values
    usable = _usable(root)
    share = comparison["sensitivity"]["value"].mean("replicate").transpose("recording", "metric", "factor", "level")
    level = share["level"].values
    if not np.allclose(share.sel(factor="signal", level=1.0).values, value, equal_nan=True):
        raise AnalysisError(
            f"{NAME}: at level 1 the sensitivity has other figures than the comparison; make both with the same "
            "recordings, seed and matching"
        )
    names, factors = root["recording"].values, share["factor"].values
    n = len(names)
    difference = value[:, None] - value[None]
    excess = np.full((n, n), np.nan)
    closest, at = np.full((n, n, len(factors)), np.nan), np.full((n, n, len(factors)), np.nan)
    for a, b in np.ndindex(n, n):
        use = usable[a, b] & np.isfinite(difference[a, b])
        if a == b or not use.any():
            continue
        wide = _widening(int(use.sum()), np.nanmin(root["interval_freedom"].values[[a, b]]))
        one, other = (value[a, use], bounds[a, use]), (value[b, use], bounds[b, use])
        excess[a, b] = _excess(*one, *other) / wide
        for f in range(len(factors)):
            least, at[a, b, f] = _nearest(share.values[a, use, f], level, *one, *other)
            closest[a, b, f] = least / wide
    pair = ("recording", "recording2")
    return xr.Dataset(
        {
            "difference": ((*pair, "metric"), np.where(usable, difference, np.nan)),
            "difference_interval": ((*pair, "metric", "bound"), _bounds(value, bounds, usable)),
            "excess": (pair, excess),
            "excess_explained": ((*pair, "factor"), closest),
            "level_explained": ((*pair, "factor"), at),
            "verdict": (pair, _verdicts(excess, closest)),
        },
        coords={"recording": names, "recording2": names, "metric": root["metric"].values, "factor": factors,
                "bound": root["bound"].values},
        attrs={
            "analysis": NAME, "parameters": {"level": root["interval"].attrs["level"]},
            "recording": root.attrs["recording"], "version": version(), "seed": seed, "schema_version": SCHEMA_VERSION,
        },
    )  # fmt: skip


def _usable(root: xr.Dataset) -> NDArray[np.bool_]:
    """Tell (recording, recording2, metric) where both have an interval and the figure is in one unit."""
    there = np.isfinite(root["interval"].values).all(axis=-1)
    clock = root["clock"].values
    same = clock[:, None] == clock[None]
    comparable = same[..., None] | (root["unit_of_metric"].values != "clock")
    out: NDArray[np.bool_] = there[:, None] & there[None] & comparable
    return out


def _widening(figures: int, freedom: float) -> float:
    """Give by how much a bound of one figure is widened to hold for all."""
    from scipy.stats import t

    return float(t.isf(0.025 / figures, freedom) / t.isf(0.025, freedom))


def _excess(one: Floats, of_one: Floats, other: Floats, of_other: Floats) -> float:
    """Give the largest difference over figures as a multiple of the bound on its side; NaN without any."""
    gap = one - other
    lower = np.hypot(one - of_one[:, 0], of_other[:, 1] - other)
    upper = np.hypot(of_one[:, 1] - one, other - of_other[:, 0])
    ratio = np.abs(gap) / np.maximum(np.where(gap > 0, lower, upper), 1e-300)
    return float(np.max(ratio[np.isfinite(gap)], initial=-np.inf)) if np.isfinite(gap).any() else float("nan")


def _nearest(
    share: Floats, level: Floats, one: Floats, of_one: Floats, other: Floats, of_other: Floats
) -> tuple[float, float]:
    """Give the least excess along the settings of one factor, and the level it is at; NaN where nothing changes."""
    moved = _moved(share, level)
    if not np.isfinite(moved).any():
        return float("nan"), float("nan")
    along = [_excess(one + change, of_one + change[:, None], other, of_other) for change in np.nan_to_num(moved).T]
    best = int(np.argmin(along))
    return along[best], float(np.linspace(level[0], level[-1], STEPS)[best])


def _moved(share: Floats, level: Floats) -> Floats:
    """Give by how much figures (metric) change along STEPS settings of one factor, from its best level to its worst."""
    change = share - share[:, :1]
    at = np.linspace(level[0], level[-1], STEPS)
    return np.stack([np.interp(-at, -level, row) for row in change])


def _bounds(value: Floats, bounds: Floats, usable: NDArray[np.bool_]) -> Floats:
    """Give low and high of every difference (recording, recording2, metric, bound)."""
    down, up = value - bounds[..., 0], bounds[..., 1] - value
    low = value[:, None] - value[None] - np.hypot(down[:, None], up[None])
    high = value[:, None] - value[None] + np.hypot(up[:, None], down[None])
    return np.where(usable[..., None], np.stack([low, high], axis=-1), np.nan)


def _verdicts(excess: Floats, closest: Floats) -> NDArray[np.object_]:
    """Say in words what was found of each pair; it is the same in both orders."""
    best = np.nanmin(np.nan_to_num(closest, nan=np.inf), axis=-1)
    best = np.minimum(best, best.T)
    out = np.full(excess.shape, BEYOND, dtype=object)
    out[best <= 1] = EXPLAINED
    out[excess <= 1] = CHANCE
    out[np.isnan(excess)] = UNDECIDED
    np.fill_diagonal(out, CHANCE)
    return out
