"""What an expressive neuron is compared with: a linear model, a leaky integrator, an LSTM and a temporal CNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from neurointerp.models.elm.surrogate import CLIP, arrays

GLM_TAU = (5.0, 20.0, 80.0)
_THINNED = 4  # the curvature, not the slope, is taken from every fourth step: the same optimum, in a third of the time
Predictor = Callable[[NDArray[Any]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def fit_glm(data: xr.DataTree, *, ridge: float = 1.0, iterations: int = 25) -> Predictor:
    """Fit spikes by logistic and the soma by linear regression on the inputs filtered at 5, 20 and 80 ms.

    Both are solved to the end (Newton's method; the normal equations), so this baseline is not under-trained.

    Parameters
    ----------
    data
        A session as for `fit`.
    ridge
        Penalty on the squared weights, in units of one sample.
    iterations
        Newton steps at most.

    Returns
    -------
    callable
        From signed spikes (trial, time, afferent) to the probability of a spike and the soma in mV, for `evaluate`.

    Examples
    --------
    >>> from neurointerp.models.elm import two_stage_neuron
    >>> spike, soma = fit_glm(two_stage_neuron(trials=2, duration=0.5))(np.zeros((1, 20, 128)))
    >>> spike.shape
    (1, 20)
    """
    from scipy.special import expit

    inputs, spikes, soma = arrays(data)
    blocks = [slice(i, i + 8) for i in range(0, len(inputs), 8)]
    size = len(GLM_TAU) * inputs.shape[2] + 1
    penalty = ridge * np.eye(size)
    penalty[-1, -1] = 0
    gram, product = penalty.copy(), np.zeros(size)
    for block in blocks:
        design = _filtered(inputs[block])
        gram += design.T @ design
        product += design.T @ np.minimum(soma[block], CLIP).ravel()
    linear = np.linalg.solve(gram, product)
    weights = _logistic([(inputs[block], spikes[block]) for block in blocks], penalty, iterations)

    def predictor(signed: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        design = _filtered(signed)
        shape = signed.shape[:2]
        return expit(design @ weights).reshape(shape), (design @ linear).reshape(shape)

    return predictor


class LSTM(nn.Module):
    """One LSTM layer with a linear readout.

    Parameters
    ----------
    inputs, hidden, outputs
        Number of afferents, of cells, and of values given at each step.
    seed
        Seed of the initial weights; torch's own generator is left as it was.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in LSTM(128, 4).parameters())
    2154
    """

    def __init__(self, inputs: int, hidden: int, outputs: int = 2, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.cell = nn.LSTM(inputs, hidden, batch_first=True)
            self.readout = nn.Linear(hidden, outputs)

    def forward(self, spikes: Tensor) -> Tensor:
        """Give (batch, time, outputs)."""
        return self.readout(self.cell(spikes)[0])  # type: ignore[no-any-return]


class TCN(nn.Module):
    """A causal temporal CNN: four residual layers of width-4 filters, dilated 1, 4, 16 and 64 (256 steps in all).

    Parameters
    ----------
    inputs, channels, outputs
        Number of afferents, of channels of every layer, and of values given at each step.
    seed
        Seed of the initial weights; torch's own generator is left as it was.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in TCN(128, 8).parameters())
    2106
    """

    def __init__(self, inputs: int, channels: int, outputs: int = 2, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.inward = nn.Conv1d(inputs, channels, 1)
            self.layers = nn.ModuleList(nn.Conv1d(channels, channels, 4, dilation=4**i) for i in range(4))
            self.readout = nn.Conv1d(channels, outputs, 1)

    def forward(self, spikes: Tensor) -> Tensor:
        """Give (batch, time, outputs)."""
        held = self.inward(spikes.transpose(1, 2))
        for i, layer in enumerate(self.layers):
            held = held + layer(nn.functional.pad(held, (3 * 4**i, 0))).relu()
        return self.readout(held).transpose(1, 2)  # type: ignore[no-any-return]


class LIF(nn.Module):
    """A leaky integrate-and-fire neuron with learned weights, time constant and reset.

    The soma is the membrane, scaled; a spike is where it crosses 1 (its gradient that of a steep sigmoid), and pulls
    it back to 0.

    Parameters
    ----------
    inputs
        Number of afferents.
    tau
        Time constant of the membrane at the start, in steps; learned.
    seed
        Seed of the initial weights.

    Examples
    --------
    >>> LIF(3)(torch.zeros(1, 5, 3)).shape
    torch.Size([1, 5, 2])
    """

    def __init__(self, inputs: int, *, tau: float = 15.0, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(0.02 + 0.01 * torch.randn(inputs, generator=generator))
        self.log_tau = nn.Parameter(torch.tensor(tau).log())
        self.bias = nn.Parameter(torch.tensor(0.3))
        self.steepness = nn.Parameter(torch.tensor(5.0))
        self.scale = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, spikes: Tensor) -> Tensor:
        """Give (batch, time, 2)."""
        kept = torch.exp(-1 / self.log_tau.exp())
        drive = (spikes @ self.weight + self.bias * (1 - kept)).unbind(1)
        membrane, held = torch.zeros_like(drive[0]), []
        for now in drive:
            membrane = kept * membrane + now
            held.append(membrane)
            soft = torch.sigmoid(10 * (membrane - 1))
            crossed = (membrane > 1).float() - soft.detach() + soft
            membrane = membrane * (1 - crossed)
        potential = torch.stack(held, dim=1)
        return torch.stack([self.steepness * (potential - 1), self.scale[0] * potential + self.scale[1]], dim=-1)


def _logistic(
    blocks: list[tuple[NDArray[Any], NDArray[Any]]], penalty: NDArray[np.float64], iterations: int
) -> NDArray[np.float64]:
    """Solve the penalised logistic regression by Newton's method, a step halved where it went too far."""
    from scipy.special import expit

    weights: NDArray[Any] = np.zeros(len(penalty))
    step: NDArray[Any] = np.zeros(len(penalty))
    rate = np.mean([spikes.mean() for _, spikes in blocks])
    weights[-1] = np.log(rate / (1 - rate))
    best = -np.inf
    for _ in range(iterations):
        likelihood = float(-weights @ penalty @ weights / 2)
        curvature, slope = penalty.copy(), -penalty @ weights
        for inputs, spikes in blocks:
            design, truth = _filtered(inputs), spikes.ravel()
            logit = design @ weights
            chance = expit(logit)
            likelihood += float((truth * logit - np.logaddexp(0, logit)).sum())
            slope += design.T @ (truth - chance)
            thinned = design[::_THINNED]
            curvature += _THINNED * thinned.T @ (thinned * (chance * (1 - chance))[::_THINNED, None])
        if likelihood < best:
            step /= 2
            weights = weights - step
            continue
        if likelihood - best < 1e-2:
            break
        best, step = likelihood, np.linalg.solve(curvature, slope)
        weights = weights + step
    return weights


def _filtered(signed: NDArray[Any]) -> NDArray[np.float32]:
    """Give the design (trial x time, 3 x afferent + 1), each column filtered causally within its trial."""
    from scipy.signal import lfilter

    columns = [lfilter([1.0], [1.0, -np.exp(-1 / tau)], signed.astype(np.float32), axis=1) for tau in GLM_TAU]
    columns.append(np.ones((*signed.shape[:2], 1)))
    design = np.concatenate(columns, axis=2, dtype=np.float32)
    return design.reshape(-1, design.shape[-1])
