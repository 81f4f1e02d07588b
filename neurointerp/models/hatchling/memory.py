"""What the memory needs over all tokens at once, with gradients written out: the turning of pairs, and the scores.

Automatic differentiation would multiply twice where the scores, of a thing with itself, need one product; and it would
take pairs of neighbours apart. Here all even neurons come first, then all odd ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

THETA = 2.0**16


class Turn(torch.autograd.Function):
    """Turn (..., token, neuron), even neurons first, by the angles whose cosine and sine (token, pair) are given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Give the turned activity."""
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Turn back."""
        cos, sin = ctx.saved_tensors
        return _turned(grad, cos, sin, -1), None, None


class Scores(torch.autograd.Function):
    """Products of each token with all before it, (..., token, token), zero for itself and those to come."""

    @staticmethod
    def forward(ctx: Any, turned: Tensor) -> Tensor:
        """Give the strictly lower triangle."""
        ctx.save_for_backward(turned)
        return (turned @ turned.transpose(-1, -2)).tril_(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """A token is the query of one row and the key of one column."""
        turned: Tensor = ctx.saved_tensors[0]
        lower = grad.tril(-1)
        return (lower + lower.transpose(-1, -2)) @ turned


def turns(place: Tensor, neurons: int) -> tuple[Tensor, Tensor]:
    """Give cosine and sine (token, pair) of the angles by which pairs of neurons are turned at each place, float64."""
    pair = torch.arange(0, neurons, 2, dtype=torch.float64, device=place.device)
    cycles = place.double()[:, None] * THETA ** (-pair / neurons) / (2 * torch.pi)
    angle = (cycles % 1) * (2 * torch.pi)
    return angle.cos(), angle.sin()


def evens_first(values: Tensor) -> Tensor:
    """Reorder the last axis."""
    return values.reshape(*values.shape[:-1], -1, 2).transpose(-1, -2).flatten(-2)


def in_order(values: Tensor) -> Tensor:
    """Undo `evens_first`."""
    return values.reshape(*values.shape[:-1], 2, -1).transpose(-1, -2).flatten(-2)


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sense: int) -> Tensor:
    out = torch.empty_like(x)
    (even, odd), (first, second) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    torch.mul(even, cos, out=first).addcmul_(odd, sin, value=-sense)
    torch.mul(odd, cos, out=second).addcmul_(even, sin, value=sense)
    return out
