"""Training on a text, and continuing one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurointerp.errors import ModelError
from neurointerp.models.gpt.model import GPT, Config
from neurointerp.models.gpt.tokens import Tokenizer


def train(
    text: str | os.PathLike[str],
    *,
    config: Config | None = None,
    level: Literal["byte", "word"] = "byte",
    vocab_size: int = 2000,
    steps: int = 500,
    batch_size: int = 32,
    learning_rate: float = 5e-3,
    weight_decay: float = 0.1,
    held_out: float = 0.1,
    device: str = "cpu",
    on_step: Callable[[int, GPT], None] | None = None,
    seed: int = 0,
) -> GPT:
    """Train a small GPT on one text.

    AdamW (betas 0.9, 0.99), a twentieth of the steps to warm up and a cosine to a tenth of the learning rate,
    gradients clipped to norm 1, no dropout. Batches are windows of the text drawn at random. Equal arguments give
    equal weights, to the bit, on one machine with one number of threads.

    Parameters
    ----------
    text
        The text itself, or the path (a `pathlib.Path`) of a UTF-8 file.
    config
        The shape; `vocab_size` in it is set to what the text needs.
    level, vocab_size
        `"byte"`: 256 tokens. `"word"`: the `vocab_size` most frequent words of the training part, one of them
        standing for all others.
    steps, batch_size, learning_rate, weight_decay
        Number of updates, windows in each, the highest rate, and the decay of the matrices.
    held_out
        Share of the tokens, at the end of the text, that is never trained on.
    device
        Where to train; the model comes back on it.
    on_step
        Called with the number of updates done (0 to `steps`) and the model, to record it over training.
    seed
        Seed of the weights and of the batches.

    Returns
    -------
    GPT
        In evaluation mode. `held_out_loss` is the mean over the held-out part cut into windows of `context`
        tokens; `trained["curve"]` holds `[step, training loss, held-out loss]` at about ten steps (on at most 100 of
        these windows, but for the last).

    Raises
    ------
    ModelError
        When the text is too short for one window in either part, or a parameter is out of range.

    References
    ----------
    Radford et al. (2019), Language models are unsupervised multitask learners. Deviations: queries, keys and values
    are separate modules, the unembedding is not tied to the embedding, embeddings start wider (standard deviation 0.3
    and 0.1) and there is no dropout.

    Examples
    --------
    >>> model = train("to be or not to be, " * 20, config=Config(layers=1, width=16, context=8), steps=60)
    >>> model.held_out_loss < 2.0
    True
    """
    if steps < 1 or batch_size < 1 or not 0 < held_out < 1 or level not in ("byte", "word"):
        raise ModelError(
            f"gpt: steps {steps}, batch_size {batch_size}, held_out {held_out}, level {level!r}; needed are at least "
            "1, at least 1, between 0 and 1, 'byte' or 'word'"
        )
    if not isinstance(text, str):
        text = Path(text).read_text("utf-8")
    shape = config or Config()
    first = text[: int(len(text) * (1 - held_out))]
    tokenizer = Tokenizer() if level == "byte" else Tokenizer.of_words(first, vocab_size)
    ids = torch.tensor(tokenizer(text), dtype=torch.int64, device=device)
    known, unseen = ids[: int(len(ids) * (1 - held_out))], ids[int(len(ids) * (1 - held_out)) :]
    if min(len(known), len(unseen)) <= shape.context:
        raise ModelError(
            f"gpt: {len(known)} tokens to train on and {len(unseen)} held out; each must be more than the context of "
            f"{shape.context}: give more text or a shorter context"
        )
    model = GPT(dataclasses.replace(shape, vocab_size=tokenizer.size), seed=seed).to(device)
    model.tokenizer = tokenizer
    curve = _fit(model, known, unseen, steps, batch_size, learning_rate, weight_decay, on_step, seed)
    model.trained = {
        "level": level, "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate,
        "weight_decay": weight_decay, "held_out": held_out, "seed": seed, "tokens": len(known),
        "held_out_loss": curve[-1][-1], "curve": curve,
    }  # fmt: skip
    return model


def generate(
    model: GPT, prompt: str, *, tokens: int = 100, temperature: float = 1.0, top_k: int | None = None, seed: int = 0
) -> str:
    """Continue a text.

    Parameters
    ----------
    model
        A trained model.
    prompt
        What to continue; at least one token. The model reads the last `context` tokens.
    tokens
        How many to add.
    temperature
        Of the sampling; 0 takes the likeliest token.
    top_k
        Sample among this many of the likeliest; all when left out.
    seed
        Seed of the sampling.

    Returns
    -------
    str
        The prompt and what follows.

    Raises
    ------
    ModelError
        When the prompt holds no token, or the temperature or `top_k` is out of range.

    Examples
    --------
    >>> model = train("ab" * 400, config=Config(layers=1, width=16, context=8), steps=40)
    >>> generate(model, "ab", tokens=6, temperature=0)
    'abababab'
    """
    ids = model.tokenizer(prompt)
    if not ids or not 0 <= temperature < float("inf") or (top_k is not None and top_k < 1):
        raise ModelError(
            f"gpt: a prompt of {len(ids)} tokens, temperature {temperature}, top_k {top_k}; at least 1 token, "
            "a finite temperature of at least 0, and a top_k of at least 1 or None are needed"
        )
    device = model.unembed.weight.device
    generator = torch.Generator().manual_seed(seed)
    for _ in range(tokens):
        with torch.inference_mode():
            logits = model(torch.tensor([ids[-model.config.context :]], device=device))[0, -1].double().cpu()
        best = logits.topk(min(1 if temperature == 0 else top_k or len(logits), len(logits)))
        chances = (best.values / (temperature or 1.0)).softmax(-1)
        ids.append(int(best.indices[torch.multinomial(chances, 1, generator=generator)]))
    return model.tokenizer.decode(ids)


def _fit(
    model: GPT, known: Tensor, unseen: Tensor, steps: int, batch_size: int, rate: float, decay: float,
    on_step: Callable[[int, GPT], None] | None, seed: int,
) -> list[list[float]]:  # fmt: skip
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps))
    generator = torch.Generator().manual_seed(seed)
    windows = torch.arange(model.config.context + 1, device=known.device)
    curve: list[list[float]] = []
    for step in range(steps):
        if on_step is not None:
            on_step(step, model)
        starts = torch.randint(len(known) - model.config.context, (batch_size, 1), generator=generator)
        batch = known[starts.to(known.device) + windows]
        model.train()
        loss = _loss(model, batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        model.eval()
        if step + 1 == steps or (step + 1) % max(steps // 10, 1) == 0:
            part = unseen if step + 1 == steps else unseen[: 100 * model.config.context + 1]
            curve.append([step + 1, float(loss.detach()), _held_out(model, part)])
    if on_step is not None:
        on_step(steps, model)
    return curve


def _share(step: int, steps: int) -> float:
    """Give the share of the learning rate at a step: linear warm-up, then a cosine down to a tenth."""
    warm = max(steps // 20, 1)
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(steps - warm, 1)
    return 0.1 + 0.45 * (1 + float(torch.cos(torch.tensor(done * torch.pi))))


def _held_out(model: GPT, unseen: Tensor) -> float:
    size = model.config.context
    count = (len(unseen) - 1) // size
    rows = torch.stack([unseen[i * size : i * size + size + 1] for i in range(count)])
    with torch.inference_mode():
        parts = [rows[i : i + 256] for i in range(0, count, 256)]
        return sum(float(_loss(model, part)) * len(part) for part in parts) / count


def _loss(model: GPT, rows: Tensor) -> Tensor:
    logits = model(rows[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
