"""How each figure changes as recordings are made worse: one drawing per figure, a small axis per factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.plot.comparison import strips
from neurointerp.report.downloads import Download, table_file
from neurointerp.report.overview import axis
from neurointerp.report.pictures import label

WIDTH, LEFT, GAP, INSET = 396, 44, 7, 10
"""Of a drawing: its right end, the room for ticks at the left, between two small axes, and at both ends of each."""
TOP, HEIGHT, BOTTOM = 24, 132, 40
"""Above, of and below the axes; the names of the factors stand above, their levels below."""
COLOURS = 6
DIMS = ("recording", "metric", "factor", "level", "replicate")
NAMES = {"units": "units", "samples": "samples", "rate": "rate", "signal": "signal to noise", "all": "all"}
BELOW = {"units": "count", "samples": "count", "rate": "% kept", "signal": "ratio", "all": "% kept"}
Scale = Callable[[float], float]


def curves(comparison: xr.DataTree) -> dict[str, Any] | None:
    """Give the places of all lines of the node `/sensitivity`, where it holds what `comparison.sensitivity` gives.

    Parameters
    ----------
    comparison
        What `comparison.compare` gave. In the node, `value` holds every figure at every level of every factor and,
        where it is there, `truth (recording, metric)` what is true of the system itself.

    Returns
    -------
    dict or None
        The panels, one per figure (and per clock, of times), each with its words and its file; the names of the
        recordings in order, and whether a truth is known.
    """
    if "/sensitivity" not in comparison.groups:
        return None
    held = comparison["/sensitivity"].to_dataset()
    if "value" not in held or set(held["value"].dims) != set(DIMS) or held["value"].sizes["level"] < 2:
        return None
    root = comparison.to_dataset(inherit=False)
    labels = {dim: root[dim].values for dim in ("recording", "metric")}
    value = held["value"].transpose(*DIMS).reindex(labels).sortby("level", ascending=False)
    truth = np.full(value.shape[:2], np.nan)
    if "truth" in held:
        truth = held["truth"].transpose(*DIMS[:2]).reindex(labels).values.astype(np.float64)
    sizes = comparison.attrs["parameters"]
    panels = []
    for metric, unit, rows in strips(root):
        at = root["metric"].values.tolist().index(metric)
        one = value.isel(metric=at, recording=rows)
        if np.isfinite(one.values).any():
            panels.append(_panel(metric, unit, rows, one, truth[rows, at], sizes))
    names = [str(name) for name in root["recording"].values]
    return {"panels": panels, "names": names, "known": bool(np.isfinite(truth).any())} if panels else None


def _panel(
    metric: str, unit: str, rows: list[int], value: xr.DataArray, truth: NDArray[np.float64], sizes: dict[str, Any]
) -> dict[str, Any]:
    low, high, ticks = axis(np.concatenate([value.values.ravel(), truth]))
    factors = [str(factor) for factor in value["factor"].values]
    wide = (WIDTH - LEFT + GAP) / len(factors) - GAP
    level = value["level"].values
    span = float(level[0] - level[-1])

    def y(number: float) -> float:
        return round(TOP + HEIGHT * (high - number) / (high - low), 1)

    def x(start: float) -> Scale:
        return lambda share: round(start + INSET + (wide - 2 * INSET) * float(level[0] - share) / span, 1)

    starts = [round(LEFT + i * (wide + GAP), 1) for i in range(len(factors))]
    shown = sorted({0, len(level) // 2, len(level) - 1})
    facets = [
        {"start": start, "end": round(start + wide, 1), "middle": round(start + wide / 2, 1),
         "name": NAMES.get(factor, factor), "below": BELOW.get(factor, "% kept"),
         "ticks": [(x(start)(level[i]), _told(factor, float(level[i]), sizes)) for i in shown]}
        for factor, start in zip(factors, starts, strict=True)
    ]  # fmt: skip
    drawn = [
        _line(number, value.isel(recording=k), float(truth[k]), [x(start) for start in starts], y, facets)
        for k, number in enumerate(rows)
    ]
    return {
        "label": label(metric), "name": f"{metric} sensitivity", "unit": unit, "facets": facets, "lines": drawn,
        "height": TOP + HEIGHT + BOTTOM, "top": TOP, "bottom": TOP + HEIGHT, "ticks": [(y(t), f"{t:g}") for t in ticks],
        "alt": _said(label(metric), unit, value), "file": _file(f"{metric} {unit}".strip(), value, truth),
    }  # fmt: skip


def _line(
    number: int, value: xr.DataArray, truth: float, across: Sequence[Scale], y: Scale, facets: list[dict[str, Any]]
) -> dict[str, Any]:
    """Give the paths of one recording: means over replicates as line and dots, their range as band, and the truth."""
    line, dots, band = [], [], []
    for draws, x in zip(value.values, across, strict=True):
        known = np.isfinite(draws).any(axis=-1)
        if not known.any():
            continue
        kept = draws[known]
        places = [x(share) for share in value["level"].values[known]]
        mean = [(at, y(float(m))) for at, m in zip(places, np.nanmean(kept, axis=-1), strict=True)]
        upper = [(at, y(float(m))) for at, m in zip(places, np.nanmax(kept, axis=-1), strict=True)]
        lower = [(at, y(float(m))) for at, m in zip(places, np.nanmin(kept, axis=-1), strict=True)]
        line.append(_path(mean))
        dots.append("".join(f"M{a} {b}h0" for a, b in mean))
        band.append(_path([*upper, *lower[::-1]]) + "Z")
    known = "".join(f"M{one['start']} {y(truth)}H{one['end']}" for one in facets) if np.isfinite(truth) else ""
    return {
        "number": number, "style": number % COLOURS, "broken": number // COLOURS % 2,
        "name": str(value["recording"].item()), "line": "".join(line), "dots": "".join(dots), "band": "".join(band),
        "truth": known, "value": truth,
    }  # fmt: skip


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a} {b}" for a, b in points)


def _told(factor: str, level: float, sizes: dict[str, Any]) -> str:
    """Write a level as what is left: how many units or samples, the ratio of signal to added noise, or per cent."""
    if factor in ("units", "samples"):
        return f"{round(level * int(sizes[factor]))}"
    if factor == "signal":
        return "\N{INFINITY}" if level >= 1 else f"{level / (1 - level):.2g}"
    return f"{100 * level:.3g}"


def _said(what: str, unit: str, value: xr.DataArray) -> str:
    mean = value.mean("replicate").mean("recording")
    of, parts = f" {unit}" if unit else "", []
    for factor in mean["factor"].values:
        ends = [float(mean.sel(factor=factor).values[i]) for i in (0, -1)]
        if np.isfinite(ends).all():
            parts.append(f"{NAMES.get(str(factor), str(factor))} from {ends[0]:.3g}{of} to {ends[1]:.3g}{of}")
    worst = 100 * float(value["level"].values[-1])
    drawn = int(value.notnull().any(("factor", "level", "replicate")).sum())
    return (
        f"{what} of {drawn} recordings made worse, lines over {len(parts)} factors. Mean over "
        f"recordings, as recorded and at {worst:.3g}%: {'; '.join(parts)}."
    )


def _file(stem: str, value: xr.DataArray, truth: NDArray[np.float64]) -> Download:
    frame = value.drop_vars(["clock", "unit_of_metric", "metric"], errors="ignore").to_series()
    columns: dict[str, Any] = {name: frame.index.get_level_values(name).to_numpy() for name in frame.index.names}
    columns["value"] = frame.to_numpy()
    if np.isfinite(truth).any():
        columns["truth"] = np.repeat(truth, value[0].size)
    return table_file("values", f"{stem} sensitivity", columns)
