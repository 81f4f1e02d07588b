"""What every measure of pairs begins and ends with: (sample, unit) matrices in, labels on both sides out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity import _streamed
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES, side_coords
from neurointerp.matrix import Stacked, require_all, require_complete, stack, streamed, stretches
from neurointerp.streaming import Rows, rows_of

CENTRES = ("recording", "segment")
LARGE = 2**17
"""Values from which a compiled average is worth its start."""
EXPONENTS = 1000
"""Powers of two that a product of correlations may span before its logarithm is taken."""


def stacked_units(recording: xr.DataArray, analysis: str, *, lazy: bool = False) -> Stacked:
    """Stack a recording, one that is chunked as `Rows` where `lazy`; refuse one without units."""
    if not recording.sizes.get("unit", 1):
        raise AnalysisError(f"{analysis}: the recording has no units, dims are {dict(recording.sizes)}")
    return streamed(recording) if lazy else stack(recording, analysis)


def each_subject(recording: xr.DataArray) -> list[Rows]:
    """Give the rows of each subject of a chunked recording; without a `subject` dim there is one."""
    if "subject" not in recording.dims:
        return [rows_of(recording)]
    return [rows_of(recording.isel(subject=s)) for s in range(recording.sizes["subject"])]


def by_subject(
    recording: xr.DataArray, analysis: str, *, centre: str = "recording", lazy: bool = True
) -> tuple[Stacked, list[Any]]:
    """Stack a recording that may have missing values; give it, and a (sample, unit) matrix per subject.

    Without a `subject` dim there is one. With `centre="segment"` each segment of each trial is centred on its own.
    The matrices of a chunked recording are `Rows`, or in memory where an analysis needs all values (`lazy=False`).
    """
    one_of(centre, CENTRES, analysis, "centre")
    stacked = stacked_units(recording, analysis, lazy=lazy)
    subjects = recording.sizes.get("subject", 1)
    require_samples(stacked, len(stacked.values) // max(subjects, 1), 2, analysis)
    values, parts = stacked.values, stretches(recording) if centre == "segment" else []
    if centre == "segment" and all(part.stop - part.start < 2 for part in parts):
        raise AnalysisError(
            f"{analysis}: centre='segment', but each of the {len(parts)} segments is one sample; use 'recording'"
        )
    if isinstance(values, Rows):
        own = parts[: len(parts) // max(subjects, 1)]
        each = each_subject(recording)
        return stacked, [_streamed.less_segment_means(rows, own) for rows in each] if own else each
    if parts:
        values = _centred_segments(values, parts)
    return stacked, list(values.reshape(subjects, -1, values.shape[1]))


def grouped(
    recording: xr.DataArray,
    matrices: Sequence[np.ndarray] | np.ndarray,
    stacked: Stacked,
    *,
    fisher: bool,
    **attrs: Any,
) -> dict[str, xr.DataArray]:
    """Label one (unit, unit) matrix per subject as `connectivity`; of a `subject` dim also `by_subject`, `subjects`.

    The average over subjects is that of Fisher's z where `fisher`; subjects without a value take no part.
    """
    coords = side_coords(stacked.unit_coords)
    if "subject" not in recording.dims:
        return {"connectivity": _labelled(matrices[0], coords, attrs)}
    each = np.asarray(matrices)
    mean, count = averaged(each, fisher=fisher)
    return {
        "connectivity": _labelled(mean, coords, attrs),
        "by_subject": xr.DataArray(
            each, dims=("subject", *SIDES), coords={**subject_coords(recording), **coords}, attrs=attrs
        ),
        "subjects": xr.DataArray(count, dims=SIDES, coords=coords, attrs={"units": "1"}),
    }


def shared(counts: Sequence[np.ndarray | int], connectivity: xr.DataArray) -> xr.DataArray:
    """Label how many samples each pair has in common, of all subjects: (unit, unit) or one number per subject."""
    total = np.zeros(connectivity.shape, dtype=np.int64) + sum(counts)
    return xr.DataArray(total, dims=SIDES, coords=connectivity.coords, attrs={"units": "1"})


def per_subject(recording: xr.DataArray, values: Sequence[float]) -> xr.DataArray:
    """Label one number per subject; a scalar where there is no `subject` dim."""
    if "subject" not in recording.dims:
        return xr.DataArray(values[0], attrs={"units": "1"})
    return xr.DataArray(list(values), dims=("subject",), coords=subject_coords(recording), attrs={"units": "1"})


def subject_coords(recording: xr.DataArray) -> dict[str, Any]:
    """Give the coordinates of `subject`."""
    return {
        str(name): (coord.dims, coord.values, coord.attrs)
        for name, coord in recording.coords.items()
        if coord.dims == ("subject",)
    }


def averaged(each: np.ndarray, *, fisher: bool) -> tuple[np.ndarray, np.ndarray]:
    """Average (subject, ...) values on Fisher's z or as they are, without NaN; give also how many there were."""
    total = np.zeros(each.shape[1:])
    count = np.full(each.shape[1:], len(each), dtype=np.int64)
    if fisher and each.size >= LARGE:
        _add_fisher(each.reshape(len(each), -1), total.reshape(-1))
    if not fisher or each.size < LARGE or np.isnan(total).any():  # where some are missing they are taken one by one
        total[:], count[:] = 0.0, 0
        for one in each:
            with np.errstate(divide="ignore", invalid="ignore"):
                z = np.arctanh(one) if fisher else one
                there = ~np.isnan(one)
                total += np.where(there, z, 0.0)
            count += there
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
    return (np.tanh(mean) if fisher else mean).astype(each.dtype), count


def _add_fisher(each: np.ndarray, total: np.ndarray) -> None:
    """Add Fisher's z of (subject, cell) correlations.

    The sum of arctanh r is half the logarithm of the product of (1 + r) / (1 - r): one logarithm for as many subjects
    as no product can leave the range of float64 for, since 1 - r is 0 or has a bit of the type of r.
    """
    from neurointerp.analyses.connectivity import _fused

    terms = EXPONENTS // (np.finfo(each.dtype).nmant + 2)
    product = np.empty_like(total)
    for first in range(0, len(each), terms):
        _fused.odds(each[first : first + terms], product)
        with np.errstate(divide="ignore", invalid="ignore"):
            total += np.log(product, out=product)
    total /= 2


def _labelled(values: np.ndarray, coords: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.DataArray:
    undefined = int(np.isnan(np.einsum("ii->i", values)).sum())
    return xr.DataArray(values, dims=SIDES, coords=coords, attrs={**attrs, "undefined_units": undefined})


def _centred_segments(values: np.ndarray, parts: Sequence[slice]) -> np.ndarray:
    out = values.copy()
    for part in parts:
        there = ~np.isnan(values[part])
        total = np.where(there, values[part], 0).sum(axis=0, dtype=np.float64)
        low = values[part].min(axis=0, where=there, initial=np.inf)
        high = values[part].max(axis=0, where=there, initial=-np.inf)
        # a mean that is rounded would leave something of what is constant
        mean = np.where(low == high, low, total / np.maximum(there.sum(axis=0), 1))
        out[part] -= mean.astype(values.dtype)
    return out


def require_whole(analysis: str, **given: Any) -> None:
    """Refuse an option that is no whole number; None, where it is left out, is let through."""
    for name, value in given.items():
        if value is not None and (not isinstance(value, Integral) or isinstance(value, bool)):
            raise AnalysisError(f"{analysis}: {name} is {value!r}; a whole number is needed")


def require_shared(min_samples: int, analysis: str) -> None:
    """Refuse a least number of samples of a pair with which nothing varies."""
    require_whole(analysis, min_samples=min_samples)
    if min_samples < 2:
        raise AnalysisError(f"{analysis}: min_samples is {min_samples!r}; at least 2 are needed")


def require_pairs(samples: np.ndarray, least: int, analysis: str, other: str) -> None:
    """Refuse to shrink where pairs of units have fewer than `least` samples in common; `other` is the way out."""
    few = int(np.triu(samples < least).sum())
    if few:
        raise AnalysisError(
            f"{analysis}: {few} pairs of units have fewer than {least} samples in common, too few to shrink all by one "
            f"amount; drop units, or use method={other!r}"
        )


def require_present(recording: xr.DataArray, stacked: Stacked, analysis: str) -> None:
    """Refuse a recording with missing values; of one that is chunked all blocks are read."""
    if isinstance(stacked.values, Rows):
        require_all(stacked.values, recording["unit"].values, analysis)
    else:
        require_complete(recording, analysis)


def require_samples(stacked: Stacked, found: int, needed: int, analysis: str) -> None:
    """Refuse too few samples."""
    if found < needed:
        raise AnalysisError(f"{analysis}: {found} samples along {stacked.sample_dims}; at least {needed} are needed")


def sampling_rate(recording: xr.DataArray, analysis: str) -> float:
    """Give the rate of the regular clock, per clock unit; refuse a recording that has none."""
    rate = recording.attrs.get("sampling_rate")
    if "time" not in recording.dims or rate is None:
        found = "no time dim" if "time" not in recording.dims else "an irregular clock"
        raise AnalysisError(f"{analysis}: a regular clock is needed, found {found} in dims {recording.dims}")
    return float(rate)


def one_of(value: str, allowed: tuple[str, ...], analysis: str, name: str) -> None:
    """Refuse an option that is not one of those allowed."""
    if value not in allowed:
        raise AnalysisError(f"{analysis}: {name} is {value!r}; one of {', '.join(allowed)} is needed")
