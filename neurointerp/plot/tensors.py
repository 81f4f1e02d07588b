"""Pictures of tensor factorizations: a row for each component, a column for each dim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ("time", "frequency", "lag")
"""Dims along which neighbours belong together: they are drawn as lines."""


def tensor_components(
    result: xr.Dataset, axes: NDArray[Any], *, colour: Mapping[str, str] | None = None
) -> NDArray[Any]:
    """Draw every component of a CP decomposition: a row each, a column for each dim.

    Parameters
    ----------
    result
        Result of `tensor.cp` or `tensor.nonnegative_cp`.
    axes
        (component, dim) axes to draw into, as `plt.subplots(rank, 3, squeeze=False)` gives.
    colour
        For a dim, the coordinate on it that colours its points or bars: `{"trial": "condition", "unit": "region"}`.

    Returns
    -------
    numpy.ndarray
        The same axes. Lines along time and frequency, points along trials and subjects, bars of units in their
        order. All panels of a column share one scale; beside each row stands its part of the sum of weights.

    Raises
    ------
    AnalysisError
        When the result has no factors of this kind, axes are of another shape, or a coordinate is not there.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp import plot
    >>> from neurointerp.analyses import tensor
    >>> tree = ni.synthetic.tensor_trials(rank=2, n_trials=10, n_samples=20, n_units=8)
    >>> res = tensor.nonnegative_cp(tree["recordings/tensor_trials/recording"], 2)
    >>> plot.tensor_components(res, Figure().subplots(2, 3)).shape
    (2, 3)
    """
    factors = {str(name)[7:]: v for name, v in result.data_vars.items() if str(name).startswith("factor_")}
    other = [f"factor_{dim} {v.dims}" for dim, v in factors.items() if v.dims != (dim, "component")]
    if not factors or other:
        raise AnalysisError(
            f"tensor_components: the result has {other[0] if other else 'no factors'}; factor_<dim> (dim, component) "
            "alone are drawn, as tensor.cp and tensor.nonnegative_cp give"
        )
    wanted = (result.sizes["component"], len(factors))
    if np.shape(axes) != wanted:
        raise AnalysisError(
            f"tensor_components: axes of shape {np.shape(axes)}; {wanted} is needed, for {', '.join(factors)}"
        )
    colour = dict(colour or {})
    share = result["weight"].values / result["weight"].values.sum()
    for column, (dim, factor) in enumerate(factors.items()):
        groups = _groups(factor, dim, colour.get(dim))
        low, high = float(factor.min()), float(factor.max())
        room = 0.05 * (high - min(low, 0.0)) or 1.0
        for row in range(wanted[0]):
            ax = axes[row, column]
            _draw(ax, factor, dim, row, groups)
            ax.set_ylim(min(low - room, 0.0) if low < 0 else 0.0, high + room)
            ax.spines[["top", "right"]].set_visible(False)
            ax.set_yticks([])
            if row < wanted[0] - 1:
                ax.set_xticklabels([])
        axes[-1, column].set_xlabel(_axis_label(factor, dim))
        axes[0, column].set_title(dim, loc="left")
        if groups is not None:
            _legend(axes[0, column], groups)
    for row in range(wanted[0]):
        axes[row, 0].set_ylabel(f"{row}\n{share[row]:.0%}", rotation=0, ha="right", va="center")
    return axes


def _groups(factor: xr.DataArray, dim: str, coord: str | None) -> tuple[list[Any], NDArray[np.int64]] | None:
    """Give the labels of a coordinate, and which of them each entry has."""
    if coord is None:
        return None
    if coord not in factor.coords or factor[coord].dims != (dim,):
        raise AnalysisError(f"tensor_components: no coordinate {coord!r} on {dim!r}")
    labels = [str(label) for label in factor[coord].values]
    names = list(dict.fromkeys(labels))
    return names, np.array([names.index(label) for label in labels])


def _draw(ax: Axes, factor: xr.DataArray, dim: str, row: int, groups: Any) -> None:
    values = factor.isel(component=row).values
    plain = COLOURS[row % len(COLOURS)]
    colours = [plain] * values.size if groups is None else [COLOURS[g % len(COLOURS)] for g in groups[1]]
    x = _positions(factor, dim)
    if dim in LINES:
        ax.plot(x, values, color=plain, linewidth=1.5)
        if (factor >= 0).all():
            ax.fill_between(x, 0, values, color=plain, alpha=0.2, linewidth=0)
    elif dim == "unit":
        ax.bar(x, values, color=colours, width=0.9)
    else:
        ax.scatter(x, values, c=colours, s=9, linewidths=0)
    if (factor < 0).any():
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)


def _positions(factor: xr.DataArray, dim: str) -> NDArray[Any]:
    if dim in LINES and dim in factor.coords and factor[dim].dtype.kind in "iuf":
        return np.asarray(factor[dim].values)
    return np.arange(factor.sizes[dim])


def _axis_label(factor: xr.DataArray, dim: str) -> str:
    units = factor[dim].attrs.get("units") if dim in factor.coords else None
    return f"{dim} ({units})" if dim in LINES and units else f"{dim} ({factor.sizes[dim]})"


def _legend(ax: Axes, groups: tuple[list[str], NDArray[np.int64]]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=COLOURS[g % len(COLOURS)], label=name)
        for g, name in enumerate(groups[0])
    ]
    ax.legend(
        handles=handles, fontsize=7, frameon=False, loc="lower right", bbox_to_anchor=(1.03, 0.97), ncols=3,
        handletextpad=0, columnspacing=0.6, borderpad=0,
    )  # fmt: skip
