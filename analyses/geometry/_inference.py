"""Permutations of stimuli and bootstraps over them, for any similarity of two recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.statistics import fdr, permutation_p

Similarity = Callable[[int, int, np.ndarray, np.ndarray], float]
"""Of recordings i and j, with the rows that each is to take."""
LEVEL = 0.95


def inferred(
    similarity: Similarity, recordings: int, stimuli: int, *, permutations: int, bootstraps: int, seed: int,
    symmetric: bool = True,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Give the similarity of every two of `recordings`, its permutation p and its bootstrap interval.

    The null gives the second recording's stimuli other labels, the same ones for all pairs in one draw. The bootstrap
    draws stimuli with replacement, the same ones for both recordings; the interval is the basic percentile one.
    """
    for name, number in (("permutations", permutations), ("bootstraps", bootstraps)):
        if not isinstance(number, int | np.integer) or number < 0:
            raise AnalysisError(f"{name} is {number!r}: a whole number, 0 or more, is needed")
    rng = np.random.default_rng(seed)
    every = np.arange(stimuli)
    shuffled = [rng.permutation(stimuli) for _ in range(permutations)]
    drawn = [np.sort(rng.integers(0, stimuli, stimuli)) for _ in range(bootstraps)]
    shape = (recordings, recordings)
    out = {"similarity": np.ones(shape)}
    out |= {"p_value": np.full(shape, np.nan)} if permutations else {}
    out |= {"interval": np.full((2, *shape), np.nan)} if bootstraps else {}
    for i in range(recordings):
        for j in range(i if symmetric else 0, recordings):
            value = similarity(i, j, every, every)
            cells = ([i, j], [j, i]) if symmetric else ([i], [j])
            out["similarity"][cells] = value
            if permutations and i != j:
                null = np.array([similarity(i, j, every, order) for order in shuffled])
                out["p_value"][cells] = permutation_p(np.array(value), null) if np.isfinite(value) else np.nan
            if bootstraps and i != j:
                again = np.array([_redrawn(similarity, i, j, rows) for rows in drawn])
                tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
                known = again[np.isfinite(again)]  # a draw may leave nothing that varies
                if known.size:
                    out["interval"][(slice(None), *cells)] = np.quantile(known, tails)[:, None]
    return out


def _redrawn(similarity: Similarity, i: int, j: int, rows: np.ndarray) -> float:
    """Give the similarity over a draw of stimuli; NaN where the stimuli drawn leave nothing that varies."""
    try:
        return similarity(i, j, rows, rows)
    except AnalysisError:
        return float("nan")


def inference_variables(found: dict[str, np.ndarray], coords: dict[str, Any]) -> dict[str, xr.DataArray]:
    """Label what `inferred` gave."""
    dims = ("recording", "recording2")
    out = {"similarity": xr.DataArray(found["similarity"], dims=dims, coords=coords)}
    if "p_value" in found:
        out["p_value"] = xr.DataArray(found["p_value"], dims=dims, coords=coords)
        out["q_value"] = xr.DataArray(fdr(found["p_value"]), dims=dims, coords=coords)
    if "interval" in found:
        bound = np.array(["low", "high"], dtype=object)
        out["interval"] = xr.DataArray(found["interval"], dims=("bound", *dims), coords={"bound": bound, **coords})
    return out
