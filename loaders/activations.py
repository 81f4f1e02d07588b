"""Activations as recordings: run a torch model with `record`, or read saved arrays with `load`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders._arrays import from_arrays, read_arrays
from neurointerp.loaders._clips import record_clips
from neurointerp.loaders._generation import record_generation
from neurointerp.loaders._passes import Capture
from neurointerp.loaders._prompts import SIDES, Prompts, check_prompts, read_prompts, stimulus_ids
from neurointerp.loaders._rows import Rows, as_rows
from neurointerp.loaders._streams import Memory, Sink, Stored, collect
from neurointerp.loaders._training import Watch, over_training
from neurointerp.models.running import Run, fingerprint, ready
from neurointerp.models.sites import Site, sites_of, unit_labels
from neurointerp.recordings import add_history, recording, session

if TYPE_CHECKING:
    import torch

__all__ = ["Watch", "load", "load_session", "over_training", "record"]


def record(
    model: torch.nn.Module,
    inputs: Any,
    *,
    sites: str | Sequence[str] | Mapping[str, str],
    tokenizer: Callable[[str], Any] | None = None,
    batch_size: int = 8,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    special_tokens: bool = False,
    padding: str = "right",
    pool: str | None = None,
    channels: str | None = None,
    stimulus: Sequence[str] | None = None,
    revision: str | None = None,
    attrs: Mapping[str, Any] | None = None,
    during: Callable[..., Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> xr.DataArray:
    """Run a torch model and record what some of its sites hold.

    The model runs in evaluation mode without gradients and is left as it was, also after an error: hooks are
    removed, modes put back, and another `dtype` or `device` gets copies of the weights. Interventions
    (`neurointerp.models.intervene`) that are open are recorded.

    Parameters
    ----------
    model
        Any `torch.nn.Module`.
    inputs
        Prompts of any lengths: a list of texts (with `tokenizer`) or of sequences of token ids. Or a tensor (images,
        waveforms, tokens of one length), one trial per row, which the model is given as it is; or a mapping of
        tensors, which it is given by name. Arrays of floating-point numbers serve as tensors (a memory map is read as
        it goes); one of integers is prompts, row by row. A list of tensors or arrays of floating-point numbers is
        stacked where shapes are equal; clips of other lengths are run one by one.
    sites
        Named sites of a known family, in all layers (`"mlp.post"`, `"resid.*"`) or one (`"L3.mlp.post"`):
        `neurointerp.models.site_names(model)` lists them. For any model, names as in `model.named_modules()`:
        `"encoder.layer.3"` is what this module returns (the first item of a tuple);
        `"encoder.layer.3.output.dense:input"` is the first thing it is given. `*` stands for anything within one
        part of a name, `**` also across dots, `{layer}` for a number, `""` for the whole model. A mapping gives
        short names, such as `{"mlp.post": "encoder.layer.{layer}.output.dense:input"}`.
    tokenizer
        A Hugging Face tokenizer or any callable from a text to token ids. For prompts of token ids it names the
        tokens and tells the special ones.
    batch_size
        Prompts or rows per pass. Prompts are padded behind an attention mask; a model that takes no
        `attention_mask` is run on prompts of one length at a time.
    dtype, device
        Where to run, such as `"float64"` and `"cuda:0"`; default: as the model is.
    special_tokens
        Keep the tokens that frame a text (BOS, EOS, CLS, SEP), and the class token beside the patches of an image.
        Padding is never kept.
    padding
        The side to pad on, `"right"` or `"left"`; to a model that takes `position_ids` they are passed where it is
        the left one. Values do not depend on it beyond rounding.
    pool
        Of a tensor or clips: `"mean"` over all that lies between row and unit, or the `"first"` token, for one value
        per trial and unit. Default: all of them.
    channels
        Where features stand in what an activation function, a block or another module holds that does not tell it by
        its kind, as layers do: `"first"` (behind the batch, as behind a `Conv1d`) or `"last"`. Default: first of four
        axes, last of fewer.
    stimulus
        One id per prompt or row; default `"0"`, `"1"`, ...
    revision
        Commit or checksum of the weights; default: the commit that a Hugging Face model knows.
    attrs
        Further attrs; they win over those found out (`model`, `tokenizer`, `system`, ...).
    during
        What runs the model, instead of one pass: called as `during(input_ids=..., attention_mask=...)` for one prompt
        at a time, it gives the ids of prompt and continuation, as `model.generate` or a `functools.partial` of it
        does. What was read in its passes is recorded, so all tokens but the last.
    out
        Path of a store to stream to, through one thread beside the model, in bounded memory. A run that was killed
        goes on after the last whole chunk when it is started again with the same arguments (not with `during` or clips
        of several lengths) and, where there were any, the same interventions; those that change the first batch
        otherwise begin anew. The log tells progress and time left.
    overwrite
        Replace the store that is there.

    Returns
    -------
    xarray.DataArray
        For prompts `(time, unit)`: the clock counts the tokens kept. Along it: `sequence` (number of the prompt),
        `segment` (tokens with none left out between them), `position` (within what the model read), `token_id`,
        `token` where the tokenizer can name it, `stimulus`, and with `during` `generated`. For a tensor
        `(trial, unit)`, `(trial, time, unit)` with tokens or frames, `(trial, token, unit)` with `row` and `col` for
        the patches of an image or, from feature maps, `(trial, row, col, unit)`. A recurrent cell that runs step by
        step gives `(trial, time, unit)`. For clips of several lengths `(time, unit)` over the frames of all, with
        `segment`, `sequence`, `position` and `stimulus`, or `(trial, unit)` where one value is left of each.
        `unit` is `L{layer}.{site}.{index}` where a short name and a layer are known, else `{site}.{index}`, with
        `layer`, `site` and `index` beside it, and `head` for sites of attention. Values have the dtype of the run
        (bfloat16 becomes float32). A unit of `attn.pattern` is a head and a `key`, a token that is looked at (special
        ones included): NaN where the prompt has no such token. With `out` the recording is lazy.

    Raises
    ------
    LoaderError
        When torch is missing, a site matches nothing or holds something odd, or a prompt cannot be read.
    StoreError
        When `out` exists or cannot be written.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 2))
    >>> rec = record(model, [[1, 2, 3], [4, 5]], sites={"hidden": "1"})
    >>> rec.unit.values.tolist(), rec.sequence.values.tolist()
    (['L1.hidden.0', 'L1.hidden.1'], [0, 0, 0, 1, 1])
    """
    torch = _torch()
    if not isinstance(model, torch.nn.Module):
        raise LoaderError(f"a torch.nn.Module is needed, found {type(model).__name__}")
    if batch_size < 1:
        raise LoaderError(f"batch_size is {batch_size}: at least 1 is needed")
    if padding not in SIDES:
        raise LoaderError(f"padding is {padding!r}: one of {', '.join(map(repr, SIDES))} is needed")
    found = sites_of(model, sites)
    spelled = dict(sites) if isinstance(sites, Mapping) else [sites] if isinstance(sites, str) else list(sites)
    given = as_rows(inputs)
    _check_use(given is not None, pool, during, channels)
    if channels is not None:
        layout = {"first": "channels", "last": "last"}[channels]
        found = [site if site.layout else replace(site, layout=layout) for site in found]
    with ready(model, dtype, device) as run:
        known = _provenance(run, tokenizer, revision, dict(attrs or {}))
        capture = Capture(run, found)
        if isinstance(given, list):
            kept: dict[str, Any] = {"pool": pool, "special_tokens": special_tokens, "overwrite": overwrite}
            return record_clips(capture, given, stimulus, known, spelled, out, **kept)
        if given is not None:
            rows = Rows(given, getattr(model, "config", None), pool=pool, special_tokens=special_tokens)
            label = partial(_row_labels, rows, capture, spelled, stimulus, known)
            parts, what = rows.parts(capture, batch_size), "rows"
            made_of = rows.digests(batch_size) if out else []
        else:
            prompts = read_prompts(inputs, tokenizer, special_tokens=special_tokens)
            check_prompts(prompts, getattr(model, "config", None))
            stimuli = stimulus_ids(stimulus, len(prompts))
            if during is not None:
                lent = run.weights is not None
                return record_generation(
                    capture, prompts, during, tokenizer, stimuli, known, spelled, out, overwrite=overwrite, lent=lent
                )
            label = partial(_token_labels, prompts, capture, spelled, tokenizer, stimuli, known)
            parts, what = _prompt_parts(capture, prompts, batch_size, padding), "tokens"
            made_of = [ids.tobytes() for ids in prompts.ids] if out else []

        def begin(first: np.ndarray) -> Sink:
            like = label(first)
            if out is None:
                return Memory(like, capture.free)
            key = _key(model, made_of, found, run, first, batch_size, padding, (pool, special_tokens))
            return Stored(out, like, key, capture.free, overwrite=overwrite)

        return collect(parts, begin, what)


def load(
    source: str | os.PathLike[str],
    *,
    site: str = "**",
    time: Any = None,
    segment: Any = None,
    units: str = "1",
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Read activations saved as arrays `(token, unit)` in a `.npz` or `.safetensors` file.

    Parameters
    ----------
    source
        The file. Each array in it is one site, named by its key. Pickled arrays are refused.
    site
        Which of them, with `*`, `**` and `{layer}` as in `record`; they are put side by side along `unit`.
    time
        The clock as `neurointerp.recording` takes it; default: tokens, counted from 0.
    segment
        Number of the prompt of each token; without it all tokens are one stretch.
    units
        Units of the values; default dimensionless.
    attrs
        Further attrs (`system`, `source`, ...).

    Returns
    -------
    xarray.DataArray
        `(time, unit)` with `site`, `index` and, where known, `layer` on `unit`. `history` names the arrays left
        out.

    Raises
    ------
    LoaderError
        When the file cannot be read, no array matches, or their shapes do not fit together.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "saved.npz"
    >>> np.savez(path, **{"layer.3": np.zeros((5, 2))})
    >>> load(path, segment=[0, 0, 0, 1, 1]).unit.values.tolist()
    ['layer.3.0', 'layer.3.1']
    """
    arrays = read_arrays(Path(source))
    return from_arrays(Path(source), arrays, site, time, segment, units, attrs)


def load_session(source: str | os.PathLike[str], **options: Any) -> xr.DataTree:
    """Read every array of a `.npz` or `.safetensors` file as a recording of its own, on its own clock.

    Parameters
    ----------
    source
        The file.
    **options
        `units` and `attrs` of `load`, for all of them.

    Returns
    -------
    xarray.DataTree
        Recordings under the keys of the file (`/` written as `.`).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "saved.npz"
    >>> np.savez(path, early=np.zeros((5, 2)), late=np.zeros((4, 3)))
    >>> load_session(path)["recordings/late/recording"].sizes
    Frozen({'time': 4, 'unit': 3})
    """
    arrays = read_arrays(Path(source))
    keywords = {"time": None, "segment": None, "units": "1", "attrs": None, **options}
    recordings = {
        name.replace("/", "."): from_arrays(Path(source), {name: array}, "**", **keywords)
        for name, array in arrays.items()
    }
    return session(recordings, attrs={"source": Path(source).name})


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise LoaderError("running a model needs torch: pip install 'neurointerp[models]'") from error
    return torch


def _check_use(is_rows: bool, pool: Any, during: Any, channels: Any) -> None:
    """Refuse what would be without effect on these inputs."""
    if channels not in (None, "first", "last"):
        raise LoaderError(f"channels is {channels!r}: one of None, 'first', 'last' is needed")
    if is_rows and during is not None:
        raise LoaderError("during= takes prompts, one at a time: pass a list of texts or of token ids, not tensors")
    if not is_rows and pool is not None:
        raise LoaderError(
            f"pool={pool!r} is for tensors and clips; of prompts take .groupby('sequence').mean() of the recording"
        )


def _provenance(run: Run, tokenizer: Any, revision: str | None, attrs: dict[str, Any]) -> dict[str, Any]:
    config = getattr(run.model, "config", None)
    name = _public(getattr(config, "_name_or_path", "")) or type(run.model).__name__
    known = {"model": name, "model_dtype": str(run.dtype).removeprefix("torch.")}
    revision = revision or getattr(config, "_commit_hash", None)
    if revision:
        known["revision"] = revision
    if tokenizer is not None:
        known["tokenizer"] = _public(getattr(tokenizer, "name_or_path", "")) or type(tokenizer).__name__
    known |= attrs
    known.setdefault("system", f"{known['model']} {known.get('revision', '')}".strip())
    return known


def _public(name: Any) -> str:
    """Reduce a path of this machine to its last part; leave the name of a published model as it is."""
    name = str(name or "")
    return Path(name).name if Path(name).is_absolute() or (name and Path(name).exists()) else name


def _prompt_parts(
    capture: Capture, prompts: Prompts, batch_size: int, padding: str
) -> list[tuple[int, int, Callable[[], np.ndarray]]]:
    """Give the passes over prompts, as `collect` takes them."""
    ends = np.concatenate([[0], np.cumsum(prompts.kept)])
    masked = "attention_mask" in capture.run.accepts

    def compute(part: slice) -> np.ndarray:
        return capture.prompts(prompts.batch(part, capture.run, padding))

    cuts = prompts.batches(batch_size, padded=masked)
    return [(int(ends[part.start]), int(ends[part.stop]), partial(compute, part)) for part in cuts]


def _token_labels(
    prompts: Prompts,
    capture: Capture,
    sites: Any,
    tokenizer: Any,
    stimulus: Sequence[str],
    attrs: Mapping[str, Any],
    first: np.ndarray,
) -> xr.DataArray:
    """Give the recording of prompts to come: its labels, and values that take no memory."""
    rows = int(prompts.kept.sum())
    clock = ("time", np.arange(rows), {"units": "token"})
    labels = {"dims": ("time", "unit"), "time": clock, "coords": prompts.labels(tokenizer, stimulus)}
    like = _hollow(labels, (rows,), capture, first.dtype, attrs)
    return add_history(like, "activations.record", sites=sites, special_tokens_dropped=prompts.dropped)


def _row_labels(
    rows: Rows,
    capture: Capture,
    sites: Any,
    stimulus: Sequence[str] | None,
    attrs: Mapping[str, Any],
    first: np.ndarray,
) -> xr.DataArray:
    """Give the recording of rows to come: its labels, and values that take no memory."""
    like = _hollow(rows.labels(first, stimulus), (len(rows), *first.shape[1:-1]), capture, first.dtype, attrs)
    return add_history(like, "activations.record", sites=sites, special_tokens_dropped=0)


def _hollow(
    labels: dict[str, Any], shape: tuple[int, ...], capture: Capture, dtype: Any, attrs: Mapping[str, Any]
) -> xr.DataArray:
    one = recording(np.zeros((*shape, 1), dtype), modality="activations", units="1", attrs=attrs, **labels)
    names, unit_coords = unit_labels(capture.sites, capture.widths)
    zeros = np.broadcast_to(np.zeros((), dtype), (*shape, len(names)))
    along = {name: coord.variable for name, coord in one.coords.items() if "unit" not in coord.dims}
    units = {key: _unread(values) for key, (_, values) in {"unit": ("unit", names), **unit_coords}.items()}
    return xr.DataArray(zeros, dims=one.dims, coords={**along, **units}, attrs=one.attrs)


def _unread(values: Any) -> xr.Variable:
    """Give labels of units as they are: otherwise xarray takes each string to pandas and back."""
    array = np.array(values, dtype=object) if isinstance(values, list) else values
    return xr.Variable("unit", array, fastpath=True)


def _key(
    model: torch.nn.Module,
    made_of: list[bytes],
    sites: Sequence[Site],
    run: Run,
    first: np.ndarray,
    size: int,
    padding: str,
    reading: tuple[Any, bool],
) -> str:
    """Tell this run from others: the same weights, inputs and settings give the same values.

    What hooks (interventions) do cannot be read off them: where there are any, what they made of the first rows tells.
    """
    inputs = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in made_of)).hexdigest()
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    made = hashlib.sha256(first.tobytes()).hexdigest() if hooks else ""
    return repr(
        [fingerprint(model), hooks, made, inputs, sites, str(run.dtype), str(run.device), size, padding, reading]
    )
