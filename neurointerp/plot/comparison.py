"""The picture of a comparison: every figure of every recording beside its null."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 5


def figure_strips(comparison: xr.DataTree, figure: Figure) -> Figure:
    """Draw one small panel per figure: a dot per recording, a grey bar for its null (mean and 2 sd).

    Parameters
    ----------
    comparison
        What `comparison.compare` gave.
    figure
        A matplotlib figure to draw into.

    Returns
    -------
    matplotlib.figure.Figure
        `figure`.
    """
    summary = comparison.to_dataset(inherit=False)
    names = [_label(summary, i) for i in range(summary.sizes["recording"])]
    rows = -(-summary.sizes["metric"] // COLUMNS)
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    place = np.arange(len(names))
    for panel, metric in zip(panels, summary["metric"].values, strict=False):
        cell = summary.sel(metric=metric)
        null, sd = cell["summary"].sel(arm="null").values, cell["null_sd"].values
        panel.hlines(place, null - 2 * sd, null + 2 * sd, color="#bbbbbb", linewidth=5)
        for i, value in enumerate(cell["summary"].sel(arm="data").values):
            panel.plot(value, i, "o", color=COLOURS[i % len(COLOURS)], markersize=6)
        panel.set_title(str(metric).replace("_", " "), fontsize=8)
        panel.set_yticks(place, names, fontsize=7)
        panel.tick_params(axis="x", labelsize=7)
        panel.margins(x=0.15, y=0.15)
        panel.invert_yaxis() if panel is panels[0] else None
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[summary.sizes["metric"] :]:
        panel.set_visible(False)
    return figure


def _label(summary: xr.Dataset, index: int) -> str:
    return f"{summary['recording'].values[index]} ({summary['kind'].values[index]})"
