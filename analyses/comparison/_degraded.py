"""A recording made worse in one respect: fewer units, fewer samples, a lower rate, less signal, or all at once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurointerp.analyses.comparison._figures import FIGURES, figures
from neurointerp.analyses.comparison._intervals import standardised
from neurointerp.analyses.comparison._matched import MIN_SAMPLES, MIN_UNITS
from neurointerp.analyses.comparison._quality import noisy
from neurointerp.analyses.comparison._rates import at_rate
from neurointerp.errors import NeurointerpError

FACTORS = ("units", "samples", "rate", "signal", "all")
LEVELS = (1.0, 0.75, 0.5)
REPLICATES = 4


def degraded_figures(
    name: str, matched: xr.DataArray, levels: Sequence[float], replicates: int, seed: int
) -> xr.Dataset:
    """Give `value (metric, factor, level, replicate)` of one matched recording; NaN where there is no figure."""
    values = np.full((len(FIGURES), len(FACTORS), len(levels), replicates), np.nan)
    whole = _in_order(matched, seed)
    for i, factor in enumerate(FACTORS):
        for j, level in enumerate(levels):
            if level == 1 and factor != "rate":
                values[:, i, j] = whole[:, None]
                continue
            for replicate in range(replicates):
                rng = np.random.default_rng([seed, zlib.crc32(f"{name}/{factor}".encode()), j, replicate])
                part = _degraded(matched, factor, level, min(levels), rng)
                if part is not None and min(part.shape) >= MIN_UNITS and len(part) >= MIN_SAMPLES:
                    values[:, i, j, replicate] = _in_order(part, seed)
    return xr.Dataset({"value": (("metric", "factor", "level", "replicate"), values)})


def _in_order(part: xr.DataArray, seed: int) -> np.ndarray:
    found = figures(part, seed)[0]
    return np.array([found.get(figure.name, np.nan) for figure in FIGURES])


def _degraded(
    rec: xr.DataArray, factor: str, level: float, lowest: float, rng: np.random.Generator
) -> xr.DataArray | None:
    """Give the recording at a level (share kept) of a factor; None where it has no rate to lower.

    At all levels of the rate there are as many samples as at the lowest. With `"all"` the number of samples falls with
    the rate, as it does for a slower instrument in the same time; without a rate samples are left out.
    """
    if factor == "units":
        return _fewer_units(rec, level, rng)
    if factor == "signal":
        return noisy(rec, (1 - level) / level, rng)
    if factor == "samples":
        return standardised(_window(rec, round(level * len(rec)), rng))
    slower = _slower(rec, level)
    if factor == "rate":
        return None if slower is None else standardised(_window(slower, int(lowest * len(rec)), rng))
    shorter = _window(rec, round(level * len(rec)), rng) if slower is None else slower
    return noisy(_fewer_units(standardised(shorter), level, rng), (1 - level) / level, rng)


def _fewer_units(rec: xr.DataArray, level: float, rng: np.random.Generator) -> xr.DataArray:
    kept = max(round(level * rec.sizes["unit"]), 1)
    return rec.isel(unit=np.sort(rng.choice(rec.sizes["unit"], kept, replace=False)))


def _window(rec: xr.DataArray, samples: int, rng: np.random.Generator) -> xr.DataArray:
    kept = max(min(samples, len(rec)), 1)
    start = int(rng.integers(0, len(rec) - kept + 1))
    return rec[start : start + kept]


def _slower(rec: xr.DataArray, level: float) -> xr.DataArray | None:
    """Give the recording at a lower rate; None without a regular clock in seconds. What is z-scored is no count."""
    if "time" not in rec.dims or rec["time"].dtype.kind != "f" or "sampling_rate" not in rec.attrs:
        return None
    try:
        return at_rate("", rec, level * rec.attrs["sampling_rate"])
    except NeurointerpError:
        return None
