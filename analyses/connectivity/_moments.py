"""Correlations of (sample, unit) values from one product of matrices; complete (numpy or torch), or pair by pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.analyses.connectivity import _streamed
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.backend import namespace, to_numpy
from neurointerp.streaming import Rows

Floats = NDArray[np.float64]


LARGE = 2**17
"""Values from which compiled passes are worth their start."""


def sums(values: Any) -> tuple[Floats, Floats] | None:
    """Give the sums and sums of squares (unit) of large (sample, unit) values of numpy, in one pass; None of others."""
    if not isinstance(values, np.ndarray) or values.size < LARGE:
        return None
    from neurointerp.analyses.connectivity import _fused

    found: tuple[Floats, Floats] = _fused.moments(values)
    return found


def has_missing(values: Any, known: tuple[Floats, Floats] | None) -> bool:
    """Tell whether any value is missing; finite sums, the usual case, say at once that none is."""
    if isinstance(values, Rows):
        return bool(values.about.missing.any())
    with np.errstate(over="ignore", invalid="ignore"):
        return not np.isfinite(values.sum() if known is None else known[0].sum()) and bool(np.isnan(values).any())


def pearson(values: Any, out: np.ndarray | None = None, known: tuple[Floats, Floats] | None = None) -> tuple[Any, Any]:
    """Give the correlations (unit, unit) of complete (sample, unit) values, in `out` if given, and which units vary."""
    r, varies, _ = pearson_and_norms(values, out, known)
    return r, varies


def pearson_and_norms(
    values: Any, out: np.ndarray | None = None, known: tuple[Floats, Floats] | None = None
) -> tuple[Any, Any, Callable[[], Any]]:
    """Give also a function that gives the squared length (sample) of each sample of the standardised values.

    The product is of the values as they are, or centred where a mean is large beside its deviation; what is left of
    the means comes off the product. That is up to seven passes over the values less than scaling them first, which is
    what is done where a variance is too small or large. Of `Rows` the products are of centred blocks. `known` are the
    `sums` of the values.
    """
    if isinstance(values, Rows):
        r, varies, lengths = _streamed.pearson_and_lengths(values)
        return _into(out, r), varies, lengths
    xp = namespace(values)
    samples = values.shape[0]
    in_numpy = isinstance(values, np.ndarray)
    with np.errstate(over="ignore", invalid="ignore"):
        z, rest, least = _nearly_centred(values, known or sums(values))
        r = np.matmul(z.T, z, out=out) if in_numpy else z.T @ z  # of one array with itself: half the work in numpy
        shift = samples**0.5 * rest
        power = (xp.linalg.diagonal(r) - shift * shift) / samples
    limits = xp.finfo(values.dtype)
    largest = float(limits.max) * float(limits.eps) ** 2 / samples
    if not bool(xp.all((power > least + float(limits.tiny) / float(limits.eps) ** 2) & (power < largest))):
        z, varies = scaled(values)
        return _into(out, _finished(z.T @ z, varies)), varies, lambda: samples * xp.sum(z * z, axis=1)
    scale = 1 / xp.sqrt(power * samples)
    weight = samples * scale * scale
    if in_numpy and values.size >= LARGE:
        from neurointerp.analyses.connectivity import _fused

        _fused.correlate(r, shift, scale)
        return r, power > 0, lambda: _fused.lengths(z, rest, weight)
    r -= shift[:, None] * shift[None, :]
    r *= scale[:, None] * scale[None, :]

    def norms() -> Any:
        square = np.einsum("tu,tu,u->t", z, z, weight) if in_numpy else (z * z) @ weight
        return square - 2 * (z @ (rest * weight)) + xp.sum(rest * rest * weight)

    return _finished(r, power > 0), power > 0, norms


def varying_pearson(
    values: Any, out: np.ndarray | None = None, known: tuple[Floats, Floats] | None = None
) -> tuple[Any, Callable[[], Any], Any]:
    """Give the correlations of the units that vary, in `out` where all do, the function for lengths, and which do."""
    r, varies, norms = pearson_and_norms(values, out, known)
    if not varies.any():
        return r[:0, :0], norms, varies
    if not varies.all():
        r, _, norms = pearson_and_norms(values.take(varies) if isinstance(values, Rows) else values[:, varies])
    return r, norms, varies


def _into(out: np.ndarray | None, r: Any) -> Any:
    if out is None:
        return r
    out[:] = r
    return out


def _nearly_centred(values: Any, known: tuple[Floats, Floats] | None) -> tuple[Any, Any, Any]:
    """Give values whose means are small beside their deviations, the same array where they are, and those means.

    The third is the least variance that is more than rounding.
    """
    xp = namespace(values)
    samples = values.shape[0]
    ones = xp.ones(samples, dtype=values.dtype, device=values.device)
    if known is not None:
        mean, square = ((part / samples).astype(values.dtype) for part in known)
    else:
        mean = ones @ values / samples
        in_numpy = isinstance(values, np.ndarray)
        square = (np.einsum("tu,tu->u", values, values) if in_numpy else xp.sum(values * values, axis=0)) / samples
    if bool(xp.all(mean * mean <= square / 400)):
        return values, mean, 0 * mean
    z = values - mean
    return z, ones @ z / samples, (100 * float(xp.finfo(values.dtype).eps) * mean) ** 2


def _finished(r: Any, varies: Any) -> Any:
    """Bound correlations, put 1 on the diagonal and NaN where a unit does not vary; `r` may be overwritten."""
    if isinstance(r, np.ndarray):
        np.clip(r, -1.0, 1.0, out=r)
        np.fill_diagonal(r, 1.0)
        r[~varies], r[:, ~varies] = np.nan, np.nan
        return r
    xp = namespace(r)
    r = xp.clip((r + r.T) / 2, -1.0, 1.0)
    same = xp.eye(r.shape[0], dtype=xp.bool, device=r.device)
    r = xp.where(same, xp.ones_like(r), r)
    return xp.where(varies[:, None] & varies[None, :], r, xp.full_like(r, xp.nan))


@dataclass(frozen=True)
class Pairwise:
    """Moments of each pair of units over the samples that both have.

    Attributes
    ----------
    covariance
        (unit, unit), about the means over the pair's samples, divided by their number; NaN without a sample.
    variance
        (unit, unit): that of the first of a pair over the pair's samples; 0 where it is constant.
    fourth
        (unit, unit): mean of the squared product of both, each about its mean over all its own samples.
    samples
        (unit, unit): how many both have.
    scale
        (unit): what `covariance` must be multiplied with on both sides; the span of each unit.
    """

    covariance: Floats
    variance: Floats
    fourth: Floats
    samples: NDArray[np.int64]
    scale: Floats


def pairwise(values: np.ndarray | Rows) -> Pairwise:
    """Give the moments of each pair of the columns of (sample, unit) values with missing ones, in float64.

    Five products of matrices: missing values count as 0 after centring, and a mask counts the rest.
    """
    if isinstance(values, Rows):
        about = values.about
        return _moments_of(about.low == about.high, about.span, *_streamed.pair_sums(values))
    there = ~np.isnan(values)
    mask = there.astype(np.float64)
    own = np.maximum(mask.sum(axis=0), 1)
    known = np.where(there, values, 0.0).astype(np.float64)
    high, low = (
        edge(values, axis=0, where=there, initial=start) for edge, start in ((np.max, -np.inf), (np.min, np.inf))
    )
    span = np.where(high > low, high.astype(np.float64) - low, 1.0)
    z = np.where(there, (known - (known / own).sum(axis=0)) / span, 0.0)
    square = z * z
    return _moments_of(high == low, span, mask.T @ mask, z.T @ mask, square.T @ mask, z.T @ z, square.T @ square)


def _moments_of(
    constant: NDArray[np.bool_], span: Floats, samples: Floats, sums: Floats, squares: Floats, products: Floats,
    fourths: Floats,
) -> Pairwise:  # fmt: skip
    """Give the moments from sums over the samples of each pair."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 / samples
        mean, power = sums * share, squares * share
        covariance = products * share - mean * mean.T
        variance = power - mean**2
        fourth = fourths * share
    flat = constant[:, None] | ~(variance > 1e3 * np.finfo(np.float64).eps * power)
    return Pairwise(
        (covariance + covariance.T) / 2, np.where(flat, 0.0, variance), fourth, samples.astype(np.int64), span
    )


def pairwise_pearson(values: np.ndarray | Rows) -> tuple[Floats, NDArray[np.int64]]:
    """Give the correlation of each pair over the samples that both have, NaN where either is constant; and how many."""
    found = pairwise(values)
    root = np.sqrt(found.variance * found.variance.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.clip(np.where(root > 0, found.covariance / root, np.nan), -1.0, 1.0)
    diagonal = np.diag(found.variance) > 0
    np.fill_diagonal(r, np.where(diagonal, 1.0, np.nan))
    return r, found.samples


def ranks(values: Any) -> Any:
    """Rank each column of (sample, unit) values, ties sharing their mean rank."""
    from scipy.stats import rankdata

    return rankdata(to_numpy(values), axis=0).astype(values.dtype)


def pairwise_spearman(values: np.ndarray) -> tuple[Floats, NDArray[np.int64]]:
    """Give the rank correlation of each pair over the samples that both have, ranked among these; and how many.

    Units with the same samples are ranked together, so that the work grows with the number of patterns of missing
    values and not with that of pairs.
    """
    there = ~np.isnan(values)
    patterns, member = np.unique(there, axis=1, return_inverse=True)
    units = [np.flatnonzero(member == k) for k in range(patterns.shape[1])]
    r = np.full((values.shape[1],) * 2, np.nan)
    for a, first in enumerate(units):
        for b, second in enumerate(units[: a + 1]):
            rows = patterns[:, a] & patterns[:, b]
            if not rows.any():
                continue
            both = np.concatenate([first, second])
            block = pairwise_pearson(ranks(values[np.ix_(rows, both)].astype(np.float64)))[0][
                : len(first), len(first) :
            ]
            r[np.ix_(first, second)] = block
            r[np.ix_(second, first)] = block.T
    np.fill_diagonal(r, np.where(np.isnan(np.diag(r)), np.nan, 1.0))
    return r, (there.T.astype(np.float64) @ there).astype(np.int64)
