"""The readout without a notion of space, and the baseline of all others: ridge, solved and not descended to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from neurointerp.models.readouts.spatial import Shape


class LinearReadout(nn.Module):
    r"""Read all channels at all places, or their means over the map, with a ridge penalty per unit.

    :math:`y_o = \langle W_o, \mathrm{vec}(x) \rangle + b_o`.

    Parameters
    ----------
    shape, units
        As in `FactorizedReadout`.
    pooled
        Average over the map first.

    Examples
    --------
    >>> import torch
    >>> LinearReadout((3, 4, 5), 2)(torch.zeros(6, 3, 4, 5)).shape
    torch.Size([6, 2])
    """

    def __init__(self, shape: Shape, units: int, *, pooled: bool = False) -> None:
        super().__init__()
        self.pooled = pooled
        width = shape[0] if pooled else shape[0] * shape[1] * shape[2]
        self.weight = nn.Parameter(torch.zeros(units, width))
        self.bias = nn.Parameter(torch.zeros(units))

    def flat(self, maps: Tensor) -> Tensor:
        """Give (sample, feature)."""
        return maps.mean(dim=(2, 3)) if self.pooled else maps.flatten(1)

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit)."""
        return nn.functional.linear(self.flat(maps), self.weight, self.bias)

    @torch.no_grad()
    def solve(self, maps: Tensor, responses: Tensor, groups: np.ndarray | None = None) -> None:
        """Set the weights to those of ridge, each unit with the penalty that predicts best what is left out.

        One group of samples (a stimulus) is left out at a time, and all samples are used in the end: where there are
        few, a share of them set aside would choose the penalty by chance. The errors come from one decomposition, as
        those of a linear smoother do: :math:`(I - H_{gg})^{-1} (y - \\hat y)_g`. Unit by unit the samples that it
        misses (NaN) take no part; units that miss the same ones are solved at once.
        """
        x = self.flat(maps).double()
        group = np.arange(len(x)) if groups is None else np.asarray(groups)
        patterns, which = torch.unique((~torch.isnan(responses)).T, dim=0, return_inverse=True)
        for number, rows in enumerate(patterns):
            units = torch.nonzero(which == number)[:, 0]
            blocks = [torch.as_tensor(block, device=x.device) for block in _blocks(group[rows.cpu().numpy()])]
            weight, bias = _ridge(x[rows], responses[rows][:, units].double(), blocks)
            self.weight[units], self.bias[units] = weight.T.to(self.weight.dtype), bias.to(self.bias.dtype)


def _blocks(group: np.ndarray) -> list[np.ndarray]:
    """Give the rows of each group, (group, row), those of one size together."""
    _, which, count = np.unique(group, return_inverse=True, return_counts=True)
    order = np.argsort(which, kind="stable")
    first = np.cumsum(count) - count
    return [order[first[count == size][:, None] + np.arange(size)] for size in np.unique(count)]


def _ridge(x: Tensor, y: Tensor, blocks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Give (feature, unit) weights and (unit) biases at the best of 17 penalties per unit, the largest of equals."""
    mean, centre = x.mean(0), y.mean(0)
    scores, power, back = _axes(x - mean)
    target = scores.T @ (y - centre)
    best = torch.full((y.shape[1],), torch.inf, dtype=x.dtype, device=x.device)
    coefficients = torch.zeros_like(target)
    for alpha in torch.logspace(4, -4, 17, dtype=x.dtype, device=x.device) * (power.sum() / min(x.shape)):
        fitted = target / (power + alpha)[:, None]
        residual = y - centre - scores @ fitted
        error = sum(_left_out(scores[rows], power + alpha, residual[rows], len(x)) for rows in blocks)
        better = error < best
        best = torch.where(better, error, best)
        coefficients = torch.where(better, fitted, coefficients)
    weight = back @ coefficients
    return weight, centre - mean @ weight


def _axes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give scores (sample, axis), their sums of squares (axis) and x's axes (feature, axis), by the smaller Gram."""
    wide = x.shape[0] < x.shape[1]
    power, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = power > power[-1:].clamp(min=0) * max(x.shape) * torch.finfo(x.dtype).eps
    power, vectors = power[kept], vectors[:, kept]
    if wide:
        return vectors * power.sqrt(), power, x.T @ (vectors / power.sqrt())
    return x @ vectors, power, vectors


def _left_out(scores: Tensor, power: Tensor, residual: Tensor, samples: int) -> Tensor:
    """Give the squared error (unit) of groups (group, row, ...) predicted by all others."""
    if scores.shape[1] == 1:
        kept = 1 - 1 / samples - (scores[:, 0] ** 2) @ (1 / power)
        alone: Tensor = (residual[:, 0] / kept[:, None]).pow(2).sum(0)
        return alone
    hat = 1 / samples + (scores / power) @ scores.transpose(1, 2)
    eye = torch.eye(hat.shape[1], dtype=hat.dtype, device=hat.device)
    together: Tensor = torch.linalg.solve(eye - hat, residual).pow(2).sum((0, 1))
    return together
