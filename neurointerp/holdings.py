"""A manifest of files that you have and the package's manifest has no hash of."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr

from neurointerp import _reading, fetch
from neurointerp.errors import ManifestError
from neurointerp.manifest import Entry, datasets, entry


def adopt(
    id: str,  # noqa: A002 - the field's name in the manifest
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a manifest of your copies of a dataset's files, so that they load by id and are verified from then on.

    Parameters
    ----------
    id
        Dataset whose entry lists `files` at an `address` (nobody has hashed them for the package's manifest).
    folder
        Where your copies are, also in folders below.
    out
        The manifest to write (`.yaml`); must not exist.
    manifest
        A manifest of your own that has the entry; the package's when left out.

    Returns
    -------
    pathlib.Path
        The manifest: the entry with one item per recording, named by its file's session (a worm), each source with its
        `file://` address, the sha256 and size found, and as `expected` what the recording measured. It trusts the files
        as they are now; a later change is an error. Pass it as `manifest=` to `ni.load`, `ni.load_all`.

    Raises
    ------
    ManifestError
        When the dataset is not known or is not of this kind, no file fits, or `out` exists or cannot be written.
    LoaderError
        When a file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile, neurointerp as ni
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pathlib.Path(folder) / "20220327_herm_2.csv"
    ...     _ = table.write_text("neuron,0,1,2\\nASEL,1.5,0.5,0.25\\nAVAL,1,2,1.5\\n")
    ...     mine = adopt("venkatachalam2024", folder, pathlib.Path(folder) / "mine.yaml")
    ...     rec = ni.load("venkatachalam2024", manifest=mine).load()
    >>> rec.name, list(rec.unit.values), rec.attrs["license"]
    ('venkatachalam2024-20220327_herm_2', ['ASEL', 'AVAL'], 'not read: see the address')
    """
    import yaml

    listed, root, target = entry(id, manifest=manifest), Path(folder), Path(out)
    if not listed.files:
        raise ManifestError(f"dataset {id!r} has sources of its own: ni.load fetches and verifies them")
    if target.exists():
        raise ManifestError(f"{target} exists already; choose another name for the manifest")
    items: dict[str, dict[str, Any]] = {}
    for pattern in listed.files:
        for path in sorted(path for path in root.rglob(pattern) if not path.name.startswith(".")):
            sources = list(_sources(listed, path, pattern))
            for name, options, rec in _recordings(listed, path, sources):
                free = (f"{name}-{number}" for number in itertools.count(len(items)))
                label = next(label for label in free if label not in items) if name in items else name
                shown = [{key: value for key, value in source.items() if key != "path"} for source in sources]
                items[label] = {"sources": shown, "options": options, "expected": _measured(rec)}
    if not items:
        raise ManifestError(f"{root}: holds no {' or '.join(listed.files)} of {listed.address}")
    about = listed.model_dump(mode="json", exclude_defaults=True, exclude={"files", "beside", "each", "items"})
    text = yaml.safe_dump({"datasets": [about | {"items": items}]}, sort_keys=False, allow_unicode=True)
    part = target.with_name(f".{target.name}.partial")
    try:
        part.write_text(text, "utf-8")
        datasets(part)
        return part.replace(target)
    except OSError as error:
        raise ManifestError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _sources(listed: Entry, path: Path, pattern: str) -> Iterator[dict[str, Any]]:
    """Give a file and those beside it that an argument of the loader takes."""
    yield _source(path)
    stem = path.name.removesuffix(pattern.rpartition("*")[2])
    for argument, ending in listed.beside.items():
        other = path.with_name(f"{stem}{ending}")
        if other.is_file():
            yield _source(other) | {"argument": argument}


def _source(path: Path) -> dict[str, Any]:
    found = path.resolve()
    return {"url": found.as_uri(), "sha256": fetch.sha256_of(found), "bytes": found.stat().st_size, "path": found}


def _recordings(
    listed: Entry, path: Path, sources: list[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any], xr.DataArray]]:
    """Give name, options and recording of each one that a file holds."""
    beside = {source["argument"]: source["path"] for source in sources[1:]}
    if listed.each is None:
        rec = _reading.reader(listed, "load")(path, **beside, **listed.options)
        yield str(rec.attrs.get("session", path.stem)), {}, rec
        return
    for name, rec in _reading.reader(listed, "load_all")(path, **beside, **listed.options).items():
        yield name, {listed.each: name}, rec


def _measured(rec: xr.DataArray) -> dict[str, Any]:
    found = {"dims": list(map(str, rec.dims)), "sizes": {str(dim): int(size) for dim, size in rec.sizes.items()}}
    rate = {"sampling_rate": float(rec.attrs["sampling_rate"])} if "sampling_rate" in rec.attrs else {}
    return {**found, **rate, "units": rec.attrs["units"]}
