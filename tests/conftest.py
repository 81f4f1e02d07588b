"""Fixtures shared by all tests: the offline mirror of real files, and one small recording per modality."""

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni

MIRRORS = [os.environ.get("NEUROINTERP_MIRROR", ""), str(Path(__file__).parents[2] / "shared" / "data")]


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Give the folder with the real files of the manifest, or skip."""
    for folder in filter(None, MIRRORS):
        if (Path(folder) / "FILES.tsv").is_file():
            return Path(folder).resolve()
    pytest.skip("no offline mirror of the real files: set NEUROINTERP_MIRROR to a folder that holds them")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROINTERP_MIRROR", raising=False)


def _smooth(rng: np.random.Generator, samples: int, units: int) -> np.ndarray:
    latent = rng.standard_normal((samples + 9, 3)).cumsum(axis=0)
    latent = latent[9:] - latent[:-9]
    return latent @ rng.standard_normal((3, units)) + rng.standard_normal((samples, units))


@pytest.fixture
def recordings() -> dict[str, xr.DataArray]:
    """Give one small simulated recording per modality: signed, counts, epochs, segments, float32."""
    rng = np.random.default_rng(0)
    segment = np.repeat([0, 1, 2], [50, 40, 30])
    signed = {modality: _smooth(rng, 120, 8) for modality in ("calcium", "eeg", "meg", "ieeg", "fmri", "behavior")}
    units = {"eeg": "V", "ieeg": "V", "meg": "T"}
    out = {
        modality: ni.recording(values, modality=modality, units=units.get(modality, "1"), sampling_rate=10.0)
        for modality, values in signed.items()
    }
    out["activations"] = ni.recording(
        _smooth(rng, 120, 8).astype(np.float32),
        modality="activations",
        units="1",
        time=np.arange(120),
        coords={"segment": ("time", segment), "layer": ("unit", np.repeat([0, 1], 4))},
    )
    out["spikes"] = ni.recording(
        rng.poisson(np.exp(_smooth(rng, 120, 8) / 8)), modality="spikes", units="1", sampling_rate=20.0
    )
    out["stimulus"] = ni.recording(
        _smooth(rng, 120, 8).reshape(6, 20, 8),
        modality="stimulus",
        units="1",
        sampling_rate=10.0,
        dims=("trial", "time", "unit"),
        coords={"stimulus": ("trial", ["a", "b", "c", "a", "b", "c"])},
    )
    return out
