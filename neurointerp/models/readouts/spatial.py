"""Readouts that look at one place, the same for every image."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Readout(Protocol):
    """What turns feature maps into responses; every class of this package is one.

    `shape` = (channel, row, col) and the number of units are given on making it; `condition` is a second map
    (sample, channel, row, col), which only a `SpatialTransformerReadout` looks at.
    """

    def __call__(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit) for maps (sample, channel, row, col)."""


Shape = tuple[int, int, int]


def small(*size: int) -> nn.Parameter:
    """Give a parameter that starts as N(0, 1e-3)."""
    return nn.Parameter(1e-3 * torch.randn(*size))


def through(maps: Tensor, mask: Tensor, features: Tensor, bias: Tensor) -> Tensor:
    """Give sum_c f_oc sum_p s_op x_cp + b_o for maps (sample, channel, row, col), one product of matrices."""
    weights = (features[:, :, None] * mask.flatten(1)[:, None, :]).flatten(1)
    return nn.functional.linear(maps.flatten(1), weights, bias)


class FactorizedReadout(nn.Module):
    r"""Weigh places by a mask and channels by a vector, per unit.

    :math:`y_o = \sum_c f_{oc} \sum_{ij} s_{oij} x_{cij} + b_o` with :math:`s_o` non-negative and of Frobenius norm 1.

    Parameters
    ----------
    shape
        (channel, row, col) of the maps.
    units
        How many.
    spread
        Start from masks that are a Gaussian of this width about the middle, in half widths of the map; by default from
        noise, as published.

    Attributes
    ----------
    spatial, features, bias
        (unit, row, col) before its modulus is taken and scaled, (unit, channel), (unit).

    References
    ----------
    Klindt, Ecker, Euler, Bethge (2017), NeurIPS 30; as in Saha, Chadha, Khosla (2024), arXiv:2410.14031. Deviation: the
    modulus makes the mask non-negative, so that no place is cut off for good.

    Examples
    --------
    >>> import torch
    >>> FactorizedReadout((3, 4, 5), 2)(torch.zeros(6, 3, 4, 5)).shape
    torch.Size([6, 2])
    """

    def __init__(self, shape: Shape, units: int, *, spread: float | None = None) -> None:
        super().__init__()
        channels, rows, cols = shape
        self.spatial, self.features = small(units, rows, cols), small(units, channels)
        if spread is not None:
            with torch.no_grad():
                broad = torch.exp(-0.5 * (places(rows, cols) ** 2).sum(1) / spread**2)
                self.spatial.add_(broad.reshape(rows, cols))
        self.bias = nn.Parameter(torch.zeros(units))

    def mask(self) -> Tensor:
        """Give (unit, row, col), non-negative, of norm 1."""
        positive = self.spatial.abs()
        mask: Tensor = positive / (positive.flatten(1).norm(dim=1)[:, None, None] + 1e-6)
        return mask

    def penalty(self) -> Tensor:
        """Give sum_o |s_o|_1 |f_o|_1."""
        return (self.mask().flatten(1).sum(1) * self.features.abs().sum(1)).sum()

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit)."""
        return through(maps, self.mask(), self.features, self.bias)


class GaussianReadout(nn.Module):
    r"""Weigh places by a two-dimensional Gaussian per unit, channels by a vector.

    :math:`s_{oij} \propto \exp(-\tfrac{1}{2} (p_{ij} - \mu_o)^\top \Sigma_o^{-1} (p_{ij} - \mu_o))`, of sum 1, with
    places :math:`p` from -1 to 1 (cell centres, x to the right and y downwards).

    Parameters
    ----------
    shape, units
        As in `FactorizedReadout`.
    spread
        Standard deviation to start from, in half widths of the map.

    Attributes
    ----------
    centre
        (unit, 2), x and y.
    root
        (unit, 2, 2), lower triangular on use: Sigma is root root'.

    Examples
    --------
    >>> import torch
    >>> GaussianReadout((3, 4, 5), 2)(torch.zeros(6, 3, 4, 5)).shape
    torch.Size([6, 2])
    """

    def __init__(self, shape: Shape, units: int, *, spread: float = 0.5) -> None:
        super().__init__()
        channels, rows, cols = shape
        self.centre = nn.Parameter(torch.empty(units, 2).uniform_(-0.3, 0.3))
        self.root = nn.Parameter(spread * torch.eye(2).repeat(units, 1, 1))
        self.features, self.bias = small(units, channels), nn.Parameter(torch.zeros(units))
        self.register_buffer("places", places(rows, cols))
        self.size = (rows, cols)

    def mask(self) -> Tensor:
        """Give (unit, row, col), non-negative, of sum 1."""
        root = self.root.tril()
        root = root + torch.diag_embed(1e-3 * torch.sign(root.diagonal(dim1=1, dim2=2) + 1e-12))
        away = self.get_buffer("places") - self.centre.clamp(-1, 1)[:, None]
        scaled = torch.linalg.solve_triangular(root, away.transpose(1, 2), upper=False)
        mask: Tensor = torch.softmax(-0.5 * (scaled**2).sum(1), dim=1)
        return mask.reshape(-1, *self.size)

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit)."""
        return through(maps, self.mask(), self.features, self.bias)


class PointReadout(nn.Module):
    r"""Read one point per unit, drawn from a Gaussian while training and at its mean after that.

    :math:`y_o = f_o^\top x(\mu_o + A_o \epsilon) + b_o`, :math:`\epsilon \sim N(0, I)`, by bilinear interpolation.

    Parameters
    ----------
    shape, units
        As in `FactorizedReadout`.
    spread
        Diagonal of :math:`A_o` to start from, in half widths of the map.

    References
    ----------
    Lurz et al. (2021), ICLR, arXiv from 2020; written from the description, its code not seen.

    Examples
    --------
    >>> import torch
    >>> PointReadout((3, 4, 5), 2).eval()(torch.ones(6, 3, 4, 5)).shape
    torch.Size([6, 2])
    """

    def __init__(self, shape: Shape, units: int, *, spread: float = 0.5) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.empty(units, 2).uniform_(-0.3, 0.3))
        self.root = nn.Parameter(spread * torch.eye(2).repeat(units, 1, 1))
        self.features, self.bias = small(units, shape[0]), nn.Parameter(torch.zeros(units))

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit)."""
        point = self.centre.clamp(-1, 1).expand(len(maps), -1, -1)
        if self.training:
            point = point + torch.einsum("oij,noj->noi", self.root, torch.randn_like(point))
        read = nn.functional.grid_sample(
            maps, point.clamp(-1, 1)[:, :, None], align_corners=False, padding_mode="border"
        )
        return torch.einsum("nco,oc->no", read[..., 0], self.features) + self.bias


class AttentionReadout(nn.Module):
    """Pool the map where one convolution of it is large, for all units alike, then read linearly.

    A 3 x 3 convolution to one map, a fixed 5 x 5 Gaussian blur (sigma 1), softmax over space, weighted pooling.

    Parameters
    ----------
    shape, units
        As in `FactorizedReadout`.

    Examples
    --------
    >>> import torch
    >>> AttentionReadout((3, 4, 5), 2)(torch.ones(6, 3, 4, 5)).shape
    torch.Size([6, 2])
    """

    def __init__(self, shape: Shape, units: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(shape[0], 1, 3, padding=1)
        self.linear = nn.Linear(shape[0], units)
        line = torch.exp(-0.5 * torch.arange(-2.0, 3.0) ** 2)
        self.register_buffer("blur", (line[:, None] * line / line.sum() ** 2)[None, None])

    def attention(self, maps: Tensor) -> Tensor:
        """Give (sample, row, col), of sum 1."""
        blur = self.get_buffer("blur")
        score = nn.functional.conv2d(self.score(maps), blur, padding=2)
        weights: Tensor = torch.softmax(score.flatten(1), dim=1)
        return weights.reshape(len(maps), *maps.shape[2:])

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit)."""
        pooled: Tensor = self.linear(torch.einsum("ncij,nij->nc", maps, self.attention(maps)))
        return pooled


def places(rows: int, cols: int) -> Tensor:
    """Give (row * col, 2), x and y of the cell centres, the edges of the map being -1 and 1."""
    y, x = ((2 * torch.arange(n) + 1.0) / n - 1 for n in (rows, cols))
    return torch.stack([x.repeat(rows), y.repeat_interleave(cols)], dim=1)
