"""The neurons of the C. elegans hermaphrodite: one order, one spelling, and labels that are never guessed at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import NamedTuple

from neurointerp.errors import LoaderError

ALIASES = MappingProxyType({"AWCOFF": "AWCL", "AWCON": "AWCR", "AWCOF": "AWCL"})
"""Names by state -> names by side. Which AWC is ON varies from animal to animal, so this is an assumption."""
WITHOUT_SYNAPSES = ("CANL", "CANR")
"""The two of the 302 that the lists of 300 leave out."""


class Neuron(NamedTuple):
    """One neuron: its name, class (`AVA`), type (sensory, interneuron, motor, pharyngeal, unknown) and side."""

    name: str
    cell_class: str
    cell_type: str
    hemisphere: str


class Identities(NamedTuple):
    """What the labels of one worm's traces say.

    Attributes
    ----------
    names
        Per trace the neuron, or "" where the label leaves it open.
    candidates
        Per trace the neurons that the label could mean, `A,B`; "" for a label that means none.
    repeated
        Names that stood more than once; the first trace keeps them.
    aliased
        Labels that were read through `ALIASES`.
    """

    names: tuple[str, ...]
    candidates: tuple[str, ...]
    repeated: tuple[str, ...]
    aliased: tuple[str, ...]


@cache
def neurons() -> Mapping[str, Neuron]:
    """Give the 302 neurons by name, in alphabetical order.

    Returns
    -------
    Mapping of str to Neuron
        White et al. 1986 and Cook et al. 2019, as WormWideWeb tabulates them.

    Examples
    --------
    >>> neurons()["AVAL"]
    Neuron(name='AVAL', cell_class='AVA', cell_type='interneuron', hemisphere='L')
    """
    text = (resources.files("neurointerp") / "loaders" / "datasets" / "worm_neurons.txt").read_text("utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return MappingProxyType({row[0]: Neuron(*row) for row in rows})


def order(count: int = 300) -> tuple[str, ...]:
    """Give the common neuron order.

    Parameters
    ----------
    count
        302, or 300 for the list without CANL and CANR.

    Returns
    -------
    tuple of str
        Names in alphabetical order (`AS1, AS10, AS11, AS2, ...`).

    Raises
    ------
    LoaderError
        When `count` is neither.

    Examples
    --------
    >>> len(order(302)), order()[:3]
    (302, ('ADAL', 'ADAR', 'ADEL'))
    """
    if count not in (300, 302):
        raise LoaderError(f"there is no common order of {count!r} neurons; it has 300, or 302 with CANL and CANR")
    return tuple(name for name in neurons() if count == 302 or name not in WITHOUT_SYNAPSES)


def canonical(label: str) -> str:
    """Give the one spelling of a neuron's name.

    Parameters
    ----------
    label
        As annotated: zero padding (`VB02`) and the names by state (`AWCOFF`) are understood.

    Returns
    -------
    str
        A name of `order(302)`, or "" for anything that is not exactly one neuron.

    Examples
    --------
    >>> canonical("VB02"), canonical("VA10"), canonical("AWCON"), canonical("SAAD?")
    ('VB2', 'VA10', 'AWCR', '')
    """
    name = re.sub(r"^([A-Z]+)0+(\d)$", r"\1\2", label.strip().upper())
    name = ALIASES.get(name, name)
    return name if name in neurons() else ""


def candidates(label: str) -> tuple[str, ...]:
    """Give every neuron that a label could mean.

    Parameters
    ----------
    label
        A name, a class (`AWA`), a pattern (`SIA?L`, `SAAD?`), an uncertain name (`AVAL?`), or several of these
        with `/`, `,` or `|` between.

    Returns
    -------
    tuple of str
        Names in alphabetical order; empty for a label that means no neuron, such as a number.

    Examples
    --------
    >>> candidates("SIA?L"), candidates("RMED/RID"), candidates("AVAL?"), candidates("17")
    (('SIADL', 'SIAVL'), ('RID', 'RMED'), ('AVAL',), ())
    """
    parts = [part.strip().upper() for part in re.split(r"[/,|]", label) if part.strip()]
    return tuple(sorted({name for part in parts for name in _meant(part)}))


def identify(labels: Sequence[str]) -> Identities:
    """Tell which neuron each trace of one worm is, without ever choosing between two.

    Parameters
    ----------
    labels
        The annotation of each trace; "" where there is none.

    Returns
    -------
    Identities
        A trace has a name only where its label spells exactly one neuron and no earlier trace has it.

    Examples
    --------
    >>> found = identify(["VB02", "SAAD?", "VB2", "17"])
    >>> found.names, found.candidates, found.repeated
    (('VB2', '', '', ''), ('VB2', 'SAADL,SAADR', 'VB2', ''), ('VB2',))
    """
    spelled = [canonical(label) for label in labels]
    first = [bool(name) and name not in spelled[:place] for place, name in enumerate(spelled)]
    return Identities(
        names=tuple(name if kept else "" for name, kept in zip(spelled, first, strict=True)),
        candidates=tuple(",".join(candidates(label)) for label in labels),
        repeated=tuple(sorted({name for name, kept in zip(spelled, first, strict=True) if name and not kept})),
        aliased=tuple(sorted({label for label in labels if label.strip().upper() in ALIASES})),
    )


def _meant(part: str) -> list[str]:
    """Give the neurons of one name, class or pattern; a `?` that no neuron fills is doubt about the name."""
    if canonical(part):
        return [canonical(part)]
    pattern = re.compile(re.escape(part).replace(r"\?", "[A-Z0-9]"))
    fitting = [name for name in neurons() if pattern.fullmatch(name)] if part.strip("?") else []
    bare = part.replace("?", "")
    named = [canonical(bare)] if canonical(bare) else []
    return fitting + named or [neuron.name for neuron in neurons().values() if neuron.cell_class == bare]
