"""A recording in a table of two columns: what there is to know of it without reading its values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

SHOWN = ("modality", "units", "sampling_rate", "annotations", "history", "affine", "shape")
"""Attrs that have a row of their own, or that nobody reads as numbers."""
AXES = re.compile(r"loc\d+")
"""Coordinates that MNE alone reads: axes of coils, places of references."""
MOST = 6
"""Different values of a coordinate that are counted one by one."""


def described(rec: xr.DataArray) -> list[tuple[str, str]]:
    """Give (what, value) of a recording, the coordinates of each dim under the dim."""
    sizes = " x ".join(f"{dim} {size}" for dim, size in rec.sizes.items())
    rows = [
        *([("name", str(rec.name))] if rec.name else []), ("modality", str(rec.attrs["modality"])), ("sizes", sizes),
        ("values", f"{rec.dtype}, {_bytes(rec.nbytes)}, in {rec.attrs['units']}"), *_clock(rec),
    ]  # fmt: skip
    for dim in rec.dims:
        rows += [(f"{dim}: {name}", _coord(coord)) for name, coord in rec.coords.items() if _is_beside(coord, str(dim))]
    if "annotations" in rec.attrs:
        texts = [str(one["description"]) for one in rec.attrs["annotations"]]
        rows.append(("annotations", f"{len(texts)}: {_counted(np.array(texts, dtype=object))}"))
    rows += [(key, _text(value)) for key, value in rec.attrs.items() if key not in SHOWN]
    return [*rows, *_history(rec)]


def _clock(rec: xr.DataArray) -> Iterator[tuple[str, str]]:
    if "time" not in rec.dims or not rec.sizes["time"]:
        return
    time, unit = rec["time"].values, rec["time"].attrs.get("units", "")
    rate = rec.attrs.get("sampling_rate")
    per = "Hz" if unit == "s" else f"per {unit}"
    yield "time", f"{time[0]:g} to {time[-1]:.9g} {unit}, {'irregular' if rate is None else f'{rate:.9g} {per}'}"
    if "segment" in rec.coords:
        yield "segments", str(np.unique(rec["segment"].values).size)


def _is_beside(coord: xr.DataArray, dim: str) -> bool:
    return coord.dims == (dim,) and coord.name not in ("time", "segment") and not AXES.fullmatch(str(coord.name))


def _coord(coord: xr.DataArray) -> str:
    """Sum up a coordinate: ends, range or how often each value stands."""
    values, about = coord.values, coord.attrs
    if coord.name in ("unit", "trial") and values.size:
        return str(values[0]) if values.size == 1 else f"{values[0]} ... {values[-1]}"
    kind = values.dtype.kind
    if kind == "b":
        return f"{int(values.sum())} of {values.size}"
    if kind == "f" or (kind in "iu" and np.unique(values).size > MOST):
        known = values[np.isfinite(values)] if kind == "f" else values
        ends = dict.fromkeys(f"{end:.4g}" for end in (known.min(), known.max())) if known.size else ["unknown"]
        missing = f" ({values.size - known.size} unknown)" if 0 < known.size < values.size else ""
        frame = f" ({about['frame']})" if "frame" in about else ""
        return f"{' to '.join(ends)} {about.get('units', '')}".rstrip() + frame + missing
    return _counted(values)


def _counted(values: np.ndarray) -> str:
    texts, counts = np.unique(values.astype(str), return_counts=True)
    if texts.size > MOST:
        return f"{texts.size} different"
    return ", ".join(f"{text or '(empty)'} ({count})" for text, count in zip(texts, counts, strict=True))


def _history(rec: xr.DataArray) -> Iterator[tuple[str, str]]:
    """Say what a loader left out and warned of, and which steps there were."""
    steps: list[dict[str, Any]] = list(rec.attrs.get("history", []))
    for step in steps:
        told = dict(step.get("parameters", {}))
        if told.get("left_out"):
            yield "left out", _left(told["left_out"])
        for warning in told.get("warnings", []):
            yield "warning", str(warning)
    if steps:
        yield "history", ", ".join(str(step.get("function", "?")) for step in steps)


def _left(out: dict[str, list[str]] | list[str]) -> str:
    """Name what a loader left out: so many of each group, or one by one."""
    each = (f"{name} ({len(found)})" for name, found in out.items()) if isinstance(out, dict) else map(str, out)
    return ", ".join(each)


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError  # the last unit takes every size
