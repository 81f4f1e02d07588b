"""A comparison as one self-contained HTML file: no external request, labels escaped, readable without scripts."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from importlib.resources import files
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError, NeurointerpError
from neurointerp.report import overview
from neurointerp.report.curves import curves
from neurointerp.report.downloads import file_stem
from neurointerp.report.drawing import UNPRINTABLE
from neurointerp.report.sections import matched, sections


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

    Notes
    -----
    The page needs no network and no script: with scripts, each recording is a page of its own, tables sort and filter,
    and data are saved as plain CSV rather than gzipped. Pictures are SVG drawn by `neurointerp.plot`. A policy in its
    head forbids every request and every script but its own.

    Examples
    --------
    >>> import neurointerp as ni, tempfile, pathlib
    >>> from neurointerp.analyses import comparison
    >>> tree = comparison.compare({"scalp": ni.load("demo-eeg")}, samples=60, units=6, nulls=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(tree, pathlib.Path(folder) / "report.html").stat().st_size < 500_000
    True
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
    summary = comparison.to_dataset(inherit=False).load()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("neurointerp", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"number": number, "stem": file_stem}
    style, script = (
        files("neurointerp.report").joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js")
    )
    count = summary.sizes["recording"]
    page = environment.get_template("report.html").render(
        attrs=comparison.attrs,
        metrics=overview.metrics(summary),
        families=_runs([str(family) for family in summary["family"].values]),
        summary_file=overview.summary_file(summary),
        modalities=list(dict.fromkeys(str(m) for m in summary["modality"].values)),
        kinds=list(dict.fromkeys(str(k) for k in summary["kind"].values)),
        recordings=[_recording(comparison, summary, i) for i in range(count)],
        panels=overview.panels(summary),
        groups=overview.groups(summary),
        sensitivity=overview.sensitivity(comparison),
        curves=curves(comparison),
        has_intervals="interval" in summary,
        command=command,
        style=style, style_hash=_hash(style), script=script, script_hash=_hash(script),
    )  # fmt: skip
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", page)


def require_libraries() -> None:
    """Refuse, naming the extra to install, where the libraries that draw the report are missing."""
    missing = [library for library in ("jinja2", "matplotlib") if find_spec(library) is None]
    if missing:
        raise NeurointerpError(f"the report needs {' and '.join(missing)}: pip install 'neurointerp[report]'")


def number(value: Any, digits: int = 3) -> str:
    """Write a number with few significant digits and a true minus, a dash where there is none; text as it is."""
    if not isinstance(value, int | float | np.number):
        return str(value)
    size = abs(float(value))
    if not np.isfinite(size):
        return "\N{EN DASH}"
    shown = f"{value:.0f}" if 1000 <= size < 100_000 else f"{value:.{digits}g}"
    return shown.replace("-", "\N{MINUS SIGN}")


def _hash(text: str) -> str:
    """Give what the policy of the page knows a script or a style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _runs(entries: list[str]) -> list[tuple[str, int]]:
    """Give each run of equal entries with its length."""
    return [(entry, len(list(run))) for entry, run in groupby(entries)]


def _recording(comparison: xr.DataTree, summary: xr.Dataset, index: int) -> dict[str, Any]:
    name = str(summary["recording"].values[index])
    provenance = comparison.attrs["provenance"][name]
    steps = matched(comparison, name).attrs.get("history", [])
    about = {key: str(summary[key].values[index]) for key in ("modality", "kind", "system")}
    return {
        "name": name,
        **about,
        "group": str(summary["group"].values[index]) if "group" in summary.coords else "",
        "cells": [overview.cell(summary, index, j) for j in range(summary.sizes["metric"])],
        "digest": comparison.attrs["recording"][name],
        "provenance": {key: value for key, value in provenance.items() if key not in ("history", "system")},
        "history": json.dumps(provenance.get("history", []), indent=1, ensure_ascii=False),
        "matching": json.dumps(
            [step for step in steps if str(step.get("function")).startswith("comparison.")],
            indent=1, ensure_ascii=False,
        ),
        "sections": sections(comparison, summary, name),
    }  # fmt: skip
