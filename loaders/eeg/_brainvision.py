"""The few things that MNE passes over in BrainVision files: a missing tail, and units it does not know."""

from __future__ import annotations

import re
from pathlib import Path

from neurointerp.errors import LoaderError
from neurointerp.loaders import files

SUFFIXES = (".vhdr", ".ahdr")
APPLIED = {"V": 1.0, "mV": 1e-3, "\u00b5V": 1e-6, "uV": 1e-6, "nV": 1e-9, "\u00b5S": 1e-6, "uS": 1e-6}
"""Unit fields that MNE turns into SI units, and how; it makes `misc` of any but the voltages."""
BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}


def header(path: Path) -> list[str]:
    """Give the unit field of each channel after checking that all samples are there.

    The header seldom states the number of samples: then a part of a sample at the end of the file, or a
    marker that stands beyond it, gives a missing tail away.
    """
    with files.reading(path, "BrainVision"):
        text = text_of(path)
        fields = dict(re.findall(r"^(\w+)=(.*?)\s*$", text, flags=re.MULTILINE))
        count = int(fields["NumberOfChannels"])
        channels = [fields.get(f"Ch{i + 1}", "").split(",") for i in range(count)]
    size = count * BYTES.get(fields.get("BinaryFormat", ""), 0)
    data = path.with_name(fields.get("DataFile", "").replace("$b", path.stem))
    if size and data.is_file() and fields.get("DataFormat", "BINARY").upper() == "BINARY":
        _check_whole(path, data, size, fields)
    return [_unit(channel) for channel in channels]


def _check_whole(path: Path, data: Path, size: int, fields: dict[str, str]) -> None:
    whole, rest = divmod(data.stat().st_size, size)
    stated = int(fields.get("DataPoints", 0))
    markers = path.with_name(fields.get("MarkerFile", "").replace("$b", path.stem))
    last = 0
    if markers.is_file():
        last = max(map(int, re.findall(r"^Mk\d+=[^,]*,[^,]*,(\d+)", text_of(markers), flags=re.MULTILINE)), default=0)
    sign = ""
    if stated > whole:
        sign = f"the header says {stated} samples"
    elif rest:
        sign = f"it ends within a sample ({rest} of {size} bytes)"
    elif last > whole + 1:
        sign = f"its last marker stands at sample {last}"
    if sign:
        raise LoaderError(f"{data}: is truncated: {sign}, found {whole} whole samples; fetch the file again")


def text_of(path: Path) -> str:
    """Read a header in UTF-8 or, where it is not, Latin-1."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _unit(channel: list[str]) -> str:
    """Give the unit of a channel line `name,reference,resolution,unit`; a line without one means microvolt."""
    unit = channel[3].strip().replace("\xc2", "") if len(channel) > 3 else ""
    return unit or "\u00b5V"
