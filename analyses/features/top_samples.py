"""The samples that evoke a component most, each with what stands around it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.analyses.features._reading import (
    along_samples,
    coefficients_of,
    component_coords,
    groups_of,
    objects,
    require_whole,
)
from neurointerp.result import result as build

NAME = "features.top_samples"
SPECIAL = (
    "[CLS]", "[SEP]", "[PAD]", "[MASK]", "<s>", "</s>", "<pad>", "<bos>", "<eos>", "<|endoftext|>",
    "<|begin_of_text|>", "<|end_of_text|>",
)  # fmt: skip
"""Tokens that frame or fill a text; where `record` was told to keep them, they are no samples."""

SPACES = ("\u0120", "\u2581", " ")
"""Marks of a space before a token, of byte pairs and the like."""


def top_samples(
    result: xr.Dataset,
    recording: xr.DataArray,
    *,
    n: int = 25,
    context: int = 15,
    apart: int = 0,
    leave_out: Collection[str] = SPECIAL,
    seed: int = 0,
) -> xr.Dataset:
    """Give the samples with the largest coefficients of each component, and the stretch around each.

    Parameters
    ----------
    result
        Of a factorization of `recording`: `coefficients(<sample dims>, component)`.
    recording
        What was factorized, of any modality: its labels are read, its values are not.
    n
        Samples per component.
    context
        Samples shown on either side. Context stays within a segment (a prompt, a run), trial and subject.
    apart
        Of two samples in one stretch with fewer than this many steps between them, only the larger is taken, so that
        one event of a slow recording is not listed `n` times. 0 takes every sample.
    leave_out
        Tokens that are neither listed nor shown (compared with the coordinate `token`, where there is one); by default
        the special tokens of common tokenizers.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        Along `top` from the largest on; where fewer than `n` samples have a coefficient above 0, NaN, -1 or "".

        - `coefficient(component, top)`.
        - `sample(component, top)`: number of the sample in the stacked recording (`matrix.stack`), -1 for none.
        - `course(component, top, offset)`: coefficients around it, NaN beyond the stretch.
        - `sample_<name>(component, top)`: each coordinate of the recording's samples (`time`, `stimulus`,
          `condition`, `position`, `trial`, ...) at the sample.
        - `text(component, top)`: with tokens, those around it as one text, the sample's own in `[[ ]]`.

    Raises
    ------
    AnalysisError
        When the result is not one of this recording, or an argument is out of range.

    Notes
    -----
    Equal coefficients keep the order of the recording.

    References
    ----------
    Shafran, Geiger, Geva (2025), arXiv:2506.10920: 25 samples, 15 tokens on either side. `apart` is an addition.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rec = ni.load("demo-activations")
    >>> res = factorization.semi_nmf(rec, 4, keep_fraction=0.1, max_iter=20)
    >>> top = top_samples(res, rec, n=2, context=1)
    >>> top.text.dims, bool((top.coefficient[:, 0] >= top.coefficient[:, 1]).all())
    (('component', 'top'), True)
    """
    for name, value, low in (("n", n, 1), ("context", context, 0), ("apart", apart, 0)):
        require_whole(value, name, NAME, low=low)
    labels = matrix.labels(recording)
    values = coefficients_of(result, recording, NAME)
    stretch = groups_of(recording, None, NAME)
    tokens = objects(along_samples(recording, "token", NAME)) if "token" in recording.coords else None
    shown = np.ones(len(values), dtype=bool) if tokens is None else ~np.isin(tokens.astype(str), list(leave_out))
    top = np.stack([_top(column, shown, stretch, n, apart) for column in values.T])  # (component, top)
    around = _around(top, stretch, shown, context)
    coords = component_coords(result)
    offsets = {**coords, "offset": np.arange(-context, context + 1)}
    component = np.arange(len(top))[:, None]
    course = np.where(around >= 0, values[around, component[..., None]], np.nan)
    found: dict[str, Any] = {
        "coefficient": _on_top(np.where(top >= 0, values[top, component], np.nan), coords),
        "sample": _on_top(top, coords),
        "course": xr.DataArray(course, dims=("component", "top", "offset"), coords=offsets),
    }
    for key, coord in labels.sample_coords.items():
        if coord.ndim and set(coord.dims) <= set(labels.sample_dims):
            found[f"sample_{key}"] = _on_top(_taken(along_samples(recording, str(key), NAME), top), coords)
    if tokens is not None:
        found["text"] = _on_top(_texts(tokens, around), coords)
    parameters = {"n": n, "context": context, "apart": apart, "leave_out": sorted(leave_out)}
    return build(found, analysis=NAME, recording=result, parameters=parameters, seed=seed)


def _top(column: np.ndarray, shown: np.ndarray, stretch: np.ndarray, n: int, apart: int) -> np.ndarray:
    """Give the numbers of the samples with the largest values above 0; -1 where there are no more."""
    usable = np.flatnonzero(shown & (column > 0))  # NaN is not above 0
    order = usable[np.argsort(-column[usable], kind="stable")]
    if apart:
        free, kept = np.ones(len(column), dtype=bool), list[int]()
        for i in order:
            if len(kept) == n:
                break
            if free[i]:
                kept.append(int(i))
                near = slice(max(i - apart, 0), i + apart + 1)
                free[near] &= stretch[near] != stretch[i]
        order = np.array(kept, dtype=np.int64)
    out = np.full(n, -1)
    out[: min(n, len(order))] = order[:n]
    return out


def _around(top: np.ndarray, stretch: np.ndarray, shown: np.ndarray, context: int) -> np.ndarray:
    """Give (component, top, offset): the numbers of the samples around, -1 beyond the stretch."""
    near = top[..., None] + np.arange(-context, context + 1)
    inside = (near >= 0) & (near < len(stretch)) & (top[..., None] >= 0)
    held = np.where(inside, near, 0)
    inside &= (stretch[held] == stretch[top][..., None]) & shown[held]
    return np.where(inside, near, -1)


def _on_top(values: np.ndarray, coords: Any) -> xr.DataArray:
    return xr.DataArray(values, dims=("component", "top"), coords=coords)


def _taken(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Give the values at samples; NaN, -1 or "" where there is none."""
    taken = objects(values)[top]
    nothing: Any = {"f": np.nan, "i": -1, "u": 0, "b": False}.get(taken.dtype.kind, "")
    return np.where(top >= 0, taken, nothing) if taken.dtype.kind != "O" else _objects_or(taken, top)


def _objects_or(taken: np.ndarray, top: np.ndarray) -> np.ndarray:
    out = taken.copy()
    out[top < 0] = ""
    return out


def _texts(tokens: np.ndarray, around: np.ndarray) -> np.ndarray:
    middle = around.shape[2] // 2
    out = np.full(around.shape[:2], "", dtype=object)
    marked = any(str(token).startswith(SPACES) for token in tokens)
    for place in np.ndindex(out.shape):
        if around[(*place, middle)] >= 0:
            pieces = [_spelled(tokens[i], k == middle, marked) for k, i in enumerate(around[place]) if i >= 0]
            out[place] = "".join(pieces).strip()
    return out


def _spelled(token: Any, own: bool, marked: bool) -> str:
    """Write a token as text: where spaces are marked others join; of word pieces `##` joins and others do not."""
    text = str(token)
    apart = text.startswith(SPACES) if marked else not text.startswith("##")
    lead, text = " " if apart else "", text.removeprefix("##")
    for mark in SPACES:
        text = text.removeprefix(mark)
    return f"{lead}[[{text}]]" if own else lead + text
