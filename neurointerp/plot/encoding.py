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


def layer_map(values: np.ndarray, recording: xr.DataArray, ax: Axes, *, across: str, label: str = "held-out r") -> Axes:
    """Draw a value per unit of a model as a stack of layers, the first at the bottom, by a second coordinate.

    Parameters
    ----------
    values
        One per unit of the recording, such as `result.correlation.mean("fold").values` where a brain predicts a model.
    recording
        With `layer` along `unit`, and `across`.
    ax
        Where to draw.
    across
        Coordinate of the units to the right: `position`, `row`, `head`, `site`, `region`, ...
    label
        Of the colour bar.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`. A cell is the mean of its units that have a value; where there is none it is grey.

    Raises
    ------
    AnalysisError
        When a coordinate is not there, or values are not one per unit.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> places = {"layer": ("unit", [0, 0, 1, 1]), "position": ("unit", [0, 1, 0, 1])}
    >>> rec = ni.recording(np.zeros((2, 4)), modality="activations", units="1", time=np.arange(2), coords=places)
    >>> layer_map(np.arange(4.0), rec, Figure().subplots(), across="position").get_xlabel()
    'position'
    """
    missing = [name for name in ("layer", across) if name not in recording.coords or recording[name].dims != ("unit",)]
    if missing or np.shape(values) != (recording.sizes["unit"],):
        raise AnalysisError(
            f"layer_map: {missing[0]!r} is no coordinate of the units" if missing else
            f"layer_map: {np.shape(values)} values for {recording.sizes['unit']} units"
        )  # fmt: skip
    (layers, row), (places, column) = (np.unique(recording[name].values, return_inverse=True)
                                       for name in ("layer", across))  # fmt: skip
    known = np.isfinite(values)
    total, count = np.zeros((len(layers), len(places))), np.zeros((len(layers), len(places)))
    np.add.at(total, (row[known], column[known]), np.asarray(values)[known])
    np.add.at(count, (row[known], column[known]), 1)
    cells = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    bound = float(np.nanmax(np.abs(cells), initial=0.0)) or 1.0
    ax.set_facecolor("#dddddd")
    image = ax.imshow(cells, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, origin="lower",
                      interpolation="nearest")  # fmt: skip
    ax.set_yticks(range(len(layers)), [str(one) for one in layers])
    step = -(-len(places) // 16)
    ax.set_xticks(range(0, len(places), step), [str(one) for one in places[::step]])
    if any(len(str(one)) > 4 for one in places):
        ax.tick_params(axis="x", rotation=60)
    ax.set_ylabel("layer")
    ax.set_xlabel(across)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label=label)
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
    lags, place = np.unique(weights["feature_lag"].values, return_inverse=True)
    values = np.asarray(weights.values)[np.argsort(place, kind="stable")].reshape(len(lags), -1)
    if values.shape[1] == 1:
        ax.plot(lags * step, values[:, 0], color=COLOURS[0])
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_ylabel("weight")
    else:
        bound = float(np.abs(values).max()) or 1.0
        half = step / 2
        edges = (lags[0] * step - half, lags[-1] * step + half, -0.5, values.shape[1] - 0.5)
        ax.imshow(values.T, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, origin="lower", extent=edges)
        names = [str(name) for name in weights["feature_unit"].values[place == 0]]
        if len(names) <= 20:
            ax.set_yticks(range(len(names)), names)
        else:
            ax.set_ylabel("feature")
    ax.set_xlabel(label)
    return ax
