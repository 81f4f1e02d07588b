"""How the sources of a dataset are read: fetched, and given to the loader or the simulator that its entry names."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurointerp import fetch
from neurointerp.errors import ManifestError

if TYPE_CHECKING:
    from neurointerp.manifest import Entry, Item


def read(entry: Entry, item: Item, function: str, mirror: str | os.PathLike[str] | None) -> Any:
    """Give what `load` or `load_session` of the entry's loader makes of its sources."""
    call = reader(entry, function)
    if entry.simulated:
        return call(**item.options)
    first, *others = (source for source in item.sources if source.argument is None or _takes(call, source.argument))
    path, *paths = (fetch.fetch(source.url, source.sha256, source.bytes, mirror=mirror) for source in (first, *others))
    keywords = {str(source.argument): other for source, other in zip(others, paths, strict=True)}
    return call(path, **keywords, **item.options)


def _takes(call: Callable[..., Any], argument: str) -> bool:
    """Tell whether a loader's function wants a source: word timings serve a session, not a recording."""
    parameters = inspect.signature(call).parameters.values()
    return any(p.name == argument or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def reader(entry: Entry, function: str) -> Callable[..., Any]:
    """Find the reader of an entry: a simulator of `synthetic`, or a module of the loaders."""
    if entry.simulated:
        simulator = entry.loader.removeprefix("synthetic.")
        simulate = getattr(import_module("neurointerp.synthetic"), simulator, None)
        if not callable(simulate):
            raise ManifestError(f"dataset {entry.id!r}: no simulator {entry.loader!r}")
        return simulate if function == "load_session" else lambda **options: _recording_of(simulate(**options))
    try:
        module = import_module(f"neurointerp.loaders.{entry.loader}")
    except ModuleNotFoundError as error:
        raise ManifestError(f"dataset {entry.id!r}: no loader {entry.loader!r} in neurointerp.loaders") from error
    call = getattr(module, function, None)
    if not callable(call):
        raise ManifestError(f"dataset {entry.id!r}: loader {entry.loader!r} has no {function}()")
    found: Callable[..., Any] = call
    return found


def _recording_of(tree: xr.DataTree) -> xr.DataArray:
    """Give the first recording of a simulated session, under its own name."""
    name = next(iter(tree["recordings"].children))
    return tree[f"recordings/{name}/recording"].rename(name)
