"""Pictures of decoding: scores over time and over two times, and where a network found its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#bbbbbb"
LEVEL = 0.05


def score_course(result: xr.Dataset, ax: Axes, *, score: str = "balanced_accuracy") -> Axes:
    """Draw a score over time: the mean over folds, single folds, chance with its interval, and where p is small.

    Parameters
    ----------
    result
        What `decoding.linear` gave with `time="each"`.
    ax
        matplotlib axes to draw into.
    score
        `"balanced_accuracy"` or `"auc"`; interval and p-values are of the former and are left out of the latter.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When the result has no such score over time.
    """
    if score not in result or set(result[score].dims) != {"fold", "time"}:
        raise AnalysisError(
            f"score_course: no {score!r} on fold and time; pass what decoding.linear gives of time='each'"
        )
    values, time = result[score].transpose("fold", "time"), result["time"].values
    own = score == "balanced_accuracy"
    chance = float(result["chance"]) if own else 0.5
    if own and "chance_interval" in result:
        low, high = result["chance_interval"].transpose("bound", "time").values
        ax.fill_between(time, low, high, color=GREY, alpha=0.6, linewidth=0, label="95 % of permutations")
    ax.axhline(chance, color="black", linewidth=0.8, linestyle="--", label="chance")
    ax.plot(time, values.values.T, color=COLOURS[0], alpha=0.25, linewidth=0.7)
    ax.plot(time, values.mean("fold").values, color=COLOURS[0], linewidth=2, label="mean over folds")
    if own and "p_corrected" in result:
        small = result["p_corrected"].values <= LEVEL
        floor = ax.get_ylim()[0]
        ax.plot(time[small], np.full(small.sum(), floor), "s", color=COLOURS[1], markersize=4, clip_on=False,
                label=f"p <= {LEVEL:g}, corrected")  # fmt: skip
    ax.set_xlabel(f"time ({result['time'].attrs.get('units', 's')})")
    ax.set_ylabel(score.replace("_", " "))
    ax.margins(x=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=7, frameon=False, loc="best")
    return ax


def time_generalisation_matrix(result: xr.Dataset, ax: Axes, *, score: str = "balanced_accuracy") -> Axes:
    """Draw scores by time of training and of testing, centred on chance, with an outline where p is small.

    Parameters
    ----------
    result
        What `decoding.time_generalisation` gave.
    ax
        matplotlib axes to draw into.
    score
        `"balanced_accuracy"` or `"auc"`; the outline is of the former's p-values.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When the result has no such score over both times.
    """
    if score not in result or set(result[score].dims) != {"fold", "train_time", "test_time"}:
        raise AnalysisError(f"time_generalisation_matrix: no {score!r} on fold, train_time and test_time")
    mean = result[score].transpose("fold", "train_time", "test_time").mean("fold").values
    chance = float(result["chance"]) if score == "balanced_accuracy" else 0.5
    bound = float(np.nanmax(np.abs(mean - chance), initial=0.0)) or 0.1
    time = result["train_time"].values
    edges = _edges(time)
    image = ax.pcolormesh(edges, edges, mean, cmap="RdBu_r", vmin=chance - bound, vmax=chance + bound, rasterized=True)
    if "p_corrected" in result:
        _outline(ax, edges, result["p_corrected"].values <= LEVEL)
    ax.plot(edges[[0, -1]], edges[[0, -1]], color="black", linewidth=0.6, linestyle=":")
    units = result["train_time"].attrs.get("units", "s")
    ax.set(xlabel=f"tested at ({units})", ylabel=f"trained at ({units})", aspect="equal")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label=score.replace("_", " "))
    return ax


def evidence_map(result: xr.Dataset, ax: Axes, *, trial: int, recording: xr.DataArray | None = None) -> Axes:
    """Draw where a separable network found its evidence in one trial: a heat map under the traces of the units.

    Parameters
    ----------
    result
        What `decoding.separable` gave.
    ax
        matplotlib axes to draw into.
    trial
        Position of the trial among the trials (of all subjects).
    recording
        What was decoded; with it the traces are drawn over the map.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When the result has no heatmap, or no such trial.
    """
    if "heatmap" not in result:
        raise AnalysisError("evidence_map: no 'heatmap'; pass what decoding.separable gave")
    sizes = result["heatmap"].shape
    maps = result["heatmap"].values.reshape(-1, *sizes[-2:])
    if not 0 <= trial < len(maps):
        raise AnalysisError(f"evidence_map: trial {trial} of {len(maps)}")
    time, units = result["time"].values, [str(unit) for unit in result["unit"].values]
    heat = np.clip(maps[trial].T, 0.0, None)  # (unit, time)
    half = (time[1] - time[0]) / 2 if time.size > 1 else 0.5
    image = ax.imshow(heat, aspect="auto", cmap="Oranges", interpolation="nearest", vmin=0, alpha=0.85,
                      extent=(time[0] - half, time[-1] + half, len(units) - 0.5, -0.5))  # fmt: skip
    if recording is not None:
        traces = recording.values.reshape(-1, *sizes[-2:])[trial]
        span = 6 * np.std(traces - traces.mean(axis=0)) or 1.0
        for row, trace in enumerate(traces.T):
            ax.plot(time, row - (trace - trace.mean()) / span, color="black", linewidth=0.5)
    ax.set_yticks(range(len(units)), units, fontsize=6)
    ax.set_xlabel(f"time ({result['time'].attrs.get('units', 's')})")
    label = result["prediction"].isel(statistics=0).values.ravel()[trial]
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label=f"evidence for {str(label)!r} (s.d.)")
    return ax


def evidence_bands(result: xr.Dataset, ax: Axes, *, trial: int) -> Axes:
    """Draw the relative power in bands at each unit in one trial, in the rows of `evidence_map`.

    Parameters
    ----------
    result
        What `decoding.separable` gave with `bands=`.
    ax
        matplotlib axes to draw into, beside those of `evidence_map`.
    trial
        Position of the trial among the trials (of all subjects).

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When the result has no band power, or no such trial.
    """
    if "band_power" not in result:
        raise AnalysisError("evidence_bands: no 'band_power'; pass what decoding.separable gave with bands=")
    sizes = result["band_power"].shape
    shares = result["band_power"].values.reshape(-1, *sizes[-2:])
    if not 0 <= trial < len(shares):
        raise AnalysisError(f"evidence_bands: trial {trial} of {len(shares)}")
    image = ax.imshow(shares[trial].T, aspect="auto", cmap="Purples", interpolation="nearest", vmin=0)
    ax.set_yticks(range(sizes[-1]), [str(unit) for unit in result["unit"].values], fontsize=6)
    ax.set_xticks(range(sizes[-2]), [str(band) for band in result["band"].values], rotation=45)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="share of the power")
    return ax


def _edges(time: NDArray[Any]) -> NDArray[np.float64]:
    """Give the edges between times, half a step beyond the first and the last."""
    if time.size < 2:
        return np.array([time[0] - 0.5, time[0] + 0.5])
    middle = (time[1:] + time[:-1]) / 2
    return np.concatenate([[time[0] - (middle[0] - time[0])], middle, [time[-1] + (time[-1] - middle[-1])]])


def _outline(ax: Axes, edges: NDArray[np.float64], inside: NDArray[np.bool_]) -> None:
    """Draw the border of a set of cells (row, column), along their edges."""
    padded = np.pad(inside, 1)
    across = [(column, row) for row, column in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])]
    along = [(column, row) for row, column in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])]
    for column, row in across:
        ax.plot(edges[[column, column + 1]], edges[[row, row]], color="black", linewidth=0.9)
    for column, row in along:
        ax.plot(edges[[column, column]], edges[[row, row + 1]], color="black", linewidth=0.9)
