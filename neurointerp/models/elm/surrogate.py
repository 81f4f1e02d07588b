"""Fitting a network to the spikes and the soma of a neuron, and scoring what it predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from neurointerp.errors import ModelError
from neurointerp.result import result

CLIP, OFFSET, PER_MV = -55.0, -67.7, 0.1
WINDOW, BURN_IN, IGNORED = 500, 150, 500
FALSE_POSITIVES = (0.0025, 0.01)


def fit(
    model: nn.Module,
    data: xr.DataTree,
    *,
    steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 5e-3,
    window: int = WINDOW,
    seed: int = 0,
) -> list[float]:
    """Train a network, in place, to give the spikes and the soma of a neuron from its inputs.

    The soma is cut at -55 mV, so that spikes do not rule the squared error, and becomes (mV + 67.7) / 10. The loss
    is half the cross-entropy of the spikes and half the squared error of the soma, over all steps of random windows
    that start at rest; Adam, with a cosine to 0.

    Parameters
    ----------
    model
        Anything that gives (batch, time, 2), the logit of a spike and the scaled soma, from signed spikes
        (batch, time, afferent): `ELM`, `LSTM`, `TCN`, `LIF`.
    data
        A session with `recordings/afferents` (trial, time, unit) with `sign`, `recordings/spikes` and
        `recordings/soma`, such as `two_stage_neuron` gives.
    steps, batch_size, learning_rate, window
        Number of updates, windows in each, the highest rate, and the length of a window in steps of the clock.
    seed
        Seed of the windows.

    Returns
    -------
    list of float
        The loss at every update.

    Raises
    ------
    ModelError
        When the session lacks one of the three or they are shorter than a window.

    References
    ----------
    Spieler et al. (2023), arXiv:2306.16922. Deviations: a higher learning rate (published: 5e-4) for far fewer updates,
    and no choice among checkpoints on a validation set.

    Examples
    --------
    >>> from neurointerp.models.elm import ELM, Config, two_stage_neuron
    >>> cell = ELM(Config(inputs=128, memories=2))
    >>> losses = fit(cell, two_stage_neuron(trials=2, duration=0.2), steps=8, batch_size=4, window=50)
    >>> losses[-1] < losses[0]
    True
    """
    inputs, spikes, soma = arrays(data)
    if inputs.shape[1] < window:
        raise ModelError(f"elm.fit: trials of {inputs.shape[1]} steps are shorter than a window of {window}")
    target = np.stack([spikes, _scaled(soma)], axis=-1)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    model.train()
    for _ in range(steps):
        trial = rng.integers(len(inputs), size=batch_size)[:, None]
        place = rng.integers(inputs.shape[1] - window + 1, size=batch_size)[:, None] + np.arange(window)
        loss = _loss(model(torch.from_numpy(inputs[trial, place]).float()), torch.from_numpy(target[trial, place]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def predict(
    model: nn.Module, inputs: NDArray[Any], *, window: int = WINDOW, burn_in: int = BURN_IN
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run a network over long trials in overlapping windows, leaving out what each window needs to warm up.

    Parameters
    ----------
    model
        As for `fit`.
    inputs
        Signed spikes (trial, time, afferent).
    window, burn_in
        Length of a window, and of its beginning that is left out, in steps.

    Returns
    -------
    tuple of numpy.ndarray
        Probability of a spike and soma in mV, each (trial, time); NaN for the first `burn_in` steps.

    Examples
    --------
    >>> from neurointerp.models.elm import ELM, Config
    >>> spike, soma = predict(ELM(Config(inputs=3, memories=2)), np.zeros((1, 700, 3)))
    >>> int(np.isnan(soma).sum())
    150
    """
    found = np.full((*inputs.shape[:2], 2), np.nan)
    for start in range(0, max(inputs.shape[1] - burn_in, 1), window - burn_in):
        with torch.inference_mode():
            out = model(torch.from_numpy(inputs[:, start : start + window]).float())
        found[:, start + burn_in : start + window] = out[:, burn_in:].double().numpy()
    return 1 / (1 + np.exp(-found[..., 0])), found[..., 1] / PER_MV + OFFSET


def evaluate(model: Any, data: xr.DataTree, *, ignored: int = IGNORED, seed: int = 0) -> xr.Dataset:
    """Score a network on a neuron that it was not trained on.

    Parameters
    ----------
    model
        As for `fit`; or a function from signed spikes (trial, time, afferent) to the probability of a spike and the
        soma in mV, such as `fit_glm` gives.
    data
        A session as for `fit`, of other trials.
    ignored
        Steps at the start of each trial that are not scored; of a network at least the 150 in which it warms up.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `auc`, of the probability of a spike per step of the clock; `true_positive_rate (false_positive_rate)`;
        of the soma cut at -55 mV: `explained_variance` (1 - SSE / sum of squares about the mean), `rmse` and `mae`
        in mV. For an `ELM` also `usage (output, memory)`: share of the readout that each memory carries, absolute
        weight x standard deviation, with `tau_ms`.

    Raises
    ------
    ModelError
        When the session is not one, no spike is left to score, or `ignored` is too small.

    References
    ----------
    Spieler et al. (2023), arXiv:2306.16922: windows of 500 ms with 150 ms to warm up, the first 500 ms of a trial
    ignored. Deviation: explained variance counts a constant error too.

    Examples
    --------
    >>> from neurointerp.models.elm import ELM, Config, two_stage_neuron
    >>> score = evaluate(ELM(Config(inputs=128, memories=2)), two_stage_neuron(trials=4, duration=1.5))
    >>> bool(score.explained_variance < 0.5)
    True
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    if isinstance(model, nn.Module) and ignored < BURN_IN:
        raise ModelError(f"elm.evaluate: ignored is {ignored}; a network warms up for {BURN_IN} steps: ignore these")
    inputs, spikes, soma = arrays(data)
    chance, potential = predict(model, inputs) if isinstance(model, nn.Module) else model(inputs)
    truth, score = spikes[:, ignored:].ravel() > 0, chance[:, ignored:].ravel()
    if truth.all() or not truth.any():
        raise ModelError(f"elm.evaluate: {truth.sum()} of {truth.size} steps hold a spike; some and not all must")
    false, true, _ = roc_curve(truth, score)
    seen = np.minimum(soma[:, ignored:], CLIP)
    error = seen - np.minimum(potential[:, ignored:], CLIP)
    variables: dict[str, Any] = {
        "auc": float(roc_auc_score(truth, score)),
        "explained_variance": 1 - (error**2).sum() / ((seen - seen.mean()) ** 2).sum(),
        "rmse": ((), np.sqrt((error**2).mean()), {"units": "mV"}),
        "mae": ((), np.abs(error).mean(), {"units": "mV"}),
    }
    if hasattr(model, "memories"):
        variables["usage"] = _usage(model, inputs)
    variables["true_positive_rate"] = xr.DataArray(
        np.interp(FALSE_POSITIVES, false, true),
        dims="false_positive_rate",
        coords={"false_positive_rate": list(FALSE_POSITIVES)},
    )
    parameters = {"model": type(model).__name__, "ignored": ignored, "window": WINDOW, "burn_in": BURN_IN}
    used = list(_recordings(data))
    return result(variables, analysis="elm.evaluate", recording=used, parameters=parameters, seed=seed)


def arrays(data: xr.DataTree) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """Give signed input spikes (trial, time, afferent), spikes and soma (trial, time) of a session."""
    afferents, spikes, soma = _recordings(data)
    if afferents.dims != ("trial", "time", "unit") or "sign" not in afferents.coords:
        raise ModelError(f"elm: afferents must be (trial, time, unit) with 'sign' on unit; found {afferents.dims}")
    if soma.sizes["unit"] != 1 or spikes.sizes["unit"] != 1 or soma.attrs["units"] != "mV":
        raise ModelError(f"elm: one unit in spikes and soma, in mV, is needed; found {soma.attrs['units']}")
    signed = afferents.values.astype(np.int8) * afferents["sign"].values.astype(np.int8)
    return signed, spikes.values[..., 0].astype(np.float32), soma.values[..., 0].astype(np.float32)


def _recordings(data: xr.DataTree) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    known = {node.path: node.dataset["recording"] for node in data.subtree if "recording" in node.data_vars}
    wanted = [f"/recordings/{name}" for name in ("afferents", "spikes", "soma")]
    if not known.keys() >= set(wanted):
        missing = ", ".join(sorted(set(wanted) - known.keys()))
        raise ModelError(f"elm: the session has no {missing}; two_stage_neuron shows what is needed")
    afferents, spikes, soma = (known[path] for path in wanted)
    return afferents, spikes, soma


def _scaled(soma: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((np.minimum(soma, CLIP) - OFFSET) * PER_MV).astype(np.float32)


def _loss(out: Tensor, target: Tensor) -> Tensor:
    spikes = nn.functional.binary_cross_entropy_with_logits(out[..., 0], target[..., 0])
    return 0.5 * spikes + 0.5 * nn.functional.mse_loss(out[..., 1], target[..., 1])


def _usage(model: Any, inputs: NDArray[Any]) -> xr.DataArray:
    with torch.inference_mode():
        held = model.memories(model.branches(torch.from_numpy(inputs[:4]).float()))
        share = model.readout.weight.abs() * held.flatten(0, 1).std(0)
        tau = model.memory_tau().double().numpy()
    values = (share / share.sum(1, keepdim=True)).double().numpy()
    names = np.array(["spike_logit", "soma"], dtype=object)
    return xr.DataArray(values, dims=("output", "memory"), coords={"output": names, "tau_ms": ("memory", tau)})
