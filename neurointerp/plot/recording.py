"""Pictures of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

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
    ax.set_xlabel(f"{samples.name} ({samples.attrs['units']})" if "units" in samples.attrs else str(samples.name))
    ax.set_ylabel(f"unit ({recording.sizes['unit']})")
    ax.set_yticks([])
    return ax
