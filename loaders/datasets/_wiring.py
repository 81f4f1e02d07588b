"""The layouts that wiring is published in, read to edges or matrices with the authors' own names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files

Edge = tuple[str, str, str, float]
COLUMNS = {
    "source": ("pre", "source", "neuron 1", "origin_neuron"),
    "target": ("post", "target", "neuron 2", "target_neuron"),
    "kind": ("type",),
    "weight": ("synapses", "weight", "nbr"),
}
KINDS = {"chemical": "chemical", "electrical": "gap", "s": "chemical", "sp": "chemical", "ej": "gap"}
COOK = {
    "hermaphrodite": ("hermaphrodite chemical", ("herm gap jn symmetric", "hermaphrodite gap jn symmetric")),
    "male": ("male chemical", ("male gap jn symmetric",)),
}
"""Sheets of Cook's SI 5; that of gap junctions has two names in the two editions."""
FLAT = {"chemical": "chemical_synapse_weight", "gap": "gap_junction_weight"}
"""Columns of the table of Simeon et al. 2024, which has a row for every pair, most of them zero."""
SEEN_FROM_TARGET = ("r", "rp", "nmj")
"""Varshney's rows of received synapses (each is also a sent one) and of neuromuscular junctions."""


@dataclass(frozen=True)
class Read:
    """Edges (source, target, kind, weight), or matrices (source, target) with the names of both sides."""

    layout: str
    study: str | None = None
    edges: list[Edge] | None = None
    matrices: dict[str, np.ndarray] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)


def read(path: Path, *, sheet: str | None, strain: str) -> Read:
    """Read whichever layout the file has."""
    readers: Mapping[str, Callable[[], Read]] = {
        ".csv": lambda: _text(path, sheet), ".tsv": lambda: _text(path, sheet), ".txt": lambda: _text(path, sheet),
        ".parquet": lambda: _parquet(path, sheet), ".xlsx": lambda: _workbook(path, sheet),
        ".json": lambda: _json(path), ".mat": lambda: _varshney(path),
        ".h5": lambda: _atlas(path, strain),
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise LoaderError(f"{path}: wiring is read from {', '.join(readers)}, not {path.suffix or 'this'}")
    return readers[path.suffix.lower()]()


def _text(path: Path, sheet: str | None) -> Read:
    """Read an edge table or a square table of responses; the separator is found, not taken from the name."""
    import pandas as pd

    with files.reading(path, "a table"):
        first = path.read_text("utf-8-sig").partition("\n")[0]
        table = pd.read_csv(path, sep="\t" if "\t" in first else ",", skipinitialspace=True, encoding="utf-8-sig")
    if set(FLAT.values()) <= set(table.columns):
        return _flat(table, path, sheet)
    if len(table.columns) > 20:
        return _responses(table, path)
    return Read("edge table", edges=list(_edges(table, path)))


def _parquet(path: Path, sheet: str | None) -> Read:
    parquet = files.library("pyarrow.parquet", "parquet")
    with files.reading(path, "parquet"):
        table = parquet.read_table(path).to_pandas()
    return _flat(table, path, sheet)


def _flat(table: Any, path: Path, sheet: str | None) -> Read:
    """Read one connectome of the table of Simeon et al.; a pair whose weights are both 0 is no edge."""
    needed = ("source_connectome", "origin_neuron", "target_neuron", *FLAT.values())
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise LoaderError(f"{path}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    there = list(dict.fromkeys(map(str, table["source_connectome"])))
    if sheet not in there and (sheet is not None or len(there) != 1):
        raise LoaderError(f"{path}: it holds {len(there)} connectomes; pass sheet= one of {', '.join(there)}")
    rows = table[table["source_connectome"].astype(str) == (sheet or there[0])]
    edges: list[Edge] = []
    for kind, column in FLAT.items():
        with files.reading(path, column):
            weights = rows[column].to_numpy(dtype=np.float64)
        if not np.isfinite(weights).all():
            raise LoaderError(f"{path}: {column} lacks a number in {int((~np.isfinite(weights)).sum())} rows")
        ends = zip(rows["origin_neuron"], rows["target_neuron"], weights, strict=True)
        edges += [(str(source), str(target), kind, float(weight)) for source, target, weight in ends if weight]
    return Read(f"published edge table, {sheet or there[0]}", edges=edges)


def _edges(table: Any, path: Path) -> Iterator[Edge]:
    lower = {str(name).strip().lower(): name for name in table.columns}
    found = {role: next((lower[name] for name in names if name in lower), None) for role, names in COLUMNS.items()}
    missing = [" or ".join(COLUMNS[role]) for role, name in found.items() if name is None]
    if missing:
        raise LoaderError(f"{path}: no column {missing[0]}; it has {', '.join(map(str, table.columns))}")
    rows = zip(*(table[found[role]] for role in COLUMNS), strict=True)
    for number, (source, target, kind, weight) in enumerate(rows, start=2):
        told = str(kind).strip().lower()
        if told in SEEN_FROM_TARGET:
            continue
        if told not in KINDS or not np.isfinite(weight):
            raise LoaderError(f"{path}: row {number} has type {kind!r} and weight {weight!r}; chemical or electrical "
                              "and a number are needed")  # fmt: skip
        yield str(source), str(target), KINDS[told], float(weight)


def _responses(table: Any, path: Path) -> Read:
    """Read Randi's matrix: a row per responding neuron, a column per stimulated one; empty is not measured."""
    with files.reading(path, "a matrix of responses"):
        matrix = table.iloc[:, 1:].to_numpy(dtype=np.float64)
    targets, sources = [str(name) for name in table.iloc[:, 0]], [str(name) for name in table.columns[1:]]
    return Read("matrix of responses", "randi2023", None, {"response": matrix.T}, sources, targets)


def _workbook(path: Path, sheet: str | None) -> Read:
    import pandas as pd

    if find_spec("openpyxl") is None:
        raise LoaderError(f"{path}: reading a workbook needs openpyxl: pip install 'neurointerp[demo]'")
    with files.reading(path, "a workbook"), pd.ExcelFile(path) as book:
        names = [str(name) for name in book.sheet_names]
        if not any(name.endswith("gap jn symmetric") for name in names):
            table = pd.read_excel(book)
            study = "varshney2011" if "Neuron 1" in table.columns else None
            return Read("workbook of edges", study, list(_edges(table, path)))
        sex = sheet or "hermaphrodite"
        if sex not in COOK or COOK[sex][0] not in names:
            raise LoaderError(f"{path}: no sheet {sex!r}; there are {', '.join(COOK)}")
        junctions = next(name for name in COOK[sex][1] if name in names)
        chemical, gap = (pd.read_excel(book, sheet_name=name, header=None) for name in (COOK[sex][0], junctions))
    return Read(f"adjacency matrices, {sex}", "cook2019", [*_matrix(chemical, "chemical"), *_matrix(gap, "gap")])


def _matrix(sheet: Any, kind: str) -> Iterator[Edge]:
    """Give the edges of a sheet of Cook's SI 5: names in row and column 3, groups before, totals at the end."""
    values = sheet.to_numpy(dtype=object)
    sources, targets = values[3:, 2], values[2, 3:]
    for row, source in enumerate(sources):
        for column, target in enumerate(targets):
            weight = values[3 + row, 3 + column]
            if isinstance(source, str) and isinstance(target, str) and isinstance(weight, int | float) and weight > 0:
                yield source, target, kind, float(weight)


def _json(path: Path) -> Read:
    with files.reading(path, "WormWideWeb's JSON"):
        rows = json.loads(path.read_text("utf-8"))
        kinds = {0: "chemical", 2: "gap"}
        edges = [(row["pre"], row["post"], kinds[row["typ"]], float(sum(row["syn"]))) for row in rows]
    return Read("WormWideWeb JSON", None, edges)


def _varshney(path: Path) -> Read:
    from scipy.io import loadmat

    with files.reading(path, "MATLAB"):
        held = loadmat(path)
    missing = {"A_init_t_ordered", "Ag_t_ordered", "Neuron_ordered"} - set(held)
    if missing:
        raise LoaderError(f"{path}: no {', '.join(sorted(missing))}; ConnOrdered_040903.mat of Varshney 2011 is needed")
    with files.reading(path, "ConnOrdered of Varshney 2011"):
        names = [str(cell[0]) for cell in held["Neuron_ordered"].ravel()]
        edges: list[Edge] = []
        for kind, variable in (("chemical", "A_init_t_ordered"), ("gap", "Ag_t_ordered")):
            matrix = held[variable].tocoo()
            edges += [
                (names[row], names[column], kind, float(weight))
                for row, column, weight in zip(matrix.row, matrix.col, matrix.data, strict=True)
            ]
    return Read("ConnOrdered", "varshney2011", edges)


def _atlas(path: Path, strain: str) -> Read:
    """Read `funatlas.h5`: [responding, stimulated] matrices; names there are cut to five letters."""
    h5py = files.library("h5py", "nwb")
    with files.reading(path, "funatlas.h5"), h5py.File(path, "r") as file:
        strains = [name for name in file if name != "neuron_ids"]
        if strain not in strains:
            raise LoaderError(f"{path}: no strain {strain!r}; there are {', '.join(strains)}")
        names = [name.decode() for name in file["neuron_ids"][()]]
        held = {kind: np.asarray(file[f"{strain}/{name}"][()], dtype=np.float64).T for kind, name in ATLAS.items()}
    measured = held["observations"] > 0
    held |= {kind: np.where(measured, held[kind], np.nan) for kind in held if kind != "observations"}
    return Read(f"funatlas {strain}", "randi2023", None, held, names, names)


ATLAS = {"response": "dFF", "q": "q", "q_equivalence": "q_eq", "observations": "occ1"}
