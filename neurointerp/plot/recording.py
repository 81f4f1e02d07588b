"""Pictures of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.schema import segment_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def traces(recording: xr.DataArray, ax: Axes, *, limit: float | None = None) -> Axes:
    """Draw a continuous recording as an image, units from top to bottom.

    Parameters
    ----------
    recording
        (time, unit).
    ax
        Axes to draw into.
    limit
        Colour limit in the recording's units, symmetric about zero; the 99th percentile of |value| by default.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, with gaps between segments drawn as lines.
    """
    values = np.asarray(recording.values)
    bound = float(np.nanpercentile(np.abs(values), 99)) if limit is None else limit
    ax.imshow(values.T, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    for start, _ in segment_bounds(recording)[1:]:
        ax.axvline(start - 0.5, color="black", linewidth=0.6)
    time = recording["time"]
    ticks = np.linspace(0, time.size - 1, 4).round().astype(int)
    ax.set_xticks(ticks, [f"{value:g}" for value in time.values[ticks].round(2)])
    ax.set_xlabel(f"time ({time.attrs.get('units', '')})")
    ax.set_ylabel(f"unit ({recording.sizes['unit']})")
    ax.set_yticks([])
    return ax
