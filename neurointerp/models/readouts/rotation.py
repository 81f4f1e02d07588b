"""A core that sees every pattern at eight orientations alike, to be trained from responses with its readout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurointerp.errors import ModelError


class RotationCore(nn.Module):
    r"""Convolve images so that turning one turns its feature maps, and moves them on from orientation to orientation.

    Each layer has fields of as many channels as there are rotations. A filter is a sum of circular harmonics on rings,
    :math:`w(x) = \sum_{r, m} w_{rm} e^{-(|x| - r)^2 / 2 \sigma^2} e^{i m \phi}`, so that it is drawn at each angle
    without interpolation; the first layer holds one filter per field, turned; those after it one per field and
    orientation below, turned and moved on. A norm follows, shared by the orientations of a field, then a rectifier.

    Parameters
    ----------
    channels
        Of the images.
    fields
        Per layer.
    layers
        How many.
    kernel
        Side of the filters in pixels, odd.
    rotations
        Orientations of a field, a multiple of four.
    pool
        Average over squares of this side after every layer but the last. Sides of the image must be multiples of all
        of them together, or a map would not lie in the middle of its image.

    Raises
    ------
    ModelError
        When sizes are out of range, or images do not have the channels or sides that were said.

    References
    ----------
    Weiler, Cesa (2019), NeurIPS 32, for the filters; Saha, Chadha, Khosla (2024), arXiv:2410.14031, for the sizes (48
    fields, kernels of 5, a norm within fields). Its number of layers and its pooling were not seen and are chosen here.
    Turning by 90 degrees is exact; by 45 as exact as pixels allow.

    Examples
    --------
    >>> import torch
    >>> core = RotationCore(1, fields=3, layers=2).eval()
    >>> image = torch.rand(2, 1, 12, 12)
    >>> maps, turned = core(image), core(image.rot90(1, (2, 3)))
    >>> maps.shape
    torch.Size([2, 24, 6, 6])
    >>> moved = maps.reshape(2, 3, 8, 6, 6).rot90(1, (3, 4)).roll(2, 2).flatten(1, 2)
    >>> torch.allclose(turned, moved, atol=1e-5)
    True
    """

    def __init__(
        self, channels: int, *, fields: int = 48, layers: int = 3, kernel: int = 5, rotations: int = 8, pool: int = 2
    ) -> None:
        super().__init__()
        if min(channels, fields, layers, pool) < 1 or kernel < 3 or kernel % 2 == 0 or rotations < 4 or rotations % 4:
            raise ModelError(
                f"channels {channels}, fields {fields}, layers {layers} and pool {pool} must be at least 1, kernel "
                f"{kernel} odd and at least 3, rotations {rotations} a multiple of 4"
            )
        basis = harmonics(kernel, rotations)
        self.channels, self.fields, self.rotations, self.pool = channels, fields, rotations, pool
        self.register_buffer("basis", torch.as_tensor(basis, dtype=torch.float32))
        inputs = [channels, *[fields * rotations] * (layers - 1)]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(fields, size, basis.shape[1]) * (2 / (size * basis.shape[1])) ** 0.5)
            for size in inputs
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(fields) for _ in range(layers))

    def filters(self, layer: int) -> Tensor:
        """Give (field * orientation, channel below, row, col) of a layer, from 0."""
        weight, basis = self.weights[layer], self.get_buffer("basis")
        if layer == 0:
            turned = torch.einsum("ocb,gbij->ogcij", weight, basis)
        else:  # orientation h below is, for a filter that is turned by g, what h - g is for the filter itself
            below = weight.reshape(self.fields, self.fields, self.rotations, -1)
            moved = torch.stack([below.roll(g, 2) for g in range(self.rotations)], dim=1)
            turned = torch.einsum("ogchb,gbij->ogchij", moved, basis).flatten(2, 3)
        return turned.flatten(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Give (sample, field * orientation, row, col) for images (sample, channel, row, col)."""
        whole = self.pool ** (len(self.weights) - 1)
        if images.ndim != 4 or images.shape[1] != self.channels or images.shape[2] % whole or images.shape[3] % whole:
            raise ModelError(
                f"images (sample, {self.channels}, row, col) with sides that are multiples of {whole} are needed; "
                f"found {tuple(images.shape)}"
            )
        x = images
        for layer, norm in enumerate(self.norms):
            if layer and self.pool > 1:
                x = nn.functional.avg_pool2d(x, self.pool)
            x = nn.functional.conv2d(x, self.filters(layer), padding="same")
            rows, cols = x.shape[2:]
            x = norm(x.reshape(len(x), self.fields, self.rotations * rows, cols)).relu()
            x = x.reshape(len(x), self.fields * self.rotations, rows, cols)
        return x


def harmonics(kernel: int, rotations: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give circular harmonics on rings (rotation, function, row, col), turned, each of norm 1 on average.

    A ring of radius r holds m = 0 ... 3 r of them, as its pixels can tell apart; the corners beyond the last are empty.
    """
    half = kernel // 2
    row, col = np.indices((kernel, kernel)) - half
    radius, angle = np.hypot(row, col), np.arctan2(-row, col)
    out = []
    for ring in range(half + 1):
        bump = np.exp(-((radius - ring) ** 2) / (2 * 0.6**2)) * (radius <= half + 0.5)
        for m in range(3 * ring + 1):
            for phase in (0.0, np.pi / 2)[: 1 + (m > 0)]:
                turned = [bump * np.cos(m * (angle - 2 * np.pi * g / rotations) - phase) for g in range(rotations)]
                out.append(np.where((radius == 0) & (m > 0), 0.0, turned))
    found = np.stack(out, axis=1)
    return np.asarray(found / np.sqrt((found**2).sum((2, 3), keepdims=True).mean(0, keepdims=True)))
