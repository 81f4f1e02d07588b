"""Activations as recordings: run a torch model with `record`, or read saved arrays with `load`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders._arrays import read_arrays
from neurointerp.loaders._sites import Run, Site, capture, cast, find_sites, ready, unit_labels
from neurointerp.recordings import add_history, recording, session

if TYPE_CHECKING:
    import torch

FRAME = ("bos", "eos", "cls", "sep")
"""Special tokens that frame a text and are no part of it (an unknown or masked word is)."""


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
    stimulus: Sequence[str] | None = None,
    revision: str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Run a torch model and record what some of its modules hold.

    The model runs in evaluation mode without gradients and is left as it was, also after an error: hooks are
    removed, modes put back, and another `dtype` or `device` gets copies of the weights.

    Parameters
    ----------
    model
        Any `torch.nn.Module`.
    inputs
        Prompts of any lengths: a list of texts (with `tokenizer`) or of sequences of token ids. Or a tensor, one
        trial per row, which the model is given as it is.
    sites
        Names as in `model.named_modules()`. `"encoder.layer.3"` is what this module returns (the first item of a
        tuple); `"encoder.layer.3.output.dense:input"` is the first thing it is given: at the down-projection of
        an MLP, the vector behind the nonlinearity. `*` stands for anything within one part of a name, `**` also
        across dots, `{layer}` for a number, `""` for the whole model. A mapping gives short names, such as
        `{"mlp.post": "encoder.layer.{layer}.output.dense:input"}`.
    tokenizer
        A Hugging Face tokenizer or any callable from a text to token ids. For prompts of token ids it names the
        tokens and tells the special ones.
    batch_size
        Prompts or rows per pass. Prompts are padded on the right behind an attention mask; a model that takes no
        `attention_mask` is run on prompts of one length at a time.
    dtype, device
        Where to run, such as `"float64"` and `"cuda:0"`; default: as the model is.
    special_tokens
        Keep the tokens that frame a text (BOS, EOS, CLS, SEP). Padding is never kept.
    stimulus
        One id per prompt or row; default `"0"`, `"1"`, ...
    revision
        Commit or checksum of the weights; default: the commit that a Hugging Face model knows.
    attrs
        Further attrs; they win over those found out (`model`, `tokenizer`, `system`, ...).

    Returns
    -------
    xarray.DataArray
        For prompts `(time, unit)`: the clock counts the tokens kept. Along it: `sequence` (number of the prompt),
        `segment` (tokens with none left out between them), `position` (within what the model read), `token_id`,
        `token` where the tokenizer can name it, and `stimulus`. For a tensor `(trial, unit)`,
        `(trial, time, unit)` or, from feature maps, `(trial, row, col, unit)`.
        `unit` is `L{layer}.{site}.{index}` where a short name and a layer are known, else `{site}.{index}`, with
        `layer`, `site` and `index` beside it. Values have the dtype of the run (bfloat16 becomes float32).

    Raises
    ------
    LoaderError
        When torch is missing, a site matches nothing or holds something odd, or a prompt cannot be read.

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
    found = find_sites([name for name, _ in model.named_modules()], sites)
    with ready(model, dtype, device) as run:
        known = _provenance(run, tokenizer, revision, dict(attrs or {}))
        if isinstance(inputs, torch.Tensor):
            rec, dropped = _record_rows(run, inputs, found, batch_size, stimulus, known), 0
        else:
            prompts = _prompts(inputs, tokenizer)
            _check_prompts(prompts, getattr(model, "config", None))
            frame = [] if special_tokens else _ids_of(tokenizer, FRAME)
            rec = _record_prompts(run, prompts, found, batch_size, tokenizer, frame, stimulus, known)
            dropped = sum(map(len, prompts)) - rec.sizes["time"]
    spelled = dict(sites) if isinstance(sites, Mapping) else [sites] if isinstance(sites, str) else list(sites)
    return add_history(rec, "activations.record", sites=spelled, special_tokens_dropped=dropped)


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
    return _from_arrays(Path(source), arrays, site, time, segment, units, attrs)


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
    """
    arrays = read_arrays(Path(source))
    keywords = {"time": None, "segment": None, "units": "1", "attrs": None, **options}
    recordings = {
        name.replace("/", "."): _from_arrays(Path(source), {name: array}, "**", **keywords)
        for name, array in arrays.items()
    }
    return session(recordings, attrs={"source": Path(source).name})


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise LoaderError("running a model needs torch: pip install 'neurointerp[models]'") from error
    return torch


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


def _prompts(inputs: Any, tokenizer: Any) -> list[np.ndarray]:
    if isinstance(inputs, str | Mapping):
        raise LoaderError(f"inputs is one {type(inputs).__name__}: a list of texts or of token ids is needed")
    padding = set(_ids_of(tokenizer, ["pad"])) - set(_ids_of(tokenizer, [*FRAME, "unk"]))
    prompts = []
    for number, item in enumerate(inputs):
        if isinstance(item, str):
            if tokenizer is None:
                raise LoaderError(f"input {number} is a text: pass tokenizer=")
            item = tokenizer(item)
        ids = np.asarray(item["input_ids"] if isinstance(item, Mapping) else item)
        if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
            raise LoaderError(
                f"input {number} has shape {ids.shape} and dtype {ids.dtype}: "
                "a text, or a flat sequence of one or more integers, is needed"
            )
        filled = np.flatnonzero(~np.isin(ids, list(padding)))
        prompts.append(ids[: filled[-1] + 1 if filled.size else 0].astype(np.int64))
    if not sum(map(len, prompts)):
        raise LoaderError("inputs hold no tokens")
    return prompts


def _check_prompts(prompts: list[np.ndarray], config: Any) -> None:
    longest = getattr(config, "max_position_embeddings", None)
    vocabulary = getattr(config, "vocab_size", None)
    for number, ids in enumerate(prompts):
        if isinstance(longest, int) and len(ids) > longest:
            raise LoaderError(f"input {number} has {len(ids)} tokens, the model reads {longest}: split it")
        if isinstance(vocabulary, int) and ids.size and not 0 <= ids.min() <= ids.max() < vocabulary:
            raise LoaderError(
                f"input {number} has token ids from {ids.min()} to {ids.max()}, the model knows 0 to "
                f"{vocabulary - 1}: is this the model's own tokenizer?"
            )


def _ids_of(tokenizer: Any, kinds: Sequence[str]) -> list[int]:
    ids = [getattr(tokenizer, f"{kind}_token_id", None) for kind in kinds]
    return [one for one in ids if one is not None]


def _record_prompts(
    run: Run,
    prompts: list[np.ndarray],
    sites: list[Site],
    batch_size: int,
    tokenizer: Any,
    frame: list[int],
    stimulus: Sequence[str] | None,
    attrs: Mapping[str, Any],
) -> xr.DataArray:
    keeps = [~np.isin(ids, frame) for ids in prompts]
    sequence = np.repeat(np.arange(len(prompts)), [keep.sum() for keep in keeps])
    position = np.concatenate([np.flatnonzero(keep) for keep in keeps])
    token_id = np.concatenate([ids[keep] for ids, keep in zip(prompts, keeps, strict=True)])
    if not len(token_id):
        raise LoaderError("every token of inputs is a special one; special_tokens=True keeps them")
    values, widths = _run_prompts(run, prompts, keeps, sites, batch_size)
    breaks = (np.diff(sequence) != 0) | (np.diff(position) != 1)
    coords: dict[str, Any] = {
        "segment": ("time", np.concatenate([[0], np.cumsum(breaks)])),
        "sequence": ("time", sequence),
        "position": ("time", position),
        "token_id": ("time", token_id),
        "stimulus": ("time", _stimulus_ids(stimulus, len(prompts))[sequence]),
    }
    if hasattr(tokenizer, "convert_ids_to_tokens"):
        coords["token"] = ("time", np.array(tokenizer.convert_ids_to_tokens(token_id.tolist()), dtype=object))
    labels, unit_coords = unit_labels(sites, widths)
    return recording(
        values,
        modality="activations",
        units="1",
        time=("time", np.arange(len(values)), {"units": "token"}),
        unit=labels,
        coords=coords | unit_coords,
        attrs=attrs,
    )


def _run_prompts(
    run: Run, prompts: list[np.ndarray], keeps: list[np.ndarray], sites: list[Site], batch_size: int
) -> tuple[np.ndarray, list[int]]:
    """Fill (token kept, unit) batch by batch; give it with the number of units of each site."""
    import torch

    values, widths, row = np.empty((0, 0)), [0], 0
    for batch in _batches([len(ids) for ids in prompts], batch_size, padded="attention_mask" in run.accepts):
        ids, mask, keep = (
            torch.from_numpy(_right_padded(rows)).to(run.device)
            for rows in (prompts[batch], [np.ones_like(ids) for ids in prompts[batch]], keeps[batch])
        )
        masked = {"attention_mask": mask} if "attention_mask" in run.accepts else {}
        if "input_ids" in run.accepts:
            blocks = capture(run, sites, keep, input_ids=ids, **masked)
        else:
            blocks = capture(run, sites, keep, ids, **masked)
        if not row:
            widths = [block.shape[1] for block in blocks]
            dtype = np.result_type(*blocks)
            values = np.empty((sum(int(keep.sum()) for keep in keeps), sum(widths)), dtype)
        values[row : row + len(blocks[0])] = np.concatenate(blocks, axis=1)
        row += len(blocks[0])
    return values, widths


def _batches(lengths: list[int], size: int, *, padded: bool) -> Iterator[slice]:
    """Cut prompts into runs of at most `size`, and where lengths change unless they can be padded."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        ends = stop == len(lengths) or (not padded and lengths[stop] != lengths[start])
        if ends or stop - start == size:
            if max(lengths[start:stop]):
                yield slice(start, stop)
            start = stop


def _right_padded(rows: list[np.ndarray]) -> np.ndarray:
    out = np.zeros((len(rows), max(map(len, rows))), dtype=rows[0].dtype)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


def _record_rows(
    run: Run,
    rows: torch.Tensor,
    sites: list[Site],
    batch_size: int,
    stimulus: Sequence[str] | None,
    attrs: Mapping[str, Any],
) -> xr.DataArray:
    if rows.ndim < 2 or not len(rows):
        raise LoaderError(f"inputs has shape {tuple(rows.shape)}: a tensor with one or more rows is needed")
    batches = []
    for part in (rows[start : start + batch_size] for start in range(0, len(rows), batch_size)):
        blocks = capture(run, sites, None, cast(part, run.dtype, run.device))
        batches.append([np.moveaxis(block, 1, -1) if block.ndim == 4 else block for block in blocks])
    shapes = {site.path: block.shape for site, block in zip(sites, batches[0], strict=True)}
    inner = next(iter(shapes.values()))[1:-1]
    if len(inner) > 2 or any(len(s) < 2 or s[1:-1] != inner for s in shapes.values()):
        raise LoaderError(f"sites with equal axes between row and unit are needed, found {shapes}; record them apart")
    values = np.concatenate([np.concatenate(blocks, axis=-1) for blocks in batches])
    labels, coords = unit_labels(sites, [shape[-1] for shape in shapes.values()])
    coords["stimulus"] = ("trial", _stimulus_ids(stimulus, len(rows)))
    if len(inner) == 1 and tuple(rows.shape[1:]) == inner and not rows.is_floating_point():
        coords["token_id"] = (("trial", "time"), rows.cpu().numpy())
    dims = ("trial", *((), ("time",), ("row", "col"))[len(inner)], "unit")
    time = ("time", np.arange(values.shape[1]), {"units": "token"}) if "time" in dims else None
    return recording(
        values, modality="activations", units="1", time=time, unit=labels, dims=dims, coords=coords, attrs=attrs
    )


def _stimulus_ids(stimulus: Sequence[str] | None, count: int) -> np.ndarray:
    given = list(map(str, range(count) if stimulus is None else stimulus))
    if len(given) != count:
        raise LoaderError(f"stimulus has {len(given)} ids for {count} inputs")
    return np.array(given, dtype=object)


def _from_arrays(
    source: Path, arrays: Mapping[str, np.ndarray], site: str, time: Any, segment: Any, units: str, attrs: Any
) -> xr.DataArray:
    found = find_sites(list(arrays), site)
    shapes = {one.path: arrays[one.path].shape for one in found}
    if any(len(shape) != 2 for shape in shapes.values()) or len({shape[0] for shape in shapes.values()}) != 1:
        raise LoaderError(f"{source}: arrays (token, unit) of one length are needed, found {shapes}; choose by site=")
    labels, coords = unit_labels(found, [arrays[one.path].shape[1] for one in found])
    if segment is not None:
        coords["segment"] = ("time", np.asarray(segment))
    values = np.concatenate([arrays[one.path] for one in found], axis=1)
    clock = np.arange(len(values)) if time is None else time
    rec = recording(values, modality="activations", units=units, time=clock, unit=labels, coords=coords, attrs=attrs)
    left_out = sorted(set(arrays) - set(shapes))
    return add_history(rec, "activations.load", file=source.name, site=site, left_out=left_out)
