"""Pictures of a comparison: figures beside their nulls, over ranks and as recordings get worse, and what differs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

COLUMNS = 5
MARKERS = "osD^vPX*"
FACTOR_TITLES = {
    "units": "units",
    "samples": "samples",
    "rate": "sampling rate",
    "signal": "signal share",
    "all": "all",
}
VERDICTS = {
    "within chance": "=",
    "within what recording explains": "r",
    "beyond what recording explains": "d",
    "undecided": "?",
}


def figure_strips(comparison: xr.DataTree, figure: Figure) -> Figure:
    """Draw a small panel per figure: a dot per recording with its interval, a grey bar for its null (mean and 2 sd).

    A figure that is a time has a panel for each clock, seconds or tokens, and in it the recordings on that clock.

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
    names = np.array([_label(summary, i) for i in range(summary.sizes["recording"])])
    drawn = strips(summary)
    panels = figure.subplots(-(-len(drawn) // COLUMNS), COLUMNS, sharey=True, squeeze=False).ravel()
    place = np.arange(len(names))
    for panel, (metric, unit, rows) in zip(panels, drawn, strict=False):
        cell = summary.sel(metric=metric)
        null, sd = cell["summary"].sel(arm="null").values, cell["null_sd"].values
        panel.hlines(place[rows], (null - 2 * sd)[rows], (null + 2 * sd)[rows], color="#bbbbbb", linewidth=5)
        for i in rows:
            colour = COLOURS[i % len(COLOURS)]
            if "interval" in summary:
                panel.hlines(i, *cell["interval"].values[i], color=colour, linewidth=1.5)
            panel.plot(cell["summary"].sel(arm="data").values[i], i, "o", color=colour, markersize=6)
        panel.set_title(_titled(metric, unit), fontsize=8)
        panel.set_yticks(place, names, fontsize=7)
        panel.tick_params(axis="x", labelsize=7)
        panel.margins(x=0.15, y=0.15)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(drawn) :]:
        panel.set_visible(False)
    return figure


def strips(summary: xr.Dataset) -> list[tuple[str, str, list[int]]]:
    """Give what may lie on one axis: a figure, the unit of a time, and which recordings; each clock has its own."""
    clock = [str(one) for one in summary["clock"].values]
    out = []
    for metric, kind in zip(summary["metric"].values, summary["unit_of_metric"].values, strict=True):
        units = clock if str(kind) == "clock" else [""] * len(clock)
        known = np.isfinite(summary["summary"].sel(metric=metric, arm="data").values)
        for unit in dict.fromkeys(units):
            rows = [i for i, one in enumerate(units) if one == unit]
            if not unit or known[rows].any():
                out.append((str(metric), unit, rows))
    return out


def _titled(metric: str, unit: str) -> str:
    return metric.replace("_", " ") + (f" ({unit})" if unit else "")


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


def sensitivity_curves(result: xr.Dataset | xr.DataTree, figure: Figure, *, metric: str) -> Figure:
    """Draw how one figure changes as recordings are made worse: a panel per factor, a line per recording.

    Times on different clocks, seconds or tokens, have a row of panels each.

    Parameters
    ----------
    result
        What `comparison.sensitivity` gave, or the node `/sensitivity` of a comparison.
    figure
        A matplotlib figure to draw into.
    metric
        Name of the figure of the comparison.

    Returns
    -------
    matplotlib.figure.Figure
        `figure`. Lines are means over replicates, bands reach from the least to the most of them. Recordings are told
        by colour and by marker; a dashed line is the `truth` of a recording, where the result has it.

    Raises
    ------
    AnalysisError
        When there is no such metric.
    """
    held = result.to_dataset() if isinstance(result, xr.DataTree) else result
    value = held["value"]
    if metric not in value["metric"].values:
        raise AnalysisError(f"sensitivity_curves: no metric {metric!r}; there are {', '.join(value['metric'].values)}")
    value = value.sel(metric=metric).transpose("recording", "factor", "level", "replicate")
    truth = held["truth"].sel(metric=metric).values if "truth" in held else np.full(len(value), np.nan)
    clocks = _clocks(value)
    rows = list(dict.fromkeys(clocks))
    grid = figure.subplots(len(rows), value.sizes["factor"], sharey="row", squeeze=False)
    for unit, panels in zip(rows, grid, strict=True):
        for i in (i for i, clock in enumerate(clocks) if clock == unit):
            for panel, factor in zip(panels, value["factor"].values, strict=True):
                _curve(value.isel(recording=i).sel(factor=factor), float(truth[i]), panel, i)
        panels[0].set_ylabel(_titled(metric, unit), fontsize=9)
    for panel, factor in zip(grid[0], value["factor"].values, strict=True):
        panel.set_title(FACTOR_TITLES.get(factor, factor), fontsize=9)
    share = 100 * value["level"].values
    for panel in grid.flat:
        panel.set_xlim(share.max() + 4, share.min() - 4)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in grid[-1]:
        panel.set_xlabel("kept (%)", fontsize=8)
    _legend(figure, grid[:, 0], bool(np.isfinite(truth).any()))
    return figure


def _clocks(value: xr.DataArray) -> list[str]:
    """Give the unit of one figure for each recording: that of its clock, of a time, else nothing."""
    if "clock" not in value.coords or str(value.coords["unit_of_metric"].item()) != "clock":
        return [""] * len(value)
    return [str(clock) for clock in value["clock"].values]


def _curve(value: xr.DataArray, truth: float, panel: Axes, number: int) -> None:
    """Draw one recording (level, replicate) under one factor, and what is true of the system where that is known."""
    draws, share = value.values, 100 * value["level"].values
    known = np.isfinite(draws).any(axis=-1)
    if not known.any():
        return
    colour, kept = COLOURS[number % len(COLOURS)], draws[known]
    panel.fill_between(share[known], np.nanmin(kept, -1), np.nanmax(kept, -1), color=colour, alpha=0.2, linewidth=0)
    panel.plot(share[known], np.nanmean(kept, -1), MARKERS[number % len(MARKERS)] + "-", color=colour,
               label=str(value["recording"].item()), markersize=4)  # fmt: skip
    if np.isfinite(truth):
        panel.axhline(truth, color=colour, linestyle="--", linewidth=1)


def _legend(figure: Figure, panels: Iterable[Axes], with_truth: bool) -> None:
    """Name every recording once, below all panels."""
    from matplotlib.lines import Line2D

    entries = {name: line for panel in panels for line, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    if with_truth:
        entries["true of the system"] = Line2D([], [], color="0.3", linestyle="--", linewidth=1)
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(len(entries), 5),
                  fontsize=8, frameon=False)  # fmt: skip


def difference_matrix(result: xr.Dataset, ax: Axes) -> Axes:
    """Draw what was found of every two recordings: a shade and a letter for each verdict, and the excess.

    Parameters
    ----------
    result
        What `comparison.differences` gave.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`. "=" is within chance, "r" within what recording explains, "d" beyond it, "?" undecided; the number is
        the largest difference of a figure as a multiple of its widened bound.
    """
    names, verdict = result["recording"].values, result["verdict"].values
    order = list(VERDICTS)
    code = np.array([[order.index(str(one)) for one in row] for row in verdict])
    ax.imshow(code, cmap=_shades(), vmin=-0.5, vmax=len(order) - 0.5)
    for i, j in np.ndindex(code.shape):
        if i != j:
            excess = float(result["excess"].values[i, j])
            number = f"\n{excess:.1f}" if np.isfinite(excess) else ""
            colour = "white" if code[i, j] == order.index("beyond what recording explains") else "black"
            ax.text(j, i, VERDICTS[order[code[i, j]]] + number, ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_title("= chance   r recording explains   d differs", fontsize=8)
    return ax


def _shades() -> ListedColormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap(["#ffffff", "#c6dbef", "#08519c", "#d9d9d9"])


def _label(summary: xr.Dataset, index: int) -> str:
    return f"{summary['recording'].values[index]} ({summary['kind'].values[index]})"
