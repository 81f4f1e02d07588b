"""The tree of a factorization in levels: which fine components each coarse one is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Node = tuple[int, int]
"""Level and place within it."""


def feature_tree(result: xr.Dataset, ax: Axes, *, names: Mapping[Any, str] | None = None, size: float = 7.0) -> Axes:
    """Draw coarse components on top and the fine ones that each is made of below, wider lines for larger loadings.

    Parameters
    ----------
    result
        What `factorization.hierarchical_semi_nmf` gave: `parents(level, child, parent)`, where `level` is that of the
        parent and `child` and `parent` are places within their levels, and `loading` of the same dims. With
        `at_level(component)` and `place(component)`, nodes are named by the labels of `component`.
    ax
        Axes to draw into.
    names
        Label of a component -> what is written at it; default its label.
    size
        Of the text.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`. Components that are in no branch are not drawn; a component with two parents is drawn once.

    Raises
    ------
    AnalysisError
        When the result has no tree, or not one branch.

    Examples
    --------
    >>> import xarray as xr
    >>> from matplotlib.figure import Figure
    >>> tree = xr.Dataset({"parents": (("level", "child", "parent"), [[[True], [True]]])}, coords={"level": [2]})
    >>> [text.get_text() for text in feature_tree(tree, Figure().subplots()).texts]
    ['L2.0', 'L1.0', 'L1.1']
    """
    if "parents" not in result or set(result["parents"].dims) != {"level", "child", "parent"}:
        raise AnalysisError("plot.feature_tree: the result has no parents(level, child, parent); factorize in levels")
    branches = _branches(result)
    if not branches:
        raise AnalysisError("plot.feature_tree: no component has two children above the threshold; there is no tree")
    x = _across(branches)
    for parent, children in branches.items():
        largest = max(children.values()) or 1.0
        for child, loading in children.items():
            ax.plot([x[parent], x[child]], [parent[0], child[0]], color="#999999", zorder=1,
                    linewidth=0.5 + 2.5 * loading / largest)  # fmt: skip
    known = _labels(result)
    levels = sorted({level for level, _ in x})
    for node in sorted(x, key=lambda node: (-node[0], x[node])):
        label = known.get(node, f"L{node[0]}.{node[1]}")
        text = str((names or {}).get(label, label))
        colour = COLOURS[levels.index(node[0]) % len(COLOURS)]
        bottom = node[0] == levels[0]
        ax.plot(x[node], node[0], "o", color=colour, markersize=5, zorder=2)
        ax.annotate(text, (x[node], node[0]), (0, -6 if bottom else 6), textcoords="offset points", fontsize=size,
                    ha="right" if bottom and len(text) > 4 else "center", va="top" if bottom else "bottom",
                    rotation=45 if bottom and len(text) > 4 else 0, rotation_mode="anchor")  # fmt: skip
    ax.set_yticks(levels, [f"level {level}" for level in levels])
    ax.set_ylim(levels[0] - 0.6, levels[-1] + 0.4)
    ax.set_xticks([])
    ax.margins(x=0.05)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    return ax


def _branches(result: xr.Dataset) -> dict[Node, dict[Node, float]]:
    """Give parent -> child -> loading, coarsest parents first."""
    parents = result["parents"].transpose("level", "child", "parent")
    held = np.asarray(parents.values, dtype=bool)
    loading = np.ones(held.shape)
    if "loading" in result:
        loading = np.nan_to_num(np.asarray(result["loading"].transpose("level", "child", "parent").values, dtype=float))
    out: dict[Node, dict[Node, float]] = {}
    levels = np.asarray(parents["level"].values, dtype=np.int64)
    for i in np.argsort(-levels, kind="stable"):
        for k in np.flatnonzero(held[i].any(axis=0)):
            children = np.flatnonzero(held[i, :, k])
            out[int(levels[i]), int(k)] = {(int(levels[i]) - 1, int(j)): float(loading[i, j, k]) for j in children}
    return out


def _across(branches: Mapping[Node, Mapping[Node, float]]) -> dict[Node, float]:
    """Place nodes from left to right so that branches do not cross where each has one parent."""
    x: dict[Node, float] = {}
    slots = iter(range(10**9))

    def visit(node: Node) -> float:
        if node not in x:
            below = [visit(child) for child in branches.get(node, {}) if child not in x]
            x[node] = float(np.mean(below)) if below else float(next(slots))
        return x[node]

    for root in branches:
        visit(root)
    return x


def _labels(result: xr.Dataset) -> dict[Node, Any]:
    """Give the label of the component at each level and place, where the result tells them."""
    if not {"at_level", "place", "component"} <= set(result.coords):
        return {}
    where = zip(result["at_level"].values.tolist(), result["place"].values.tolist(), strict=True)
    return dict(zip(where, result["component"].values.tolist(), strict=True))
