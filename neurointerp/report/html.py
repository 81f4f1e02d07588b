"""A comparison as one self-contained HTML file: no script, no external request, labels escaped."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp import plot
from neurointerp.errors import AnalysisError, NeurointerpError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110


def write(comparison: xr.DataTree, path: str | os.PathLike[str], *, command: str = "") -> Path:
    """Write the report of a comparison.

    Parameters
    ----------
    comparison
        What `comparison.compare` gave, fresh or opened from its store.
    path
        The HTML file to write (replaced if it exists).
    command
        The command line that reproduces it, shown at the end.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    AnalysisError
        When `comparison` is not a comparison, or the file cannot be written.
    """
    page = render(comparison, command=command)
    target = Path(path)
    part = target.with_name(f".{target.name}.partial")
    try:
        part.write_text(page, "utf-8")
        return part.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise AnalysisError(f"cannot write the report {target}: {error.strerror}") from error


def render(comparison: xr.DataTree, *, command: str = "") -> str:
    """Give the report of a comparison as HTML text; parameters as for `write`."""
    require_libraries()
    import jinja2

    if "summary" not in comparison or comparison.attrs.get("analysis") != "comparison.compare":
        raise AnalysisError("not a comparison: give what comparison.compare returned, or its results.zarr")
    summary = comparison.to_dataset(inherit=False)
    environment = jinja2.Environment(loader=jinja2.PackageLoader("neurointerp", "report"), autoescape=True)
    environment.filters["number"] = number
    height = 1.1 + 1.65 * summary.sizes["recording"]
    return environment.get_template("report.html").render(
        attrs=comparison.attrs,
        metrics=_metrics(summary),
        recordings=[_recording(comparison, summary, i) for i in range(summary.sizes["recording"])],
        overview=_png(plot.figure_strips(comparison, _blank((14, height)))),
        command=command,
    )


def require_libraries() -> None:
    """Refuse, naming the extra to install, where the libraries that draw the report are missing."""
    missing = [library for library in ("jinja2", "matplotlib") if find_spec(library) is None]
    if missing:
        raise NeurointerpError(f"the report needs {' and '.join(missing)}: pip install 'neurointerp[report]'")


def number(value: float) -> str:
    """Write a figure with three significant digits, a dash where there is none."""
    return "\N{EN DASH}" if not np.isfinite(value) else f"{value:.3g}"


def _metrics(summary: xr.Dataset) -> list[dict[str, Any]]:
    rows = []
    for j, name in enumerate(summary["metric"].values):
        cells = [_cell(summary, i, j) for i in range(summary.sizes["recording"])]
        about = {key: str(summary[key].values[j]) for key in ("family", "unit_of_metric", "definition")}
        rows.append({"name": str(name), "cells": cells, **about})
    return rows


def _cell(summary: xr.Dataset, i: int, j: int) -> dict[str, Any]:
    value, null = (float(v) for v in summary["summary"].values[i, j])
    clock = str(summary["clock"].values[i]) if summary["unit_of_metric"].values[j] == "clock" else ""
    z = float(summary["z_score"].values[i, j])
    return {
        "available": np.isfinite(value),
        "value": value, "null": null, "sd": float(summary["null_sd"].values[i, j]), "z": z, "clock": clock,
        "status": str(summary["status"].values[i, j]), "strength": min(abs(z) / 10, 1.0) if np.isfinite(z) else 0.0,
    }  # fmt: skip


def _recording(comparison: xr.DataTree, summary: xr.Dataset, index: int) -> dict[str, Any]:
    name = str(summary["recording"].values[index])
    provenance = comparison.attrs["provenance"][name]
    return {
        "name": name,
        "modality": str(summary["modality"].values[index]),
        "kind": str(summary["kind"].values[index]),
        "system": str(summary["system"].values[index]),
        "digest": comparison.attrs["recording"][name],
        "provenance": {key: value for key, value in provenance.items() if key != "history"},
        "history": json.dumps(provenance.get("history", []), indent=1, ensure_ascii=False),
        "pictures": _pictures(comparison, name, str(summary["modality"].values[index])),
    }


def _pictures(comparison: xr.DataTree, name: str, modality: str) -> list[dict[str, str]]:
    """Draw what there is of one recording; a family that failed has its row in the table instead."""

    def node(path: str) -> xr.Dataset:
        found = comparison[path]
        assert isinstance(found, xr.DataTree)
        return found.to_dataset(inherit=False)

    paths = {
        "Matched recording": f"/matched/{name}",
        "Semi-NMF features": f"/factorization/{name}/semi_nmf",
        "Non-negative CP, time within a window": f"/tensor/{name}/nonnegative_cp",
        "Non-negative CP, across windows": f"/tensor/{name}/nonnegative_cp",
        "Correlation, by community": f"/connectivity/{name}/correlation",
        "Self-prediction, one sample ahead": f"/encoding/{name}/ridge",
    }
    draw: tuple[Callable[[xr.Dataset, Axes], Any], ...] = (
        lambda ds, ax: plot.traces(ds["matched"], ax),
        plot.features,
        lambda ds, ax: plot.tensor_factors(ds, ax, dim="time"),
        lambda ds, ax: plot.tensor_factors(ds, ax, dim="trial"),
        lambda ds, ax: plot.connectivity_matrix(
            ds, ax, community=node(f"/connectivity/{name}/communities")["community"]
        ),
        plot.scores,
    )
    drawn = []
    for (title, path), onto in zip(paths.items(), draw, strict=True):
        if path in comparison.groups:
            figure = _blank((4.2, 2.6))
            onto(node(path), figure.subplots())
            drawn.append({"title": title, "image": _png(figure), "alt": f"{title} of {name} ({modality})"})
    return drawn


def _blank(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> str:
    """Give a drawing as a PNG data URI."""
    for axes in figure.axes:
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
