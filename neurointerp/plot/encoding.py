"""Pictures of encoding models: scores by layer, shares of bands, receptive fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes


def score_map(results: Mapping[str, xr.Dataset], ax: Axes, *, of: str = "correlation") -> Axes:
    """Draw the held-out score of each unit (columns) for each model or layer (rows), averaged over folds.

    Parameters
    ----------
    results
        Results of encoding models of the same units, by name.
    ax
        Where to draw.
    of
        `"correlation"` or `"score"`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When the results have different units.
    """
    units = [list(map(str, result["unit"].values)) for result in results.values()]
    if not units or any(one != units[0] for one in units):
        raise AnalysisError("score_map: results of the same units are needed, one or more")
    values = np.stack([np.asarray(result[of].mean("fold").values) for result in results.values()])
    bound = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    image = ax.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    ax.set_yticks(range(len(values)), list(results))
    if len(units[0]) <= 20:
        ax.set_xticks(range(len(units[0])), units[0], rotation=60, ha="right")
    else:
        ax.set_xticks([])
    ax.set_xlabel(f"unit ({len(units[0])})")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="held-out r" if of == "correlation" else "held-out r2")
    return ax


def band_scores(result: xr.Dataset, ax: Axes) -> Axes:
    """Draw the share of each band in the held-out r2, `band_score(fold, band, unit)`, averaged over folds.

    Shares are stacked up from zero, negative ones down; units are sorted by the score of the whole, which is a dot.

    Parameters
    ----------
    result
        What `banded_ridge` gave.
    ax
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.
    """
    share = result["band_score"].mean("fold")
    whole = np.asarray(result["score"].mean("fold").values)
    order = np.argsort(-whole)
    top, bottom = np.zeros(len(whole)), np.zeros(len(whole))
    for index, name in enumerate(share["band"].values):
        part = np.asarray(share.isel(band=index).values)[order]
        start = np.where(part >= 0, top, bottom)
        ax.bar(range(len(part)), part, bottom=start, color=COLOURS[index % len(COLOURS)], width=0.9, label=str(name))
        top, bottom = top + np.maximum(part, 0), bottom + np.minimum(part, 0)
    ax.plot(range(len(whole)), whole[order], "k.", markersize=3, label="all")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xlabel("unit, sorted")
    ax.set_ylabel("held-out r2")
    ax.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6)
    return ax


def receptive_field(
    result: xr.Dataset, unit: str, ax: Axes, *, step: float = 1.0, label: str = "lag (samples)"
) -> Axes:
    """Draw the weights of one unit over features and lags: a receptive field in space, frequency or time.

    Parameters
    ----------
    result
        Of a model with `lags`: `weights(feature, unit)` with `feature_unit` and `feature_lag`.
    unit
        Which unit's weights.
    ax
        Where to draw: a line for one feature, else an image.
    step, label
        Length of a lag in what `label` says.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When the weights have no lags or there is no such unit.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import encoding
    >>> rec = ni.load("demo-fmri")
    >>> found = encoding.ridge(rec[:, :5], rec[:, 20:22], lags=range(3))
    >>> receptive_field(found, str(rec.unit.values[20]), Figure().subplots()).get_xlabel()
    'lag (samples)'
    """
    if "feature_lag" not in result["weights"].coords or unit not in result["unit"].values:
        raise AnalysisError(f"receptive_field: weights with lags and a unit {unit!r} are needed")
    weights = result["weights"].sel(unit=unit)
    lags = np.unique(weights["feature_lag"].values)
    values = np.asarray(weights.values).reshape(len(lags), -1)
    order = np.argsort(weights["feature_lag"].values.reshape(len(lags), -1)[:, 0])
    values = values[order]
    if values.shape[1] == 1:
        ax.plot(lags * step, values[:, 0], color=COLOURS[0])
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_ylabel("weight")
    else:
        bound = float(np.abs(values).max()) or 1.0
        edges = (lags[0] * step, lags[-1] * step, -0.5, values.shape[1] - 0.5)
        ax.imshow(values.T, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, origin="lower", extent=edges)
        ax.set_ylabel("feature")
    ax.set_xlabel(label)
    return ax
