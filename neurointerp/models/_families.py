"""Where the named sites and weights of a model lie, read off the names of its modules."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from neurointerp.errors import ModelError
from neurointerp.models._spellings import FAMILIES, SITE_NAMES, Family, Spellings

__all__ = ["SITE_NAMES", "Blocks", "Family", "blocks_of", "module_of"]


@dataclass(frozen=True)
class Blocks:
    """The blocks of one model: its family, what precedes the blocks in their names, and the blocks in order."""

    family: Family
    stem: str
    paths: tuple[str, ...]

    def spelled(self, kind: str, name: str, layer: int | None, modules: Collection[str]) -> str | None:
        """Give the full spelling of a site, weight, read or end, or None where the family has none."""
        table: Mapping[str, Spellings] = getattr(self.family, kind)
        starts = [self.stem, ""] if layer is None else [self.paths[layer] + "."]
        for start in starts:
            for spelling in table.get(name, ()):
                whole = (start + spelling).replace(".:", ":").removesuffix(".")
                if module_of(whole) in modules:
                    return whole
        return None


def blocks_of(modules: Sequence[str]) -> Blocks | None:
    """Tell the family of a model by the names of its modules; None for a model of no family.

    Raises
    ------
    ModelError
        When blocks stand in several places (an encoder and a decoder): which `L0` is meant cannot be told.
    """
    known = set(modules)
    for family in FAMILIES:
        pattern = re.compile(rf"(?P<stem>(?:.*\.)?){family.block}")
        hits = [hit for name in modules if (hit := _block(pattern, family, name, known))]
        if not hits:
            continue
        stems = sorted({hit["stem"] for hit in hits})
        if len(stems) > 1:
            raise ModelError(
                f"the model has blocks in several places ({', '.join(map(repr, stems))}), so named sites are "
                "ambiguous: name the modules"
            )
        return Blocks(family, stems[0], tuple(hit.string for hit in hits))
    return None


def module_of(spelling: str) -> str:
    """Give the module that a spelling names, without part and side."""
    return re.split(r"[\[:]", spelling, maxsplit=1)[0]


def _block(pattern: re.Pattern[str], family: Family, name: str, known: set[str]) -> re.Match[str] | None:
    hit = pattern.fullmatch(name)
    return hit if hit and all(f"{name}.{part}" in known for part in family.has) else None
