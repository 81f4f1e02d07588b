"""A card per component: the units that make it beside the samples that evoke it, as the modality has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS
from neurointerp.plot.unit_maps import planes, positions, sensor_map, slices, unit_bars
from neurointerp.schema import segment_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

GREY = "#999999"


def component_card(
    result: xr.Dataset,
    recording: xr.DataArray,
    figure: Figure | SubFigure,
    *,
    component: Any = 0,
    top: xr.Dataset | None = None,
    units: int = 10,
    rows: int = 6,
) -> Figure | SubFigure:
    """Draw one component of a factorization: where it lies on the left, what evokes it on the right.

    Left: for sensors of EEG or MEG with positions a topography (MNE draws it), for voxels slices, for other units
    with positions in the brain these, else the units of largest weight by name (neurons, model units). Right: for
    tokens the texts around the top samples, shaded by coefficient; for trials without time the coefficients by
    `condition`; else the course over time, of several trials as an image (of coefficients with
    signs, red above zero and blue below).

    Parameters
    ----------
    result
        Of a factorization of `recording`: `features(component, unit)`, `coefficients`.
    recording
        What was factorized; its labels are read, its values are not.
    figure
        A matplotlib figure or subfigure to draw into.
    component
        Label of the component.
    top
        What `features.top_samples(result, recording)` gave. Tokens need it; over time its samples are marked.
    units
        How many units are named.
    rows
        How many texts are shown.

    Returns
    -------
    matplotlib.figure.SubFigure
        `figure`; its axes are labelled `units` (one, or three of a volume of voxels) and `samples`.

    Raises
    ------
    AnalysisError
        When there is no such component, units differ, or `top` is missing for tokens.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import factorization
    >>> rec = ni.load("demo-calcium")
    >>> card = component_card(factorization.semi_nmf(rec, 3, max_iter=20), rec, Figure(), component=1)
    >>> [ax.get_label() for ax in card.axes]
    ['units', 'samples']
    """
    one = _selected(result, recording, component)
    weights = np.asarray(one["features"].values, dtype=np.float64)
    has_text = "token" in recording.coords
    if has_text and top is None:
        raise AnalysisError("plot.component_card: tokens need top=features.top_samples(result, recording)")
    title = f"component {component}" if not isinstance(component, str) else component
    figure.suptitle(f"{title} - {_origin(recording)}", fontsize=9, x=0.01, ha="left")
    kind = _kind(recording)
    if kind == "slices":
        across = planes(recording)
        grid = figure.add_gridspec(1, 2, width_ratios=(1, 1.1 if len(across) > 1 else 2.2))
        inner = grid[0].subgridspec(1, len(across), wspace=0.08)
        shown = [figure.add_subplot(inner[i], label="units") for i in range(len(across))]
        slices(weights, recording, shown, across=across)
        ax = figure.add_subplot(grid[1], label="samples")
    else:
        grid = figure.add_gridspec(1, 2, width_ratios=(1, 3.2 if has_text else 2.2))
        where = figure.add_subplot(grid[0], label="units")
        if kind == "bars":
            unit_bars(weights, recording, where, units=units)
        else:
            {"topography": sensor_map, "positions": positions}[kind](weights, recording, where)
        ax = figure.add_subplot(grid[1], label="samples")
    if has_text:
        assert top is not None
        _texts(recording, top.sel(component=component), ax, rows)
    elif "time" in recording.dims:
        _course(one["coefficients"], recording, None if top is None else top.sel(component=component), ax)
    else:
        _by_condition(one["coefficients"], recording, ax)
    return figure


def _selected(result: xr.Dataset, recording: xr.DataArray, component: Any) -> xr.Dataset:
    if "features" not in result or "coefficients" not in result:
        raise AnalysisError("plot.component_card: features and coefficients are needed, as a factorization gives them")
    labels = result["component"].values.tolist()
    if component not in labels:
        raise AnalysisError(f"plot.component_card: there is no component {component!r}; there are {len(labels)}")
    if not np.array_equal(result["unit"].values, recording["unit"].values):
        raise AnalysisError("plot.component_card: the units of the result are not those of the recording")
    return result.isel(component=labels.index(component))


def _origin(recording: xr.DataArray) -> str:
    parts = [str(recording.attrs.get("modality", "")), str(recording.attrs.get("system", ""))]
    if "layer" in recording.coords and np.unique(recording["layer"].values).size == 1:
        parts.append(f"layer {recording['layer'].values[0]}")
    return ", ".join(part for part in parts if part)


def _kind(recording: xr.DataArray) -> str:
    """Tell how the units of a recording are best shown."""
    names = set(recording.coords)
    placed = {"x", "y", "z"} <= names and bool(np.isfinite(recording["x"].values.astype(float)).sum() >= 4)
    if recording.attrs.get("modality") in ("eeg", "meg") and placed:
        return "topography"
    if {"i", "j", "k"} <= names:
        return "slices"
    return "positions" if placed and recording.attrs.get("modality") in ("fmri", "ieeg") else "bars"


def _texts(recording: xr.DataArray, top: xr.Dataset, ax: Axes, rows: int) -> None:
    """Write the texts around top samples, one a line, each token on a ground as dark as its coefficient."""
    from matplotlib.patches import Rectangle

    sample = np.asarray(top["sample"].values)[:rows]
    course = np.asarray(top["course"].values)[:rows]
    like = recording.isel(unit=0)
    tokens = recording["token"].broadcast_like(like).transpose(*like.dims).values.ravel()
    offsets = top["offset"].values
    largest = float(np.nanmax(course, initial=0.0)) or 1.0
    width = _line_width(ax)
    for row, (at, level) in enumerate(zip(sample, course, strict=True)):
        if at < 0:
            continue
        pieces = [(_printed(tokens[at + o]), value, o == 0) for o, value in zip(offsets, level, strict=True)
                  if np.isfinite(value)]  # fmt: skip
        for x, text, value, own in _laid_out(pieces, width):
            if value > 0:
                shade = Rectangle((x - 0.1, row - 0.42), len(text) + 0.2, 0.84, facecolor=COLOURS[1], linewidth=0,
                                  alpha=0.1 + 0.6 * value / largest)  # fmt: skip
                ax.add_patch(shade)
            ax.text(x, row, text, family="monospace", fontsize=_FONT, va="center", clip_on=True,
                    weight="bold" if own else "normal")  # fmt: skip
    ax.set_xlim(-0.5, width)
    ax.set_ylim(max(len(sample), 1) - 0.4, -0.6)
    ax.set_axis_off()


_FONT = 6.5
_ADVANCE = 0.602
"""Of a letter of DejaVu Sans Mono, in its size."""


def _line_width(ax: Axes) -> int:
    """Give how many letters fit into a line of the axes."""
    figure = ax.get_figure()
    assert figure is not None
    inches = ax.get_position().width * figure.bbox.width / figure.get_figure(root=True).dpi
    return max(int(inches * 72 / (_FONT * _ADVANCE)), 20)


def _laid_out(pieces: list[tuple[str, float, bool]], width: int) -> list[tuple[float, str, float, bool]]:
    """Place the pieces of a line side by side with their own token in the middle; what does not fit is left out."""
    starts, x = list[int](), 0
    for text, _, _ in pieces:
        joined = text.startswith("##")
        x += 0 if joined or not starts else 1
        starts.append(x)
        x += len(text.removeprefix("##"))
    own = next(i for i, piece in enumerate(pieces) if piece[2])
    shift = min(max(starts[own] - width / 2, 0), max(x - width, 0))
    out = [(start - shift, text.removeprefix("##"), value, mine)
           for start, (text, value, mine) in zip(starts, pieces, strict=True)]  # fmt: skip
    return [piece for piece in out if piece[0] >= 0 and piece[0] + len(piece[1]) <= width]


def _printed(token: Any) -> str:
    """Write a token without the marks of tokenizers for a space or the end of a line."""
    text = str(token)
    for mark in ("\u0120", "\u2581", " "):
        text = text.removeprefix(mark)
    return text.replace("\n", "\\n").replace("$", r"\$") or "_"


def _course(coefficients: xr.DataArray, recording: xr.DataArray, top: xr.Dataset | None, ax: Axes) -> None:
    """Draw coefficients over time: a line for each segment, or an image with a row per trial."""
    others = [dim for dim in coefficients.dims if dim != "time"]
    clock = recording["time"]
    time = np.asarray(clock.values, dtype=np.float64)
    ax.set_xlabel(f"time ({clock.attrs.get('units', 's')})")
    ax.spines[["top", "right"]].set_visible(False)
    if others:
        values = np.asarray(coefficients.transpose(*others, "time").values).reshape(-1, len(time))
        signed = bool((values < 0).any())
        bound = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
        half = (time[-1] - time[0]) / (2 * (len(time) - 1)) if len(time) > 1 else 0.5  # a sample is in its middle
        ax.imshow(values, aspect="auto", cmap="RdBu_r" if signed else "Reds", interpolation="nearest",
                  vmin=-bound if signed else 0, vmax=bound,
                  extent=(time[0] - half, time[-1] + half, len(values) - 0.5, -0.5))  # fmt: skip
        ax.set_ylabel(" x ".join(str(dim) for dim in others))
        return
    values = np.asarray(coefficients.values, dtype=np.float64)
    for start, stop in segment_bounds(recording):
        ax.plot(time[start:stop], values[start:stop], color=COLOURS[0], linewidth=0.8)
    if top is not None:
        at = top["sample"].values[top["sample"].values >= 0]
        ax.plot(time[at], values[at], "o", color=COLOURS[1], markersize=3)
    ax.set_ylabel("coefficient")
    ax.margins(x=0)


def _by_condition(coefficients: xr.DataArray, recording: xr.DataArray, ax: Axes) -> None:
    """Draw the coefficients of trials, those of one condition (or stimulus) in one column."""
    flat = np.asarray(coefficients.transpose(*recording.dims[:-1]).values).ravel()
    name = next(
        (n for n in ("condition", "stimulus") if n in recording.coords and recording[n].dims == ("trial",)), None
    )
    labels: NDArray[Any] = np.zeros(flat.size, dtype=int)
    if name is not None and flat.size == recording.sizes["trial"]:
        kinds, labels = np.unique(recording[name].values.astype(str), return_inverse=True)
        ax.set_xticks(range(len(kinds)), [str(kind) for kind in kinds] if len(kinds) <= 30 else [], rotation=90)
        ax.tick_params(axis="x", labelsize=7)
        ax.set_xlabel(name)
    spread = np.random.default_rng(0).uniform(-0.25, 0.25, flat.size)
    ax.plot(labels + spread, flat, ".", color=COLOURS[0], markersize=4)
    ax.set_ylabel("coefficient")
    ax.spines[["top", "right"]].set_visible(False)
