"""Entries that are held out of a fit, and how well it predicts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import matrix
from neurointerp.analyses.factorization._spectrum import leading

ROUNDS, STILL = 100, 1e-4
"""Most rounds of filling in, and the relative change of what is filled in that ends them."""


def speckled(values: NDArray[Any], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give the fold of each entry of a (sample, unit) matrix; -1 for those that are never held out.

    Entries are spread over folds as evenly as can be within every sample. Missing ones, and those without which a
    sample or a unit would have no value left, are in no fold.
    """
    known = ~np.isnan(values)
    order = np.argsort(np.where(known, rng.random(values.shape), 2.0), axis=1)
    place = np.argsort(order, axis=1)
    fold = (place + rng.integers(folds, size=(len(values), 1))) % folds
    fold = np.where(known, fold, -1)
    fold[known.sum(axis=1) < 2] = -1
    for held in range(folds):
        out = fold == held
        fold[out & ((out == known).all(axis=0) | (out == known).all(axis=1)[:, None])] = -1
    return fold


def held_out_error(
    method: Callable[..., xr.Dataset] | None, recording: xr.DataArray, rank: int, held: NDArray[np.bool_], *, seed: int
) -> float:
    """Fit without the entries of a mask, and give the relative error of what is predicted in their place.

    Parameters
    ----------
    method, rank, seed
        Called as `method(recording, rank, seed=seed)`; None is principal components, which take no missing values:
        these are filled with their prediction, time and again.
    recording
        All of it.
    held
        (sample, unit).
    """
    values = matrix.stack(recording).values
    masked = np.where(held, np.nan, values)
    if method is None:
        model = _completed(masked.astype(np.float64), rank)
    else:
        fit = method(recording.copy(data=masked.reshape(recording.shape)), rank, seed=seed)
        model = fit["coefficients"].values.reshape(len(values), -1) @ fit["features"].values
    return float(np.linalg.norm((model - values)[held]) / np.linalg.norm(values[held]))


def _completed(values: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Give the principal components' prediction of a matrix of which some values are missing."""
    missing = np.isnan(values)
    model: NDArray[np.float64] = np.broadcast_to(np.nanmean(values, axis=0), values.shape)
    for _ in range(ROUNDS):
        filled = np.where(missing, model, values)
        mean = filled.mean(axis=0)
        vectors, _ = leading(filled, mean, rank)
        new = mean + (filled - mean) @ vectors.T @ vectors
        moved = np.linalg.norm((new - model)[missing])
        model = new
        if moved <= STILL * np.linalg.norm(model[missing]):
            break
    return model
