"""Pictures of a comparison: every figure of every recording beside its null, and the figures that have a rank."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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


def rank_curves(comparison: xr.DataTree | xr.Dataset, ax: Axes, *, recording: str) -> Axes:
    """Draw the figures of one recording that are given for several ranks, each over its ranks beside its null.

    Parameters
    ----------
    comparison
        What `comparison.compare` gave, or the dataset at its root. Figures named `<what>_rank<number>` are drawn.
    ax
        Axes to draw into.
    recording
        Which recording.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`: a line and dots for the data (with its interval where the comparison has one), a band and a dashed line
        for the null (mean and 2 sd).

    Raises
    ------
    AnalysisError
        When there is no such recording, or it has no figure of several ranks.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import comparison
    >>> tree = comparison.compare({"scalp": ni.load("demo-eeg")}, samples=100, nulls=2)
    >>> [text.get_text() for text in rank_curves(tree, Figure().subplots(), recording="scalp").get_legend().texts]
    ['semi-NMF explained', 'tensor fit', 'null (mean, 2 sd)']
    """
    root = comparison.to_dataset(inherit=False) if isinstance(comparison, xr.DataTree) else comparison
    if recording not in root["recording"].values.tolist():
        raise AnalysisError(f"plot.rank_curves: there is no recording {recording!r}")
    summary = root.isel(recording=root["recording"].values.tolist().index(recording))
    drawn = 0
    for number, (what, ranks) in enumerate(ranked(summary).items()):
        one = summary.sel(metric=[f"{what}_rank{rank}" for rank in ranks])
        data, null = (one["summary"].sel(arm=arm).values for arm in ("data", "null"))
        if not np.isfinite(data).any():
            continue
        drawn += 1
        colour, sd = COLOURS[number % len(COLOURS)], one["null_sd"].values
        ax.fill_between(ranks, null - 2 * sd, null + 2 * sd, color=colour, alpha=0.2, linewidth=0)
        ax.plot(ranks, null, color=colour, linestyle="--", linewidth=0.9)
        ax.plot(
            ranks,
            data,
            color=colour,
            marker="os^D"[number % 4],
            markersize=4,
            label=what.replace("semi_nmf", "semi-NMF").replace("_", " "),
        )
        if "interval" in one:
            low, high = (one["interval"].isel(bound=bound).values for bound in (0, 1))
            ax.vlines(ranks, low, high, color=colour, linewidth=1.2)
    if not drawn:
        raise AnalysisError(f"plot.rank_curves: recording {recording!r} has no figure of several ranks")
    ax.plot([], [], color="0.4", linestyle="--", linewidth=0.9, label="null (mean, 2 sd)")
    every = sorted({rank for ranks in ranked(summary).values() for rank in ranks})
    ax.set_xscale("log", base=2)
    ax.set_xticks(every, [str(rank) for rank in every])
    ax.minorticks_off()
    ax.set_xlabel("rank (components)")
    ax.set_ylabel("share explained")
    ax.legend(fontsize=7, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def ranked(summary: xr.Dataset) -> dict[str, list[int]]:
    """Give the figures of a comparison that are there for more than one rank: name without rank -> its ranks."""
    found: dict[str, list[int]] = {}
    for metric in summary["metric"].values:
        if match := re.fullmatch(r"(.+)_rank(\d+)", str(metric)):
            found.setdefault(match[1], []).append(int(match[2]))
    return {what: sorted(ranks) for what, ranks in found.items() if len(ranks) > 1}


def _label(summary: xr.Dataset, index: int) -> str:
    return f"{summary['recording'].values[index]} ({summary['kind'].values[index]})"
