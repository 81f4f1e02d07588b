"""Activations that another package took: the cache of TransformerLens, tensors saved in a trace of nnsight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.models.sites import find_sites, unit_labels
from neurointerp.recordings import add_history, recording


def load(
    cache: Any,
    *,
    site: str,
    lengths: Sequence[int] | None = None,
    tokens: Sequence[Sequence[int]] | None = None,
    padding: str = "right",
    attrs: dict[str, Any] | None = None,
) -> xr.DataArray:
    """Turn a mapping from hook names to activations into a recording.

    Parameters
    ----------
    cache
        Name -> tensor or array (prompt, token, ...): an `ActivationCache` of TransformerLens (with or without its batch
        dim), or a dict. What follows the token (heads, channels) becomes `unit`.
    site
        Which of them, with `*`, `**` and `{layer}`: `"blocks.{layer}.mlp.hook_post"`. Attention patterns have no
        channels and are not taken; `loaders.activations.record` records them.
    lengths
        Tokens of each prompt without padding. A cache does not know them: they may be left out for one prompt, or where
        `tokens` has them.
    tokens
        The ids of each prompt without padding; they become `token_id`.
    padding
        The side that padding was put on: `"right"` (TransformerLens's default) or `"left"`.
    attrs
        Further attrs (`system`, `source`, ...).

    Returns
    -------
    xarray.DataArray
        (time, unit), prompt after prompt without padding, on a clock of tokens; each prompt is a `segment`. Labels and
        coordinates of units (`site`, `index`, `layer`) as `loaders.activations.record` gives them.

    Raises
    ------
    LoaderError
        When it is no such mapping, lengths are needed or do not fit, or shapes differ in prompts and tokens.
    ModelError
        When no name matches.

    Examples
    --------
    >>> cache = {"blocks.0.mlp.hook_post": np.arange(12.0).reshape(2, 3, 2)}
    >>> rec = load(cache, site="blocks.{layer}.mlp.hook_post", lengths=[3, 1])
    >>> rec.values[:, 0].tolist(), rec.segment.values.tolist()
    ([0.0, 2.0, 4.0, 6.0], [0, 0, 0, 1])
    """
    if not (hasattr(cache, "keys") and hasattr(cache, "__getitem__")):
        raise LoaderError(f"{type(cache).__name__}: a mapping from names to activations is needed")
    if padding not in ("left", "right"):
        raise LoaderError(f"padding is {padding!r}: 'left' or 'right' is needed")
    found = find_sites([str(name) for name in cache.keys()], site)  # noqa: SIM118  (an ActivationCache iterates values)
    batched = bool(getattr(cache, "has_batch_dim", True))
    arrays = {one.path: _plain(cache[one.path], batched) for one in found}
    shapes = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) < 3 for shape in shapes.values()) or len({shape[:2] for shape in shapes.values()}) != 1:
        raise LoaderError(f"activations (prompt, token, ...) of one shape are needed, found {shapes}; choose by site=")
    prompts, longest = next(iter(shapes.values()))[:2]
    true = _lengths(lengths, tokens, prompts, longest)
    kept = [slice(0, size) if padding == "right" else slice(longest - size, longest) for size in true]
    rows = [np.concatenate([array[p, part] for p, part in enumerate(kept)]) for array in arrays.values()]
    flat = [row.reshape(len(row), -1) for row in rows]
    labels, coords = unit_labels(found, [row.shape[1] for row in flat])
    prompt: np.ndarray = np.repeat(np.arange(prompts), true)
    coords |= {
        "segment": ("time", prompt),
        "sequence": ("time", prompt),
        "position": ("time", np.concatenate([np.arange(size) for size in true])),
    }
    if tokens is not None:
        coords["token_id"] = ("time", np.concatenate([_plain(one, True).astype(np.int64) for one in tokens]))
    values = np.concatenate(flat, axis=1)
    time = np.arange(len(values))
    rec = recording(values, modality="activations", units="1", time=time, unit=labels, coords=coords, attrs=attrs)
    padded = prompts * longest - len(values)
    return add_history(rec, "loaders.objects.activation_cache.load", site=site, padding=padding, padding_dropped=padded)


def _plain(held: Any, batched: bool) -> np.ndarray:
    if hasattr(held, "detach"):
        held = held.detach().cpu()
        held = held.float() if str(held.dtype) == "torch.bfloat16" else held  # numpy has none
    values: np.ndarray = np.asarray(held)
    return values if batched else np.expand_dims(values, 0)


def _lengths(lengths: Any, tokens: Any, prompts: int, longest: int) -> list[int]:
    if lengths is None and tokens is None and prompts > 1:
        raise LoaderError(f"{prompts} prompts of {longest} places: which are padding? pass lengths= or tokens=")
    held = [range(longest)] if tokens is None else tokens  # one prompt, without padding
    true = [len(one) for one in held] if lengths is None else [int(one) for one in lengths]
    if tokens is not None and [len(one) for one in tokens] != true:
        raise LoaderError(f"lengths are {true}, of tokens {[len(one) for one in tokens]}")
    if len(true) != prompts or not all(0 < one <= longest for one in true):
        raise LoaderError(f"{prompts} lengths from 1 to {longest} are needed, found {true}")
    return true
