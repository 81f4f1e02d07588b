"""The gradients of a top-k sparse autoencoder: one dense product for the codes, all else touches active codes alone."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

GROUPS = 128
"""Strided groups of a row: the k-th largest of their maxima bounds the k-th largest value from below."""
FAST = {"contract", "reassoc", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def largest(codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the `count` largest of each row and where they are, ties by the lower index; below zero they are 0."""
    samples, rank = codes.shape
    values = np.zeros((samples, count), codes.dtype)
    places = np.zeros((samples, count), np.int64)
    groups = min(GROUPS, rank)
    tops = np.empty(groups, codes.dtype)
    found, where = np.empty(rank, codes.dtype), np.empty(rank, np.int64)
    for r in range(samples):
        row, kept = codes[r], 0
        bound = codes.dtype.type(-np.inf)
        if count <= groups:
            tops[:] = row[:groups]
            for low in range(groups, rank - groups + 1, groups):
                for g in range(groups):
                    tops[g] = max(tops[g], row[low + g])
            bound = np.sort(tops)[groups - count]
        for j in range(rank):
            if row[j] >= bound:
                found[kept], where[kept] = row[j], j
                kept += 1
        order = np.argsort(-found[:kept], kind="mergesort")
        for q in range(min(count, kept)):  # fewer where codes are not numbers
            values[r, q] = max(found[order[q]], 0)
            places[r, q] = where[order[q]]
    return values, places


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def decoded(values: np.ndarray, places: np.ndarray, decoder: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Give `codes @ decoder + offset` of the active codes."""
    out = np.empty((len(values), decoder.shape[1]), decoder.dtype)
    for r in range(len(values)):
        out[r] = offset
        for q in range(values.shape[1]):
            value, row = values[r, q], decoder[places[r, q]]
            if value > 0:
                for u in range(decoder.shape[1]):
                    out[r, u] += value * row[u]
    return out


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def gradients(
    x: np.ndarray, pull: np.ndarray, values: np.ndarray, places: np.ndarray, decoder: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the gradients of decoder, encoder and encoder bias; `pull` is that of the reconstruction, `x` what is coded.

    Codes are visited component by component, so that a component's rows stay in the cache and sums have one order.
    """
    samples, count = values.shape
    rank, units = decoder.shape
    ends = np.zeros(rank + 1, np.int64)
    for r in range(samples):
        for q in range(count):
            if values[r, q] > 0:
                ends[places[r, q] + 1] += 1
    ends = np.cumsum(ends)
    next_free, visits, sizes = ends[:-1].copy(), np.empty(ends[-1], np.int64), np.empty(ends[-1], values.dtype)
    for r in range(samples):
        for q in range(count):
            if values[r, q] > 0:
                m = places[r, q]
                visits[next_free[m]], sizes[next_free[m]] = r, values[r, q]
                next_free[m] += 1
    of_decoder, of_encoder = np.zeros_like(decoder), np.zeros_like(decoder)
    of_bias = np.zeros(rank, decoder.dtype)
    for m in range(rank):
        for at in range(ends[m], ends[m + 1]):
            toward, given, slope = pull[visits[at]], x[visits[at]], decoder.dtype.type(0)
            for u in range(units):
                of_decoder[m, u] += sizes[at] * toward[u]
                slope += toward[u] * decoder[m, u]
            for u in range(units):
                of_encoder[m, u] += slope * given[u]
            of_bias[m] += slope
    return of_decoder, of_encoder, of_bias


def backward(x: Any, F: Any, E: Any, e: Any, b: Any, active: int) -> tuple[float, Any]:
    """Set the gradients of `|x - c F - b|^2`, averaged over samples; give the loss and which components fired."""
    import torch

    with torch.no_grad():
        centred = x - b
        values, places = largest(torch.addmm(e, centred, E.T).numpy(), active)
        decoder = F.detach().numpy()
        misfit = decoded(values, places, decoder, b.detach().numpy()) - x.numpy()
        pull = misfit * np.float32(2 / len(misfit))
        grads = gradients(centred.numpy(), pull, values, places, decoder)
        for parameter, gradient in zip((F, E, e), grads, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        b.grad = torch.from_numpy(pull.sum(axis=0)) - e.grad @ E
        fired = torch.zeros(len(F), dtype=torch.bool)
        fired[torch.from_numpy(places[values > 0])] = True
        return float((misfit.astype(np.float64) ** 2).sum()) / len(misfit), fired
