"""Objects of other libraries, told by what they can do: SpikeInterface sortings, Brian2 and NEST recorders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders.spikes._trains import Trains, by_position, scalar_coords, trains


def is_sorting(source: Any) -> bool:
    """Tell whether an object answers as a SpikeInterface sorting does."""
    return all(hasattr(source, name) for name in ("get_unit_ids", "get_unit_spike_train", "get_sampling_frequency"))


def is_brian2_monitor(source: Any) -> bool:
    """Tell whether an object answers as a Brian2 SpikeMonitor does."""
    return all(hasattr(source, name) for name in ("spike_trains", "t", "i", "source"))


def is_brian2_generator(source: Any) -> bool:
    """Tell whether an object answers as a Brian2 SpikeGeneratorGroup does."""
    return all(hasattr(source, name) for name in ("neuron_index", "spike_time", "period", "N"))


def is_nest(source: Any) -> bool:
    """Tell whether an object is the events of a NEST spike recorder, or the recorder."""
    events = source if isinstance(source, Mapping) else getattr(source, "events", None)
    return isinstance(events, Mapping) and {"times", "senders"} <= set(events)


def is_tsgroup(source: Any) -> bool:
    """Tell whether an object answers as a pynapple TsGroup does."""
    return all(hasattr(source, name) for name in ("time_support", "index", "rates", "metadata"))


def read_tsgroup(group: Any, *, segment: int | None = None) -> Trains:
    """Read a TsGroup: what lies between the intervals of its time support was not observed, so one is counted."""
    support = np.asarray(group.time_support.values, dtype=np.float64)
    if segment is None and len(support) > 1:
        raise LoaderError(
            f"TsGroup: its time support has {len(support)} intervals, and what lies between was not observed; pass "
            f"segment= (0 to {len(support) - 1})"
        )
    if segment is not None and not 0 <= segment < len(support):
        raise LoaderError(f"TsGroup: has no interval {segment}: segment= is 0 to {len(support) - 1}")
    first, last = support[segment or 0].tolist()
    rows = {str(key): np.asarray(group[key].t, dtype=np.float64) for key in group.index}
    within = {key: row[(row >= first) & (row <= last)] for key, row in rows.items()}
    table = group.metadata
    coords = scalar_coords({str(key): table[key].tolist() for key in table.columns if key != "rate"})
    return trains(
        within, "TsGroup", coords=coords, observed=(first, last),
        notes={"time_support": support.tolist(), "segment": segment or 0},
    )  # fmt: skip


def read_sorting(sorting: Any, *, segment: int | None = None) -> Trains:
    """Read the spike trains (samples) of a sorting, with its unit properties."""
    label = type(sorting).__name__
    chosen = _segment(sorting, segment, label)
    ids = list(sorting.get_unit_ids())
    rate = float(sorting.get_sampling_frequency())
    moved = _has_own_clock(sorting, chosen)
    rows = {str(unit): _train(sorting, unit, chosen, moved) for unit in ids}
    if len(rows) != len(ids):
        raise LoaderError(f"{label}: unit ids are not unique: {len(rows)} of {len(ids)} differ")
    keys = sorting.get_property_keys() if hasattr(sorting, "get_property_keys") else []
    coords = scalar_coords({str(key): list(sorting.get_property(key)) for key in keys})
    about = {"time_units": "s"} if moved else {"time_units": "samples", "rate": rate}
    return trains(rows, label, coords=coords, notes={"segment": chosen}, **about)


def read_brian2_monitor(monitor: Any) -> Trains:
    """Read a SpikeMonitor: every neuron of its source is a unit, silent ones too."""
    size = len(monitor.source)
    return _brian2(monitor.i, monitor.t, size, "SpikeMonitor")


def read_brian2_generator(group: Any) -> Trains:
    """Read the spikes that a SpikeGeneratorGroup is to emit."""
    period = float(_plain(group.period).ravel()[0])
    if 0 < period < 1e90:
        raise LoaderError(
            f"SpikeGeneratorGroup: repeats its spikes every {period:g} s without end; run it and pass its SpikeMonitor"
        )
    return _brian2(group.neuron_index, group.spike_time, int(group.N), "SpikeGeneratorGroup")


def read_nest(source: Any) -> Trains:
    """Read the events of a NEST spike recorder: `times` in ms, `senders` the node of each."""
    events = source if isinstance(source, Mapping) else source.events
    if "offsets" in events:
        raise LoaderError("NEST: times are steps and offsets; set time_in_steps to False, so that they are in ms")
    rows = by_position(events["senders"], events["times"], "NEST")
    return trains(
        {f"n{node}": row for node, row in rows.items()},
        "NEST",
        time_units="ms",
        coords={"index": ("unit", np.array(list(rows), dtype=np.int64))},
    )


def _segment(sorting: Any, segment: int | None, label: str) -> int:
    size = int(sorting.get_num_segments()) if hasattr(sorting, "get_num_segments") else 1
    if segment is None and size > 1:
        raise LoaderError(f"{label}: has {size} segments with clocks of their own; pass segment= (0 to {size - 1})")
    if segment is not None and not 0 <= segment < size:
        raise LoaderError(f"{label}: has no segment {segment}: segment= is 0 to {size - 1}")
    return segment or 0


def _has_own_clock(sorting: Any, segment: int) -> bool:
    """Tell whether seconds are more than samples over rate: a start, or a clock of the recording's own."""
    asked: Any = getattr(sorting, "has_time_vector", None)
    if callable(asked) and asked(segment_index=segment):
        return True
    begin: Any = getattr(sorting, "get_start_time", None)
    return bool(callable(begin) and begin(segment_index=segment) not in (None, 0.0))


def _train(sorting: Any, unit: Any, segment: int, in_seconds: bool) -> np.ndarray:
    extra = {"return_times": True} if in_seconds else {}
    return np.asarray(sorting.get_unit_spike_train(unit_id=unit, segment_index=segment, **extra))


def _brian2(index: Any, times: Any, size: int, label: str) -> Trains:
    positions = _plain(index).astype(np.int64)
    if positions.size and not 0 <= int(positions.min()) <= int(positions.max()) < size:
        raise LoaderError(f"{label}: spikes of neuron {int(positions.max())} in a group of {size}")
    rows = by_position(positions, _plain(times), label, size=size)
    coords = {"index": ("unit", np.arange(size))}
    return trains({f"n{neuron}": row for neuron, row in rows.items()}, label, coords=coords)


def _plain(values: Any) -> np.ndarray:
    """Give a Brian2 variable as plain numbers; its quantities hold SI units, so times are seconds."""
    return np.array(values if isinstance(values, np.ndarray | int | float) else values[:])
