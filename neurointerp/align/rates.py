"""Putting a recording on a clock of another rate."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align import _blocks
from neurointerp.align._clock import on_clock, rate_of, rounding, seconds_of
from neurointerp.errors import AlignmentError
from neurointerp.recordings import add_history
from neurointerp.schema import segment_bounds

LARGEST_TERM = 1000
"""Of the ratio of two rates, the smaller of its whole numbers."""
LARGEST_FACTOR = 100_000
RATIO_TOLERANCE = 1e-11
"""How far, relatively, the ratio may lie from that of the rates: a thousandth of a sample in 1e8."""
LOBES = 32
"""Half length of the low-pass filter, in samples of the slower of the two clocks."""
ATTENUATION = 80.0
"""Of the low-pass filter's stop band (dB)."""


def resample(recording: xr.DataArray, rate: float) -> xr.DataArray:
    """Change the sampling rate of a regular recording, with a low-pass filter against aliasing.

    Polyphase filtering (`scipy.signal.resample_poly`) of each segment, and of each trial, by itself. The filter
    has linear phase, no delay, and is a windowed sinc (Kaiser, 80 dB): flat to 0.84 of the lower of the two
    Nyquist frequencies, zero from it on. It is sharper than scipy's own (53 dB, half down at the Nyquist
    frequency), so values differ from a bare `resample_poly` by some parts in a thousand.

    Parameters
    ----------
    recording
        Complete recording with a regular clock in seconds. One that is chunked (dask) stays so: its blocks are read
        once now, for missing values and means, and again as the answer is; other lazy values are read.
    rate
        The new sampling rate (Hz). Its ratio to the old one must be one of whole numbers.

    Returns
    -------
    xarray.DataArray
        Same dims, units and labels; float64, or float32 where the input is. The clock of each segment is its
        first stamp plus `i / rate`, as far as its last stamp: nothing is extrapolated, so that twice the rate
        gives `2 n - 1` samples. Coordinates on `time` are those of the sample at or before the new stamp.

    Raises
    ------
    AlignmentError
        When the clock is irregular or counts, the rate is not a number > 0 or no ratio of whole numbers
        (smaller term up to 1000) away, values are missing (with the count), or the values are counts of spikes.

    Notes
    -----
    At the ends of a segment the filter reaches outside, up to 32 samples of the slower clock. There the segment
    is continued by its point reflection about the end sample, which keeps constants and straight lines; within
    that reach of an end the values are less exact than elsewhere.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.full((100, 1), 3.0), modality="eeg", units="V", sampling_rate=100.0)
    >>> out = ni.align.resample(rec, 20.0)
    >>> out.sizes["time"], out.time.values[1], out.values[3].round(6)
    (20, np.float64(0.05), array([3.]))
    """
    time = seconds_of(recording, "resample")
    ratio = _ratio(rate, rate_of(recording, "resample"))
    bounds, axis = segment_bounds(recording), recording.dims.index("time")
    values = np.moveaxis(_floats(recording), axis, 0)
    means: list[Any] = [None] * len(bounds)
    if recording.chunks:
        missing, means = _blocks.counted(values, bounds)
    else:
        missing = int(np.isnan(values).sum())
    if missing:
        raise AlignmentError(
            f"resample: {missing} of {values.size} values are missing, and a filter would spread them; "
            "drop or fill them first, or use align.interpolate"
        )
    taps = _low_pass(max(ratio.numerator, ratio.denominator))
    parts, stamps, source = [], [], []
    for (start, stop), centre in zip(bounds, means, strict=True):
        index = np.arange((stop - start - 1) * ratio.numerator // ratio.denominator + 1)
        part = values[start:stop]
        moved = _polyphase(part, ratio, taps) if centre is None else _blocks.polyphase(part, centre, ratio, taps)
        parts.append(moved[: index.size])
        stamps.append(time[start] + index / rate)
        source.append(start + index * ratio.denominator // ratio.numerator)
    whole: Any = np.moveaxis(np.concatenate(parts), 0, axis)
    if recording.chunks:
        whole = whole.rechunk({axis: max(whole.chunks[axis])})  # even, as a store takes them
    out = on_clock(recording, whole, np.concatenate(stamps), np.concatenate(source), rate)
    return add_history(out, "align.resample", rate=rate, up=ratio.numerator, down=ratio.denominator)


def interpolate(recording: xr.DataArray, rate: float, *, max_gap: float | None = None) -> xr.DataArray:
    """Put a recording with an irregular clock on a regular one, linearly, within segments.

    Where the recording's median step is at least that of the new clock, a value is read off the line between
    the two samples around its stamp. Where the recording is denser, a value is the mean of that line over one
    new step centred on the stamp, which damps what the new clock cannot carry; near the ends of a segment the
    stretch shrinks, centred still, to stay inside.

    Parameters
    ----------
    recording
        Recording with a clock in seconds, regular or not. Lazy values are read.
    rate
        The sampling rate of the new clock (Hz).
    max_gap
        The longest step (s) that may be bridged. None bridges any within a segment; `history` has the longest.

    Returns
    -------
    xarray.DataArray
        Same dims, units and labels; float64, or float32 where the input is. The clock of each segment is its
        first stamp plus `i / rate`, as far as its last stamp. A missing value makes missing what rests on it.
        Coordinates on `time` are those of the sample at or before the new stamp.

    Raises
    ------
    AlignmentError
        When the clock counts, the rate is not a number > 0, a step is longer than `max_gap`, or the values are
        counts of spikes.

    References
    ----------
    The rule of Simeon et al. (2024), arXiv 2411.12091, with its grid of 0.1 s for the dense case taken to the
    limit (the exact mean), and the mean centred on its stamp where theirs begins there.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.array([[0.0], [1.0], [4.0]]), modality="calcium", units="1", time=[0.0, 1.0, 4.0])
    >>> ni.align.interpolate(rec, 0.5).values.ravel()
    array([0., 2., 4.])
    """
    time = seconds_of(recording, "interpolate")
    _positive(rate)
    bounds = segment_bounds(recording)
    steps = np.concatenate([np.diff(time[start:stop]) for start, stop in bounds])
    _bridgeable(steps, max_gap)
    dense = bool(steps.size) and float(np.median(steps)) * rate < 1 - 1e-9
    values = np.moveaxis(np.asarray(_floats(recording)), recording.dims.index("time"), 0)
    parts, stamps, source = [], [], []
    for start, stop in bounds:
        span = (time[stop - 1] - time[start] + rounding(time)) * rate
        at = time[start] + np.arange(math.floor(span) + 1) / rate
        part = values[start:stop].reshape(stop - start, -1)
        read = _centred_means(part, time[start:stop], at, 0.5 / rate) if dense else _on_line(part, time[start:stop], at)
        parts.append(read.reshape(at.size, *values.shape[1:]))
        stamps.append(at)
        source.append(start + (np.searchsorted(time[start:stop], at + rounding(time), "right") - 1))
    moved = np.moveaxis(np.concatenate(parts), 0, recording.dims.index("time")).astype(values.dtype, copy=False)
    out = on_clock(recording, moved, np.concatenate(stamps), np.concatenate(source), rate)
    longest = float(steps.max()) if steps.size else 0.0
    rule = "mean of the line over a step" if dense else "on the line"
    return add_history(out, "align.interpolate", rate=rate, rule=rule, longest_step=longest, max_gap=max_gap)


def _positive(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise AlignmentError(f"rate is {rate!r}: a number of samples per second above 0 is needed")


def _ratio(rate: float, old: float) -> Fraction:
    """The ratio of two rates in whole numbers; AlignmentError where there is none."""
    _positive(rate)
    larger = max(rate, old) / min(rate, old)
    if larger > LARGEST_FACTOR:
        raise AlignmentError(
            f"from {old:.12g} Hz to {rate:.12g} Hz is a factor of more than {LARGEST_FACTOR}; go there in two steps"
        )
    ratio = Fraction(larger).limit_denominator(LARGEST_TERM)
    if abs(float(ratio) / larger - 1) > RATIO_TOLERANCE:
        near = old * float(ratio) if rate > old else old / float(ratio)
        raise AlignmentError(
            f"no ratio of whole numbers, the smaller up to {LARGEST_TERM}, leads from {old:.12g} Hz to {rate:.12g} Hz; "
            f"resample to a rate nearby ({near:.12g} Hz is the nearest) or use align.interpolate"
        )
    return ratio if rate >= old else 1 / ratio


def _floats(recording: xr.DataArray) -> Any:
    """Give the values as floats: as dask has them where they are chunked."""
    if recording.attrs.get("modality") == "spikes" and recording.dtype.kind in "biu":
        raise AlignmentError(
            "counts of spikes cannot be resampled: bin the events anew with align.bin_events, or turn counts into "
            "rates (floats) first"
        )
    dtype = np.float32 if recording.dtype == np.float32 else np.float64
    return (recording.data if recording.chunks else np.asarray(recording.values)).astype(dtype, copy=False)


def _polyphase(values: NDArray[np.floating], ratio: Fraction, taps: NDArray[np.float64]) -> NDArray[np.floating]:
    """Filter and resample (time, ...) values; a single sample stays."""
    from scipy import signal

    up, down = ratio.numerator, ratio.denominator
    if len(values) < 2 or up == down:
        return values.copy()
    centre = values.mean(axis=0, dtype=np.float64)
    polyphase: Any = signal.resample_poly  # its stubs know neither arrays of taps nor this way to pad
    filtered = polyphase(values - centre, up, down, axis=0, window=taps, padtype="antireflect")
    out: NDArray[np.floating] = (filtered + centre).astype(values.dtype, copy=False)
    return out


def _low_pass(factor: int) -> NDArray[np.float64]:
    """Taps of the filter at `factor` times the slower clock; its stop band begins at that clock's Nyquist."""
    from scipy.signal import firwin, kaiser_beta

    half = LOBES * factor
    transition = (ATTENUATION - 7.95) / (2.285 * np.pi * 2 * LOBES)  # Kaiser's formula, over the slower Nyquist
    window = ("kaiser", kaiser_beta(ATTENUATION))
    taps: NDArray[np.float64] = firwin(2 * half + 1, (1 - transition / 2) / factor, window=window)
    return taps


def _bridgeable(steps: NDArray[np.float64], max_gap: float | None) -> None:
    if max_gap is not None and steps.size and steps.max() > max_gap:
        raise AlignmentError(
            f"interpolate: {int((steps > max_gap).sum())} steps are longer than max_gap={max_gap:g} s, the longest "
            f"{steps.max():g} s; begin a new segment after each, or allow a longer gap"
        )


def _places(time: NDArray[np.float64], at: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The interval of `time` that holds each of `at`, and the fraction of it that has passed."""
    index = (np.searchsorted(time, at, "right") - 1).clip(0, time.size - 2)
    passed = (at - time[index]) / (time[index + 1] - time[index])
    return index, passed.clip(0.0, 1.0)


def _on_line(values: NDArray[np.floating], time: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.floating]:
    """Read (time, unit) values off the lines between samples; a missing neighbour is not touched at a stamp."""
    if time.size < 2:
        return values[: at.size]
    index, passed = _places(time, at)
    before, after, part = values[index], values[index + 1], passed[:, None]
    line = before + part * (after - before)
    return np.where(part == 0, before, np.where(part == 1, after, line))


def _centred_means(
    values: NDArray[np.floating], time: NDArray[np.float64], at: NDArray[np.float64], reach: float
) -> NDArray[np.floating]:
    """Average the lines between samples over `at - reach` to `at + reach`, shrunk to stay inside."""
    if time.size < 2:
        return values[: at.size]
    reaches = np.minimum(reach, np.minimum(at - time[0], time[-1] - at))
    bad = np.isnan(values)
    centre = np.where(bad, 0.0, values).mean(axis=0)
    whole = np.where(bad, 0.0, values - centre)
    wide = reaches > 1e-6 * reach
    low, high = at[wide] - reaches[wide], at[wide] + reaches[wide]
    area = _area(whole, time, high) - _area(whole, time, low)
    mean = centre + area / (2 * reaches[wide])[:, None]
    touched = _touched(bad, time, low, high)
    out = _on_line(values, time, at)
    out[wide] = np.where(touched, np.nan, mean)
    return out


def _area(values: NDArray[np.floating], time: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.floating]:
    """Integrate the lines between samples from the first stamp to each of `at`."""
    step = np.diff(time)[:, None]
    whole = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(step * (values[1:] + values[:-1]) / 2, axis=0)])
    index, passed = _places(time, at)
    before, rise, part = values[index], values[index + 1] - values[index], passed[:, None]
    area: NDArray[np.floating] = whole[index] + step[index] * part * (before + part * rise / 2)
    return area


def _touched(
    bad: NDArray[np.bool_], time: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell which stretches `low` to `high` overlap an interval that has a missing sample at either end."""
    gaps = np.concatenate([np.zeros((1, bad.shape[1]), dtype=np.int64), np.cumsum(bad[1:] | bad[:-1], axis=0)])
    first, begun = _places(time, low)
    last, passed = _places(time, high)
    touched: NDArray[np.bool_] = gaps[last + (passed > 0)] > gaps[first + (begun >= 1)]
    return touched
