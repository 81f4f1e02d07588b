"""The few things that MNE passes over in Curry files: units it does not know, and a reader that seizes the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.eeg._brainvision import text_of

SUFFIXES = (".cdt", ".cdt.dpa", ".cdt.dpo", ".cdt.cef", ".dap")
HEADERS = (".cdt.dpa", ".cdt.dpo", ".dap")
APPLIED = {"uV": 1e-6}
"""Unit fields that MNE turns into volts; it takes any other voltage as it stands, `mV` and the micro sign too."""
MAGNETIC = "fT"
"""The one unit of magnetic fields that MNE scales."""


def is_curry(path: Path) -> bool:
    """Tell whether a file is one of those of a Curry recording; a `.dat` is where its `.dap` lies beside it."""
    name = path.name.lower()
    return name.endswith(SUFFIXES) or (name.endswith(".dat") and path.with_suffix(".dap").is_file())


def units(path: Path, kinds: list[str]) -> list[str]:
    """Give the unit field of each channel, of the types that MNE gave them.

    Channels come in groups that state one unit each; where the file leaves channels of its list out, no order
    tells the group of a channel, but its type does as long as all groups of the type have one unit.
    """
    stem = re.sub(r"\.(cdt(\.\w+)?|dap|dat)$", "", path.name, flags=re.IGNORECASE)
    header = next((path.with_name(stem + end) for end in HEADERS if path.with_name(stem + end).is_file()), path)
    with files.reading(header, "a Curry header"):
        groups = [_group(text) for text in text_of(header).split("DEVICE_PARAMETERS")[1::2]]
    of_magnets = {unit for kind, unit, _ in groups if kind == "mag"} - {MAGNETIC}
    if of_magnets:
        raise LoaderError(
            f"{header}: its magnetic fields are in {', '.join(map(repr, of_magnets))}; MNE knows fT alone"
        )
    stated = [(kind, unit) for kind, unit, count in groups for _ in range(count)]
    if [kind for kind, _ in stated] == kinds:
        return [unit for _, unit in stated]
    by_kind: dict[str, set[str]] = {}
    for kind, unit, _ in groups:
        by_kind.setdefault(kind, set()).add(unit)
    mixed = sorted(unit for kind in set(kinds) for unit in by_kind.get(kind, set()) if len(by_kind[kind]) > 1)
    if mixed:
        raise LoaderError(f"{header}: leaves channels out and has groups in {', '.join(mixed)}: no unit can be told")
    return [next(iter(by_kind.get(kind, {""}))) for kind in kinds]


@contextmanager
def reading() -> Iterator[None]:
    """Keep the library that MNE reads Curry with from setting up the program's log."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)  # logging.basicConfig does nothing where there is a handler
    try:
        yield
    finally:
        root.removeHandler(silent)


def _group(text: str) -> tuple[str, str, int]:
    """Give (type as MNE has it, unit, number of channels) of a group of channels."""
    name = text.split(maxsplit=1)[0]
    kind = "mag" if "MAG" in name else "misc" if "OTHER" in name else "eeg"
    unit = re.search(r"DataUnit\s*=[ \t]*(\S*)", text)
    count = re.search(r"NumChanThisGroup\s*=\s*(\d+)", text)
    return kind, unit[1] if unit else "", int(count[1]) if count else 0
