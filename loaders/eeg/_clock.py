"""Clocks, segments and events, all counted from the first sample of the recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders.eeg._opened import Marks, Opened, asking

SKIP = "BAD_ACQ_SKIP"
BOUNDARIES = ("boundary", "BAD boundary", "EDGE boundary", "New Segment/")
"""How EEGLAB, MNE and BrainVision mark a place where the recording was interrupted."""
COMPOSITE = ("STI101", "STI 014")
"""Trigger channels that sum up the others, where there are any."""


def clock(opened: Opened) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
    """Give the samples of a Raw that were recorded (None: all), their times (s), their segments (None: one).

    Samples of a stretch in which FIF skipped the acquisition are not data: MNE fills them with zeros.
    """
    raw, rate = opened.data, opened.rate
    if opened.marks is not None:
        return None, *_recorded(opened.marks, rate, opened.label)
    found = [one for one in annotated(opened) if one[2].upper().startswith(SKIP) or one[2].startswith(BOUNDARIES)]
    if not found:
        return None, np.arange(raw.n_times) / rate, None
    skipped = np.zeros(raw.n_times, dtype=bool)
    cuts = {0}
    for onset, duration, text in found:
        first = round(onset * rate)
        if text.upper().startswith(SKIP):
            skipped[max(first, 0) : max(first + round(duration * rate), 0)] = True
        elif 0 < first < raw.n_times:
            cuts.add(first)
    kept = np.flatnonzero(~skipped)
    jumps = kept[1:][np.diff(kept) > 1]
    starts = np.unique([*cuts, *jumps.tolist()])
    segment = np.searchsorted(starts, kept, side="right") - 1
    _, segment = np.unique(segment, return_inverse=True)
    several = kept.size > 0 and segment[-1] > 0
    return kept if skipped.any() else None, kept / rate, segment.astype(np.int64) if several else None


def _recorded(marks: Marks, rate: float, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the time of each sample from the times of the records; a gap or a jump begins a segment.

    Within a segment the clock is regular: times of records are rounded in the file.
    """
    starts, segments = np.empty(marks.onsets.size), np.zeros(marks.onsets.size, dtype=np.int64)
    begin, first = 0.0, 0
    for record, onset in enumerate(marks.onsets):
        due = begin + (record - first) * marks.samples / rate
        if onset < due - 0.5 / rate:
            raise LoaderError(
                f"{label}: record {record + 1} begins at {onset:g} s, before record {record} ends ({due:g} s): "
                "no clock can be made of that; split the file where its time runs back"
            )
        if onset > due + 0.5 / rate:
            due, begin, first = onset, onset, record
            segments[record:] += 1
        starts[record] = due
    # counted from the start of the segment, so that stamps do not depend on how records are rounded
    offsets = np.arange(marks.samples) / rate
    return (starts[:, None] + offsets).ravel(), np.repeat(segments, marks.samples)


def annotated(opened: Opened) -> list[tuple[float, float, str]]:
    """Give (onset in s from the first sample, duration in s, text) of each annotation.

    MNE counts onsets from the measurement date, which lies `first_time` before the first sample.
    """
    if opened.marks is not None:
        return list(opened.marks.events)
    found = getattr(opened.data, "annotations", None) if opened.is_raw else None
    if found is None:
        return []
    first = float(opened.data.first_time)
    return [
        (float(onset) - first, float(duration), str(text))
        for onset, duration, text in zip(found.onset, found.duration, found.description, strict=True)
    ]


def annotated_channels(opened: Opened) -> list[list[str]]:
    """Give the channels that each annotation is about; none where it is about all."""
    if opened.marks is not None or not opened.is_raw:
        return [[] for _ in annotated(opened)]
    return [list(names) for names in opened.data.annotations.ch_names]


def events(opened: Opened) -> dict[str, list[Any]] | None:
    """Give the annotations and the trigger onsets of a Raw as the columns of an event table, in time."""
    about = [",".join(names) for names in annotated_channels(opened)]
    rows: list[tuple[float, float, str, str]] = [
        (*found, names) for found, names in zip(annotated(opened), about, strict=True)
    ]
    rows += _triggers(opened)
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    table = dict(zip(("onset", "duration", "trial_type", "channel"), map(list, zip(*rows, strict=True)), strict=True))
    return table if any(table["channel"]) else {name: table[name] for name in list(table)[:3]}


def _triggers(opened: Opened) -> list[tuple[float, float, str, str]]:
    """Give the onsets of the codes of the trigger channels: `mne.find_events`, with pulses of one sample too."""
    if not opened.is_raw:
        return []
    import mne

    names = [name for name, kind in zip(opened.names, opened.kinds, strict=True) if kind == "stim"]
    names = next(([name] for name in COMPOSITE if name in names), names)
    rows = []
    _, times, _ = clock(opened) if opened.marks is not None else (None, np.empty(0), None)
    for name in names:
        with asking(opened.label):
            found = mne.find_events(opened.data, stim_channel=name, shortest_event=1, verbose="warning")
        for sample, code in zip(found[:, 0] - opened.data.first_samp, found[:, 2], strict=True):
            onset = times[sample] if times.size else sample / opened.rate
            rows.append((float(onset), 0.0, str(int(code)), name))
    return rows
