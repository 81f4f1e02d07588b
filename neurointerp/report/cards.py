"""A card for each component of a recording: its units, what evokes it, and of language the texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import plot
from neurointerp.report.pictures import Picture, Text, margin, picture, shortened

NAMED = 10
SIZE = (5.4, 2.1)
SHADES = 5
SPACES = ("\u0120", "\u2581", " ")
"""Marks of tokenizers for a space before a token."""


def cards(name: str, result: xr.Dataset, rec: xr.DataArray, top: xr.Dataset | None) -> Iterator[Picture]:
    """Give a card per component, drawn as the modality asks: a scalp, slices, places, or names; texts for tokens.

    Parameters
    ----------
    name
        Of the recording.
    result
        The factorization: `features`, `coefficients`.
    rec
        What was factorized.
    top
        The samples that evoke each component, as `features.top_samples` gives them, where they are known.

    Yields
    ------
    Picture
    """
    by_name = rec.drop_vars(["x", "y", "z"], errors="ignore")
    for row, component in enumerate(result["component"].values.tolist()):
        card = _card(name, result, rec, top, row, component)
        if not card.image and "x" in rec.coords:  # no map of the head: MNE is missing, or too few sensors have a place
            card = replace(_card(name, result, by_name, top, row, component), note=f"units by name; map {card.note}")
        yield card


def _card(
    name: str, result: xr.Dataset, rec: xr.DataArray, top: xr.Dataset | None, row: int, component: Any
) -> Picture:
    one = result.isel(component=row)
    weights = np.asarray(one["features"].values, dtype=np.float64)
    units, course = rec["unit"].values, one["coefficients"]
    largest = [str(units[i]) for i in np.argsort(-np.abs(np.nan_to_num(weights)), kind="stable")[:NAMED]]
    dim = str(course.dims[0])
    clock = course[dim].values if dim in course.coords else np.arange(course.size)
    tokens = rec["token"].values if "token" in rec.coords and rec["token"].dims == (dim,) else None
    # tokens are shown as text beside the picture, not as letters within it
    bare, small = shortened(rec.drop_vars("token", errors="ignore")), shortened(result)
    along: dict[str, Any] = {dim: clock} | ({} if tokens is None else {"token": tokens})
    return picture(
        f"Component {component}", f"{name} component {component}",
        lambda figure: plot.component_card(small, bare, figure, component=component, top=top, units=NAMED), SIZE,
        alt=f"Component {component} of {name}: the units of largest weight are {', '.join(largest[:5])}; "
        f"{_peak(course, dim, clock, tokens)}.",
        left=margin(largest, SIZE[0]) if _as_bars(bare) else 0.05,
        top=0.28, digits=4,
        data={"weights": {"unit": units, "weight": weights}, "coefficients": along | {"coefficient": course.values}},
        texts=[] if tokens is None or top is None else _texts(tokens, top.isel(component=row)),
    )  # fmt: skip


def _peak(course: xr.DataArray, dim: str, clock: np.ndarray, tokens: np.ndarray | None) -> str:
    if not np.isfinite(course.values).any():
        return "its coefficients are missing"
    at = int(np.nanargmax(course.values))
    when = f"{clock[at]:.4g}" if clock.dtype.kind in "iuf" else str(clock[at])
    units = str(course[dim].attrs.get("units", "")) if dim in course.coords else ""
    where = f"{dim} {when}{' ' + units if units else ''}"
    return f"it is strongest at {where}" + ("" if tokens is None else f", the token {str(tokens[at])!r}")


def _as_bars(rec: xr.DataArray) -> bool:
    """Tell whether a card shows the units by name, which takes room at the left."""
    if {"i", "j", "k"} <= set(rec.coords):
        return False
    placed = {"x", "y", "z"} <= set(rec.coords) and int(np.isfinite(rec["x"].values.astype(float)).sum()) >= 4
    return not placed or rec.attrs.get("modality") not in ("eeg", "meg", "fmri", "ieeg")


def _texts(tokens: np.ndarray, top: xr.Dataset) -> list[Text]:
    """Give the tokens around each top sample with how strongly each evokes the component, from 0 to 5."""
    course, sample, offset = (np.asarray(top[key].values) for key in ("course", "sample", "offset"))
    largest = float(np.nanmax(course, initial=0.0)) or 1.0
    printed = _printed(tokens)
    out = []
    for at, levels, coefficient in zip(sample, course, top["coefficient"].values, strict=True):
        inside = [
            (int(at + o), level) for o, level in zip(offset, levels, strict=True) if at >= 0 and np.isfinite(level)
        ]
        words = [(*printed[i], int(np.ceil(SHADES * max(level, 0) / largest)), i == at) for i, level in inside]
        if words:
            out.append(Text(float(coefficient), words))
    return out


def _printed(tokens: np.ndarray) -> list[tuple[str, str]]:
    """Give what stands before each token in text, and the token: spaces where the tokenizer has them, else all over."""
    texts = [str(token) for token in tokens]
    marked = any(text.startswith(SPACES) for text in texts)
    out = []
    for text in texts:
        joined = text.startswith("##") or (marked and not text.startswith(SPACES))
        for mark in ("##", *SPACES):
            text = text.removeprefix(mark)
        out.append(("" if joined else " ", text.replace("\n", "\\n").replace("\u010a", "\\n")))
    return out
