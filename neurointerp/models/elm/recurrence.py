"""The two loops over time, with their gradients written out: one leak, and the memories behind their MLP.

Automatic differentiation would keep a dozen tensors per step; here each loop keeps four arrays, and the gradients of
the weights are one product over all steps. On a processor, small ones are compiled.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

SCALE, SLOPE = 1.7159, 2 / 3
COMPILED = 65_536  # trials x memories x hidden units: beyond, matrix products of all trials win over compiled loops


class Leak(torch.autograd.Function):
    r""":math:`b_t = \kappa b_{t-1} + d_t` along the first axis, from zero."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, kappa: float) -> Tensor:
        """Give (time, ...)."""
        ctx.kappa = kappa
        return _leak(drive, kappa)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The same filter, run backwards."""
        return _leak(grad.flip(0), ctx.kappa).flip(0), None


class Memories(torch.autograd.Function):
    r""":math:`m_t = \kappa m_{t-1} + g D_t`, :math:`D_t = 1.7159\tanh\frac23(W_2 f(u_t + W_1\kappa m_{t-1}) + b_2)`.

    Inputs are `u (time, batch, hidden)` (what the branches send to the hidden layer, with its bias), `W1 (hidden,
    memory)`, `W2 (memory, hidden)`, `b2`, `kappa`, `gain (memory)`; `smooth` picks SiLU instead of ReLU for f.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, w1: Tensor, w2: Tensor, b2: Tensor, kappa: Tensor, gain: Tensor, smooth: bool
    ) -> Tensor:
        """Give (time, batch, memory)."""
        shape = (*u.shape[:2], len(b2))
        decayed, delta, memory = u.new_empty(shape), u.new_empty(shape), u.new_empty(shape)
        before = torch.empty_like(u, memory_format=torch.contiguous_format)
        given = (u, w1.t().contiguous(), w2.t().contiguous(), b2, kappa, gain)
        if _compiled(u) and u.shape[1] * w1.numel() <= COMPILED:
            from neurointerp.models.elm import _loops

            arrays: list[Any] = [*_numpy(*given), smooth, *_numpy(decayed, before, delta, memory)]
            _loops.forward(*arrays)
        else:
            remember(*given, smooth, decayed, before, delta, memory)
        ctx.smooth = smooth
        ctx.save_for_backward(w1, w2, kappa, gain, decayed, before, delta, memory)
        return memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Backpropagation through time."""
        w1, w2, kappa, gain, decayed, before, delta, memory = ctx.saved_tensors
        squash = (1 - (delta / SCALE) ** 2) * (SCALE * SLOPE) * gain
        gate = before.sigmoid() if ctx.smooth else (before > 0).to(before.dtype)
        slope = gate * (1 + before * (1 - gate)) if ctx.smooth else gate
        to_memory, to_step, to_decayed = (torch.empty_like(memory) for _ in range(3))
        to_hidden = torch.empty_like(before)
        given, found = (grad, squash, slope, w1, w2, kappa), (to_memory, to_step, to_hidden, to_decayed)
        if _compiled(grad) and grad.shape[1] * w1.numel() <= COMPILED:
            from neurointerp.models.elm import _loops

            _loops.backward(*_numpy(*given), *_numpy(*found))
        else:
            trace_back(*given, *found)
        hidden = before * gate if ctx.smooth else before.relu()
        flat_hidden, flat_step = to_hidden.flatten(0, 1), to_step.flatten(0, 1)
        return (
            to_hidden,
            flat_hidden.t() @ decayed.flatten(0, 1),
            flat_step.t() @ hidden.flatten(0, 1),
            flat_step.sum(0),
            (to_decayed[1:] * memory[:-1]).sum((0, 1)),
            (to_memory * delta).sum((0, 1)),
            None,
        )


def remember(
    u: Tensor, w1t: Tensor, w2t: Tensor, b2: Tensor, kappa: Tensor, gain: Tensor, smooth: bool,
    decayed: Tensor, before: Tensor, delta: Tensor, memory: Tensor,
) -> None:  # fmt: skip
    """Do what the compiled loop does, a step of all trials at once: of many or large ones, and on any device."""
    now = torch.zeros_like(memory[0])
    for t in range(len(u)):
        torch.mul(now, kappa, out=decayed[t])
        torch.addmm(u[t], decayed[t], w1t, out=before[t])
        hidden = torch.nn.functional.silu(before[t]) if smooth else before[t].relu()
        delta[t] = torch.addmm(b2, hidden, w2t).mul_(SLOPE).tanh_().mul_(SCALE)
        now = torch.addcmul(decayed[t], delta[t], gain, out=memory[t])


def trace_back(
    grad: Tensor, squash: Tensor, slope: Tensor, w1: Tensor, w2: Tensor, kappa: Tensor,
    to_memory: Tensor, to_step: Tensor, to_hidden: Tensor, to_decayed: Tensor,
) -> None:  # fmt: skip
    """Do what the compiled loop does backwards, a step of all trials at once."""
    carried = torch.zeros_like(to_memory[0])
    for t in range(len(grad) - 1, -1, -1):
        torch.add(grad[t], carried, out=to_memory[t])
        torch.mul(to_memory[t], squash[t], out=to_step[t])
        torch.mm(to_step[t], w2, out=to_hidden[t]).mul_(slope[t])
        torch.addmm(to_memory[t], to_hidden[t], w1, out=to_decayed[t])
        carried = to_decayed[t] * kappa


def _compiled(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64)


def _numpy(*parts: Tensor) -> tuple[NDArray[Any], ...]:
    return tuple(part.detach().numpy() for part in parts)


def _leak(drive: Tensor, kappa: float) -> Tensor:
    out = torch.empty_like(drive, memory_format=torch.contiguous_format)
    if _compiled(drive):
        from neurointerp.models.elm import _loops

        _loops.leak(*_numpy(drive.contiguous().flatten(1), drive.new_tensor([kappa]), out.view(len(drive), -1)))
        return out
    now = torch.zeros_like(drive[0])
    for t in range(len(drive)):
        now = torch.add(drive[t], now, alpha=kappa, out=out[t])
    return out
