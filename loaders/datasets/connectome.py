"""Wiring of the C. elegans nervous system as arrays: White, Varshney, Cook, Witvliet, and the atlas of Randi."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import _wiring, worm_neurons
from neurointerp.recordings import session, version

CITATIONS = {
    "white1986": "White JG, et al. (1986) Phil Trans R Soc B 314:1. doi:10.1098/rstb.1986.0056",
    "varshney2011": "Varshney LR, et al. (2011) PLoS Comput Biol 7:e1001066. doi:10.1371/journal.pcbi.1001066",
    "cook2019": "Cook SJ, et al. (2019) Nature 571:63. doi:10.1038/s41586-019-1352-7",
    "witvliet2020": "Witvliet D, et al. (2021) Nature 596:257. doi:10.1038/s41586-021-03778-8",
    "randi2023": "Randi F, et al. (2023) Nature 623:406. doi:10.1038/s41586-023-06683-4",
}


def load(
    path: files.PathLike, *, neurons: int = 302, sheet: str | None = None, strain: str = "wt", study: str | None = None
) -> xr.DataArray:
    """Read a wiring table.

    Parameters
    ----------
    path
        What it holds is told by its content: an edge table (`.csv`, `.tsv`, `.xlsx` with `pre, post, type,
        synapses` or `Source, Target, Weight, Type`), WormWideWeb's `.json`, Varshney's `NeuronConnect*.xlsx` or
        `ConnOrdered*.mat`, the adjacency matrices of Cook's SI 5 (`.xlsx`), the matrix of responses of Randi 2023
        (`.csv`) or its `funatlas.h5`, the flat table of Simeon et al. 2024 (`.csv`, `.parquet`).
    neurons
        The common order: 302, or 300 without CANL and CANR.
    sheet
        Of Cook's SI 5: `"hermaphrodite"` (default); the male has neurons that are not on the order. Of the flat
        table: its `source_connectome`.
    strain
        Of `funatlas.h5`: `"wt"` or `"unc31"`.
    study
        Key of `CITATIONS`, where the file's layout does not tell.

    Returns
    -------
    xarray.DataArray
        (source, target, kind), float64, on the common order. Anatomy: `kind` is `chemical` and `gap`, values are
        synapses (an absent pair is 0); gap junctions are symmetric, `max(G, G.T)`. Randi 2023: `kind` is `response`
        (dF/F) and, from the h5, `q`, `q_equivalence` and `observations`; source is the stimulated neuron, NaN where
        the pair was not measured. attrs: `units`, `citation`, `dropped` (name -> rows left out: muscles, glia and
        what is no neuron of the order), `dropped_rows`, `aliased` (AWCON, AWCOFF) and `counts`.

    Raises
    ------
    LoaderError
        When the file is none of these, or names hardly any neuron of the order.

    Notes
    -----
    `counts`: `chemical_edges` (directed pairs), `chemical_synapses`, and `gap_pairs`, the non-zeros of the symmetric
    matrix over two, so that a neuron's junction with itself counts half. Rows that name a pair twice are added.
    Varshney's `S`, `Sp` rows are sent synapses, `R`, `Rp` the same ones seen from the other side: not counted
    again; `NMJ` are muscles. Reading `.xlsx` needs openpyxl.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "edges.csv"
    ...     rows = ["pre,post,type,synapses", "AVAL,VB02,chemical,3", "AVAL,AVAR,electrical,2", "AVAL,BWM-1,chemical,1"]
    ...     _ = path.write_text("\\n".join(rows))
    ...     wiring = load(path)
    >>> wiring.attrs["counts"], wiring.attrs["dropped"]
    ({'chemical_edges': 1, 'chemical_synapses': 3.0, 'gap_pairs': 1.0}, {'BWM-1': 1})
    >>> float(wiring.sel(source="AVAR", target="AVAL", kind="gap"))
    2.0
    """
    found = files.existing(path)
    order = worm_neurons.order(neurons)
    read = _wiring.read(found, sheet=sheet, strain=strain)
    study = study or read.study or _study(found)
    if study is not None and study not in CITATIONS:
        raise LoaderError(f"no study {study!r}; there are {', '.join(CITATIONS)}")
    if read.edges is not None:
        values, dropped, aliased = _counted(read.edges, order, found)
        kinds = ["chemical", "gap"]
    else:
        values, dropped, aliased = _placed(read.matrices, read.sources, read.targets, order, found)
        kinds = list(read.matrices)
    known = [worm_neurons.neurons()[name] for name in order]
    names = np.array(order, dtype=object)
    coords: dict[str, Any] = {"source": names, "target": names, "kind": np.array(kinds, dtype=object)}
    for end in ("source", "target"):
        coords[f"{end}_class"] = (end, np.array([neuron.cell_class for neuron in known], dtype=object))
        coords[f"{end}_type"] = (end, np.array([neuron.cell_type for neuron in known], dtype=object))
    step = {"function": "loaders.datasets.connectome.load", "version": version(), "parameters": {"layout": read.layout}}
    attrs = {
        "units": "1", "file": found.name, "citation": CITATIONS[study] if study else "", "dropped": dict(dropped),
        "dropped_rows": sum(dropped.values()), "aliased": aliased, "counts": counts(values, kinds), "history": [step],
    }  # fmt: skip
    return xr.DataArray(values, dims=("source", "target", "kind"), coords=coords, name="connectome", attrs=attrs)


def load_session(
    path: files.PathLike, *, neurons: int = 302, sheet: str | None = None, strain: str = "wt", study: str | None = None
) -> xr.DataTree:
    """Read a wiring table as the `structure/connectome` of a session; parameters and errors as for `load`."""
    wiring = load(path, neurons=neurons, sheet=sheet, strain=strain, study=study)
    attrs = {"system": "Caenorhabditis elegans", "source": wiring.attrs["file"], "citation": wiring.attrs["citation"]}
    return session({}, structure={"connectome": wiring}, attrs=attrs)


def counts(values: np.ndarray, kinds: list[str]) -> dict[str, float | int]:
    """Count what a (source, target, kind) array of synapses holds; measured pairs for any other kind.

    Examples
    --------
    >>> counts(np.eye(2)[..., None], ["gap"])
    {'gap_pairs': 1.0}
    """
    out: dict[str, float | int] = {}
    for place, kind in enumerate(kinds):
        matrix = values[..., place]
        if kind == "chemical":
            out |= {"chemical_edges": int(np.count_nonzero(matrix)), "chemical_synapses": float(matrix.sum())}
        elif kind == "gap":
            out["gap_pairs"] = float(np.count_nonzero(matrix)) / 2
        else:
            there = matrix > 0 if kind == "observations" else np.isfinite(matrix)
            out[f"{kind}_pairs"] = int(there.sum())
    return out


def _study(path: Path) -> str | None:
    """Tell the study by the file's name, where that is how its authors name it."""
    name = path.name.lower()
    marks = {"white_1986": "white1986", "witvliet": "witvliet2020", "cook": "cook2019", "herm_full": "cook2019"}
    return next((study for mark, study in marks.items() if mark in name), None)


def _counted(
    edges: Iterable[tuple[str, str, str, float]], order: tuple[str, ...], path: Path
) -> tuple[np.ndarray, Counter[str], list[str]]:
    """Add up an edge table on the order; whatever is no neuron there is counted by name."""
    place = {name: index for index, name in enumerate(order)}
    values = np.zeros((len(order), len(order), 2))
    dropped: Counter[str] = Counter()
    aliased: set[str] = set()
    for source, target, kind, weight in edges:
        ends = [worm_neurons.canonical(source), worm_neurons.canonical(target)]
        aliased |= {end for end in (source.strip(), target.strip()) if end.upper() in worm_neurons.ALIASES}
        strange = [text.strip() for text, end in zip((source, target), ends, strict=True) if end not in place]
        dropped.update(strange[:1])
        if not strange:
            values[place[ends[0]], place[ends[1]], int(kind == "gap")] += weight
    _check_any(values, dropped, path)
    values[..., 1] = np.maximum(values[..., 1], values[..., 1].T)
    return values, dropped, sorted(aliased)


def _placed(
    matrices: dict[str, np.ndarray], sources: list[str], targets: list[str], order: tuple[str, ...], path: Path
) -> tuple[np.ndarray, Counter[str], list[str]]:
    """Put (source, target) matrices on the order, NaN where a neuron is missing."""
    place = {name: index for index, name in enumerate(order)}
    kept, dropped, aliased = [], Counter[str](), set()
    for labels in (sources, targets):
        names = [worm_neurons.canonical(label) for label in labels]
        dropped.update(label for label, name in zip(labels, names, strict=True) if name not in place)
        aliased |= {label for label in labels if label.strip().upper() in worm_neurons.ALIASES}
        rows = [row for row, name in enumerate(names) if name in place]
        kept.append((rows, [place[names[row]] for row in rows]))
    if any(len(set(to)) != len(to) or not to for _, to in kept):
        raise LoaderError(f"{path}: a neuron stands twice, or none of the names is one, on a side of the matrix")
    values = np.full((len(order), len(order), len(matrices)), np.nan)
    for index, matrix in enumerate(matrices.values()):
        values[np.ix_(kept[0][1], kept[1][1], [index])] = matrix[np.ix_(kept[0][0], kept[1][0])][..., None]
    return values, dropped, sorted(aliased)


def _check_any(values: np.ndarray, dropped: Counter[str], path: Path) -> None:
    if not values.any():
        shown = ", ".join(list(dropped)[:5]) or "none"
        raise LoaderError(f"{path}: no edge joins two neurons of the common order; other names: {shown}")
