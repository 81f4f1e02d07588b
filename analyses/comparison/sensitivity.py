"""How far each figure of a comparison depends on how a system was recorded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from neurointerp import store
from neurointerp.analyses.comparison._degraded import FACTORS, LEVELS, REPLICATES, degraded_figures
from neurointerp.analyses.comparison._figures import FIGURES
from neurointerp.analyses.comparison._matched import matched
from neurointerp.errors import AnalysisError
from neurointerp.recordings import version
from neurointerp.schema import SCHEMA_VERSION

log = logging.getLogger("neurointerp")
NAME = "comparison.sensitivity"


def sensitivity(
    recordings: Mapping[str, xr.DataArray],
    *,
    units: int | None = None,
    samples: int | None = None,
    rate: float | Literal["slowest"] | None = None,
    quality: Literal["repeats", "units"] | None = None,
    reliability: float | None = None,
    levels: Sequence[float] = LEVELS,
    replicates: int = REPLICATES,
    truth: Mapping[str, Mapping[str, float]] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Give every figure of a comparison on recordings made worse: of fewer units or samples, slower, noisier.

    A difference between two recordings may be one between their instruments. Each recording is cut as `compare` does
    and then degraded, one factor at a time. A level is the share that is kept:

    - `units`: of the units, drawn at random.
    - `samples`: of the samples, one window placed at random.
    - `rate`: of the sampling rate (`align.resample`). At every level, 1 among them, there are as many samples as at
      the lowest level, in a window placed at random, so that rate is not mistaken for duration. NaN on clocks that
      count and for single values of trials.
    - `signal`: of each unit's variance; white Gaussian noise, independent between units, makes up the rest.
    - `all`: units, rate and signal together, over the same time (so that samples fall with the rate).

    Parameters
    ----------
    recordings
        Name -> recording, as for `compare`: own data, or simulations whose truth is known.
    units, samples, rate, quality, reliability
        What recordings are matched to before they are made worse, as for `compare`.
    levels
        Shares kept, above 0 and at most 1; 1, the recording as it is, is always among them.
    replicates
        Random draws of units, windows and noise for each level.
    truth
        Name of a recording -> figure -> what it is of the system itself, where that is known, as of a simulation.
    seed
        Seeds the draws and the solvers.

    Returns
    -------
    xarray.Dataset
        `value (recording, metric, factor, level, replicate)`. At level 1 all replicates are the recording itself
        (but for `rate`). NaN where a figure is undefined, or fewer than 4 units or 60 samples are left. `clock
        (recording)` and `unit_of_metric (metric)` tell which figures are times, and of which clock. With `truth` also
        `truth (recording, metric)`, NaN where it is not known.

    Raises
    ------
    AnalysisError
        When a level or the number of replicates is out of range, `truth` names what is not there, or recordings cannot
        be matched, as in `compare`.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import comparison
    >>> found = comparison.sensitivity({"scalp": ni.load("demo-eeg")}, samples=120, units=8, levels=[0.5], replicates=1)
    >>> dimension = found["value"].sel(metric="effective_dimension", factor="signal").squeeze()
    >>> bool(dimension.sel(level=0.5) > dimension.sel(level=1.0))
    True
    """
    steps = checked_levels(levels, replicates)
    known = None if truth is None else _known(truth, recordings)
    matching = {"rate": rate, "quality": quality, "reliability": reliability}
    cut = matched(
        recordings, units=units, samples=samples, seed=seed, rate=rate, quality=quality, reliability=reliability
    )
    parts = []
    for name, rec in cut.items():
        log.info("degrading %s", name)
        parts.append(degraded_figures(name, rec, steps, replicates, seed))
    first = next(iter(cut.values()))
    out = joined(dict(zip(cut, parts, strict=True)), cut, steps)
    if known is not None:
        out = out.assign(truth=(("recording", "metric"), known))
    return out.assign_attrs(
        analysis=NAME,
        parameters={
            "units": first.sizes["unit"],
            "samples": len(first),
            **matching,
            "levels": steps,
            "replicates": replicates,
        },
        recording={name: store.digest(rec) for name, rec in recordings.items()},
        version=version(),
        seed=seed,
        schema_version=SCHEMA_VERSION,
    )


def joined(parts: Mapping[str, xr.Dataset], matched: Mapping[str, xr.DataArray], levels: Sequence[float]) -> xr.Dataset:
    """Give what was found of several recordings as one dataset with labels."""
    names = xr.Variable("recording", np.array(list(parts), dtype=object))
    return xr.concat(list(parts.values()), names).assign_coords(
        metric=np.array([figure.name for figure in FIGURES], dtype=object),
        factor=np.array(FACTORS, dtype=object),
        level=np.array(levels, dtype=np.float64),
        clock=("recording", np.array([clock_units(matched[name]) for name in parts], dtype=object)),
        unit_of_metric=("metric", np.array([figure.unit for figure in FIGURES], dtype=object)),
    )


def clock_units(rec: xr.DataArray) -> str:
    """Give what the clock of a recording counts; `trial` where there is none."""
    return str(rec["time"].attrs["units"]) if "time" in rec.coords else "trial"


def _known(truth: Mapping[str, Mapping[str, float]], recordings: Mapping[str, xr.DataArray]) -> np.ndarray:
    """Give the truth (recording, metric), or refuse names that are not there."""
    metrics = [figure.name for figure in FIGURES]
    lost = [name for name in truth if name not in recordings]
    lost += [metric for of in truth.values() for metric in of if metric not in metrics]
    if lost:
        raise AnalysisError(f"{NAME}: truth of {lost[0]!r}, which is no recording and no figure of the comparison")
    return np.array([[float(truth.get(name, {}).get(m, np.nan)) for m in metrics] for name in recordings])


def checked_levels(levels: Sequence[float], replicates: int) -> list[float]:
    """Give levels in falling order, or refuse them."""
    steps = sorted({1.0, *(float(level) for level in levels)}, reverse=True)
    if not all(0 < level <= 1 for level in steps) or replicates < 1:
        raise AnalysisError(
            f"{NAME}: levels {list(levels)} and {replicates} replicates: shares above 0, at most 1, and a replicate or "
            "more are needed"
        )
    return steps
