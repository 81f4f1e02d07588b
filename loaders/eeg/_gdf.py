"""The few things that MNE passes over in GDF files: units, a missing tail, slow channels, the clock of the events.

Format: Schloegl A (2006). GDF, a general data format for biosignals. arXiv:cs/0608052.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.eeg._edf import Header

SUFFIXES = (".gdf",)
BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8}
"""Type code of a sample -> bytes."""
DIMENSIONS = {512: "1", 544: "%", 4256: "V", 4288: "ohm", 6048: "degC"}
PREFIXES = {0: "", 2: "h", 3: "k", 4: "M", 16: "d", 17: "c", 18: "m", 19: "u", 20: "n", 21: "p", 22: "f"}
APPLIED = {"uV": 1e-6, "mV": 1e-3}
"""Units of GDF 2 that MNE turns into volts; of GDF 1 it knows but the first. Any other number stays as it stands."""


def header(path: Path) -> Header:
    """Read the header of a GDF file after checking that the bytes it promises are there."""
    with files.reading(path, "GDF"), path.open("rb") as file:
        head = file.read(256)
        if head[:3] != b"GDF" or len(head) < 256:
            raise LoaderError(f"{path}: is not a GDF file: it begins with {head[:8]!r}")
        version = float(head[4:8])
        (records,) = struct.unpack_from("<q", head, 236)
        (count,) = struct.unpack_from("<H", head, 252)
        start = struct.unpack_from("<q" if version < 1.9 else "<H", head, 184)[0] * (1 if version < 1.9 else 256)
        fields = file.read(256 * count)
        if len(fields) < 256 * count:
            raise LoaderError(f"{path}: is truncated within its header; fetch the file again")
        names = [_text(fields[16 * i : 16 * i + 16]) for i in range(count)]
        samples = list(struct.unpack_from(f"<{count}i", fields, 216 * count))
        kinds = struct.unpack_from(f"<{count}i", fields, 220 * count)
        units = _units(fields, count, version)
        widths = sorted({BYTES.get(kind, 0) for kind in kinds})
        if len(widths) != 1 or not widths[0]:
            raise LoaderError(f"{path}: its channels have samples of the types {sorted(set(kinds))}; MNE reads one")
        found = Header(names, units, samples, records, start, widths[0], head[:8].decode("latin-1").strip())
    _check_whole(path, found)
    return found


def applied(head: Header) -> dict[str, float]:
    """Give what MNE multiplies each channel by on account of its unit, where it does."""
    second = float(head.kind[4:]) >= 1.9
    known = APPLIED if second else {"uV": 1e-6}
    pairs = zip(head.names, head.units, strict=True)
    return {
        name: known[unit if second else unit[:2]] for name, unit in pairs if (unit if second else unit[:2]) in known
    }


def events(path: Path, head: Header, rate: float) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
    """Read onsets (s), durations (s) and codes of the event table where it counts at another rate than the signals.

    MNE counts them at the signals' rate, whatever the table says; None where that is right.
    """
    with files.reading(path, "GDF events"), path.open("rb") as file:
        file.seek(head.start + head.records * head.record)
        table = file.read(8)
        if len(table) < 8 or table[0] not in (1, 3):
            return None
        count, clock = int.from_bytes(table[1:4], "little"), float(np.frombuffer(table[4:8], "<f4")[0])
        if float(head.kind[4:]) < 1.94:
            count, clock = int.from_bytes(table[4:8], "little"), float(count)
        if not clock or clock == rate:
            return None
        positions, codes = (np.frombuffer(file.read(count * size), f"<u{size}") for size in (4, 2))
        lengths = np.zeros(count)
        if table[0] == 3:
            file.seek(2 * count, 1)
            lengths = np.frombuffer(file.read(count * 4), "<u4").astype(np.float64)
    return (positions - 1.0) / clock, lengths / clock, [str(code) for code in codes.tolist()]


def _check_whole(path: Path, head: Header) -> None:
    found, expected = path.stat().st_size, head.start + head.records * head.record
    if head.records < 0:
        raise LoaderError(f"{path}: its header does not say how many records there are; save it again")
    if found < expected:
        raise LoaderError(
            f"{path}: is truncated: the header says {head.records} records ({expected} bytes), found "
            f"{max(found - head.start, 0) // head.record} whole records ({found} bytes); fetch the file again"
        )


def _units(fields: bytes, count: int, version: float) -> list[str]:
    if version < 1.9:
        return [_text(fields[96 * count + 8 * i : 96 * count + 8 * i + 8]) for i in range(count)]
    return [_decoded(code) for code in struct.unpack_from(f"<{count}H", fields, 102 * count)]


def _decoded(code: int) -> str:
    """Give the unit that a code of ISO/IEEE 11073 stands for; one without a code is ''."""
    dimension, prefix = DIMENSIONS.get(code & ~31), PREFIXES.get(code & 31)
    if code and (dimension is None or prefix is None):
        return f"code {code}"
    return f"{prefix}{dimension}" if code else ""


def _text(raw: bytes) -> str:
    return raw.split(b"\x00")[0].decode("latin-1").strip()
