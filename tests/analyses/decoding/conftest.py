"""Recordings to decode, with known classes."""

import numpy as np
import pytest

import neurointerp as ni


@pytest.fixture
def trials():
    """Give a maker of trials in time whose classes differ in the first two units, in the second half of a trial."""

    def make(count=60, times=8, units=5, classes=("a", "b"), strength=2.0, seed=0, **coords):
        rng = np.random.default_rng(seed)
        label = np.array(classes, dtype=object)[np.arange(count) % len(classes)]
        values = rng.standard_normal((count, times, units))
        for number, name in enumerate(classes):
            where = np.flatnonzero(label == name)
            values[where, times // 2 :, number % units] += strength
        return ni.recording(
            values,
            modality="eeg",
            units="uV",
            sampling_rate=100.0,
            dims=("trial", "time", "unit"),
            coords={"condition": ("trial", label), **{name: ("trial", value) for name, value in coords.items()}},
        )

    return make


@pytest.fixture
def patterns():
    """Give a maker of single patterns, one value per trial and unit."""

    def make(count=80, units=6, classes=("a", "b"), strength=1.0, seed=0, **coords):
        rng = np.random.default_rng(seed)
        label = np.array(classes, dtype=object)[rng.permutation(np.arange(count) % len(classes))]
        mean = rng.standard_normal((len(classes), units)) * strength
        number = np.searchsorted(np.array(classes, dtype=object), label)
        values = mean[number] + rng.standard_normal((count, units)) @ rng.standard_normal((units, units))
        return ni.recording(
            values,
            modality="fmri",
            units="1",
            dims=("trial", "unit"),
            coords={"condition": ("trial", label), **{name: ("trial", value) for name, value in coords.items()}},
        )

    return make
