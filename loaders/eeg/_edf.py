"""The few things that MNE passes over in EDF and BDF files: missing tails, units, rates and gaps.

Format: Kemp B, Olivan J (2003). European data format 'plus' (EDF+). Clin Neurophysiol 114:1755.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.eeg._opened import Marks

SUFFIXES = (".edf", ".bdf")
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
APPLIED = {"uV": 1e-6, "\u00b5V": 1e-6, "\u03bcV": 1e-6, "\x83\xcaV": 1e-6, "mV": 1e-3}
"""Unit fields that MNE turns into volts, and how; it takes any other number as it stands."""


@dataclass(frozen=True)
class Header:
    """What an EDF or BDF header says: one entry per signal in `names`, `units` and `samples`."""

    names: list[str]
    units: list[str]
    samples: list[int]
    records: int
    start: int
    width: int
    kind: str

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return sum(self.samples) * self.width

    @property
    def signals(self) -> list[int]:
        """Indices of the signals that are not annotations."""
        return [i for i, name in enumerate(self.names) if name not in ANNOTATIONS]

    @property
    def rates(self) -> dict[int, list[int]]:
        """Samples per record -> indices of the signals sampled so, the fastest first."""
        counts = sorted({self.samples[i] for i in self.signals}, reverse=True)
        return {count: [i for i in self.signals if self.samples[i] == count] for count in counts}


def header(path: Path) -> Header:
    """Read the header of an EDF or BDF file and check that all the bytes it promises are there."""
    with files.reading(path, "EDF or BDF"), path.open("rb") as file:
        head = file.read(256)
        if head[:8] not in (b"0       ", b"\xffBIOSEMI"):
            raise LoaderError(f"{path}: is not an EDF or BDF file: it begins with {head[:8]!r}")
        start, records, count = (int(head[a:b] or b"0") for a, b in ((184, 192), (236, 244), (252, 256)))
        fields = file.read(256 * count).decode("latin-1")
        if len(head) < 256 or len(fields) < 256 * count:
            raise LoaderError(f"{path}: is truncated within its header; fetch the file again")
        samples = [int(text) for text in _column(fields, count, 216, 8)]
    width = 3 if path.suffix.lower() == ".bdf" else 2
    record, found = sum(samples) * width, path.stat().st_size
    expected = start + records * record
    if found < expected:
        raise LoaderError(
            f"{path}: is truncated: the header says {records} records ({expected} bytes), found "
            f"{max(found - start, 0) // record} whole records ({found} bytes); fetch the file again"
        )
    if records < 0:  # a recorder that was stopped before it could write the count
        records = (found - start) // record
    names, units = _column(fields, count, 0, 16), _column(fields, count, 96, 8)
    return Header(names, units, samples, records, start, width, head[192:197].decode("latin-1"))


def _column(fields: str, count: int, offset: int, width: int) -> list[str]:
    """Give one field of every signal of the header, which holds them field by field."""
    return [fields[count * offset + i * width :][:width].strip() for i in range(count)]


def first_onset(path: Path, head: Header) -> float:
    """Give the time of the first sample, in s after the start time of the header (0 for plain EDF)."""
    onsets, _ = _annotations(path, head, 1)
    return onsets[0] if onsets else 0.0


def marks(path: Path, head: Header, samples: int) -> Marks:
    """Read when each record of a file with gaps began, and its annotations, both on the true clock."""
    onsets, events = _annotations(path, head, head.records)
    if len(onsets) < head.records:
        raise LoaderError(
            f"{path}: is {head.kind}, with gaps between its records, but {head.records - len(onsets)} of "
            f"{head.records} records do not state when they begin; save it as continuous pieces"
        )
    zero = onsets[0]
    from_first = tuple((onset - zero, duration, text) for onset, duration, text in events)
    return Marks(np.array(onsets) - zero, samples, from_first)


def _annotations(path: Path, head: Header, records: int) -> tuple[list[float], list[tuple[float, float, str]]]:
    """Give the onset of each of the first records, and the annotations in them (onset s, duration s, text)."""
    onsets: list[float] = []
    events: list[tuple[float, float, str]] = []
    with files.reading(path, "EDF+ annotations"):
        for record, lists in enumerate(annotation_bytes(path, head, records)):
            for one in filter(None, lists.split(b"\x00")):
                when, *texts = one.split(b"\x14")
                onset, _, duration = when.partition(b"\x15")
                if texts and not texts[0] and len(onsets) == record:  # the first of a record keeps its time
                    onsets.append(float(onset))
                events += [(float(onset), float(duration or 0), text.decode("utf-8")) for text in texts if text]
    return onsets, events


def annotation_bytes(path: Path, head: Header, records: int) -> Iterator[bytes]:
    """Read the annotation signals of each of the first records, and nothing else of the file."""
    ends = np.cumsum([0, *head.samples]) * head.width
    signals = [i for i, name in enumerate(head.names) if name in ANNOTATIONS]
    with path.open("rb", buffering=0) as file:
        for record in range(records if signals else 0):
            lists = []
            for i in signals:
                file.seek(head.start + record * head.record + int(ends[i]))
                lists.append(file.read(head.samples[i] * head.width))
            yield b"".join(lists)
