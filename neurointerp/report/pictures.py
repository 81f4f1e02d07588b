"""What is drawn of one recording, with the words that say what is seen and the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp import plot
from neurointerp.errors import NeurointerpError
from neurointerp.plot.comparison import ranked
from neurointerp.report.downloads import Columns, Download, table_file
from neurointerp.report.drawing import UNPRINTABLE, image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 250
"""Samples drawn of the activity: more would be finer than the picture."""
NAME_LENGTH = 22
WIDE = (4.4, 2.8)
"""Of most pictures, in inches."""
LINES = ("eeg", "meg", "ieeg", "calcium", "fmri", "behavior")
"""Modalities whose units are also drawn as lines."""


@dataclass(frozen=True)
class Text:
    """One line of tokens around a sample that evokes a component: (space before it, token, how strongly
    from 0 to 5, is it the one)."""

    coefficient: float
    tokens: list[tuple[str, str, int, bool]]


@dataclass(frozen=True)
class Picture:
    """One picture of the page; `image` is empty where `note` says why it could not be drawn."""

    title: str
    alt: str
    image: str
    width: int
    height: int
    file: str
    note: str = ""
    files: list[Download] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


def picture(
    title: str,
    where: str,
    draw: Callable[[Figure], object],
    size: tuple[float, float],
    *,
    alt: str,
    left: float,
    data: dict[str, Columns],
    right: float = 0.02,
    top: float = 0.1,
    digits: int = 6,
    note: str = "",
    texts: list[Text] | None = None,
) -> Picture:
    """Draw one picture and pack its numbers; what cannot be drawn says why.

    Parameters
    ----------
    title, alt, note
        What it is, what is seen in it, and what else must be known.
    where
        The recording and the picture in a few words, for the names of files.
    draw, size, left, right, top
        As for `drawing.image`.
    data
        What each table holds -> its columns.
    digits
        Significant digits of floats in the tables.
    texts
        Tokens shown below it.

    Returns
    -------
    Picture
    """
    try:
        drawn = image(draw, size, left=left, right=right, top=top)
    except NeurointerpError as error:
        drawn, note = "", f"not drawn: {error}"
    files = [table_file(what, f"{where} {what}", columns, digits=digits) for what, columns in data.items()]
    width, height = (round(side * 96) for side in size)  # of CSS, 96 to the inch
    return Picture(title, alt, drawn, width, height, where, note, files, texts or [])


def shortened(result: xr.Dataset | xr.DataArray) -> Any:
    """Cut long names of units, as the margins of pictures have room for; names stay apart."""
    if "unit" not in result.coords:
        return result
    names = [short(str(name)) for name in result["unit"].values]
    if len(set(names)) < len(names):
        names = [f"{short(name, NAME_LENGTH - 5)} {number}" for number, name in enumerate(names)]
    return result.assign_coords(unit=result["unit"].copy(data=np.array(names, dtype=object)))


def short(name: str, length: int = NAME_LENGTH) -> str:
    """Cut a name from data to a length, an ellipsis in its middle; line breaks become spaces."""
    name = " ".join(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", name).split()) or "\N{OPEN BOX}"
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def margin(names: list[str], width: float, *, extra: float = 0.12) -> float:
    """Give the left margin, as a share of the width in inches, that the longest of some names takes at 7 points."""
    longest = max((len(short(name)) for name in names), default=0)
    return (longest * 7 * 0.62 / 72 + extra) / width


def activity(name: str, rec: xr.DataArray) -> Iterator[Picture]:
    """Give the recording as it was analysed: an image; lines for signals, the population's mean for spikes."""
    part = shortened(rec[:SHOWN])
    dim = str(rec.dims[0])
    note = f"the first {SHOWN} of {len(rec)} samples" if len(rec) > SHOWN else ""
    units = [str(unit) for unit in rec["unit"].values]
    clock = {dim: part[dim].values if dim in part.coords else np.arange(len(part))}
    spikes = rec.attrs["modality"] == "spikes"
    about = f"{len(part)} samples from left to right, {len(units)} units from top to bottom"
    ends = f"from {part.min().item():.2g} (blue) to {part.max().item():.2g} (red) standard deviations"

    def whole(figure: Figure) -> None:
        ax = plot.traces(part, figure.subplots())
        figure.colorbar(ax.images[0], ax=ax, label="z-score", shrink=0.9, pad=0.03, aspect=25)

    def raster(figure: Figure) -> None:
        # the bar has a column of its own, so that both axes stay as wide
        (above, bar), (below, empty) = figure.subplots(
            2, 2, height_ratios=[2.4, 1], width_ratios=[1, 0.03], gridspec_kw={"hspace": 0.12, "wspace": 0.05}
        )
        empty.set_visible(False)
        plot.traces(part, above)
        figure.colorbar(above.images[0], cax=bar, label="z-score")
        plot.mean_course(part, below)
        below.set_xticks(above.get_xticks(), [text.get_text() for text in above.get_xticklabels()])
        below.set_xlabel(above.get_xlabel())
        above.set_xlabel("")
        above.set_xticks([])

    values = {unit: part.values[:, i] for i, unit in enumerate(units)}
    yield picture(
        "Rates of all units (z-scored) and their mean" if spikes else "All units (z-scored)",
        f"{name} activity",
        raster if spikes else whole,
        WIDE if not spikes else (WIDE[0], 3.2),
        alt=f"Image of the activity of {name}: {about}, {ends}"
        + ("; below it the mean over units, " f"{_span(part.mean('unit').values)}." if spikes else "."),
        left=0.11, right=0.11 if spikes else 0.0, data={"values": clock | values}, digits=3, note=note,
    )  # fmt: skip
    if rec.attrs["modality"] in LINES:
        picked = np.unique(np.linspace(0, len(units) - 1, 8).round().astype(int))
        shown = [units[i] for i in picked]
        yield picture(
            f"Traces of {len(shown)} units (z-scored)", f"{name} traces",
            lambda figure: plot.courses(part, figure.subplots()), WIDE,
            alt=f"Lines over {dim} of {len(shown)} units of {name}, from the first to the last: {', '.join(shown)}.",
            left=margin(shown, WIDE[0], extra=0.35),
            data={"values": clock | {units[i]: part.values[:, i] for i in picked}}, digits=3, note=note,
        )  # fmt: skip


def ranks(name: str, summary: xr.Dataset) -> Iterator[Picture]:
    """Give how much is explained with more components, beside the null."""
    one = summary.isel(recording=summary["recording"].values.tolist().index(name))
    columns: dict[str, list[Any]] = {key: [] for key in ("figure", "rank", "data", "null_mean", "null_sd")}
    said = []
    for what, steps in ranked(summary).items():
        cells = [one.sel(metric=f"{what}_rank{rank}") for rank in steps]
        values = [[float(v) for v in (*cell["summary"].values, cell["null_sd"].item())] for cell in cells]
        for rank, value in zip(steps, values, strict=True):
            for key, entry in zip(columns, (what, rank, *value), strict=True):
                columns[key].append(entry)
        if np.isfinite(values[-1][0]):
            said.append(
                f"{label(what)} goes from {values[0][0]:.2g} at rank {steps[0]} to {values[-1][0]:.2g} at rank "
                f"{steps[-1]}, of the null from {values[0][1]:.2g} to {values[-1][1]:.2g}"
            )
    if said:
        yield picture(
            "What more components explain", f"{name} ranks",
            lambda figure: plot.rank_curves(summary, figure.subplots(), recording=name), WIDE,
            alt=f"Curves over the number of components of {name}: {'; '.join(said)}.", left=0.14,
            data={"values": columns},
        )  # fmt: skip


def connectivity(name: str, graph: xr.Dataset, groups: xr.DataArray) -> Iterator[Picture]:
    """Give the correlations of all pairs, units ordered by community."""
    values, number = np.asarray(graph["connectivity"].values), np.asarray(groups.values)
    order = np.argsort(number, kind="stable")
    units = [str(unit) for unit in graph["source"].values]
    pairs = np.abs(np.where(np.triu(np.ones(values.shape, dtype=bool), 1), np.nan_to_num(values), 0))
    i, j = np.unravel_index(int(pairs.argmax()), pairs.shape)
    sizes = np.sort(np.unique(number, return_counts=True)[1])[::-1]
    table: dict[str, Any] = {"unit": [units[k] for k in order], "community": number[order]}
    yield picture(
        "Correlations by community", f"{name} correlation",
        lambda figure: plot.connectivity_matrix(graph, figure.subplots(), community=groups), WIDE,
        alt=f"Matrix of the correlations between {len(units)} units of {name}, in {len(sizes)} communities of "
        f"{', '.join(map(str, sizes))} units; the strongest pair is {units[i]} and {units[j]} with r = "
        f"{values[i, j]:.2f}.",
        left=0.02, right=0.08, data={"values": table | {units[k]: values[order, k] for k in order}}, digits=4,
    )  # fmt: skip


def prediction(name: str, fit: xr.Dataset) -> Iterator[Picture]:
    """Give how well each unit is predicted from all one sample earlier."""
    score = fit["score"].transpose("unit", "fold")
    mean = np.asarray(score.mean("fold").values)
    table: dict[str, Any] = {"unit": score["unit"].values, "mean": mean}
    folds = {f"fold {label}": score.values[:, k] for k, label in enumerate(score["fold"].values)}
    known = mean[np.isfinite(mean)]
    if not known.size:
        return
    yield picture(
        "Prediction one sample ahead", f"{name} prediction",
        lambda figure: plot.scores(fit, figure.subplots()), WIDE,
        alt=f"Bars of the held-out r2 of {mean.size} units of {name}, sorted: from {known.max():.2g} down to "
        f"{known.min():.2g}, median {np.median(known):.2g}; {int((known > 0).sum())} units lie above zero.",
        left=0.14, data={"values": table | folds},
    )  # fmt: skip


def tensor(name: str, fit: xr.Dataset) -> Iterator[Picture]:
    """Give the components of windows x time: within a window, and across windows."""
    dims = [dim for dim in ("time", "trial", "unit") if f"factor_{dim}" in fit]
    columns: dict[str, list[Any]] = {key: [] for key in ("dim", "label", "component", "factor")}
    for dim in dims:
        factor = fit[f"factor_{dim}"].transpose(dim, "component")
        for row, entry in enumerate(factor.values):
            for k, value in enumerate(entry):
                tick = factor[dim].values[row] if dim in factor.coords else row
                for key, item in zip(columns, (dim, tick, factor["component"].values[k], float(value)), strict=True):
                    columns[key].append(item)

    def draw(figure: Figure) -> None:
        for ax, dim in zip(figure.subplots(2, 1, gridspec_kw={"hspace": 0.5}), ("time", "trial"), strict=True):
            plot.tensor_factors(fit, ax, dim=dim)
            ax.get_legend().remove()
            ax.set_ylabel("factor")
            ax.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_xlabel("sample within a window", labelpad=1)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), title="component", fontsize=7, title_fontsize=7,
                      loc="center right", frameon=False)  # fmt: skip

    count, windows = fit.sizes["component"], fit.sizes["trial"]
    yield picture(
        f"{count} tensor components: within a window, and across windows", f"{name} tensor", draw, WIDE,
        alt=f"Two panels of lines, one for each of {count} components of {name}: their course within a window of "
        f"{fit.sizes['time']} samples, and their strength in each of {windows} windows; largest in window "
        f"{', '.join(str(w) for w in fit['factor_trial'].argmax('trial').values)}.",
        left=0.13, right=0.19, data={"values": columns},
    )  # fmt: skip


def label(metric: str) -> str:
    """Write the name of a figure as people do."""
    words = metric.replace("_", " ").replace("semi nmf", "semi-NMF").replace("self prediction", "self-prediction")
    return words.replace(" rank", ", rank ")


def _span(values: np.ndarray) -> str:
    return f"from {np.min(values):.2g} to {np.max(values):.2g}"
