"""A bar on stderr that follows how much of a recording has been read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurointerp.schema import is_in_memory


class _Counted(BackendArray):
    """The values of a recording; `tell` hears of the bytes of each part that is read."""

    def __init__(self, variable: xr.Variable, tell: Callable[[int], None]) -> None:
        self.variable, self.tell = variable, tell
        self.shape, self.dtype = variable.shape, variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        outer = indexing.IndexingSupport.OUTER
        values: np.ndarray = indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)
        return values

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        values: np.ndarray = self.variable[key].values
        self.tell(values.nbytes)
        return values


@contextmanager
def followed(rec: xr.DataArray) -> Iterator[xr.DataArray]:
    """Give a recording with the same values whose reading moves a bar, where somebody watches stderr."""
    if not sys.stderr.isatty() or rec.chunks is not None or is_in_memory(rec):
        yield rec
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"converting {rec.name}", total=rec.nbytes)
        counted = _Counted(rec.variable, lambda size: bar.update(task, advance=size))
        yield rec.copy(data=indexing.LazilyIndexedArray(counted))
