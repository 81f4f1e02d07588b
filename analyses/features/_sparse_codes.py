"""The gradients of a top-k sparse autoencoder: one dense product for the codes, all else touches active codes alone."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numba
import numpy as np

GROUPS = 128
"""Strided groups of a row: the k-th largest of their maxima bounds the k-th largest value from below."""
FAST = {"contract", "reassoc", "nsz"}
ROWS = 256
"""Samples whose codes are computed at a time: they are searched while they are in the cache."""
WORTH = 1e9
"""Multiply-adds of a product from which screening in bfloat16 pays."""
ROUNDING = 2.0**-8
"""Twice the largest relative rounding error of bfloat16."""
SLACK, EPS = 1e-5, 2.0**-23
"""Of the norms of both sides, with twice float32's rounding for each unit: more than sums of products in float32 lose,
in whatever order they are added, both the rough and the final ones. `EPS` of a bias is what adding it loses."""
LEAST = 1e-12
"""Norms below this, but for 0, are not screened: products might underflow."""


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
            _tops(row, tops)
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
def screened(
    rough: np.ndarray, unsure: np.ndarray, sizes: np.ndarray, x: np.ndarray, E: np.ndarray, e: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Give what `largest` gives of `x E' + e`, from few of these products: those that rough ones do not rule out.

    Parameters
    ----------
    rough
        (sample, component) uint16: the bits of `x E'` in bfloat16.
    unsure, sizes
        (sample,) and (component,): their product, and the rounding of a rough value and of the bias, bound how wrong
        that is.
    """
    samples, rank = rough.shape
    values, places = np.zeros((samples, count), x.dtype), np.zeros((samples, count), np.int64)
    bits, low, high = np.empty(rank, np.uint32), np.empty(rank, np.float32), np.empty(rank, np.float32)
    row, tops = bits.view(np.float32), np.empty(min(GROUPS, rank), np.float32)
    flags = np.zeros((rank + 7) // 8 * 8, np.uint8)
    eights, found, where = flags.view(np.uint64), np.empty(rank, np.float32), np.empty(rank, np.int64)
    for r in range(samples):
        _bounds(rough[r], e, sizes, unsure[r], bits, row, low, high)
        _tops(low, tops)
        _flags(high, np.sort(tops)[len(tops) - count], flags)
        kept = 0
        for eight in range(len(eights)):
            if eights[eight] != 0:
                for j in range(8 * eight, 8 * eight + 8):
                    if flags[j]:
                        found[kept], where[kept] = low[j], j
                        kept += 1
        bound, likely = np.sort(found[:kept])[max(kept - count, 0) :], 0
        for q in range(kept):
            j = where[q]
            if high[j] >= bound[0]:
                total = np.float32(0)
                for u in range(E.shape[1]):
                    total += x[r, u] * E[j, u]
                found[likely], where[likely] = total + e[j], j
                likely += 1
        order = np.argsort(-found[:likely], kind="mergesort")
        for q in range(min(count, likely)):
            values[r, q] = max(found[order[q]], 0)
            places[r, q] = where[order[q]]
    return values, places


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _bounds(
    rough: np.ndarray, e: np.ndarray, sizes: np.ndarray, unsure: float, bits: np.ndarray, row: np.ndarray,
    low: np.ndarray, high: np.ndarray,
) -> None:  # fmt: skip
    """Write between what the codes of one sample lie; loops as plain as this are vectorized."""
    half, last = np.float32(ROUNDING / 2 * (1 + ROUNDING)), np.float32(2 * EPS)
    for j in range(len(bits)):
        bits[j] = np.uint32(rough[j]) << np.uint32(16)
    for j in range(len(low)):
        doubt = unsure * sizes[j] + half * abs(row[j]) + last * abs(e[j])
        low[j] = row[j] + e[j] - doubt
        high[j] = row[j] + e[j] + doubt


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _tops(values: np.ndarray, tops: np.ndarray) -> None:
    """Write the maxima of strided groups; what is left over at the end is in none."""
    groups = len(tops)
    tops[:] = values[:groups]
    for start in range(groups, len(values) - groups + 1, groups):
        part = values[start : start + groups]
        for g in range(groups):
            tops[g] = max(tops[g], part[g])


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _flags(high: np.ndarray, bound: float, flags: np.ndarray) -> None:
    for j in range(len(high)):
        flags[j] = high[j] >= bound


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def misfit(
    x: np.ndarray, values: np.ndarray, places: np.ndarray, decoder: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, float]:
    """Give `codes @ decoder + offset - x` of the active codes, and its sum of squares."""
    out, power = np.empty_like(x), 0.0
    for r in range(len(values)):
        out[r] = offset - x[r]
        for q in range(values.shape[1]):
            value, row = values[r, q], decoder[places[r, q]]
            if value > 0:
                for u in range(decoder.shape[1]):
                    out[r, u] += value * row[u]
        for u in range(decoder.shape[1]):
            power += np.float64(out[r, u]) * np.float64(out[r, u])
    return out, power


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def gradients(
    x: np.ndarray, pull: np.ndarray, values: np.ndarray, places: np.ndarray, decoder: np.ndarray,
    of_decoder: np.ndarray, of_encoder: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Write the gradients of decoder and encoder, and give that of the encoder bias.

    `pull` is the gradient of the reconstruction, `x` what is coded.

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
    of_bias = np.zeros(rank, decoder.dtype)
    for m in range(rank):
        of_decoder[m], of_encoder[m] = 0, 0
        for at in range(ends[m], ends[m + 1]):
            toward, given, slope = pull[visits[at]], x[visits[at]], decoder.dtype.type(0)
            for u in range(units):
                of_decoder[m, u] += sizes[at] * toward[u]
                slope += toward[u] * decoder[m, u]
            for u in range(units):
                of_encoder[m, u] += slope * given[u]
            of_bias[m] += slope
    return of_bias


def backward(x: Any, F: Any, E: Any, e: Any, b: Any, active: int) -> tuple[float, Any]:
    """Set the gradients of `|x - c F - b|^2`, averaged over samples; give the loss and which components fired."""
    import torch

    with torch.no_grad():
        centred = x - b
        values, places = codes(centred, E.detach(), e.detach(), active)
        pull, power = misfit(x.numpy(), values, places, F.detach().numpy(), b.detach().numpy())
        pull *= np.float32(2 / len(pull))
        for parameter in (F, E):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        into = F.grad.numpy(), E.grad.numpy()
        e.grad = torch.from_numpy(gradients(centred.numpy(), pull, values, places, F.detach().numpy(), *into))
        b.grad = torch.from_numpy(pull.sum(axis=0)) - e.grad @ E
        fired = torch.zeros(len(F), dtype=torch.bool)
        fired[torch.from_numpy(places[values > 0])] = True
        return power / len(pull), fired


def codes(x: Any, E: Any, e: Any, active: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the `active` largest of `x E' + e` of each sample, and where they are; below zero they are 0.

    Where the processor multiplies bfloat16 twice as fast or more, products in it say which ones can be among the
    largest, and those alone are computed in float32: the answer is that of float32.
    """
    import torch

    found, rough = [], None
    if active <= min(GROUPS, len(E)) and x.numel() * len(E) >= WORTH and _multiplies_bfloat16():
        rough = _rough(x, E)
    for low in range(0, len(x), ROWS):
        part = x[low : low + ROWS]
        if rough is None:
            found.append(largest(torch.addmm(e, part, E.T).numpy(), active))
            continue
        narrow, unsure, wide, sizes = rough
        bits = (narrow[low : low + ROWS] @ wide.T).view(torch.uint16).numpy()
        rows = unsure[low : low + ROWS].numpy()
        found.append(screened(bits, rows, sizes.numpy(), part.numpy(), E.numpy(), e.numpy(), active))
    values, places = (np.concatenate(one) for one in zip(*found, strict=True))
    return values, places


def _rough(x: Any, E: Any) -> tuple[Any, Any, Any, Any] | None:
    """Give samples and components in bfloat16, and norms whose products bound the errors of products of theirs.

    `|x'E' - xE| <= |x' - x| |E| + |x'| |E' - E|`, where a value is off by half of `ROUNDING` of itself at most; None
    where nothing bounds it.
    """
    import torch

    narrow, wide = x.bfloat16(), E.bfloat16()
    length, size = x.norm(dim=1), E.norm(dim=1)
    unsure = (narrow.float() - x).norm(dim=1) + (ROUNDING / 2 * (1 + ROUNDING) + SLACK + EPS * x.shape[1]) * length
    norms = torch.cat([length, size])
    least = float(norms[norms > 0].min()) if bool((norms > 0).any()) else 0.0
    lost = bool(x[length == 0].any()) or bool(E[size == 0].any())  # squares that underflow
    return (narrow, unsure, wide, size) if least > LEAST and math.isfinite(float(norms.max())) and not lost else None


@cache
def _multiplies_bfloat16() -> bool:
    """Tell whether the processor has instructions for it; an older torch does not say, and then it is not used."""
    import torch

    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    here = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return here and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
