"""Pictures of a recording: all of it as an image, single units as lines, their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.plot.results import COLOURS
from neurointerp.schema import segment_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def traces(recording: xr.DataArray, ax: Axes, *, limit: float | None = None) -> Axes:
    """Draw a recording as an image, samples from left to right and units from top to bottom.

    Parameters
    ----------
    recording
        (time, unit) or (trial, unit).
    ax
        Axes to draw into.
    limit
        Colour limit in the recording's units, symmetric about zero; the 99th percentile of `abs(value)` by default.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, with gaps between segments drawn as lines.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> traces(ni.load("demo-calcium"), Figure().subplots()).get_ylabel()
    'unit (60)'
    """
    values = np.asarray(recording.values)
    bound = float(np.nanpercentile(np.abs(values), 99)) if limit is None else limit
    ax.imshow(values.T, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    samples = recording[str(recording.dims[0])]
    for start, _ in segment_bounds(recording)[1:] if samples.name == "time" else ():
        ax.axvline(start - 0.5, color="black", linewidth=0.6)
    ticks = np.linspace(0, samples.size - 1, 4).round().astype(int)
    ax.set_xticks(ticks, [f"{value:g}" for value in samples.values[ticks].round(2)])
    ax.set_xlabel(_named_axis(samples))
    ax.set_ylabel(f"unit ({recording.sizes['unit']})")
    ax.set_yticks([])
    return ax


def courses(recording: xr.DataArray, ax: Axes, *, units: int = 8) -> Axes:
    """Draw units as lines above each other, evenly picked from the first to the last.

    Parameters
    ----------
    recording
        (time, unit) or (trial, unit).
    ax
        Axes to draw into.
    units
        How many lines at most.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, with the name of each unit beside its line. Lines lie six times the median standard deviation apart (the
        axis says how far that is); they are broken between segments and where values are missing.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> len(courses(ni.load("demo-eeg")[:200], Figure().subplots(), units=3).lines)
    3
    """
    picked = np.unique(np.linspace(0, recording.sizes["unit"] - 1, units).round().astype(int))
    values = np.asarray(recording.values, dtype=np.float64)[:, picked]
    known = np.isfinite(values)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    spread = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    apart = 6 * float(np.median(spread)) or 1.0
    clock = recording[str(recording.dims[0])]
    # a number per sample where the clock is no number, and NaN between segments so that no line crosses a gap
    x = np.asarray(clock.values, dtype=np.float64) if clock.dtype.kind in "iuf" else np.arange(clock.size, dtype=float)
    breaks = [start for start, _ in segment_bounds(recording)[1:]] if clock.name == "time" else []
    x = np.insert(x, breaks, np.nan)
    for row, column in enumerate((values - mean).T):
        line = np.insert(column, breaks, np.nan)
        ax.plot(x, line - row * apart, color=COLOURS[0], linewidth=0.7)
    ax.set_yticks([-row * apart for row in range(len(picked))], [str(u) for u in recording["unit"].values[picked]])
    ax.set_ylim(-(len(picked) - 0.4) * apart, 0.6 * apart)
    ax.margins(x=0)
    ax.set_xlabel(_named_axis(clock))
    units_of = str(recording.attrs.get("units", "1"))
    ax.set_ylabel(f"unit ({apart:.2g}{'' if units_of == '1' else ' ' + units_of} apart)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def mean_course(recording: xr.DataArray, ax: Axes) -> Axes:
    """Draw the mean over units against the number of the sample: of spike counts, the population's rate.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> len(mean_course(ni.load("demo-spikes"), Figure().subplots()).lines)
    1
    """
    mean = np.asarray(recording.mean("unit").values, dtype=np.float64)
    ax.plot(np.arange(len(mean)), mean, color=COLOURS[0], linewidth=0.8)
    units_of = str(recording.attrs.get("units", "1"))
    ax.set_ylabel("mean over units" + ("" if units_of == "1" else f" ({units_of})"))
    ax.margins(x=0)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _named_axis(samples: xr.DataArray) -> str:
    return f"{samples.name} ({samples.attrs['units']})" if "units" in samples.attrs else str(samples.name)
