"""Fixtures that several tests of loaders share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import holdings


@pytest.fixture
def adopted() -> Callable[[str, Path], dict[str, xr.DataArray]]:
    """Give a loader of every worm of a folder by the dataset's id, from `file://` sources with their sha256."""

    def load(dataset: str, folder: Path) -> dict[str, xr.DataArray]:
        mine = holdings.adopt(dataset, folder, folder / "mine.yaml")
        entry = ni.datasets(mine)[dataset]
        assert all(
            s.url.startswith("file://") and s.sha256 for item in entry.all_items().values() for s in item.sources
        )
        worms = ni.load_all(dataset, manifest=mine)
        for rec in worms.values():
            ni.check(rec)
            assert rec.attrs["citation"] == entry.citation
        return worms

    return load
