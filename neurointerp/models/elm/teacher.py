"""A neuron with dendritic NMDA spikes, to learn from: what each branch does is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import RecordingError
from neurointerp.recordings import add_history, recording, session

BRANCHES, EXCITATORY, INHIBITORY = 8, 12, 4
REST, THRESHOLD, ADAPTATION = -70.0, -55.0, 3.0  # mV
_AMPA, _NMDA, _GABA, _SOMA, _ADAPT = (float(np.exp(-1 / tau)) for tau in (2.0, 80.0, 10.0, 15.0, 100.0))
_REFRACTORY = 2  # ms
_START = 200  # ms simulated before the recording begins
# 8 coincident spikes give 1, of which AMPA 0.2 (over in 2 ms) and NMDA 0.8.
_AMPA_JUMP, _NMDA_JUMP, _GABA_JUMP = 0.025, 0.1, 0.05
_FAST, _PLATEAU, _SHUNT = 12.0, 12.8, 8.0  # mV at the soma per unit of AMPA, of open NMDA and of GABA
_SOURCE = "neurointerp.models.elm.two_stage_neuron"


def two_stage_neuron(
    *, trials: int = 16, duration: float = 6.0, bias: float = 0.0, jitter: float = 2.0, seed: int = 0
) -> xr.DataTree:
    r"""Simulate a neuron whose eight branches make NMDA spikes, with its inputs.

    Steps of 1 ms. Each branch has 12 excitatory and 4 inhibitory afferents. An excitatory spike adds to its AMPA
    (2 ms) and NMDA (80 ms) traces, 1 for eight together; the branch sends
    :math:`12 A + 12.8 N \sigma((A + N - 1.2) / 0.15) - 8 G` mV, so that NMDA counts only where its own branch is
    strongly driven; inhibition (10 ms) is subtracted. The soma leaks with 15 ms towards rest plus bias and sum of the
    branches; it spikes at a threshold that rises by 3 mV per spike and decays with 100 ms, is set to rest and stays
    there for 2 ms. Afferents are Poisson, 2 to 8 Hz; the rate of a branch changes every 200 to 600 ms, and volleys
    (0.5 Hz, 70% of its excitatory afferents within `jitter`) reach one branch at a time.

    Parameters
    ----------
    trials, duration
        Number of trials, and their length in seconds.
    bias
        Constant drive of the soma in mV; the default gives 1 to 3 spikes per second.
    jitter
        Spread of a volley in ms.
    seed
        Seed of weights and inputs. Trials of one seed share the weights.

    Returns
    -------
    xarray.DataTree
        `recordings/afferents` (trial, time, unit) spikes with `sign` (+1, -1) along `unit`, in a shuffled order that
        hides the branches; `recordings/spikes` and `recordings/soma` (mV, of one unit). `truth`: `branch (unit)`,
        `weight (unit)`, and `gate (trial, time, branch)`, how far the NMDA of a branch is open.

    Raises
    ------
    RecordingError
        When a parameter is out of range.

    References
    ----------
    Two-stage integration follows Poirazi, Brannon and Mel (2003), Neuron 37:989-999; all constants are this
    package's own.

    Examples
    --------
    >>> tree = two_stage_neuron(trials=2, duration=1.0)
    >>> dict(tree["recordings/afferents/recording"].sizes)
    {'trial': 2, 'time': 1000, 'unit': 128}
    """
    if trials < 1 or duration < 0.001 or jitter < 0:
        raise RecordingError(
            f"two_stage_neuron: trials {trials}, duration {duration} s, jitter {jitter} ms out of range"
        )
    parameters = {"trials": trials, "duration": duration, "bias": bias, "jitter": jitter, "seed": seed}
    rng = np.random.default_rng(seed)
    branch = np.repeat(np.arange(BRANCHES), EXCITATORY + INHIBITORY)
    sign = np.tile(np.repeat([1, -1], [EXCITATORY, INHIBITORY]), BRANCHES)
    weight = rng.uniform(0.5, 1.5, branch.size)
    order = rng.permutation(branch.size)
    steps = round(duration * 1000) + _START
    spikes = _afferents(rng, trials, steps, branch, sign, jitter)
    soma, fired, gate = _integrate(spikes, branch, sign, weight, bias)
    kept = slice(_START, None)
    labels = [f"a{i:03d}" for i in range(branch.size)]
    afferents = _simulated(
        spikes[:, kept, order], parameters, modality="spikes", units="1", unit=labels, name="afferents",
        coords={"sign": ("unit", sign[order])},
    )  # fmt: skip
    spiking = _simulated(fired[:, kept, None], parameters, modality="spikes", units="1", unit=["soma"], name="spikes")
    potential = _simulated(
        soma[:, kept, None], parameters, modality="activations", units="mV", unit=["soma"], name="soma"
    )
    clock = {name: afferents[name].variable for name in ("trial", "time")}
    truth = {
        "branch": xr.DataArray(branch[order], dims="unit", coords={"unit": afferents["unit"].variable}),
        "weight": xr.DataArray(weight[order], dims="unit", coords={"unit": afferents["unit"].variable}),
        "gate": xr.DataArray(gate[:, kept], dims=("trial", "time", "branch"), coords=clock),
    }
    return session({"afferents": afferents, "spikes": spiking, "soma": potential}, truth=truth)


def _afferents(
    rng: np.random.Generator, trials: int, steps: int, branch: NDArray[Any], sign: NDArray[Any], jitter: float
) -> NDArray[np.uint8]:
    """Draw the spikes (trial, time, afferent)."""
    spikes = np.zeros((trials, steps, branch.size), dtype=np.uint8)
    for trial in range(trials):
        rate = np.empty((steps, BRANCHES))
        for number in range(BRANCHES):
            cuts = np.cumsum(rng.integers(200, 601, steps // 200 + 2))
            levels = rng.uniform(2.0, 8.0, cuts.size)
            rate[:, number] = levels[np.searchsorted(cuts, np.arange(steps), side="right")]
        spikes[trial] = rng.random((steps, branch.size)) < rate[:, branch] * 1e-3
        for number in range(BRANCHES):
            targets = np.flatnonzero((branch == number) & (sign > 0))
            for start in np.flatnonzero(rng.random(steps) < 0.5e-3):
                hit = targets[rng.random(targets.size) < 0.7]
                when = start + np.round(rng.uniform(0.0, jitter, hit.size)).astype(int)
                spikes[trial, when[when < steps], hit[when < steps]] = 1
    return spikes


def _integrate(
    spikes: NDArray[np.uint8], branch: NDArray[Any], sign: NDArray[Any], weight: NDArray[Any], bias: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """Run the neuron; give soma and spikes (trial, time) and the NMDA gates (trial, time, branch)."""
    trials, steps, _ = spikes.shape
    to_branch = np.equal.outer(branch, np.arange(BRANCHES)) * weight[:, None]
    excitation, inhibition = (
        np.where(kind[:, None], to_branch, 0.0).astype(np.float32) for kind in (sign > 0, sign < 0)
    )
    excited, inhibited = (spikes.astype(np.float32) @ part for part in (excitation, inhibition))
    ampa, nmda, gaba = (np.zeros((trials, BRANCHES)) for _ in range(3))
    voltage, adapted = np.full(trials, REST), np.zeros(trials)
    ready = np.zeros(trials, dtype=np.int64)
    soma, fired = np.empty((trials, steps), np.float32), np.zeros((trials, steps), np.uint8)
    gates = np.empty((trials, steps, BRANCHES), np.float32)
    for t in range(steps):
        ampa = _AMPA * ampa + _AMPA_JUMP * excited[:, t]
        nmda = _NMDA * nmda + _NMDA_JUMP * excited[:, t]
        gaba = _GABA * gaba + _GABA_JUMP * inhibited[:, t]
        gate = 1 / (1 + np.exp(-(ampa + nmda - 1.2) / 0.15))
        current = (_FAST * ampa + _PLATEAU * nmda * gate - _SHUNT * gaba).sum(axis=1)
        voltage = REST + bias + current + _SOMA * (voltage - REST - bias - current)
        adapted *= _ADAPT
        voltage[ready > t] = REST
        spiking = voltage >= THRESHOLD + adapted
        soma[:, t], fired[:, t], gates[:, t] = voltage, spiking, gate
        voltage[spiking] = REST
        adapted[spiking] += ADAPTATION
        ready[spiking] = t + 1 + _REFRACTORY
    return soma, fired, gates


def _simulated(values: Any, parameters: Mapping[str, Any], **labels: Any) -> xr.DataArray:
    citation = "Poirazi, Brannon & Mel (2003) Neuron 37:989-999"
    attrs = {"system": "simulated", "source": _SOURCE, "citation": citation}
    made = recording(values, dims=("trial", "time", "unit"), sampling_rate=1000.0, attrs=attrs, **labels)
    return add_history(made, "models.elm.two_stage_neuron", **parameters)
