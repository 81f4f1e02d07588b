"""A language model as the readers of components need it: where its units are, its tokens, its continuations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.models.gradients import call

if TYPE_CHECKING:
    import torch


def require_torch(analysis: str) -> Any:
    """Give torch, or say how to get it."""
    try:
        import torch
    except ImportError as error:
        raise AnalysisError(f"{analysis}: it runs a model: pip install 'neurointerp[models]'") from error
    return torch


def place_of(result: xr.Dataset, site: str | None, analysis: str) -> tuple[str, np.ndarray]:
    """Give the site (`L3.mlp.post`) of the units of a result and their indices there.

    Where a site is given, the units are counted from its first unless they have an `index`.
    """
    n = result.sizes["unit"]
    index = np.asarray(result["index"].values, dtype=np.int64) if "index" in result.coords else np.arange(n)
    if site is not None:
        return site, index
    if "site" not in result.coords or "layer" not in result.coords:
        raise AnalysisError(f"{analysis}: the units have no coordinates 'layer' and 'site'; pass site='L3.mlp.post'")
    found = sorted(
        {f"L{layer}.{name}" for layer, name in zip(result["layer"].values, result["site"].values, strict=True)}
    )
    if len(found) > 1:
        raise AnalysisError(f"{analysis}: the units lie at {len(found)} sites ({', '.join(found[:3])}); factorize one")
    return found[0], index


def tokenizer_of(model: torch.nn.Module, tokenizer: Any) -> Any:
    """Give the tokenizer passed, else the model's own; None where there is neither."""
    return getattr(model, "tokenizer", None) if tokenizer is None else tokenizer


def token_ids(text: Any, tokenizer: Any, analysis: str, *, special: bool) -> list[int]:
    """Give the ids of a text, or ids as they are; `special` keeps what frames a prompt (BOS)."""
    if not isinstance(text, str):
        return [int(one) for one in np.atleast_1d(np.asarray(text))]
    if tokenizer is None:
        raise AnalysisError(f"{analysis}: {text!r} needs a tokenizer: pass tokenizer=, or token ids")
    frames = {} if special or not hasattr(tokenizer, "all_special_ids") else {"add_special_tokens": False}
    out = tokenizer(text, **frames)
    return [int(one) for one in (out["input_ids"] if hasattr(out, "keys") else out)]


def token_names(ids: np.ndarray, tokenizer: Any) -> np.ndarray:
    """Give the name of each token as an object array; the number where there is no tokenizer."""
    names = getattr(tokenizer, "convert_ids_to_tokens", None)
    flat = [int(one) for one in ids.ravel()]
    spelled = [str(one) for one in flat] if names is None else [str(one) for one in names(flat)]
    return np.array(spelled, dtype=object).reshape(ids.shape)


def logits_of(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Give (prompt, token, vocabulary) of the last tokens that fit into the model's context."""
    out = call(model, ids)
    out = getattr(out, "logits", out)
    found: torch.Tensor = out[0] if isinstance(out, tuple) else out
    return found


def context_of(model: torch.nn.Module) -> int:
    """Give how many tokens the model reads at once."""
    return int(getattr(getattr(model, "config", None), "max_position_embeddings", None) or 2**20)


def continued(
    model: torch.nn.Module, prompt: Sequence[int], *, samples: int, tokens: int, top_k: int, top_p: float, seed: int
) -> torch.Tensor:
    """Sample continuations (sample, token) among the `top_k` likeliest tokens that make up `top_p` of the chance."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    ids = torch.tensor([list(prompt)] * samples, device=device)
    for _ in range(tokens):
        with torch.no_grad():
            logits = logits_of(model, ids[:, -context_of(model) :])[:, -1].double().cpu()
        best = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
        chance = best.values.softmax(-1)
        before = chance.cumsum(-1) - chance  # the likeliest token always stays
        chance = torch.where(before < top_p, chance, 0.0)
        drawn = torch.multinomial(chance, 1, generator=rng)
        ids = torch.cat([ids, best.indices.gather(1, drawn).to(device)], dim=1)
    return ids[:, len(prompt) :]


def perplexity(model: torch.nn.Module, prompt: Sequence[int], continuations: torch.Tensor) -> float:
    """Give exp of the mean surprisal of continuations after their prompt, under the model as it now is."""
    import torch

    head = torch.tensor([list(prompt)] * len(continuations), device=continuations.device)
    ids = torch.cat([head, continuations], dim=1)
    size, losses = context_of(model), []
    for end in range(len(prompt), ids.shape[1], max(size // 2, 1)):
        stop = min(end + max(size // 2, 1), ids.shape[1])
        start = max(stop - size, 0)
        with torch.no_grad():
            logs = logits_of(model, ids[:, start:stop]).double().log_softmax(-1)
        target = ids[:, end:stop]
        losses.append(-logs[:, end - start - 1 : stop - start - 1].gather(2, target[..., None])[..., 0])
    return float(torch.cat(losses, dim=1).mean().exp())
