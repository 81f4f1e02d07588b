"""Anything that neo reads: Blackrock, Plexon, Neuralynx, Intan, Open Ephys, Spike2, ..., and neo's own objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.spikes._trains import Trains, scalar_coords, trains

REFUSED = ("PickleIO", "ElphyIO", "ExampleIO")
"""Readers of neo that unpickle, evaluate text, or make data up."""


def is_neo(source: Any) -> bool:
    """Tell whether an object is neo's, or a list of neo's spike trains."""
    if isinstance(source, list | tuple):
        return bool(source) and all(is_neo(item) for item in source)
    return type(source).__module__.partition(".")[0] == "neo" and _kind(source) is not None


def read_neo_file(path: Path, *, reader: str | None = None, segment: int | None = None) -> Trains:
    """Read a file or folder with neo; `reader` is the name of its class where the suffix does not tell."""
    neo = files.library("neo", "spikes")
    with files.reading(path, "a recording of neo's") as said:
        opened = _reader(neo, path, reader)
        blocks = opened.read(lazy=bool(opened.support_lazy))
        found = _one_segment(list(blocks), segment, path)
        rows = [_loaded(train) for train in found.spiketrains]
        events = _events(found)
    notes: dict[str, Any] = {"reader": type(opened).__name__, **({"reader_said": said} if said else {})}
    signals = [str(s.name or type(s).__name__) for s in (*found.analogsignals, *found.irregularlysampledsignals)]
    return _trains(rows, path, events, notes | ({"signals_left_out": signals} if signals else {}))


def read_neo(source: Any, *, segment: int | None = None) -> Trains:
    """Read a neo SpikeTrain, a list of them, a Segment or a Block."""
    if isinstance(source, list | tuple) and all(_kind(item) == "Block" for item in source):
        return read_neo_blocks(list(source), segment)
    kind = _kind(source)
    if kind == "Block":
        return read_neo_blocks([source], segment)
    if segment is not None:
        raise LoaderError(f"neo: segment= is for a Block, found {kind or type(source).__name__}")
    if kind == "Segment":
        return _trains([_loaded(train) for train in source.spiketrains], "neo", _events(source), {})
    rows = [source] if kind == "SpikeTrain" else list(source)
    wrong = [type(row).__name__ for row in rows if _kind(row) != "SpikeTrain"]
    if wrong:
        raise LoaderError(f"neo: a list of SpikeTrain is needed, it holds a {wrong[0]}")
    return _trains([_loaded(row) for row in rows], "neo", None, {})


def read_neo_blocks(blocks: list[Any], segment: int | None) -> Trains:
    """Read one segment of neo blocks."""
    found = _one_segment(blocks, segment, "neo")
    return _trains([_loaded(train) for train in found.spiketrains], "neo", _events(found), {})


def _kind(source: Any) -> str | None:
    names = {cls.__name__ for cls in type(source).__mro__}
    kinds = ("Block", "Segment", "SpikeTrain", "SpikeTrainList", "SpikeTrainProxy")
    found = next((kind for kind in kinds if kind in names), None)
    return "SpikeTrain" if found == "SpikeTrainProxy" else found


def _reader(neo: Any, path: Path, name: str | None) -> Any:
    if name is not None:
        known = sorted(io.__name__ for io in neo.io.iolist if io.__name__ not in REFUSED)
        if name not in known:
            raise LoaderError(f"{path}: reader={name!r} is not one of {', '.join(known)}")
        return getattr(neo.io, name)(str(path))
    try:
        candidates = [io for io in neo.io.list_candidate_ios(str(path)) if io.__name__ not in REFUSED]
    except ValueError as error:
        raise LoaderError(f"{path}: no reader of neo's knows it ({files.one_line(error)})") from error
    tried = []
    for io in candidates:
        try:
            return io(str(path))
        except Exception as error:  # readers of other formats fail in any way on a file that is not theirs
            tried.append(f"{io.__name__}: {files.one_line(error, 60)}")
    raise LoaderError(f"{path}: no reader of neo's takes it ({'; '.join(tried) or 'none is safe'}); pass reader=")


def _one_segment(blocks: Iterable[Any], segment: int | None, label: object) -> Any:
    found = [seg for block in blocks for seg in block.segments]
    if not found:
        raise LoaderError(f"{label}: neo found no segment in it")
    if segment is None and len(found) > 1:
        listed = ", ".join(f"{i} ({len(seg.spiketrains)} trains)" for i, seg in enumerate(found[:8]))
        raise LoaderError(f"{label}: holds {len(found)} segments, each with its own clock: {listed}; pass segment=")
    if segment is not None and not 0 <= segment < len(found):
        raise LoaderError(f"{label}: has no segment {segment}: segment= is 0 to {len(found) - 1}")
    return found[segment or 0]


def _loaded(item: Any) -> Any:
    return item.load() if hasattr(item, "load") else item


def _trains(rows: list[Any], label: object, events: Any, notes: dict[str, Any]) -> Trains:
    if not rows:
        raise LoaderError(f"{label}: neo found no spike train in it")
    names = [str(row.name or "") for row in rows]
    unique = len(set(names)) == len(names) and all(names)
    width = len(str(len(rows) - 1))
    units = names if unique else [f"u{i:0{width}d}" for i in range(len(rows))]
    keys = set.intersection(*(set(row.annotations) for row in rows))
    coords = scalar_coords({str(key): [row.annotations[key] for row in rows] for key in sorted(keys, key=str)})
    if not unique and any(names):
        coords["train_name"] = ("unit", np.array(names, dtype=object))
    coords["t_start"] = ("unit", np.array([_seconds(row.t_start) for row in rows]))
    coords["t_stop"] = ("unit", np.array([_seconds(row.t_stop) for row in rows]))
    times = {unit: np.asarray(row.rescale("s").magnitude) for unit, row in zip(units, rows, strict=True)}
    return trains(times, label, coords=coords, events=events, notes=notes)


def _events(segment: Any) -> dict[str, Any] | None:
    """Give neo's events and epochs as one table in order of onset."""
    onset: list[float] = []
    duration: list[float] = []
    kinds: list[str] = []
    for found in map(_loaded, (*segment.events, *segment.epochs)):
        times = np.atleast_1d(found.rescale("s").magnitude).astype(np.float64)
        labels = [str(value) for value in found.labels] if len(found.labels) == times.size else [""] * times.size
        lasts = getattr(found, "durations", None)
        onset += times.tolist()
        duration += [np.nan] * times.size if lasts is None else np.atleast_1d(lasts.rescale("s").magnitude).tolist()
        kinds += [label or str(found.name or "") for label in labels]
    if not onset:
        return None
    order = np.argsort(onset, kind="stable")
    return {
        "onset": np.array(onset)[order],
        "duration": np.array(duration)[order],
        "trial_type": [kinds[i] for i in order],
    }


def _seconds(value: Any) -> float:
    return float(value.rescale("s").magnitude)
