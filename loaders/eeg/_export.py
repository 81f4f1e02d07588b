"""Recordings as objects of MNE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError, RecordingError
from neurointerp.loaders import files
from neurointerp.loaders.eeg._channels import REST_OF_LOC
from neurointerp.loaders.eeg._clock import SKIP
from neurointerp.loaders.eeg._opened import FRAMES, GROUPS
from neurointerp.schema import check, segment_bounds
from neurointerp.units import to_units

KINDS = {("eeg", "V"): "eeg", ("meg", "T"): "mag", ("meg", "T/m"): "grad", ("ieeg", "V"): "seeg"}
ENDS = ("BAD boundary", "EDGE boundary")


def to_mne(source: xr.DataArray | xr.DataTree, *, gaps: str = "fill") -> Any:
    """Give a recording as an `mne.io.Raw`, `mne.Epochs` or `mne.Evoked`.

    Parameters
    ----------
    source
        (time, unit) or (trial, time, unit) in units of volts, teslas or teslas per metre (others go as `misc`);
        a recording of any origin. Or a session: its recordings that share a clock, in the file's order.
    gaps
        What becomes of the time between segments: `"fill"` puts zeros there, annotated `BAD_ACQ_SKIP`, so that
        every time stays true (to the sample); `"close"` leaves it out and marks the joints as MNE does when it
        concatenates (`BAD boundary`, `EDGE boundary`); what comes after them is then earlier than it was.

    Returns
    -------
    mne.io.RawArray, mne.EpochsArray, mne.EvokedArray, or a list of mne.EvokedArray
        What `load` read, with equal values, names, types, positions, bad channels and annotations; averages give
        averages again. Not carried: projectors, compensation, digitised head points, filter settings.

    Raises
    ------
    LoaderError
        When the recording has no regular clock in seconds, or recordings of a session do not share one.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((50, 2)), modality="eeg", units="uV", sampling_rate=100.0, unit=["Fz", "Oz"])
    >>> raw = to_mne(rec)
    >>> raw.ch_names, raw.get_channel_types(), len(raw.times)
    (['Fz', 'Oz'], ['eeg', 'eeg'], 50)
    """
    if gaps not in ("fill", "close"):
        raise LoaderError(f"gaps={gaps!r}: 'fill' or 'close' is needed")
    recs = [_in_si(rec) for rec in _members(source)]
    first = recs[0]
    info = _info(recs)
    blocks = [np.moveaxis(rec.values, -1, -2) for rec in recs]
    order = _order(recs)
    values = np.concatenate(blocks, axis=-2)[..., order, :].astype(np.float64)
    if first.dims == ("time", "unit") and "averaged" not in first.attrs:
        return _raw(first, values, info, gaps, _annotations(source, first))
    return _averages(first, values, info) if _is_average(first) else _epochs(first, values, info)


def _members(source: Any) -> list[xr.DataArray]:
    if isinstance(source, xr.DataArray):
        check(source)
        recs = {str(source.name or "recording"): source}
    elif isinstance(source, xr.DataTree) and "recordings" in source:
        recs = {name: node.to_dataset()["recording"] for name, node in source["recordings"].children.items()}
    else:
        raise LoaderError(f"a recording or a session is needed, found {type(source).__name__}")
    first_name, first = next(iter(recs.items()))
    if "time" not in first.dims or first["time"].attrs.get("units") != "s" or "sampling_rate" not in first.attrs:
        raise LoaderError(f"{first_name}: MNE needs a regular clock in seconds; resample it (align.resample)")
    if not set(first.dims) <= {"trial", "time", "unit"}:
        raise LoaderError(f"{first_name}: dims are {first.dims}; MNE takes (time, unit) or (trial, time, unit)")
    apart = [name for name, rec in recs.items() if rec.dims != first.dims or not rec["time"].equals(first["time"])]
    if apart:
        raise LoaderError(f"{', '.join(apart)}: not on the clock of {first_name}; convert each recording by itself")
    return list(recs.values())


def _in_si(rec: xr.DataArray) -> xr.DataArray:
    """Convert to what MNE counts in; units of another kind, such as those of a z-score, stay."""
    for units in {"eeg": ("V",), "ieeg": ("V",), "meg": ("T", "T/m")}.get(rec.attrs["modality"], ()):
        try:
            return to_units(rec, units)
        except RecordingError:
            continue
    return rec


def _order(recs: Sequence[xr.DataArray]) -> np.ndarray:
    """Give the channels of several recordings in the order of the file, where they know it."""
    if len(recs) == 1 or any("index" not in rec.coords for rec in recs):
        return np.arange(sum(rec.sizes["unit"] for rec in recs))
    return np.argsort(np.concatenate([rec["index"].values for rec in recs]), kind="stable")


def _info(recs: Sequence[xr.DataArray]) -> Any:
    mne = files.library("mne", "eeg")
    order = _order(recs)
    names = np.concatenate([rec["unit"].values for rec in recs])[order].tolist()
    kinds = np.array([kind for rec in recs for kind in _kinds(rec)], dtype=object)[order].tolist()
    if len(set(names)) != len(names):
        raise LoaderError("two recordings have a channel of the same name; rename one, or convert them apart")
    info = mne.create_info(names, recs[0].attrs["sampling_rate"], [k.removesuffix("_grad") for k in kinds])
    channels = [(rec, i) for rec in recs for i in range(rec.sizes["unit"])]
    for channel, at in zip(info["chs"], order, strict=True):
        _describe(channel, *channels[at])
    bads = [rec["unit"].values[rec["is_bad"].values.astype(bool)] for rec in recs if "is_bad" in rec.coords]
    marked = {str(name) for some in bads for name in some}
    info["bads"] = [name for name in names if name in marked]
    if "measured_at" in recs[0].attrs:
        before = recs[0].attrs.get("first_sample", 0) / recs[0].attrs["sampling_rate"]
        info.set_meas_date(_utc(recs[0].attrs["measured_at"]) - timedelta(seconds=before))
    return info


def _kinds(rec: xr.DataArray) -> list[str]:
    known = {kind for _, _, kinds in GROUPS.values() for kind in kinds}
    default = KINDS.get((rec.attrs["modality"], rec.attrs["units"]), "misc")
    if "channel_type" not in rec.coords:
        return [default] * rec.sizes["unit"]
    return [kind if kind in known else default for kind in rec["channel_type"].values]


def _describe(channel: Any, rec: xr.DataArray, at: int) -> None:
    """Put what a recording knows of a channel's place into the channel's entry of an Info."""
    if {"x", "y", "z"} <= set(rec.coords):
        channel["loc"][:3] = [float(rec[axis].values[at]) for axis in "xyz"]
        frame = rec["x"].attrs.get("frame", "head")
        channel["coord_frame"] = next((code for code, name in FRAMES.items() if name == frame), 0)
    for i in REST_OF_LOC:
        if f"loc{i}" in rec.coords:
            channel["loc"][i] = float(rec[f"loc{i}"].values[at])
    if "coil_type" in rec.coords:
        channel["coil_type"] = int(rec["coil_type"].values[at])


def _annotations(source: Any, rec: xr.DataArray) -> list[tuple[float, float, str, tuple[str, ...]]]:
    """Give what to annotate: what `load` kept of the file's annotations, or the event table of a session."""
    if "annotations" in rec.attrs:
        return [
            (one["onset"], one["duration"], one["description"], tuple(one.get("channels", ())))
            for one in rec.attrs["annotations"]
        ]
    if not isinstance(source, xr.DataTree) or "events" not in source.children:
        return []
    events = source["events"].to_dataset()
    size = events.sizes["event"]
    zeros, texts = np.zeros(size), np.full(size, "event", dtype=object)
    columns = [events.get(name, default) for name, default in (("duration", zeros), ("trial_type", texts))]
    fired = np.asarray(events["channel"].values != "") if "channel" in events else np.zeros(size, dtype=bool)
    rows = zip(events["onset"].values, *(np.asarray(column) for column in columns), fired, strict=True)
    return [(float(onset), float(span), str(text), ()) for onset, span, text, trigger in rows if not trigger]


def _raw(rec: xr.DataArray, values: np.ndarray, info: Any, gaps: str, found: list[Any]) -> Any:
    mne = files.library("mne", "eeg")
    rate, time = float(rec.attrs["sampling_rate"]), rec["time"].values
    places = _places(rec, rate)
    size = int(places[-1]) + 1 if places.size else 0
    start = float(time[0]) if time.size else 0.0
    found = [(onset - start, *rest) for onset, *rest in found]
    if gaps == "close" and size > places.size:
        found, joints = _closed(found, places, rate)
        found += [(joint / rate, 0.0, text, ()) for joint in joints for text in ENDS]
    elif size > places.size:
        filled = np.zeros((values.shape[0], size))
        filled[:, places] = values
        values = filled
        known = [(onset, onset + span) for onset, span, text, _ in found if text.upper().startswith(SKIP)]
        found += [
            (first / rate, length / rate, SKIP, ())
            for first, length in _holes(places)
            if not any(a - 0.5 / rate <= first / rate and (first + length) / rate <= b + 0.5 / rate for a, b in known)
        ]
    first = int(rec.attrs.get("first_sample", 0)) + round(start * rate)
    raw = mne.io.RawArray(values, info, first_samp=first, verbose="error")
    columns = [list(column) for column in zip(*found, strict=True)] or [[], [], [], []]
    told = mne.Annotations(*columns[:3], ch_names=columns[3] or None)
    return raw.set_annotations(told, verbose="error")


def _places(rec: xr.DataArray, rate: float) -> np.ndarray:
    """Give the sample of a gapless clock at which each sample lies."""
    time = rec["time"].values
    places = np.empty(time.size, dtype=np.int64)
    for begin, end in segment_bounds(rec):
        if end > begin:
            offset = round((float(time[begin]) - float(time[0])) * rate)
            places[begin:end] = np.arange(offset, offset + end - begin)
    if (np.diff(places) < 1).any():
        raise LoaderError("two segments are closer than a sample: MNE has no place for both; resample the recording")
    return places


def _holes(places: np.ndarray) -> list[tuple[int, int]]:
    before = np.flatnonzero(np.diff(places) > 1)
    return [(int(places[i]) + 1, int(places[i + 1] - places[i] - 1)) for i in before]


def _closed(found: list[Any], places: np.ndarray, rate: float) -> tuple[list[Any], list[int]]:
    """Move annotations to the clock without gaps; one within a gap goes to the joint."""
    moved = [
        (float(np.searchsorted(places, round(onset * rate))) / rate, *rest)
        for onset, *rest in found
        if not str(rest[1]).upper().startswith(SKIP)
    ]
    return moved, (np.flatnonzero(np.diff(places) > 1) + 1).tolist()


def _utc(text: str) -> datetime:
    """Read a time; MNE knows UTC alone, so a time without a zone is written as if it were."""
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _is_average(rec: xr.DataArray) -> bool:
    return "averaged" in rec.attrs or "averaged" in rec.coords


def _averages(rec: xr.DataArray, values: np.ndarray, info: Any) -> Any:
    mne = files.library("mne", "eeg")
    one = "trial" not in rec.dims
    conditions = [rec.attrs.get("condition", "")] if one else rec["condition"].values.tolist()
    counts = [rec.attrs["averaged"]] if one else rec["averaged"].values.tolist()
    kind, start = rec.attrs.get("kind", "average"), float(rec["time"].values[0])
    averages = [
        mne.EvokedArray(block, info, tmin=start, comment=comment, nave=count, kind=kind, verbose="error")
        for block, comment, count in zip(values[None] if one else values, conditions, counts, strict=True)
    ]
    return averages[0] if one else averages


def _epochs(rec: xr.DataArray, values: np.ndarray, info: Any) -> Any:
    mne = files.library("mne", "eeg")
    size, steps = rec.sizes["trial"], rec.sizes["time"]
    names = rec["condition"].values.tolist() if "condition" in rec.coords else ["1"] * size
    order = {name: code for code, name in enumerate(dict.fromkeys(names), start=1)}
    codes = rec["code"].values if "code" in rec.coords else np.array([order[name] for name in names])
    samples = rec["sample"].values if "sample" in rec.coords else np.arange(size) * steps
    events = np.column_stack([samples, np.zeros(size), codes]).astype(np.int64)
    start = float(rec["time"].values[0])
    named = {str(name): int(code) for name, code in zip(names, codes, strict=True)}
    return mne.EpochsArray(values, info, events, tmin=start, event_id=named, verbose="error")
