"""Pictures of graphs: a ring, a brain, a connectogram, and the strip of a motif."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.graph import edge_weights
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

GREY = "#999999"


def ring_layout(units: int, *, community: NDArray[np.int64] | None = None, gap: float = 1.0) -> NDArray[np.float64]:
    """Place units on a circle of radius 1, those of one community side by side, from the top clockwise.

    Parameters
    ----------
    units
        How many.
    community
        (unit), int; without one they stand in the order they have.
    gap
        Room between communities, in places of a unit.

    Returns
    -------
    numpy.ndarray
        (unit, 2), x and y.

    Examples
    --------
    >>> ring_layout(4).round(3).tolist()
    [[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, -0.0]]
    """
    label = np.zeros(units, dtype=np.int64) if community is None else np.asarray(community)
    order = np.argsort(label, kind="stable")
    steps = np.arange(units, dtype=np.float64)
    breaks = np.concatenate([[0], np.diff(label[order]) != 0]).cumsum() * gap
    room = units + (breaks[-1] + gap if breaks[-1] else 0)
    angle = np.empty(units)
    angle[order] = np.pi / 2 - 2 * np.pi * (steps + breaks) / room
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def brain_layout(graph: xr.Dataset | xr.DataArray, *, plane: str = "xy") -> NDArray[np.float64]:
    """Place units where they are, from the coordinates `x`, `y`, `z` of a graph's units.

    Parameters
    ----------
    graph
        With `source_x` and so on (as connectivity results of recordings with positions have), or `x` on `unit`.
    plane
        Two of x, y, z: the first to the right, the second up.

    Returns
    -------
    numpy.ndarray
        (unit, 2), in the unit of the positions.

    Raises
    ------
    AnalysisError
        When a coordinate is not there or is missing for a unit: use `ring_layout`.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> brain_layout(connectivity.correlation(ni.load("demo-eeg"))).shape
    (32, 2)
    """
    found = []
    for axis in plane:
        coord = graph.coords.get(f"source_{axis}", graph.coords.get(axis))
        if coord is None or coord.ndim != 1:
            raise AnalysisError(f"brain_layout: the units of the graph have no coordinate {axis!r}; use ring_layout")
        values = np.asarray(coord.values, dtype=np.float64)
        if np.isnan(values).any():
            raise AnalysisError(f"brain_layout: {int(np.isnan(values).sum())} of {values.size} units have no {axis!r}")
        found.append(values)
    return np.stack(found, axis=1)


def graph(
    graph: xr.Dataset | xr.DataArray, ax: Axes, *, layout: NDArray[np.float64], community: xr.DataArray | None = None,
    edges: int = 200, size: float = 50.0, labels: bool = False,
) -> Axes:  # fmt: skip
    """Draw units at their places and the strongest edges between them as straight lines.

    Parameters
    ----------
    graph
        `connectivity (source, target)`, or a result with it; symmetric.
    ax
        Axes to draw into.
    layout
        (unit, 2), such as that of `ring_layout` or `brain_layout`.
    community
        `community (unit)`, in the order of the graph's units: it colours units, and edges within one community.
    edges
        How many of the strongest positive edges are drawn; width and opacity grow with weight.
    size
        Area of the unit of the largest strength, in points squared; others are smaller.
    labels
        Whether units are named.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When the graph is directed, or `community` has other units.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp import plot
    >>> from neurointerp.analyses import connectivity
    >>> found = connectivity.correlation(ni.load("demo-fmri"))
    >>> len(graph(found, Figure().subplots(), layout=plot.ring_layout(31), labels=True).texts)
    31
    """
    from matplotlib.collections import LineCollection

    weights = edge_weights(graph, "plot.graph")
    colours = _colours(weights.sizes["source"], community)
    i, j, share = _strongest(_undirected(weights.values), edges)
    lines = LineCollection(
        list(np.stack([layout[i], layout[j]], axis=1)),
        colors=_edge_colours(i, j, share, colours, community),
        linewidths=0.3 + 1.5 * share,
        zorder=1,
    )
    ax.add_collection(lines)
    strength = np.nansum(np.maximum(weights.values, 0), axis=1)
    area = size * (0.2 + 0.8 * strength / (strength.max() or 1.0))
    ax.scatter(layout[:, 0], layout[:, 1], s=area, c=colours, edgecolors="white", linewidths=0.5, zorder=2)
    if labels:
        middle = layout.mean(axis=0)
        for (x, y), name in zip(layout, weights["source"].values, strict=True):
            dx, dy = 6 * _direction((x, y) - middle)
            ax.annotate(str(name), (x, y), (dx, dy), textcoords="offset points", fontsize=5,
                        ha="left" if x >= middle[0] else "right", va="center")  # fmt: skip
    _frame(ax, layout, 0.15 if not labels else 0.3)
    return ax


def connectogram(
    graph: xr.Dataset | xr.DataArray, ax: Axes, *, community: xr.DataArray | None = None, edges: int = 200,
    labels: bool = True,
) -> Axes:  # fmt: skip
    """Draw a graph as a ring of units, by community, with its strongest edges as arcs through the inside.

    Parameters
    ----------
    graph, ax, community, edges
        As for `graph`.
    labels
        Whether units are named around the ring (shown up to 120 units).

    Returns
    -------
    matplotlib.axes.Axes
        `ax`. An edge within a community has its colour, one between two is grey.

    Raises
    ------
    AnalysisError
        As `graph`.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import connectivity
    >>> graph = connectivity.correlation(ni.load("demo-fmri"))
    >>> len(connectogram(graph, Figure().subplots(), edges=20).texts)
    31
    """
    from matplotlib.collections import LineCollection, PatchCollection
    from matplotlib.patches import Wedge

    weights = edge_weights(graph, "plot.connectogram")
    units = weights.sizes["source"]
    label = None if community is None else np.asarray(community.values)
    colours = _colours(units, community)
    place = ring_layout(units, community=label)
    i, j, share = _strongest(_undirected(weights.values), edges)
    t = np.linspace(0, 1, 30)[:, None]
    curves = [(1 - t) ** 2 * place[a] + 0.5 * t * (1 - t) * (place[a] + place[b]) + t**2 * place[b]
              for a, b in zip(i, j, strict=True)]  # fmt: skip
    ax.add_collection(
        LineCollection(
            curves, colors=_edge_colours(i, j, share, colours, community), linewidths=0.3 + 1.5 * share, zorder=1
        )
    )
    angle = np.degrees(np.arctan2(place[:, 1], place[:, 0]))
    half = 0.45 * 360 / max(units + (0 if label is None else len(set(label.tolist()))), 1)
    wedges = [Wedge((0, 0), 1.07, a - half, a + half, width=0.06) for a in angle]
    ax.add_collection(PatchCollection(wedges, facecolors=colours, edgecolors="none", zorder=2))
    named = labels and units <= 120
    if named:
        for a, name in zip(angle, weights["source"].values, strict=True):
            left = abs(a) > 90
            x, y = 1.11 * np.cos(np.radians(a)), 1.11 * np.sin(np.radians(a))
            ax.text(x, y, str(name), rotation=a + 180 * left, rotation_mode="anchor", fontsize=5 if units > 50 else 6,
                    ha="right" if left else "left", va="center")  # fmt: skip
    _frame(ax, place, 0.3 if named else 0.12)
    return ax


def motif_strip(
    motifs: xr.Dataset, figure: SubFigure, component: int, *, layout: NDArray[np.float64] | None = None,
    edges: int = 40, events: xr.Dataset | None = None,
) -> SubFigure:  # fmt: skip
    """Draw a motif as a strip: its time course with the active interval, its subjects, and its graph by community.

    Parameters
    ----------
    motifs
        Result of `graphs.motifs` or `connectivity.dynamic_connectome`.
    figure
        A matplotlib figure or subfigure to draw into.
    component
        Label of the component.
    layout
        (unit, 2) places; a ring by community without.
    edges
        How many of the strongest edges are drawn.
    events
        `onset` and `duration` in the clock of the motifs (`events` of a session): bars above the time course.

    Returns
    -------
    matplotlib.figure.SubFigure
        `figure`.
    """
    one = motifs.sel(component=component)
    dim = next(str(d) for d in one["carrier"].dims)
    course, who, net = figure.subplots(1, 3, width_ratios=(3, 1.3, 2))
    time = one["time"].values
    active = np.asarray(one["active"].values)
    course.fill_between(
        time, 0, one["factor_time"].max().item(), where=active, step="mid", color="#dddddd", linewidth=0
    )
    course.plot(time, one["factor_time"].values, color=COLOURS[0], linewidth=1.2)
    if events is not None:
        length = events["duration"].values if "duration" in events else np.zeros(events["onset"].size)
        top = one["factor_time"].max().item() * 1.08
        course.hlines(np.full(length.size, top), events["onset"].values, events["onset"].values + length,
                      color=COLOURS[1], linewidth=3)  # fmt: skip
    course.set_xlabel(f"time ({one['time'].attrs.get('units', 's')})")
    course.set_ylabel(f"component {component}")
    course.set_yticks([])
    share = one[f"factor_{dim}"].values
    colour = np.where(one["carrier"].values, COLOURS[0], "#cccccc")
    who.bar(range(share.size), share, color=colour, width=0.8)
    who.axhline(1 / np.sqrt(share.size), color="black", linewidth=0.6, linestyle=":")
    names = one[dim].values if dim in one.coords else np.arange(share.size)
    if share.size <= 24:
        wide = sum(len(str(name)) for name in names) > 24
        who.set_xticks(range(share.size), [str(name) for name in names], rotation=90 * wide, fontsize=6)
    who.set_yticks([])
    who.set_xlabel(dim)
    for ax in (course, who):
        ax.spines[["top", "right"]].set_visible(False)
    if bool(one["background"]):
        net.text(0.5, 0.5, "background", ha="center", va="center", transform=net.transAxes, color=GREY)
        net.set_axis_off()
        return figure
    community = one["community"].isel(level=0)
    place = ring_layout(community.size, community=community.values) if layout is None else layout
    graph(one["connectivity"], net, layout=place, community=community, edges=edges, size=25.0)
    return figure


def _undirected(weights: NDArray[Any]) -> NDArray[Any]:
    """Refuse a directed graph: of each pair one direction would be drawn."""
    largest = np.abs(weights[np.isfinite(weights)]).max(initial=0)
    if not np.allclose(weights, weights.T, rtol=0, atol=1e-5 * largest, equal_nan=True):
        raise AnalysisError("plot: the graph is not symmetric; make it so first, for instance (w + w.T) / 2")
    return weights


def _strongest(weights: NDArray[Any], edges: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give the ends of the strongest positive edges, weakest first, and their weights over the largest."""
    i, j = np.triu_indices(len(weights), 1)
    w = np.nan_to_num(np.asarray(weights[i, j], dtype=np.float64))
    order = np.argsort(w, kind="stable")[max(w.size - edges, 0) :]
    order = order[w[order] > 0]
    return i[order], j[order], w[order] / (w[order].max() if order.size else 1.0)


def _colours(units: int, community: xr.DataArray | None) -> NDArray[Any]:
    """Give RGBA of each unit by its community; grey beyond the palette, and where there is none."""
    from matplotlib.colors import to_rgba_array

    palette = to_rgba_array([*COLOURS, GREY])
    if community is None:
        return np.repeat(palette[:1], units, axis=0)
    label = np.asarray(community.values)
    if label.shape != (units,):
        raise AnalysisError(f"plot: community has {label.shape}; one label for each of the {units} units is needed")
    return np.asarray(palette[np.where((label >= 0) & (label < len(COLOURS)), label, len(COLOURS))])


def _edge_colours(
    i: NDArray[np.int64], j: NDArray[np.int64], share: NDArray[np.float64], colours: NDArray[Any],
    community: xr.DataArray | None,
) -> NDArray[Any]:  # fmt: skip
    from matplotlib.colors import to_rgba

    out = np.array(colours[i])
    if community is not None:
        label = np.asarray(community.values)
        out[label[i] != label[j]] = to_rgba(GREY)
    out[:, 3] = 0.15 + 0.75 * share
    return out


def _direction(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / (np.linalg.norm(vector) or 1.0))


def _frame(ax: Axes, layout: NDArray[np.float64], margin: float) -> None:
    low, high = layout.min(axis=0), layout.max(axis=0)
    room = margin * max((high - low).max(), 1e-12)
    ax.set_xlim(low[0] - room, high[0] + room)
    ax.set_ylim(low[1] - room, high[1] + room)
    ax.set_aspect("equal")
    ax.set_axis_off()
