"""The reservoir and its recording: heterogeneous Izhikevich neurons after a cue."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError
from neurointerp.models import spiking
from neurointerp.recordings import add_history, recording, session

CUE, LENGTH, STEP, EVERY = 0.1, 0.9, 1e-3, 5
"""When the cue begins and how long a trial and a step are (s); steps per sample of the rates."""
TAU = 0.05
"""Time constant of the rates (s)."""
CITATION = "Yamada & Chao (2025) arXiv:2510.14382 (a construction from the abstract)"


def network(size: int = 1000, *, cue: int = 0, seed: int = 0) -> spiking.Network:
    """Describe the reservoir and one cue.

    Parameters
    ----------
    size
        Number of Izhikevich neurons; four fifths are excitatory.
    cue
        Which cue is presented; each reaches its own random 60% of the neurons.
    seed
        Seed of neurons, wiring and cues.

    Returns
    -------
    neurointerp.models.spiking.Network
        Heterogeneous neurons, a tenth of all pairs connected by currents of 5 to 80 ms, and the cue: 50 ms of spikes
        from 0.1 s on, through currents of 50 to 1500 ms that carry the time.

    Raises
    ------
    RecordingError
        When the size is too small.

    Examples
    --------
    >>> network(100).size
    101
    """
    if size < 10:
        raise RecordingError(f"a reservoir needs at least 10 neurons; found {size!r}")
    rng = np.random.default_rng([seed, 0])
    excites, r = np.arange(size) < round(0.8 * size), rng.random(size)
    cells = spiking.Izhikevich(
        size,
        a=np.where(excites, 0.02, 0.02 + 0.08 * r),
        b=np.where(excites, 0.2, 0.25 - 0.05 * r),
        c=np.where(excites, -65 + 15 * r**2, -65.0),
        d=np.where(excites, 8 - 6 * r**2, 2.0),
    )
    strength = np.where(excites, 0.2, -0.8)[:, None] * np.sqrt(400 / size)
    weights = np.where(rng.random((size, size)) < 0.1, rng.random((size, size)) * strength, 0.0)
    np.fill_diagonal(weights, 0.0)
    fast, bias = np.exp(rng.uniform(np.log(0.005), np.log(0.08), size)), rng.uniform(2, 5, size)
    slow = np.exp(rng.uniform(np.log(0.05), np.log(1.5), size))
    own = np.random.default_rng([seed, 1, cue])
    reached = np.where(own.random(size) < 0.6, own.random(size), 0.0) * 20.0 / 50
    pulse = spiking.SpikeSource(1, CUE + np.arange(50) * STEP, np.zeros(50, dtype=int))
    wires = [
        spiking.Synapses("n", "n", weights, tau=fast),
        spiking.Synapses("cue", "n", reached[None], tau=slow),
    ]
    return spiking.Network({"n": cells, "cue": pulse}, wires, [spiking.Current("n", bias), spiking.Noise("n", 1.0)])


def record(
    count: int = 120, *, size: int = 1000, cues: int = 1, test_fraction: float = 1 / 6, seed: int = 0
) -> xr.DataTree:
    """Record realisations of the reservoir after its cues, with no outcome ever presented to it.

    Parameters
    ----------
    count
        Realisations of each cue, which differ by their noise.
    size
        Number of neurons.
    cues
        Number of cues.
    test_fraction
        Fraction of the realisations of a cue, at least one and not all, that no readout is trained on.
    seed
        Seed of the network and the noise.

    Returns
    -------
    xarray.DataTree
        `recordings/rate` (trial, time, unit): spikes filtered with an exponential of 50 ms, at 200 Hz (each spike
        adds 1), with `cue` and `split` (train, test) on `trial` and `cell_type` on `unit`. `truth`: the synapses and
        inputs of the last cue's network.

    Raises
    ------
    RecordingError
        When a number is out of range.

    Examples
    --------
    >>> tree = record(3, size=50)
    >>> dict(tree["recordings/rate/recording"].sizes)
    {'trial': 3, 'time': 180, 'unit': 50}
    """
    if count < 2 or cues < 1 or not 0 < test_fraction < 1:
        raise RecordingError(
            f"two realisations, a cue and a test_fraction within 0 to 1 are needed; found {count!r}, {cues!r}, "
            f"{test_fraction!r}"
        )
    trees = [
        spiking.simulate_trials(
            network(size, cue=cue, seed=seed), LENGTH, count, step=STEP, seed=seed + 7919 * cue, bin_width=EVERY * STEP
        )
        for cue in range(cues)
    ]
    counts: list[Any] = [tree["recordings/spikes/recording"] for tree in trees]
    first, tests = counts[0], min(max(1, round(count * test_fraction)), count - 1)
    rec = recording(
        np.concatenate([_filtered(one.values) for one in counts]),
        modality="spikes",
        units="1",
        time=first["time"],
        unit=first["unit"].values,
        dims=("trial", "time", "unit"),
        coords={
            "cue": ("trial", np.repeat(np.arange(cues), count)),
            "split": ("trial", np.tile(np.repeat(["train", "test"], [count - tests, tests]), cues)),
            "cell_type": ("unit", np.where(np.arange(size) < round(0.8 * size), "excitatory", "inhibitory")),
        },
        attrs={"system": "simulated", "source": "neurointerp.models.reservoir", "citation": CITATION},
    )
    rec = add_history(rec, "models.reservoir.record", count=count, size=size, cues=cues, seed=seed)
    truth = {str(name): array for name, array in trees[-1]["truth"].data_vars.items()}
    return session({"rate": rec}, truth=truth, attrs={"source": "neurointerp.models.reservoir", "system": "simulated"})


def _filtered(counts: np.ndarray) -> np.ndarray:
    from scipy.signal import lfilter

    out: np.ndarray = lfilter([1.0], [1.0, -np.exp(-EVERY * STEP / TAU)], counts, axis=1).astype(np.float32)
    return out


def check_rate(rate: xr.DataArray) -> None:
    """Refuse what is not a recording as `record` gives it."""
    if rate.dims != ("trial", "time", "unit") or "split" not in rate.coords or "cue" not in rate.coords:
        raise RecordingError(
            f"rates (trial, time, unit) with split and cue on trial are needed, as record gives; found {rate.dims}"
        )
