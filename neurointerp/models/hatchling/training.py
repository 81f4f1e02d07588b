"""Training on sequences of tokens, and the loss of a model on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from neurointerp.errors import ModelError


def train(
    model: nn.Module,
    sequences: ArrayLike,
    *,
    counted: ArrayLike | None = None,
    steps: int = 500,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.1,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int, nn.Module], None] | None = None,
    seed: int = 0,
) -> list[float]:
    """Train a language model, in place, to give the next token: AdamW, a short warm-up and a cosine to a tenth.

    Parameters
    ----------
    model
        Anything that gives logits (batch, token, vocabulary) from ids (batch, token): `BDH`, `RotaryTransformer`.
    sequences
        (sequence, token): the rows to draw batches from.
    counted
        (sequence, token): True where a token, given those before it, counts in the loss; all but the first otherwise.
    steps, batch_size, learning_rate, weight_decay
        Number of updates, sequences in each, the highest rate and the decay.
    dtype
        Of the products of matrices: `torch.bfloat16` takes half the time where a processor has it; weights, norms and
        the loss stay float32.
    on_step
        Called with the number of updates done (0 to `steps`) and the model in evaluation mode.
    seed
        Seed of the order of the sequences (each once before any comes again) and of the dropout.

    Returns
    -------
    list of float
        The loss at every update, nats per token.

    Raises
    ------
    ModelError
        When the sequences are not a table of at least two tokens, or `dtype` is neither of the two.

    References
    ----------
    The released training: AdamW, rate 1e-3, decay 0.1. Deviations: float32 by default, warm-up and
    cosine, gradients clipped to 1.

    Examples
    --------
    >>> from neurointerp.models.hatchling import BDH, Config
    >>> model = BDH(Config(vocab_size=4, layers=1, width=8, heads=1, neurons=8, dropout=0.0))
    >>> losses = train(model, [[0, 1, 2, 3, 0, 1, 2, 3]] * 8, steps=40, batch_size=8, learning_rate=1e-2)
    >>> losses[-1] < 0.7 * losses[0]
    True
    """
    if dtype not in (torch.float32, torch.bfloat16):
        raise ModelError(f"hatchling.train: dtype is {dtype}; torch.float32 or torch.bfloat16 is needed")
    rows, mask = _table(sequences, counted)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.99))
    warm = max(steps // 20, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (step + 1) / warm if step < warm else 0.55 + 0.45 * float(np.cos(np.pi * (step - warm) / steps)),
    )
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(rows)) for _ in range(steps * batch_size // len(rows) + 1)])
    losses = []
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for step in range(steps):
            if on_step is not None:
                on_step(step, model.eval())
                model.train()
            batch = torch.from_numpy(order[step * batch_size : (step + 1) * batch_size])
            with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
                loss = _loss(model, rows[batch], mask[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
    model.eval()
    if on_step is not None:
        on_step(steps, model)
    return losses


def loss(model: nn.Module, sequences: ArrayLike, *, counted: ArrayLike | None = None, batch_size: int = 64) -> float:
    """Give the mean cross-entropy of a model on sequences, in nats per counted token.

    Parameters
    ----------
    model, sequences, counted
        As for `train`.
    batch_size
        Sequences per pass.

    Returns
    -------
    float
        Each row starts without a past.

    Raises
    ------
    ModelError
        When the sequences are not a table of at least two tokens.

    Examples
    --------
    >>> from neurointerp.models.hatchling import BDH, Config
    >>> round(loss(BDH(Config(vocab_size=4, layers=1, width=8, heads=1, neurons=8)).eval(), [[0, 1, 2]]), 1)
    1.4
    """
    rows, mask = _table(sequences, counted)
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            total += float(_loss(model, rows[part], mask[part])) * int(mask[part, 1:].sum())
    return total / int(mask[:, 1:].sum())


def _table(sequences: ArrayLike, counted: ArrayLike | None) -> tuple[Tensor, Tensor]:
    rows = np.asarray(sequences, dtype=np.int64)
    mask = np.ones(rows.shape, dtype=bool) if counted is None else np.asarray(counted, dtype=bool)
    if rows.ndim != 2 or rows.shape[1] < 2 or mask.shape != rows.shape or not mask[:, 1:].any():
        raise ModelError(f"hatchling: sequences {rows.shape} and counted {mask.shape}: one table of two tokens or more")
    return torch.from_numpy(rows), torch.from_numpy(mask)


def _loss(model: nn.Module, rows: Tensor, mask: Tensor) -> Tensor:
    picked = mask[:, 1:]
    return functional.cross_entropy(model(rows[:, :-1])[picked].float(), rows[:, 1:][picked])
