"""Recordings of the same stimuli by systems of known likeness."""

import numpy as np
import pytest

import neurointerp as ni


def responses(values, stimulus=None, **coords):
    """Give a (trial, unit) recording whose trials name their stimulus."""
    labels = [f"s{i}" for i in range(len(values))] if stimulus is None else list(stimulus)
    on_trial = {name: ("trial", np.asarray(one)) for name, one in coords.items()}
    return ni.recording(
        np.asarray(values),
        modality="fmri",
        units="1",
        dims=("trial", "unit"),
        coords={"stimulus": ("trial", labels), **on_trial},
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pair(rng):
    """Give two recordings of 24 stimuli that share three latent dims, with noise."""
    latent = rng.standard_normal((24, 3))
    return {
        "a": responses(latent @ rng.standard_normal((3, 10)) + 0.5 * rng.standard_normal((24, 10))),
        "b": responses(latent @ rng.standard_normal((3, 7)) + 0.5 * rng.standard_normal((24, 7))),
    }
