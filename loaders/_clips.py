"""Clips of any lengths, such as sounds: each is run by itself, without padding."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders._passes import Capture
from neurointerp.loaders._prompts import stimulus_ids
from neurointerp.loaders._rows import Rows
from neurointerp.loaders._streams import appended
from neurointerp.models.sites import unit_labels
from neurointerp.recordings import add_history, recording

if TYPE_CHECKING:
    import torch


def record_clips(
    capture: Capture,
    clips: Sequence[torch.Tensor],
    stimulus: Sequence[str] | None,
    attrs: Mapping[str, Any],
    sites: Any,
    out: str | os.PathLike[str] | None,
    *,
    pool: str | None,
    special_tokens: bool,
    overwrite: bool,
) -> xr.DataArray:
    """Record clips one after the other: (time, unit) over all frames, or (trial, unit) of one value per clip."""
    rows = partial(Rows, config=getattr(capture.run.model, "config", None), pool=pool, special_tokens=special_tokens)
    found = stimulus_ids(stimulus, len(clips))

    def note(rec: xr.DataArray) -> xr.DataArray:
        return add_history(rec, "activations.record", sites=sites, special_tokens_dropped=0)

    return appended(_blocks(capture, clips, rows, found, attrs), out, note, overwrite=overwrite)


def _blocks(
    capture: Capture, clips: Sequence[torch.Tensor], rows: Callable[..., Rows], stimulus: Sequence[str], attrs: Any
) -> Iterator[xr.DataArray]:
    frames = 0
    for number, clip in enumerate(clips):
        values = rows(clip[None]).compute(capture, 0, 1)[0]
        if values.ndim > 2:
            raise LoaderError(f"clip {number} gave maps {values.shape}: pass pool=, or items of one shape")
        names, units = unit_labels(capture.sites, capture.widths)
        given = {"modality": "activations", "units": "1", "unit": names, "attrs": attrs}
        if values.ndim == 1:
            label = {"stimulus": ("trial", stimulus[number : number + 1]), "trial": [number]}
            yield recording(values[None], dims=("trial", "unit"), coords={**label, **units}, **given)
            continue
        own = np.full(len(values), number)
        labels = {
            "segment": ("time", own),
            "sequence": ("time", own),
            "position": ("time", np.arange(len(values))),
            "stimulus": ("time", np.array([stimulus[number]] * len(values), dtype=object)),
        }
        clock = ("time", frames + np.arange(len(values)), {"units": "frame"})
        yield recording(values, time=clock, sampling_rate=1.0, coords={**labels, **units}, **given)
        frames += len(values)
