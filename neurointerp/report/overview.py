"""What the first page shows of a comparison: the table, the spread of every figure, groups and sensitivity."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.report.downloads import Download, table_file
from neurointerp.report.pictures import label, short

WIDTH, LABELS, TOP, BOTTOM = 400, 136, 6, 34
"""Of a panel: its width, the room for names, and the space above and below its rows."""
ROWS = 1000
"""Rows of a long table that are shown; its file holds all."""


def cell(summary: xr.Dataset, recording: int, metric: int) -> dict[str, Any]:
    """Give one figure of one recording: value, interval, null, z-score, what it is measured in, and its state."""
    value, null = (float(v) for v in summary["summary"].values[recording, metric])
    z = float(summary["z_score"].values[recording, metric])
    return {
        "value": value,
        "available": bool(np.isfinite(value)),
        "interval": interval(summary, recording, metric),
        "null": null,
        "sd": float(summary["null_sd"].values[recording, metric]),
        "z": z,
        "strength": 0 if not np.isfinite(z) else int(np.searchsorted((2, 5, 10, 20), abs(z), side="right")),
        "clock": unit_of(summary, recording, metric),
        "kind": str(summary["kind"].values[recording]),
        "status": str(summary["status"].values[recording, metric]),
    }


def interval(summary: xr.Dataset, recording: int, metric: int) -> tuple[float, float] | None:
    """Give the ends of the interval of a figure, where the comparison has intervals and this one is known."""
    if "interval" not in summary:
        return None
    ends = summary["interval"].transpose("recording", "metric", "bound").values[recording, metric]
    return (float(ends[0]), float(ends[-1])) if np.isfinite(ends).all() else None


def unit_of(summary: xr.Dataset, recording: int, metric: int) -> str:
    """Give the unit of a figure that is measured on the clock of its recording, else nothing."""
    clock = str(summary["unit_of_metric"].values[metric]) == "clock"
    return str(summary["clock"].values[recording]) if clock else ""


def metrics(summary: xr.Dataset) -> list[dict[str, str]]:
    """Give every figure with its label, family and definition."""
    return [
        {"name": str(name), "label": label(str(name)), "family": str(summary["family"].values[j]),
         "definition": str(summary["definition"].values[j])}
        for j, name in enumerate(summary["metric"].values)
    ]  # fmt: skip


def summary_file(summary: xr.Dataset) -> Download:
    """Give every figure of every recording as one file, a row each."""
    count, width = summary.sizes["recording"], summary.sizes["metric"]
    columns: dict[str, Any] = {key: np.repeat(summary[key].values, width) for key in ("recording", "modality", "kind")}
    columns["figure"] = np.tile(summary["metric"].values, count)
    columns["unit"] = [unit_of(summary, i, j) or "1" for i in range(count) for j in range(width)]
    columns["data"] = summary["summary"].sel(arm="data").values.ravel()
    if "interval" in summary:
        ends = summary["interval"].transpose("recording", "metric", "bound").values
        columns |= {"low": ends[..., 0].ravel(), "high": ends[..., -1].ravel()}
    columns["null_mean"] = summary["summary"].sel(arm="null").values.ravel()
    columns |= {key: summary[key].values.ravel() for key in ("null_sd", "z_score", "status")}
    return table_file("values", "summary", columns)


def panels(summary: xr.Dataset) -> list[dict[str, Any]]:
    """Give the places of everything in one drawing per figure (per clock, of figures that are times)."""
    out = []
    for j in range(summary.sizes["metric"]):
        units = [unit_of(summary, i, j) for i in range(summary.sizes["recording"])]
        for unit in dict.fromkeys(units):
            rows = [i for i, one in enumerate(units) if one == unit]
            if np.isfinite(summary["summary"].values[rows, j, 0]).any():
                out.append(_panel(summary, j, rows, unit))
    return out


def _panel(summary: xr.Dataset, metric: int, rows: list[int], unit: str) -> dict[str, Any]:
    name = str(summary["metric"].values[metric])
    cells = [cell(summary, i, metric) for i in rows]
    draws = summary["null_draws"].values[rows, metric]
    held = [c["value"] for c in cells] + [end for c in cells for end in c["interval"] or ()]
    low, high, ticks = axis(np.concatenate([held, draws.ravel()]))
    step = 20 if len(rows) <= 12 else 15

    def x(value: float) -> float:
        return round(LABELS + 8 + (value - low) / (high - low) * (WIDTH - LABELS - 20), 1)

    drawn = []
    for place, (i, one) in enumerate(zip(rows, cells, strict=True)):
        null = draws[place][np.isfinite(draws[place])]
        drawn.append({
            "number": i, "name": str(summary["recording"].values[i]),
            "short": short(str(summary["recording"].values[i]), 20), "y": TOP + step * (place + 0.5), "cell": one,
            "x": x(one["value"]) if one["available"] else None,
            "ends": None if one["interval"] is None else tuple(x(end) for end in one["interval"]),
            "null": [x(value) for value in np.unique(null)],
        })  # fmt: skip
    return {
        "label": label(name), "name": name, "unit": unit, "rows": drawn, "height": TOP + step * len(rows) + BOTTOM,
        "bottom": TOP + step * len(rows), "half": step / 2 - 4, "ticks": [(x(t), f"{t:g}") for t in ticks],
        "alt": _said(label(name), unit, rows, cells, summary),
        "file": _file(f"{name} {unit}".strip(), summary, metric, rows),
    }  # fmt: skip


def axis(values: np.ndarray) -> tuple[float, float, list[float]]:
    """Give the ends of an axis and three to six round ticks within it."""
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # all the same, but for rounding
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)  # no dot on the edge
    raw = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw)
    ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return low, high, [float(f"{tick:.10g}") + 0.0 for tick in ticks]  # no minus before a zero


def _said(what: str, unit: str, rows: list[int], cells: list[dict[str, Any]], summary: xr.Dataset) -> str:
    known = [(c["value"], str(summary["recording"].values[i])) for i, c in zip(rows, cells, strict=True)
             if c["available"]]  # fmt: skip
    far = sum(c["strength"] > 0 for c in cells)
    (low, lowest), (high, highest) = min(known), max(known)
    of = f" {unit}" if unit else ""
    return (
        f"{what} of {len(known)} recordings beside their null draws: from {low:.3g}{of} ({lowest}) to {high:.3g}{of} "
        f"({highest}); {far} of {len(rows)} lie two standard deviations or more from the mean of their null."
    )


def _file(stem: str, summary: xr.Dataset, metric: int, rows: list[int]) -> Download:
    part = summary.isel(metric=metric, recording=rows)
    columns: dict[str, Any] = {"recording": part["recording"].values, "data": part["summary"].sel(arm="data").values}
    if "interval" in part:
        columns |= {"low": part["interval"].isel(bound=0).values, "high": part["interval"].isel(bound=-1).values}
    columns |= {"null_mean": part["summary"].sel(arm="null").values, "null_sd": part["null_sd"].values}
    columns |= {"z_score": part["z_score"].values}
    draws = part["null_draws"].transpose("recording", "draw").values
    columns |= {f"null_draw_{k}": draws[:, k] for k in range(draws.shape[1])}
    return table_file("values", stem, columns)


def groups(summary: xr.Dataset) -> dict[str, Any] | None:
    """Give the test of every figure between groups, where recordings have groups."""
    if "group_mean" not in summary:
        return None
    names = [str(name) for name in summary["group_name"].values]
    members = [str(group) for group in summary["group"].values]
    rows: list[dict[str, Any]] = []
    for j, metric in enumerate(metrics(summary)):
        tested = {key: float(summary[f"group_{key}"].values[j]) for key in ("statistic", "p", "q")}
        means = [float(value) for value in summary["group_mean"].transpose("group_name", "metric").values[:, j]]
        rows.append({"metric": metric, "means": means, **tested, **_mixed(summary, j)})
    columns: dict[str, Any] = {"figure": summary["metric"].values}
    columns |= {f"mean {name}": [row["means"][k] for row in rows] for k, name in enumerate(names)}
    columns |= {key: [row[key] for row in rows] for key in ("statistic", "p", "q")}
    mixed = [f"{name} minus {names[-1]}" for name in names[:-1]] if "mixed_difference" in summary else []
    for k, name in enumerate(mixed):
        columns[f"mixed {name}"] = [row["mixed"][k][0] for row in rows]
        columns |= {
            f"mixed {name} {end}": [row["mixed"][k][1][i] for row in rows] for i, end in enumerate(("low", "high"))
        }
    columns |= {f"{of}_variance": summary[f"{of}_variance"].values for of in ("subject", "residual") if mixed}
    what = f"{names[0]} minus {names[1]}" if len(names) == 2 else "F ratio between groups"
    return {
        "names": [(name, members.count(name)) for name in names], "rows": rows, "statistic": what, "mixed": mixed,
        "dealt": _dealt(summary), "file": table_file("values", "groups", columns),
    }  # fmt: skip


def _mixed(summary: xr.Dataset, metric: int) -> dict[str, Any]:
    """Give what the mixed model says of one figure: each group but the last from it, and the share of subjects."""
    if "mixed_difference" not in summary:
        return {}
    difference = summary["mixed_difference"].transpose("group_name", "metric").values[:-1, metric]
    ends = summary["mixed_interval"].transpose("group_name", "metric", "bound").values[:-1, metric]
    between, rest = (float(summary[f"{of}_variance"].values[metric]) for of in ("subject", "residual"))
    return {
        "mixed": [(float(one), (float(low), float(high))) for one, (low, high) in zip(difference, ends, strict=True)],
        "subjects": between / (between + rest) if between + rest > 0 else float("nan"),
    }


def _dealt(summary: xr.Dataset) -> str:
    """Say what is dealt to the groups in the test."""
    if "subject" not in summary.coords:
        return "permuting which recording belongs to which group. A recording is the unit of the test"
    pairs = set(zip(summary["subject"].values, summary["group"].values, strict=True))
    count = len({subject for subject, _ in pairs})
    if len(pairs) > count:
        return f"permuting the groups within each of {count} subjects. A subject is the unit of the test"
    return f"permuting which of {count} subjects belongs to which group. A subject, its mean, is the unit of the test"


def sensitivity(comparison: xr.DataTree) -> dict[str, Any] | None:
    """Give how figures depend on the size and quality of recordings, where that was measured.

    The table has a column per `level` (mean over `replicate`) where the values have levels; the file holds all.
    """
    if "/sensitivity" not in comparison.groups:
        return None
    node = comparison["/sensitivity"]
    assert isinstance(node, xr.DataTree)
    held = node.to_dataset().reset_coords(drop=True)  # with the labels that it shares with the root
    numbers = [str(name) for name, one in held.data_vars.items() if one.dtype.kind in "iuf" and one.ndim]
    if not numbers:
        return None
    frame = held[numbers].to_dataframe().reset_index()
    file = table_file("values", "sensitivity", {str(name): frame[name].to_numpy() for name in frame.columns})
    columns, rows = [str(name) for name in frame.columns], [list(row) for row in frame.itertuples(index=False)]
    value = held.get("value")
    if value is not None and "level" in value.dims and value.ndim > 1:
        mean = value.mean("replicate") if "replicate" in value.dims else value
        wide = mean.to_series().unstack("level").dropna(how="all")
        columns = [*map(str, wide.index.names), *(f"at {level:.3g}" for level in wide.columns)]
        keys = [one if isinstance(one, tuple) else (one,) for one in wide.index]
        keys = [tuple(label(str(one)) for one in key) for key in keys]
        rows = [[*key, *row] for key, row in zip(keys, wide.to_numpy().tolist(), strict=True)]
    return {
        "columns": columns, "rows": rows[:ROWS], "count": len(rows), "file": file,
        "about": re.sub(r"\s+", " ", str(held.attrs.get("description", ""))),
    }  # fmt: skip
