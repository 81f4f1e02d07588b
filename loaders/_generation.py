"""What a model holds while it generates, prompt by prompt."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp import store
from neurointerp.errors import LoaderError
from neurointerp.loaders._passes import Capture, to_numpy
from neurointerp.loaders._prompts import Prompts
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
    if lent:
        raise LoaderError("during= runs the model as it is: move and cast it yourself, without dtype= and device=")
    if any(site.is_pattern for site in capture.sites):
        raise LoaderError("attn.pattern grows while a model generates: record the finished text instead")
    blocks: list[xr.DataArray] = []
    writer: store.Writer | None = None
    tokens = segments = 0
    try:
        for number in range(len(prompts)):
            one = Prompts(prompts.ids[number : number + 1], prompts.keeps[number : number + 1])
            if not len(one.ids[0]):
                continue
            values, read = _generated(capture, one.ids[0], during)
            spoken = Prompts([read], [np.concatenate([one.keeps[0], np.ones(len(read) - len(one.ids[0]), bool)])])
            kept = spoken.keeps[0]
            if not kept.any():
                continue
            labels = spoken.labels(tokenizer, stimulus[number : number + 1], before=(number, segments))
            labels["generated"] = ("time", (np.arange(len(read)) >= len(one.ids[0]))[kept])
            block = _block(capture, values[kept], labels, tokens, attrs)
            tokens, segments = tokens + block.sizes["time"], int(block["segment"].values[-1]) + 1
            if out is None:
                blocks.append(block)
                continue
            if writer is None:
                template = add_history(block[:0], "activations.record", sites=sites, during=_name(during))
                writer = store.writer(out, template, overwrite=overwrite)
            writer.append(block)
        if writer is not None:
            stored: xr.DataArray = store.open(writer.commit())
            return stored
    finally:
        if writer is not None:
            writer.abort()
    whole = xr.concat(blocks, "time", combine_attrs="override")
    whole.attrs = {**blocks[0].attrs, "sampling_rate": 1.0}
    return add_history(whole, "activations.record", sites=sites, during=_name(during))


def _generated(capture: Capture, ids: np.ndarray, during: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    """Give what the sites held for each token read, and the tokens."""
    import torch

    held: list[list[torch.Tensor]] = [[] for _ in capture.sites]
    taps = [(site, lambda t, into=into: into.append(t.clone())) for site, into in zip(capture.sites, held, strict=True)]
    prompt = torch.from_numpy(ids)[None].to(capture.run.device)
    with tapped(capture.run.model, taps), torch.inference_mode():
        given = during(input_ids=prompt, attention_mask=torch.ones_like(prompt))
    sequence = np.asarray(getattr(given, "sequences", given).cpu())
    arrays = []
    for site, pieces in zip(capture.sites, held, strict=True):
        if not pieces or any(piece.ndim != 3 or piece.shape[0] != 1 for piece in pieces):
            shapes = [tuple(piece.shape) for piece in pieces[:3]]
            raise LoaderError(f"site {site.path!r} held {shapes} during generation: (1, token, unit) is needed")
        arrays.append(to_numpy(torch.cat(pieces, dim=1)[0]))
    read = len(arrays[0])
    if sequence.ndim != 2 or len(sequence) != 1 or {len(a) for a in arrays} != {read} or read != sequence.shape[1] - 1:
        raise LoaderError(
            f"during= gave ids of shape {sequence.shape} and read {[len(a) for a in arrays]} tokens at the sites: "
            "one sequence, each token read once (use_cache=True, no beams), is needed"
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
