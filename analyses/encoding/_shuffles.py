"""Orders of samples under which responses have nothing to do with predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.surrogate import MINIMUM_SHIFT

Null = Literal["circular", "block", "sample"]


def draws_of(
    responses: xr.DataArray, group: NDArray[np.int64] | None, null: str, block: int, draws: int,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:  # fmt: skip
    """Give positions on the stacked samples, draw by draw; `group` is the stimulus of each, or None."""
    if null not in ("circular", "block", "sample"):
        raise AnalysisError(f"encoding.evaluate: null {null!r}: 'circular', 'block' or 'sample' is needed")
    parts = stretches(responses)
    total = int(np.prod(responses.shape[:-1], dtype=int))
    alone = all(part.stop - part.start < 2 for part in parts)  # trials without time: samples are exchangeable
    return _drawn(parts, total, group, "sample" if alone else null, block, draws, rng)


def _drawn(
    parts: list[slice], total: int, group: NDArray[np.int64] | None, null: str, block: int, draws: int,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:  # fmt: skip
    for _ in range(draws):
        if null == "sample":
            yield _permuted(group, total, rng)
            continue
        out = np.arange(total)
        for part in parts:
            out[part] = part.start + _moved(part.stop - part.start, null, block, rng)
        yield out


def _moved(size: int, null: str, block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if null == "circular":
        least = int(MINIMUM_SHIFT * size)
        return (np.arange(size) - int(rng.integers(least, size - least + (least > 0)))) % size
    pieces = np.split(np.arange(size), range(block, size, block))
    return np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])


def _permuted(group: NDArray[np.int64] | None, total: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Exchange samples; whole stimuli where all are shown equally often."""
    if group is None:
        return rng.permutation(total)
    names, counts = np.unique(group, return_counts=True)
    if (counts != counts[0]).any() or names.size < 2:
        return rng.permutation(total)
    members = np.argsort(group, kind="stable").reshape(names.size, -1)
    out = np.empty(total, dtype=np.int64)
    out[members] = members[rng.permutation(names.size)]
    return out
