"""The numbers behind a picture, as a compressed CSV file that lives inside the page."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.report.drawing import UNPRINTABLE

Columns = Mapping[str, NDArray[Any] | list[Any]]


@dataclass(frozen=True)
class Download:
    """A file that a reader can save: what it holds, its name, and a data URI of its bytes."""

    label: str
    file: str
    href: str


def table_file(label: str, stem: str, columns: Columns, *, digits: int = 6) -> Download:
    """Give columns of equal length as a CSV file, gzipped.

    Parameters
    ----------
    label
        What it holds, in a word.
    stem
        Its name, made from data; other signs than letters, digits, `-`, `_` and `.` become `-`.
    columns
        Name -> values. Missing numbers become empty fields.
    digits
        Significant digits of floats.

    Returns
    -------
    Download
        The file `<stem>.csv.gz`.
    """
    fields = [[_field(value, digits) for value in _values(column)] for column in columns.values()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(name)) for name in columns)
    writer.writerows(zip(*fields, strict=True))
    packed = base64.b64encode(gzip.compress(text.getvalue().encode(), 9, mtime=0)).decode()
    return Download(label, f"{file_stem(stem)}.csv.gz", f"data:application/gzip;base64,{packed}")


def file_stem(name: str) -> str:
    """Make a name from data safe as the name of a file anywhere."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "recording"


def _values(column: NDArray[Any] | list[Any]) -> Iterable[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _field(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return f"{value:.{digits}g}" if np.isfinite(value) else ""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))
