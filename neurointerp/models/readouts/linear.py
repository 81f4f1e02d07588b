"""The readout without a notion of space, and the baseline of all others: ridge, solved and not descended to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurointerp.models.readouts.spatial import Shape


class LinearReadout(nn.Module):
    r"""Read all channels at all places, or their means over the map, with a ridge penalty per unit.

    :math:`y_o = \langle W_o, \mathrm{vec}(x) \rangle + b_o`.

    Parameters
    ----------
    shape
        (channel, row, col) of the maps.
    units
        How many.
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
    def solve(self, maps: Tensor, responses: Tensor, validation: tuple[Tensor, Tensor]) -> None:
        """Set the weights to those of ridge, each unit with the penalty that predicts the validation samples best.

        Unit by unit the samples that it misses (NaN) are left out; units that miss the same ones are solved at once.
        """
        x, held = self.flat(maps).double(), self.flat(validation[0]).double()
        seen = ~torch.isnan(responses)
        patterns, which = torch.unique(seen.T, dim=0, return_inverse=True)
        for number, rows in enumerate(patterns):
            units = torch.nonzero(which == number)[:, 0]
            weight, bias = _ridge(x[rows], responses[rows][:, units].double(), held, validation[1][:, units].double())
            self.weight[units], self.bias[units] = weight.T.to(self.weight.dtype), bias.to(self.bias.dtype)


def _ridge(x: Tensor, y: Tensor, held: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Give (feature, unit) weights and (unit) biases at the best of 17 penalties per unit, the largest of equals."""
    mean, centre = x.mean(0), y.mean(0)
    u, s, v = torch.linalg.svd(x - mean, full_matrices=False)
    target = u.T @ (y - centre)
    projected = (held - mean) @ v.T
    missing = torch.isnan(truth)
    best = torch.full((y.shape[1],), torch.inf, dtype=x.dtype, device=x.device)
    coefficients = torch.zeros_like(target)
    for alpha in torch.logspace(4, -4, 17, dtype=x.dtype, device=x.device) * (s**2).mean():
        fitted = (s / (s**2 + alpha))[:, None] * target
        error = torch.where(missing, 0.0, projected @ fitted + centre - truth).pow(2).sum(0)
        better = error < best
        best = torch.where(better, error, best)
        coefficients = torch.where(better, fitted, coefficients)
    weight = v.T @ coefficients
    return weight, centre - mean @ weight
