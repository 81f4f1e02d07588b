"""The semantic spatial transformer: a mask per unit that the image itself moves, turns and scales."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from neurointerp.errors import ModelError
from neurointerp.models.readouts.spatial import FactorizedReadout, Shape

MODES = ("translation", "scale", "shear", "rotation")
IDENTITY = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])


class SpatialTransformerReadout(FactorizedReadout):
    r"""A `FactorizedReadout` whose masks are warped for every image by an affine map that a small network gives.

    :math:`y_o = \sum_c f_{oc} \sum_{ij} s'_{oij} x_{cij} + b_o` with :math:`s'_o` the mask sampled bilinearly on the
    grid :math:`\theta_o(\mathrm{image})`, (2, 3). The last layer of that network starts at zero with the identity as
    its bias, so that this readout starts as the factorised one.

    Parameters
    ----------
    shape, units
        As in `FactorizedReadout`.
    condition
        (channel, row, col) of the maps that the warp is computed from; by default those that are read.
    modes
        What the warp may do: any of `translation`, `scale`, `shear`, `rotation`; by default all but the last, which
        are the six entries of an affine map.
    warp_channels
        Warp every channel of the maps too, by maps of its own.
    spread
        As in `FactorizedReadout`, but by default half of the half width. A warp learns from the slope of the mask where
        it lies: in a mask of noise, as published (None), the slope of a cell says nothing of where to go, and masks
        hardly learn to move.
    warp_rate
        Share of the learning rate for the network that gives the warp: it reads thousands of numbers at once, and steps
        that suit a mask throw it about.

    References
    ----------
    Saha, Chadha, Khosla (2024), arXiv:2410.14031, after a description of its public code; Jaderberg et
    al. (2015), NeurIPS 28 (spatial transformers). Deviations: the localising trunk is any map that is given in place
    of a frozen ResNet-50; samples outside the map are 0; rotation multiplies the rest of the map from the left.

    Examples
    --------
    >>> import torch
    >>> readout = SpatialTransformerReadout((3, 4, 5), 2)
    >>> readout(torch.zeros(6, 3, 4, 5)).shape, readout.affine(torch.zeros(6, 3, 4, 5)).shape
    (torch.Size([6, 2]), torch.Size([6, 2, 2, 3]))
    """

    def __init__(
        self, shape: Shape, units: int, *, condition: Shape | None = None, modes: Collection[str] = MODES[:3],
        warp_channels: bool = False, spread: float | None = 0.5, warp_rate: float = 0.3,
    ) -> None:  # fmt: skip
        super().__init__(shape, units, spread=spread)
        unknown = sorted(set(modes) - set(MODES))
        if unknown or not modes:
            raise ModelError(f"modes {list(modes)}: one or more of {', '.join(MODES)} are needed")
        channels, rows, cols = condition or shape
        self.modes, self.units, self.warp_rate = tuple(modes), units, warp_rate
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, 4, 1), nn.Flatten(), nn.Linear(4 * rows * cols, 32), nn.ReLU()
        )  # fmt: skip
        self.warps = units + (shape[0] if warp_channels else 0)
        self.head = nn.Linear(32, 7 * self.warps)  # six entries and an angle
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.cat([IDENTITY, torch.zeros(1)]).repeat(self.warps))

    def rates(self) -> list[tuple[nn.Parameter, float]]:
        """Give the localising network's parameters with their share of the learning rate."""
        return [(p, self.warp_rate) for part in (self.trunk, self.head) for p in part.parameters()]

    def affine(self, condition: Tensor) -> Tensor:
        """Give (sample, unit, 2, 3): for each place of the warped mask, where in the mask it looks."""
        return self._warps(condition)[:, : self.units]

    def warped(self, condition: Tensor) -> Tensor:
        """Give the masks (sample, unit, row, col) as each image warps them."""
        return _sampled(self.mask().expand(len(condition), -1, -1, -1), self.affine(condition))

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit)."""
        theta = self._warps(maps if condition is None else condition)
        if self.warps > self.units:
            maps = _sampled(maps, theta[:, self.units :])
        mask = _sampled(self.mask().expand(len(maps), -1, -1, -1), theta[:, : self.units])
        pooled = torch.einsum("nop,ncp->noc", mask.flatten(2), maps.flatten(2))
        out: Tensor = (pooled * self.features).sum(-1) + self.bias
        return out

    def _warps(self, condition: Tensor) -> Tensor:
        raw: Tensor = self.head(self.trunk(condition)).reshape(len(condition), self.warps, 7)
        theta, angle = raw[..., :6].reshape(len(raw), self.warps, 2, 3), raw[..., 6]
        keep = torch.zeros(2, 3, device=raw.device)
        keep[:, 2] = "translation" in self.modes
        keep[0, 0] = keep[1, 1] = "scale" in self.modes
        keep[0, 1] = keep[1, 0] = "shear" in self.modes
        theta = keep * theta + (1 - keep) * IDENTITY.to(raw).view(2, 3)
        if "rotation" not in self.modes:
            return theta
        cos, sin = torch.cos(angle), torch.sin(angle)
        turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        return torch.cat([turn @ theta[..., :2], theta[..., 2:]], dim=-1)


def _sampled(images: Tensor, theta: Tensor) -> Tensor:
    """Sample each (row, col) of images (sample, k, row, col) on its own affine grid (sample, k, 2, 3)."""
    flat = images.reshape(-1, 1, *images.shape[2:])
    grid = nn.functional.affine_grid(theta.reshape(-1, 2, 3), list(flat.shape), align_corners=False)
    out: Tensor = nn.functional.grid_sample(flat, grid, align_corners=False).reshape(images.shape)
    return out
