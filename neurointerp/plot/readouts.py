"""Pictures of readouts: where units look on the map, and what a region attends to in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def field_outlines(result: xr.Dataset, ax: Axes, *, by: str | None = None) -> Axes:
    """Draw the outline of each unit's mask at half its height on the feature map, mean over folds.

    Parameters
    ----------
    result
        Of `encoding.readout` with `spatial_mask (fold, unit, row, col)`.
    ax
        Axes to draw into.
    by
        Coordinate of the units to colour by.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, in cells of the map, rows downwards.

    Raises
    ------
    AnalysisError
        When the result has no masks.
    """
    if "spatial_mask" not in result:
        raise AnalysisError("plot.field_outlines: a readout with spatial masks is needed ('factorized', 'gaussian')")
    masks = np.asarray(result["spatial_mask"].mean("fold").values)
    labels = [str(v) for v in result[by].values] if by else [""] * len(masks)
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(dict.fromkeys(labels))}
    for mask, label in zip(masks, labels, strict=True):
        ax.contour(mask, levels=[mask.max() / 2], colors=[colours[label]], linewidths=0.8)
    for label, colour in colours.items():
        if label:
            ax.plot([], [], color=colour, label=label)
    if by:
        ax.legend(fontsize=7, frameon=False, title=by, title_fontsize=7)
    rows, cols = masks.shape[1:]
    ax.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5), xlabel="col", ylabel="row", aspect="equal")
    return ax


def attention_overlay(result: xr.Dataset, ax: Axes, *, trial: int, roi: str, image: np.ndarray | None = None) -> Axes:
    """Draw what a region attends to in one image, mean over heads, over the image where it is given.

    Parameters
    ----------
    result
        Of `encoding.attention_encoder`.
    ax
        Axes to draw into.
    trial
        Position of the trial.
    roi
        The region.
    image
        (y, x) or (y, x, rgb), drawn below.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When there is no such region.
    """
    if roi not in result["roi"].values:
        raise AnalysisError(f"plot.attention_overlay: no region {roi!r}; there are {', '.join(result['roi'].values)}")
    weight = result["attention"].isel(trial=trial).sel(roi=roi).mean("head").values
    rows, cols = (np.unique(result[f"token_{axis}"].values, return_inverse=True) for axis in ("row", "col"))
    shown = np.zeros((len(rows[0]), len(cols[0])))
    shown[rows[1], cols[1]] = weight
    extent = (-0.5, len(cols[0]) - 0.5, len(rows[0]) - 0.5, -0.5)
    if image is not None:
        ax.imshow(image, cmap="gray", extent=extent, interpolation="nearest")
    opaque = 1.0 if image is None else 0.55
    drawn = ax.imshow(shown, cmap="inferno", extent=extent, interpolation="nearest", alpha=opaque)
    ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label="attention")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(f"{roi}, trial {trial}", fontsize=8)
    return ax
