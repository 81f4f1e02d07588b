"""Commands for data: list, fetch, convert, describe, check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from neurointerp.cli._options import (
    AsJson,
    BinWidth,
    Entity,
    Manifest,
    Mirror,
    Modality,
    Rate,
    Run,
    Subject,
    Task,
    Units,
    Visit,
)  # fmt: skip
from neurointerp.cli._printing import echo, print_description, print_next, print_result, print_rows, print_tree
from neurointerp.cli._sources import dataset_of, entities_of, only, source_of
from neurointerp.errors import ManifestError

AFTERWARDS = ("compare {}", "methods")


def datasets(
    manifest_file: Manifest = None,
    collection: Annotated[str | None, typer.Option(help="Sum up the sources of one collection: celegans.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="With --collection: load what can be had, count it.")
    ] = False,
    mirror: Mirror = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets of the manifest, or sum up the sources of a collection."""
    from neurointerp import manifest

    if collection is not None:
        return print_rows(_collection(collection, measure, mirror, manifest_file), as_json)
    if measure:
        raise typer.BadParameter("--measure goes with --collection")
    rows = [
        {
            "id": entry.id, "modality": entry.modality, "kind": "simulated" if entry.simulated else "real",
            "embedded": entry.embedded, "items": list(entry.all_items()), "title": entry.title,
            "license": entry.license,
        }
        for entry in manifest.datasets(manifest_file).values()
    ]  # fmt: skip
    print_rows(rows, as_json, hide=("license", "items"))
    if rows and not as_json:
        print_next(None, "load ID --out FILE.zarr", "compare ID ...")


def _collection(name: str, measure: bool, mirror: str | None, manifest_file: Path | None) -> list[dict[str, Any]]:
    """Give a row per source: what is published, what the manifest can fetch, and (measured) what that holds."""
    from neurointerp import manifest
    from neurointerp.errors import NeurointerpError
    from neurointerp.loaders.datasets import worm_collection

    entries = list(manifest.datasets(manifest_file).values())
    chosen = [entry for entry in entries if entry.collection == name]
    if not chosen:
        there = ", ".join(sorted({entry.collection for entry in entries} - {""})) or "none"
        raise ManifestError(f"no dataset is of the collection {name!r}; collections: {there}")
    rows = []
    for entry in chosen:
        row: dict[str, Any] = {
            "source": entry.id, "published": entry.published.get("recordings"), "listed": len(entry.all_items()),
        }  # fmt: skip
        if measure:
            held, lacking = {}, []
            for item in entry.all_items():
                try:
                    held[item] = manifest.load(entry.id, item, mirror=mirror, manifest=manifest_file)
                except NeurointerpError as error:
                    lacking.append(f"{item}: {error}")
            row |= worm_collection.summary(held) | {"not_at_hand": lacking}
        rows.append(row | {"doi": entry.doi, "address": entry.address})
    return rows


def load(
    id: Annotated[str, typer.Argument(help="Dataset, or dataset:item.")],  # noqa: A002
    out: Annotated[Path, typer.Option(help="Store to write (.zarr).")],
    mirror: Mirror = None,
    manifest_file: Manifest = None,
    overwrite: bool = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a dataset, verify it and write it as a recording."""
    from neurointerp import store

    rec = dataset_of(id, mirror, manifest_file)
    store.save(rec, out, overwrite=overwrite)
    print_description(rec, as_json)
    if not as_json:
        print_next(out, *AFTERWARDS)


def convert(
    source: Path,
    out: Annotated[Path, typer.Argument(help="Store to write (.zarr).")],
    modality: Modality = None,
    units: Units = None,
    rate: Rate = None,
    bin_width: BinWidth = None,
    subject: Subject = None,
    session: Visit = None,
    task: Task = None,
    run: Run = None,
    entity: Entity = None,
    system: Annotated[
        str | None, typer.Option(help="What was recorded: a species, a model, or `simulated`; the report shows it.")
    ] = None,
    overwrite: bool = False,
    as_json: AsJson = False,
) -> None:
    """Read a raw file, or a recording of a BIDS root, and write it as a recording."""
    from neurointerp import store
    from neurointerp.cli._progress import followed
    from neurointerp.loaders import raw
    from neurointerp.recordings import add_history

    rec = raw.load(
        source, modality=only(modality), units=units, sampling_rate=rate, bin_width=bin_width,
        entities=entities_of(subject, session, task, run, entity),
    )  # fmt: skip
    if system is not None:
        rec = add_history(rec.assign_attrs(system=system), "convert", system=system)
    with followed(rec) as watched:
        store.save(watched, out, overwrite=overwrite)
    print_description(rec, as_json)
    if not as_json:
        print_next(out, *AFTERWARDS)


def info(
    source: str,
    mirror: Mirror = None,
    modality: Modality = None,
    subject: Subject = None,
    session: Visit = None,
    task: Task = None,
    run: Run = None,
    entity: Entity = None,
    history: Annotated[bool, typer.Option("--history", help="Show every step back to the raw files instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Describe a dataset, a store (of a recording, a session or a result) or a raw file whose name tells its kind."""
    from neurointerp import store
    from neurointerp.history import provenance

    kind, entities = only(modality), entities_of(subject, session, task, run, entity)
    stored = source.endswith((".zarr", ".zarr.zip")) and Path(source).exists()
    found = store.open(source) if stored else source_of(source, mirror=mirror, modality=kind, entities=entities)
    if not history:
        return _describe(found, as_json)
    chain = provenance(found)
    echo(json.dumps(chain.as_dict()) if as_json else str(chain))


def _describe(found: Any, as_json: bool) -> None:
    if hasattr(found, "subtree"):
        return print_tree(found, as_json)
    if not hasattr(found, "data_vars"):
        return print_description(found, as_json)
    if not as_json:
        echo(f"{found.attrs.get('analysis', 'dataset')} {json.dumps(found.attrs.get('parameters', {}))}")
    print_result(found, as_json)


def check(source: str, mirror: Mirror = None, as_json: AsJson = False) -> None:
    """Check a recording against the contract."""
    from neurointerp import schema

    rec = source_of(source, mirror=mirror)
    schema.check(rec)
    echo(
        json.dumps({"source": source, "ok": True})
        if as_json
        else f"{source}: a valid {rec.attrs['modality']} recording"
    )


def verify(path: Annotated[str, typer.Argument(help="Store, or its URL.")], as_json: AsJson = False) -> None:
    """Check every file of a store against the digests written with it."""
    from neurointerp import store

    chunks = store.verify(path)
    echo(json.dumps({"path": path, "ok": True, "chunks": chunks}) if as_json else f"{path}: {chunks} chunks are whole")
