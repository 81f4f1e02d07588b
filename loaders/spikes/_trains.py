"""Spike times of units as every reader gives them, and the counts and arrays made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.align import bin_events
from neurointerp.errors import LoaderError
from neurointerp.recordings import add_history, session

TIME_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}
"""Units that spike times can be given in, and how many of them make a second."""
MOST_COUNTS = 2**33
"""Counts in one recording (64 GiB); more means that the times do not begin near `start`."""


@dataclass(frozen=True)
class Trains:
    """What a reader found.

    `times` are sorted: float64 seconds, or int64 samples where `rate` (Hz) says what a sample is. `notes` go
    into the history, `attrs` onto the recording and the session, `structure` and `recordings` into the session.
    `observed` is when the units were watched (s), where the source says so: the bins reach from there to there.
    """

    times: Mapping[str, np.ndarray]
    label: str
    rate: float | None = None
    coords: Mapping[str, Any] = field(default_factory=dict)
    events: Any = None
    structure: Mapping[str, xr.DataArray] = field(default_factory=dict)
    recordings: Mapping[str, xr.DataArray] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    observed: tuple[float, float] | None = None

    def seconds(self) -> dict[str, np.ndarray]:
        """Give the times in seconds."""
        if self.rate is None:
            return dict(self.times)
        return {unit: samples / self.rate for unit, samples in self.times.items()}

    def only_signals(self) -> bool:
        """Tell whether there are recordings and no spikes to count."""
        return not self.times and bool(self.recordings) and "spikes" not in self.recordings


def trains(
    times: Mapping[str, Any], label: object, *, time_units: str = "s", rate: float | None = None, **more: Any
) -> Trains:
    """Check spike times, bring them to seconds (or keep whole samples) and sort them.

    The order of a unit's spikes carries nothing, so times that jump back are sorted; `notes` count the steps back.
    """
    known = (*TIME_UNITS, "samples")
    if time_units not in known:
        raise LoaderError(f"{label}: time_units is {time_units!r}: one of {', '.join(known)} is needed")
    if (time_units == "samples") != (rate is not None):
        raise LoaderError(f"{label}: times in samples need sampling_rate= (Hz), and only they do; found {rate!r}")
    rate = None if rate is None else positive(rate, "sampling_rate (Hz)", label)
    named: dict[str, np.ndarray] = {}
    for unit, values in times.items():
        if str(unit) in named:
            raise LoaderError(f"{label}: unit {str(unit)!r} stands more than once: labels must be unique")
        row = finite(values, label, unit)
        named[str(unit)] = _samples(row, label, unit) if rate is not None else row / TIME_UNITS[time_units]
    back = int(sum((np.diff(row) < 0).sum() for row in named.values()))
    notes = {**({"spikes_out_of_order": back} if back else {}), **more.pop("notes", {})}
    ordered = {unit: np.sort(row, kind="stable") for unit, row in named.items()}
    return Trains(ordered, str(label), rate, notes=notes, **more)


def counts(found: Trains, bin_width: float, start: float | None, stop: float | None) -> xr.DataArray:
    """Count spikes in bins, with what the reader knows about the units."""
    if "spikes" in found.recordings:
        return _stored(found, bin_width, start, stop)
    if not found.times:
        raise LoaderError(f"{found.label}: holds no units")
    times = found.seconds()
    if found.observed is not None:
        start = found.observed[0] if start is None else start
        stop = found.observed[1] if stop is None else stop
    silent = [unit for unit, row in times.items() if not row.size]
    if len(silent) == len(times) and stop is None:
        raise LoaderError(f"{found.label}: none of its {len(times)} units has a spike; pass stop= (s), its end")
    _refuse_endless(found.label, times, bin_width, start, stop)
    rec = bin_events(times, bin_width=bin_width, start=start, stop=stop)
    rec = rec.assign_coords(dict(found.coords)).rename("spikes")
    rec.attrs |= {"source": Path(found.label).name, **found.attrs}
    return add_history(
        rec, "loaders.spikes.load", bin_width=bin_width, units_without_spikes=silent, **dict(found.notes)
    )


def tree(found: Trains, bin_width: float | None, start: float | None, stop: float | None) -> xr.DataTree:
    """Put the counts, the times themselves and the rest of a source in one session."""
    spikes = {} if bin_width is None else {"spikes": counts(found, bin_width, start, stop)}
    times = {"spike_times": flat(found)} if found.times else {}
    return session(
        {**found.recordings, **spikes},
        events=found.events,
        structure={**times, **found.structure},
        attrs={"source": Path(found.label).name, **found.attrs},
    )


def flat(found: Trains) -> xr.DataArray:
    """Give all spike times as one array (spike), by unit; whole samples stay beside them, exact."""
    units = np.repeat(np.array(list(found.times), dtype=object), [row.size for row in found.times.values()])
    coords: dict[str, Any] = {"spike_unit": ("spike", units)}
    attrs: dict[str, Any] = {"units": "s"}
    if found.rate is not None:
        coords["spike_sample"] = ("spike", np.concatenate(list(found.times.values())))
        attrs["sampling_rate"] = found.rate
    return xr.DataArray(np.concatenate(list(found.seconds().values())), dims="spike", coords=coords, attrs=attrs)


def by_cluster(times: np.ndarray, clusters: np.ndarray, *, label: str = "spikes") -> dict[str, np.ndarray]:
    """Split the spike times of a probe by the cluster each spike was sorted into.

    Parameters
    ----------
    times, clusters
        (spike,): time (s) and integer cluster of each spike.
    label
        What an error calls them.

    Returns
    -------
    dict of str to numpy.ndarray
        `c<cluster>` -> its times, in the order of `times`; by cluster number.

    Raises
    ------
    LoaderError
        When the two do not have one entry per spike, or a time is not finite.

    Examples
    --------
    >>> by_cluster(np.array([0.1, 0.2, 0.3]), np.array([7, 4, 7]))
    {'c4': array([0.2]), 'c7': array([0.1, 0.3])}
    """
    return {
        unit: finite(row, label, unit[1:]).astype(np.float64) for unit, row in split(times, clusters, label).items()
    }


def split(times: np.ndarray, clusters: np.ndarray, label: object) -> dict[str, np.ndarray]:
    """Give `c<cluster>` -> its times, as they are, by cluster number."""
    if times.ndim != 1 or times.shape != clusters.shape or clusters.dtype.kind not in "iu":
        raise LoaderError(
            f"{label}: one integer cluster per spike is needed, found times {times.shape} and clusters "
            f"{clusters.shape} {clusters.dtype}"
        )
    ids, inverse = np.unique(clusters, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    rows = np.split(times[order], np.cumsum(np.bincount(inverse))[:-1])
    return {f"c{name}": row for name, row in zip(ids.tolist(), rows, strict=False)}


def by_position(positions: Any, times: Any, label: object, *, size: int | None = None) -> dict[int, np.ndarray]:
    """Give the times of each unit 0 .. size - 1 (or of each that occurs), by its number beside each spike."""
    index, values = np.asarray(positions), np.asarray(times)
    if index.ndim != 1 or index.shape != values.shape or (index.size and index.dtype.kind not in "iu"):
        raise LoaderError(
            f"{label}: one integer unit per spike is needed, found units {index.dtype} {index.shape} "
            f"beside times {values.shape}"
        )
    names = np.unique(index) if size is None else np.arange(size)
    order = np.argsort(index, kind="stable")
    low, high = (np.searchsorted(index[order], names, side=side) for side in ("left", "right"))
    return {int(name): values[order[a:b]] for name, a, b in zip(names, low, high, strict=True)}


def finite(values: Any, label: object, unit: object) -> np.ndarray:
    """Give a row of finite numbers; a LoaderError names the unit otherwise."""
    row = np.asarray(values)
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iuf"):
        raise LoaderError(f"{label}: unit {unit!r} needs a row of times (s), found {row.dtype} of shape {row.shape}")
    if row.dtype.kind == "f" and not np.isfinite(row).all():
        raise LoaderError(f"{label}: unit {unit!r} has {int((~np.isfinite(row)).sum())} times that are not finite")
    return row if row.dtype.kind in "iu" else row.astype(np.float64)


def positive(value: Any, what: str, label: object) -> float:
    """Give a positive finite number as a float; a LoaderError names it otherwise."""
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 < float(value) < np.inf:
        raise LoaderError(f"{label}: {what} is {value!r}: a positive number is needed")
    return float(value)


def scalar_coords(columns: Mapping[str, Sequence[Any]]) -> dict[str, tuple[str, np.ndarray]]:
    """Give the columns that hold one number or text per unit as coordinates on `unit`; the others are left out."""
    kept = {}
    for name, column in columns.items():
        values = np.asarray(column)
        if values.ndim == 1 and values.size and values.dtype.kind in "biufUO" and name not in RESERVED:
            if values.dtype.kind in "UO":
                if not all(isinstance(value, str) for value in column):
                    continue
                values = np.array([str(value) for value in column], dtype=object)
            kept[name] = ("unit", values)
    return kept


RESERVED = ("time", "unit", "trial", "subject", "segment", "recording")
"""Names with a meaning of their own in a recording; columns called so are left out."""


def _stored(found: Trains, bin_width: float, start: float | None, stop: float | None) -> xr.DataArray:
    """Give counts or rates that the source keeps already binned; other bins cannot be made of them."""
    rec = found.recordings["spikes"]
    width = 1.0 / float(rec.attrs["sampling_rate"])
    if abs(bin_width - width) > 1e-9 * width or start is not None or stop is not None:
        raise LoaderError(
            f"{found.label}: holds bins of {width:g} s and no spike times; pass bin_width={width:g}, "
            "without start and stop"
        )
    return rec


def _samples(row: np.ndarray, label: object, unit: object) -> np.ndarray:
    if row.size and row.dtype.kind not in "iu":
        raise LoaderError(f"{label}: unit {unit!r} has times of dtype {row.dtype}: samples are whole numbers")
    return row.astype(np.int64)


def _refuse_endless(
    label: str, times: Mapping[str, np.ndarray], width: float, start: float | None, stop: float | None
) -> None:
    last = max((float(row[-1]) for row in times.values() if row.size), default=0.0)
    begin, end = 0.0 if start is None else start, last if stop is None else stop
    if width > 0 and (end - begin) / width * len(times) > MOST_COUNTS:
        raise LoaderError(
            f"{label}: {(end - begin) / width:.3g} bins of {width} s for {len(times)} units are more than fit; "
            f"the last spike is at {last:.6g} s: pass start= and stop=, or wider bins"
        )
