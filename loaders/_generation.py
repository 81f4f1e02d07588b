"""What a model holds while it generates, prompt by prompt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders._passes import Capture, to_numpy
from neurointerp.loaders._prompts import Prompts
from neurointerp.loaders._streams import appended
from neurointerp.models.sites import unit_labels
from neurointerp.models.taps import tapped
from neurointerp.recordings import add_history, recording

if TYPE_CHECKING:
    import torch


def record_generation(
    capture: Capture,
    prompts: Prompts,
    during: Callable[..., Any],
    tokenizer: Any,
    stimulus: Sequence[str],
    attrs: Mapping[str, Any],
    sites: Any,
    out: str | os.PathLike[str] | None,
    *,
    overwrite: bool,
    lent: bool,
) -> xr.DataArray:
    """Let `during` run the model on each prompt, and record every token that it reads."""
    if not callable(during):
        raise LoaderError(f"during is a {type(during).__name__}: what runs the model is needed, such as model.generate")
    if lent:
        raise LoaderError("during= runs the model as it is: move and cast it yourself, without dtype= and device=")
    if any(site.is_pattern for site in capture.sites):
        raise LoaderError("attn.pattern grows while a model generates: record the finished text instead")

    def note(rec: xr.DataArray) -> xr.DataArray:
        return add_history(rec, "activations.record", sites=sites, during=_name(during))

    blocks = _spoken(capture, prompts, during, tokenizer, stimulus, attrs)
    return appended(blocks, out, note, overwrite=overwrite)


def _spoken(
    capture: Capture,
    prompts: Prompts,
    during: Callable[..., Any],
    tokenizer: Any,
    stimulus: Sequence[str],
    attrs: Mapping[str, Any],
) -> Iterator[xr.DataArray]:
    """Give the recording of one prompt and what was generated after it, and then of the next."""
    tokens = segments = 0
    for number in range(len(prompts)):
        own, keep = prompts.ids[number], prompts.keeps[number]
        if not len(own):
            continue
        values, read = _generated(capture, own, during)
        is_new = np.arange(len(read)) >= len(own)
        spoken = Prompts([read], [np.concatenate([keep, is_new[len(own) :]])])
        kept = spoken.keeps[0]
        if not kept.any():
            continue
        labels = spoken.labels(tokenizer, stimulus[number : number + 1], before=(number, segments))
        labels["generated"] = ("time", is_new[kept])
        block = _block(capture, values[kept], labels, tokens, attrs)
        tokens, segments = tokens + block.sizes["time"], int(block["segment"].values[-1]) + 1
        yield block


def _generated(capture: Capture, ids: np.ndarray, during: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    """Give what the sites held for each token read, and the tokens."""
    import torch

    held: list[list[torch.Tensor]] = [[] for _ in capture.sites]
    taps = [(site, lambda t, into=into: into.append(t.clone())) for site, into in zip(capture.sites, held, strict=True)]
    prompt = torch.from_numpy(ids)[None].to(capture.run.device)
    with tapped(capture.run.model, taps), torch.inference_mode():
        given = during(input_ids=prompt, attention_mask=torch.ones_like(prompt))
    found = getattr(given, "sequences", given)
    if not isinstance(found, torch.Tensor):
        raise LoaderError(f"during= gave a {type(found).__name__}: the ids of prompt and continuation are needed")
    sequence = np.asarray(found.cpu())
    arrays = []
    for site, pieces in zip(capture.sites, held, strict=True):
        if not pieces or any(piece.ndim != 3 or piece.shape[0] != 1 for piece in pieces):
            shapes = [tuple(piece.shape) for piece in pieces[:3]]
            raise LoaderError(f"site {site.path!r} held {shapes} during generation: (1, token, unit) is needed")
        arrays.append(to_numpy(torch.cat(pieces, dim=1)[0]))
    read = len(arrays[0])
    if sequence.ndim != 2 or len(sequence) != 1 or {len(a) for a in arrays} != {read} or read != sequence.shape[1] - 1:
        counts = ", ".join(f"{site.where} {len(a)}" for site, a in zip(capture.sites[:4], arrays, strict=False))
        raise LoaderError(
            f"during= gave ids of shape {sequence.shape}, and the sites held so many tokens: {counts}. One sequence, "
            "each token read once (use_cache=True, no beams), is needed; of a prompt the logits are not computed"
        )
    capture.widths = [array.shape[1] for array in arrays]
    return np.concatenate(arrays, axis=1), sequence[0, :-1].astype(np.int64)


def _block(
    capture: Capture, values: np.ndarray, labels: dict[str, Any], start: int, attrs: Mapping[str, Any]
) -> xr.DataArray:
    names, unit_coords = unit_labels(capture.sites, capture.widths)
    return recording(
        values,
        modality="activations",
        units="1",
        time=("time", start + np.arange(len(values)), {"units": "token"}),
        sampling_rate=1.0,
        unit=names,
        coords={**labels, **unit_coords},
        attrs=attrs,
    )


def _name(during: Callable[..., Any]) -> str:
    call = getattr(during, "func", during)
    return getattr(call, "__qualname__", type(call).__name__)
