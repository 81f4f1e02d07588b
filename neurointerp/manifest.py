"""The data manifest: which datasets there are, how to fetch and verify them, and loading by id."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neurointerp import cluster, fetch, store
from neurointerp._reading import read
from neurointerp.errors import ManifestError
from neurointerp.recordings import add_history, version
from neurointerp.schema import MODALITIES


class Source(BaseModel):
    """One file of a dataset: its public address, its sha256 and size.

    `url` is http(s), `file://`, `package:<library>/<path>` (a file that an installed library carries) or
    `mirror:<name>` (derived from the public file at `derived_from`; only a mirror has it). The first source
    of an item is the loader's first argument; the others name theirs in `argument`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    bytes: int | None = Field(default=None, ge=0)
    argument: str | None = None
    derived_from: str | None = None

    @model_validator(mode="after")
    def _hash_unless_packaged(self) -> Source:
        if not self.url.startswith(("https://", "http://", "file://", "package:", "mirror:")):
            raise ValueError(f"url {self.url!r}: https://, file://, package: or mirror: is needed")
        if self.sha256 is None:
            raise ValueError(f"{self.url}: a sha256 is needed")
        if self.url.startswith("mirror:") and self.derived_from is None:
            raise ValueError(f"{self.url}: derived_from must name the public file it was made from")
        return self


class Expected(BaseModel):
    """What the homogenised recording must look like; anything left out is not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dims: tuple[str, ...] | None = None
    sizes: dict[str, int] = {}
    sampling_rate: float | None = None
    units: str | None = None


class Item(BaseModel):
    """One recording of a dataset (a worm, a run, a subject); its fields add to those of the entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sources: list[Source] = []
    options: dict[str, Any] = {}
    expected: Expected = Expected()


class Entry(BaseModel):
    """One dataset of the manifest.

    An entry without sources lists `files` (names or patterns) that are at `address`, whose content nobody has hashed
    for the manifest: `holdings.adopt` makes a manifest of your copies of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    title: str
    modality: str
    version: str
    loader: str = Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")
    options: dict[str, Any] = {}
    sources: list[Source] = []
    items: dict[str, Item] = {}
    embedded: bool = False
    system: str
    license: str
    citation: str
    doi: str | None = Field(default=None, pattern=r"^10\.\d{4,}/\S+$")
    collection: str = ""
    published: dict[str, int] = {}
    address: str | None = Field(default=None, pattern="^https?://")
    files: list[str] = []
    beside: dict[str, str] = {}
    each: str | None = None
    expected: Expected = Expected()

    @model_validator(mode="after")
    def _known_modality_and_sources(self) -> Entry:
        if self.modality not in MODALITIES:
            raise ValueError(f"modality {self.modality!r}: one of {', '.join(MODALITIES)} is needed")
        if self.files and (self.address is None or self.sources or self.items):
            raise ValueError("files: they stand at an address, and go with neither sources nor items")
        for name, item in self.all_items().items():
            if not self.simulated and (not item.sources or item.sources[0].argument is not None):
                raise ValueError(f"sources: item {name!r} of a real dataset needs a first one without an argument")
            if any(source.argument is None for source in item.sources[1:]):
                raise ValueError(f"sources: all but the first of item {name!r} must name the loader's argument")
        return self

    @property
    def simulated(self) -> bool:
        """Tell whether the data come from a simulator."""
        return self.system == "simulated"

    def all_items(self) -> dict[str, Item]:
        """Give every item with the entry's own sources, options and expectations merged in.

        An entry that lists no items holds one, named as the entry; one whose files nobody has hashed holds none.
        """
        if self.files:
            return {}
        return {
            name: Item(
                sources=[*item.sources, *self.sources],
                options={**self.options, **item.options},
                expected=self.expected.model_copy(update=item.expected.model_dump(exclude_unset=True)),
            )
            for name, item in (self.items or {self.id: Item()}).items()
        }


def datasets(path: str | os.PathLike[str] | None = None) -> dict[str, Entry]:
    """List the datasets of the manifest.

    Parameters
    ----------
    path
        A manifest of your own; the package's when left out.

    Returns
    -------
    dict of str to Entry
        By id, in the manifest's order.

    Raises
    ------
    ManifestError
        When the manifest cannot be read or an entry is not valid; the message names entry and field.

    Examples
    --------
    >>> import neurointerp as ni
    >>> ni.datasets()["demo-calcium"].simulated
    True
    """
    if path is None:
        return dict(_packaged())
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {path}: {error.strerror}") from error
    return _parse(text, str(path))


def load(
    id: str,  # noqa: A002 - the field's name in the manifest
    item: str | None = None,
    *,
    mirror: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> xr.DataArray:
    """Give one recording of a dataset, fetched, verified and homogenised.

    Parameters
    ----------
    id
        Dataset of `ni.datasets()`.
    item
        Which recording, where the dataset holds several.
    mirror
        Folder or fsspec URL searched (by sha256) before the network; default `NEUROINTERP_MIRROR`.
    manifest
        A manifest of your own.

    Returns
    -------
    xarray.DataArray
        The recording, with `source`, `license`, `citation` and `system` in its attrs. Homogenised stores are
        kept in the cache (`NEUROINTERP_CACHE`), so a second call reads no raw file.

    Raises
    ------
    ManifestError
        When the id or item is unknown, a file is missing or has the wrong hash, or the recording is not what
        the manifest expects.

    Examples
    --------
    >>> import neurointerp as ni
    >>> ni.load("demo-eeg").sizes
    Frozen({'time': 1280, 'unit': 32})
    """
    entry = _entry(id, manifest)
    name, found = _item(entry, item)
    if entry.embedded:
        return _finish(entry, name, found, read(entry, found, "load", mirror))
    kept = fetch.cache_folder() / "stores" / entry.id / f"{name}-{_key(entry, found)}.zarr"
    if not kept.exists():
        rec = _finish(entry, name, found, read(entry, found, "load", mirror))
        store.save(rec, kept, overwrite=True)
    opened: xr.DataArray = store.open(kept)
    return opened


def load_all(
    id: str,  # noqa: A002
    *,
    mirror: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> dict[str, xr.DataArray]:
    """Give every recording of a dataset by item name; parameters and errors as for `load`.

    With a `dask.distributed` client items are fetched and homogenised on its workers at once, where `NEUROINTERP_CACHE`
    is a folder that all workers see.

    Examples
    --------
    >>> import neurointerp as ni
    >>> list(ni.load_all("demo-calcium"))
    ['demo-calcium']
    """
    items = _entry(id, manifest).all_items()
    if cluster.client() is not None:
        calls = {name: {"id": id, "item": name, "mirror": mirror, "manifest": manifest} for name in items}
        for _ in cluster.finished(_cached, calls):
            pass
    return {name: load(id, name, mirror=mirror, manifest=manifest) for name in items}


def _cached(id: str, item: str, mirror: Any, manifest: Any) -> None:  # noqa: A002
    """Leave a recording in the cache, where `load` then finds it."""
    load(id, item, mirror=mirror, manifest=manifest)


def load_session(
    id: str,  # noqa: A002
    item: str | None = None,
    *,
    mirror: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> xr.DataTree:
    """Give everything the source of a dataset holds as a session; parameters and errors as for `load`.

    Examples
    --------
    >>> import neurointerp as ni
    >>> sorted(ni.load_session("demo-calcium")["truth"].data_vars)
    ['coefficients', 'ensembles', 'spikes']
    """
    entry = _entry(id, manifest)
    name, found = _item(entry, item)
    tree: xr.DataTree = read(entry, found, "load_session", mirror)
    sha256 = [source.sha256 for source in found.sources]
    tree.attrs |= {**_about(entry, found), "dataset": entry.id, "item": name, "sha256": sha256}
    return tree


def entry(id: str, *, manifest: str | os.PathLike[str] | None = None) -> Entry:  # noqa: A002
    """Give one dataset of the manifest; a ManifestError lists those there are.

    Examples
    --------
    >>> entry("kato2015").address
    'https://osf.io/2395t'
    """
    entries = datasets(manifest)
    if id not in entries:
        near = difflib.get_close_matches(id, entries, n=1, cutoff=0.7)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ManifestError(f"no dataset {id!r}; {meant}there are: {', '.join(entries)}")
    return entries[id]


def _entry(id: str, manifest: str | os.PathLike[str] | None) -> Entry:  # noqa: A002
    """Give a dataset whose files have a hash, which alone can be fetched and verified."""
    found = entry(id, manifest=manifest)
    if found.files:
        raise ManifestError(
            f"dataset {id!r}: nobody has hashed its files for the manifest, so they cannot be fetched and verified; "
            f"get {', '.join(found.files)} from {found.address}, write a manifest of your copies with "
            f"neurointerp.holdings.adopt({id!r}, FOLDER, 'mine.yaml') and pass manifest='mine.yaml'"
        )
    return found


def _item(entry: Entry, item: str | None) -> tuple[str, Item]:
    items = entry.all_items()
    if item is None and len(items) > 1:
        raise ManifestError(f"dataset {entry.id!r} holds {len(items)} items; name one of: {', '.join(items)}")
    name = next(iter(items)) if item is None else item
    if name not in items:
        raise ManifestError(f"dataset {entry.id!r} has no item {name!r}; it holds: {', '.join(items)}")
    return name, items[name]


def _finish(entry: Entry, name: str, item: Item, rec: xr.DataArray) -> xr.DataArray:
    _check_expected(entry, name, item.expected, rec)
    out = add_history(
        rec, "load", dataset=entry.id, item=name, dataset_version=entry.version,
        sha256=[source.sha256 for source in item.sources],
    )  # fmt: skip
    out.attrs |= _about(entry, item)
    out.name = entry.id if name == entry.id else f"{entry.id}-{name}"
    return out


def _about(entry: Entry, item: Item) -> dict[str, Any]:
    return {
        "system": entry.system,
        "source": [source.derived_from or source.url for source in item.sources] or ["simulated"],
        "license": entry.license,
        "citation": entry.citation,
    }


def _check_expected(entry: Entry, name: str, expected: Expected, rec: xr.DataArray) -> None:
    found: Mapping[str, tuple[Any, Any]] = {
        "modality": (entry.modality, rec.attrs["modality"]),
        "dims": (expected.dims, rec.dims),
        "sizes": (expected.sizes, {dim: rec.sizes.get(dim) for dim in expected.sizes}),
        "sampling_rate": (expected.sampling_rate, rec.attrs.get("sampling_rate")),
        "units": (expected.units, rec.attrs["units"]),
    }
    for field, (wanted, got) in found.items():
        same = abs(wanted - got) <= 1e-6 * wanted if field == "sampling_rate" and wanted and got else wanted == got
        if wanted is not None and not same:
            raise ManifestError(f"dataset {entry.id!r}, item {name!r}: expected {field} {wanted}, found {got}")


def _key(entry: Entry, item: Item) -> str:
    import hashlib

    text = f"{version()} {entry.model_dump_json(exclude={'items', 'sources'})} {item.model_dump_json()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _packaged() -> Mapping[str, Entry]:
    file = resources.files("neurointerp") / "data_manifest.yaml"
    return _parse(file.read_text("utf-8"), "data_manifest.yaml")


def _parse(text: str, where: str) -> dict[str, Entry]:
    import yaml

    try:
        listed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(listed, dict) or not isinstance(listed.get("datasets"), list):
        raise ManifestError(f"{where}: a list under the key 'datasets' is needed")
    entries: dict[str, Entry] = {}
    for index, raw in enumerate(listed["datasets"]):
        label = raw.get("id", f"number {index}") if isinstance(raw, dict) else f"number {index}"
        try:
            entry = Entry.model_validate(raw)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}" for e in error.errors()]
            raise ManifestError(f"{where}: dataset {label!r}: {'; '.join(problems)}") from error
        if entry.id in entries:
            raise ManifestError(f"{where}: dataset {entry.id!r} is listed twice")
        entries[entry.id] = entry
    return entries
