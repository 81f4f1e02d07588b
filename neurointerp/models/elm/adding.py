"""Adding two digits that are spelled in spikes, a while apart: it takes patterns in time and memory."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from neurointerp.errors import ModelError, RecordingError
from neurointerp.recordings import add_history, recording, session

DIGITS = 10
_SPIKES = 2  # of each channel in each template


def spike_adding(
    *, trials: int = 512, channels: int = 140, digit: float = 0.5, jitter: float = 0.005, deleted: float = 0.2,
    templates: int = 0, seed: int = 0,
) -> xr.DataTree:  # fmt: skip
    """Simulate trials of two spoken digits, each a planted pattern of spikes.

    In a template each channel spikes twice, at times of its own, so that counts tell nothing. In a trial two
    digits follow each other; every spike is moved by a normal jitter and some are left out.

    Parameters
    ----------
    trials, channels
        How many of each.
    digit
        Length of a digit in seconds; bins are 10 ms.
    jitter, deleted
        Standard deviation of the jitter in seconds, and the share of spikes left out.
    templates, seed
        Seed of the ten templates, and of the trials.

    Returns
    -------
    xarray.DataTree
        `recordings/afferents` (trial, time, unit), counts at 100 Hz with `sign` 1 and the sum as `condition`; `truth`:
        `digit (trial, place)`, `sum (trial)` and `template (template, unit, spike)`, spike times in s.

    Raises
    ------
    RecordingError
        When a parameter is out of range.

    References
    ----------
    After SHD-Adding of Spieler et al. (2023), arXiv:2306.16922, with planted templates in place of spoken digits.

    Examples
    --------
    >>> tree = spike_adding(trials=3)
    >>> dict(tree["recordings/afferents/recording"].sizes)
    {'trial': 3, 'time': 100, 'unit': 140}
    """
    if trials < 1 or channels < 1 or digit < 0.01 or jitter < 0 or not 0 <= deleted < 1:
        raise RecordingError(f"spike_adding: {trials=}, {channels=}, {digit=}, {jitter=} or {deleted=} is out of range")
    given = {"trials": trials, "channels": channels, "digit": digit, "jitter": jitter, "deleted": deleted}
    known = np.random.default_rng(templates).uniform(0, digit, (DIGITS, channels, _SPIKES))
    rng = np.random.default_rng(seed)
    digits = rng.integers(DIGITS, size=(trials, 2))
    bins = round(digit * 100)
    counts = np.zeros((trials, 2 * bins, channels), dtype=np.uint8)
    for place in range(2):
        times = known[digits[:, place]] + rng.normal(0, jitter, (trials, channels, _SPIKES))
        row, channel, spike = np.nonzero(rng.random(times.shape) >= deleted)
        when = np.clip(np.floor(times[row, channel, spike] * 100).astype(int), 0, bins - 1)
        np.add.at(counts, (row, place * bins + when, channel), 1)
    total = digits.sum(axis=1)
    rec = recording(
        counts, modality="spikes", units="1", sampling_rate=100.0, dims=("trial", "time", "unit"), name="afferents",
        coords={"sign": ("unit", np.ones(channels, dtype=int)), "condition": ("trial", [str(n) for n in total])},
        attrs={"system": "simulated", "source": "neurointerp.models.elm.spike_adding"},
    )  # fmt: skip
    rec = add_history(rec, "models.elm.spike_adding", **given, templates=templates, seed=seed)
    truth = {
        "digit": xr.DataArray(digits, dims=("trial", "place"), coords={"trial": rec["trial"].variable}),
        "sum": xr.DataArray(total, dims="trial", coords={"trial": rec["trial"].variable}),
        "template": xr.DataArray(known, dims=("template", "unit", "spike"), coords={"unit": rec["unit"].variable}),
    }
    return session({"afferents": rec}, truth=truth)


def train_adding(
    model: nn.Module, data: xr.DataTree, *, steps: int = 1000, batch_size: int = 32, learning_rate: float = 5e-3,
    dropout: float = 0.5, seed: int = 0,
) -> list[float]:  # fmt: skip
    """Train a network, in place, to give the sum at the last bin: Adamax with a cosine to 0, cross-entropy.

    Parameters
    ----------
    model
        Anything that gives (batch, time, 19) from spikes (batch, time, channel), such as `ELM` or `LSTM`.
    data
        What `spike_adding` gives.
    steps, batch_size, learning_rate
        Number of updates, trials in each, the highest rate.
    dropout
        Share of the input spikes left out in training.
    seed
        Seed of the batches and the dropout.

    Returns
    -------
    list of float
        The loss at every update.

    Raises
    ------
    ModelError
        When the session does not hold such trials.

    Examples
    --------
    >>> from neurointerp.models.elm import ELM, Config
    >>> cell = ELM(Config(inputs=140, outputs=19, memories=4, dt=10.0, tau_max=500.0))
    >>> len(train_adding(cell, spike_adding(trials=20, digit=0.1), steps=2))
    2
    """
    spikes, total = _trials(data)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adamax(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(spikes), (batch_size,), generator=generator)
        batch = torch.from_numpy(spikes)[rows].float()
        kept = torch.rand(batch.shape, generator=generator) >= dropout
        loss = nn.functional.cross_entropy(model(batch * kept / (1 - dropout))[:, -1], torch.from_numpy(total)[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def adding_accuracy(model: nn.Module, data: xr.DataTree) -> float:
    """Give the share of trials whose sum a network gets right at the last bin.

    Parameters
    ----------
    model
        As for `train_adding`.
    data
        Trials that it was not trained on.

    Returns
    -------
    float
        Chance is 0.1, of the likeliest sum.

    Raises
    ------
    ModelError
        When the session does not hold such trials.
    """
    spikes, total = _trials(data)
    with torch.inference_mode():
        found = [model(part.float())[:, -1].argmax(-1) for part in torch.from_numpy(spikes).split(256)]  # type: ignore[no-untyped-call]
    return float((torch.cat(found).numpy() == total).mean())


def _trials(data: xr.DataTree) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    known = {node.path: node.dataset for node in data.subtree}
    try:
        return known["/recordings/afferents"]["recording"].values, known["/truth"]["sum"].values.astype(np.int64)
    except KeyError as error:
        raise ModelError(f"elm: the session is not one of spike_adding (no {error})") from error
