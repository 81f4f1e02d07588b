"""Connectivity as it changes: correlation in sliding or tapered windows, and the agreement of phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import one_of
from neurointerp.analyses.connectivity._subjects import subjects_of
from neurointerp.analyses.connectivity._windows import correlations
from neurointerp.backend import to_numpy
from neurointerp.device import in_blocks, require_none
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES, side_coords
from neurointerp.matrix import Stacked, stretches
from neurointerp.result import result
from neurointerp.streaming import Rows

_ANALYSIS = "connectivity.dynamic"
METHODS = ("sliding", "tapered", "phase")
RESET = 64
"""After this many windows the running sums are taken anew, so that rounding does not add up."""
SMALL = 1e-5
"""A variance below this part of the running sums has been drowned by their rounding (an artefact has passed)."""


def dynamic(
    recording: xr.DataArray,
    *,
    method: str = "sliding",
    window: int | None = None,
    step: int | None = None,
    taper: float = 3.0,
    device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Measure the connectivity of every pair of units in windows that move along time.

    - `sliding`: Pearson correlation of the samples of each window.
    - `tapered`: the same with weights, a rectangle convolved with a Gaussian of `taper` samples, so that samples enter
      and leave gradually.
    - `phase`: the mean of :math:`\cos(\theta_i(t) - \theta_j(t))` over the window, :math:`\theta` the phase of the
      analytic signal (Hilbert) of each unit about its mean; a window of one sample is the instantaneous agreement.
      Phases mean something for narrow bands alone: filter first.

    Windows, and the analytic signal, stay within segments, trials and subjects.

    Parameters
    ----------
    recording
        A recording with a `time` dim and without missing values; a subject may lack whole units (NaN).
        One that is chunked (dask) is read block by block, but for `phase`, which needs all values in memory at once.
    method
        `sliding`, `tapered` or `phase`.
    window
        Samples in a window; by default a tenth of the longest stretch and at least 10 (or all of it), with `phase` 1.
        Periods longer than the window show up as changes that are none: 1 / the lowest frequency is the usual least.
    step
        Samples from one window to the next; by default a tenth of `window`, at least 1.
    taper
        Standard deviation in samples of the Gaussian, above 0; without effect on other methods.
    device
        Where torch makes the products of the samples of each window (`"cuda"`, `"cpu"`, ...), in float64, many windows
        at a time and each by itself; None (default): numpy, with running sums. Not for `phase`.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (window, source, target)`, dimensionless in [-1, 1], symmetric, 1 on the diagonal, in the dtype
        of the recording. `time` (on `window`) is the mean of a window's clock; `stretch` numbers the segments of
        trials and subjects that windows lie in, and `trial`, `subject` and `segment` are kept where there are such.
        A unit constant in a window (with `phase`, in its stretch), or that the subject lacks, is NaN there.

    Raises
    ------
    AnalysisError
        When values are missing, there is no `time`, no stretch is as long as a window, or an argument is out of range.

    Notes
    -----
    Sliding correlations come from running sums of products: samples that enter are added, those that leave
    subtracted, in float64, from the start again every 64 windows, and without running sums where an artefact or a drift
    leaves too few digits. They differ from numpy's by less than 1e-9.

    References
    ----------
    Hutchison et al. (2013), Dynamic functional connectivity: promise, issues, and interpretations, NeuroImage 80:360;
    Leonardi, Van De Ville (2015), On spurious and real fluctuations of dynamic functional connectivity during rest,
    NeuroImage 104:430 (length of windows); tapers as in Allen et al. (2014), Tracking whole-brain connectivity
    dynamics in the resting state, Cereb Cortex 24:663; phases as in Glerean et al. (2012), Functional magnetic
    resonance imaging phase synchronization as a measure of dynamic functional connectivity, Brain Connect 2:91.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((200, 2))
    >>> x[100:, 1] = x[100:, 0]  # together from the middle on
    >>> rec = ni.recording(x, modality="fmri", units="1", sampling_rate=0.5)
    >>> found = connectivity.dynamic(rec, window=50, step=50).connectivity
    >>> bool(abs(found[0, 0, 1]) < 0.4), float(found[3, 0, 1].round(6))
    (True, 1.0)
    """
    one_of(method, METHODS, _ANALYSIS, "method")
    if "time" not in recording.dims:
        raise AnalysisError(f"{_ANALYSIS}: dims are {recording.dims}, without a time to move windows along")
    if not taper > 0:
        raise AnalysisError(f"{_ANALYSIS}: taper is {taper!r}; a number above 0 is needed")
    if method == "phase":
        require_none(device, _ANALYSIS, "method='phase', whose analytic signal is that of a whole stretch")
    blocks = in_blocks(recording, device, None, _ANALYSIS)
    people = subjects_of(blocks, _ANALYSIS, partial(_sizes, method=method, window=window, step=step))
    size, stride = people.plan
    parts = stretches(recording)
    places = [_Run(part, size, stride) for part in parts if part.stop - part.start >= size]
    stacked, values = people.stacked, people.stacked.values
    if isinstance(values, Rows) and method == "phase":  # the analytic signal of a stretch needs all of it
        values = values.gathered(_ANALYSIS)
    units = values.shape[1]
    out = np.empty((sum(run.count for run in places), units, units), dtype=values.dtype)
    first, rows = 0, len(values) // len(people.each)
    for run in places:
        there = people.present[run.part.start // rows]
        into = out[first : first + run.count]
        if isinstance(values, Rows):
            _measure_blocks(values.on(device), run, method, taper, there, into)
        else:
            _measure(values[run.part], run, method, taper, there, into)
        first += run.count
    variable = xr.DataArray(
        out,
        dims=("window", *SIDES),
        coords={**_windows(recording, stacked, places), **side_coords(stacked.unit_coords)},
        attrs={"units": "1", "window": size, "step": stride},
    )
    parameters = {"method": method, "window": size, "step": stride, "taper": taper, "device": device}
    return result({"connectivity": variable}, analysis=_ANALYSIS, recording=recording, parameters=parameters, seed=seed)


@dataclass(frozen=True)
class _Run:
    """The windows of one stretch of the stacked samples."""

    part: slice
    size: int
    step: int

    @property
    def count(self) -> int:
        return int((self.part.stop - self.part.start - self.size) // self.step + 1)


def _sizes(parts: Sequence[slice], method: str, window: int | None, step: int | None) -> tuple[int, int]:
    """Give the samples of a window and from one start to the next."""
    longest = max((part.stop - part.start for part in parts), default=0)
    default = 1 if method == "phase" else min(max(longest // 10, 10), longest)
    size = _count(default if window is None else window, "window", 1 if method == "phase" else 2)
    if size > longest:
        raise AnalysisError(
            f"{_ANALYSIS}: no stretch has {size} samples, the longest has {longest}; shorten the window"
        )
    return size, _count(max(size // 10, 1) if step is None else step, "step", 1)


def _count(value: Any, name: str, least: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise AnalysisError(f"{_ANALYSIS}: {name} is {value!r}; a whole number of at least {least} is needed")
    return int(value)


def _measure(values: Any, run: _Run, method: str, taper: float, there: NDArray[np.bool_], out: NDArray[Any]) -> None:
    """Write the connectivity (window, unit, unit) of one stretch; NaN for units that are not there."""
    if not there.all():
        some = np.empty((len(out), *(int(there.sum()),) * 2), dtype=out.dtype)
        _measure(values[:, there], run, method, taper, there[there], some)
        out[:] = np.nan
        out[:, np.flatnonzero(there)[:, None], there] = some
        return
    if not isinstance(values, np.ndarray):  # on a device
        out[:] = correlations(values, run.size, run.step, _weights(run.size, taper) if method == "tapered" else None)
        return
    given = values.astype(np.float64)
    if method == "sliding":
        _slide(given, run, out)
    elif method == "tapered":
        _weigh(given, run, taper, out)
    else:
        _agree(given, run, out)


def _measure_blocks(
    rows: Rows, run: _Run, method: str, taper: float, there: NDArray[np.bool_], out: NDArray[Any]
) -> None:
    """Write the windows of one stretch, each computed with the block in which it begins."""
    kernel = partial(_of_block, run=run, method=method, taper=taper, there=there)
    first = 0
    for found in rows.within(run.part).each(kernel, after=run.size - 1):
        out[first : first + len(found)] = found
        first += len(found)


def _of_block(
    values: Any, first: int, own: slice, *, run: _Run, method: str, taper: float, there: NDArray[np.bool_]
) -> NDArray[Any]:
    low, high = (-(-(first + edge) // run.step) for edge in (own.start, own.stop))
    high = min(high, run.count)
    out = np.empty((max(high - low, 0), *(values.shape[1],) * 2), dtype=to_numpy(values[:0, :]).dtype)
    if len(out):
        part = slice(low * run.step - first, (high - 1) * run.step - first + run.size)
        _measure(values[part], _Run(part, run.size, run.step), method, taper, there, out)
    return out


def _slide(values: NDArray[np.float64], run: _Run, out: NDArray[Any]) -> None:
    """Write the correlations of each window of (sample, unit) values."""
    from scipy.linalg.blas import dgemm

    from neurointerp.analyses.connectivity._sliding import write_correlation

    size, step = run.size, run.step
    span = np.ptp(values, axis=0)
    z = (values - values.mean(axis=0)) / np.where(span > 0, span, 1.0)
    varies = _varying(values, run)
    gram, sums, peak = np.empty((0, 0)), np.empty(0), np.empty(0)
    sign = np.repeat([-1.0, 1.0], step)[:, None]  # samples that leave, samples that enter
    for w in range(run.count):
        start = w * step
        inside = z[start : start + size]
        if w % RESET == 0 or step >= size:
            gram, sums = np.asfortranarray(inside.T @ inside), inside.sum(axis=0)
            square = np.einsum("ii->i", gram)  # a view
            peak = square.copy()
        else:
            both = np.concatenate([z[start - step : start], z[start + size - step : start + size]])
            signed = both * sign
            dgemm(1.0, both.T, signed.T, beta=1.0, c=gram, trans_b=1, overwrite_c=1)
            sums += signed.sum(axis=0)
            np.maximum(peak, square, out=peak)
        power = square - sums**2 / size
        if (varies[w] & (power < SMALL * peak)).any():
            centred = inside - inside.mean(axis=0)
            write_correlation(centred.T @ centred, np.zeros_like(sums), varies[w], size, out[w])
        else:
            write_correlation(gram.T, sums, varies[w], size, out[w])


def _varying(values: NDArray[np.float64], run: _Run) -> NDArray[np.bool_]:
    """Tell which units change within each window (window, unit)."""
    from neurointerp.analyses.connectivity._sliding import last_changes

    out = np.empty((run.count, values.shape[1]), dtype=np.bool_)
    last_changes(values, run.size, run.step, out)
    return out


def _weigh(values: NDArray[np.float64], run: _Run, taper: float, out: NDArray[Any]) -> None:
    """Write the weighted correlations of each window."""
    weight = _weights(run.size, taper)
    varies = _varying(values, run)
    z = values - values.mean(axis=0)
    for w in range(run.count):
        inside = z[w * run.step : w * run.step + run.size]
        centred = (inside - weight @ inside) * np.sqrt(weight)[:, None]
        norm = np.sqrt((centred**2).sum(axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            centred = centred / np.where(varies[w], norm, np.nan)
        _write(out[w], np.clip(centred.T @ centred, -1, 1), varies[w])


def _weights(size: int, taper: float) -> NDArray[np.float64]:
    """Give the weights (sample) of a tapered window, which sum to 1."""
    from scipy.ndimage import gaussian_filter1d

    weight = gaussian_filter1d(np.ones(size), taper, mode="constant")
    return np.asarray(weight / weight.sum())


def _agree(values: NDArray[np.float64], run: _Run, out: NDArray[Any]) -> None:
    """Write the mean cosine of the differences of phase of each window."""
    from scipy.signal import hilbert

    centred = values - values.mean(axis=0)
    varies = np.ptp(values, axis=0) > 0
    analytic = hilbert(centred, axis=0)
    size = np.abs(analytic)
    phase = analytic / np.where(size > 0, size, 1)
    phase[:, ~varies] = np.nan
    for w in range(run.count):
        inside = phase[w * run.step : w * run.step + run.size]
        cosine = (inside.real.T @ inside.real + inside.imag.T @ inside.imag) / len(inside)
        _write(out[w], np.clip(cosine, -1, 1), varies)


def _write(out: NDArray[Any], values: NDArray[np.float64], varies: NDArray[np.bool_]) -> None:
    out[:] = (values + values.T) / 2
    np.fill_diagonal(out, np.where(varies, 1.0, np.nan))


def _windows(recording: xr.DataArray, stacked: Stacked, places: list[_Run]) -> dict[str, Any]:
    """Give the coordinates of the windows: clock, stretch, and the trial, subject and segment they lie in."""
    starts = np.concatenate([run.part.start + np.arange(run.count) * run.step for run in places])
    index = np.unravel_index(starts, stacked.sample_shape)
    at = dict(zip(stacked.sample_dims, index, strict=True))
    clock = recording["time"].values.astype(np.float64)
    size = places[0].size
    centre = np.array([clock[a : a + size].mean() for a in at["time"]])
    coords: dict[str, Any] = {
        "window": np.arange(len(starts)),
        "time": ("window", centre, recording["time"].attrs),
        "stretch": ("window", np.repeat(np.arange(len(places)), [run.count for run in places])),
    }
    for dim in ("trial", "subject"):
        if dim in at:
            labels = recording[dim].values if dim in recording.coords else np.arange(recording.sizes[dim])
            coords[dim] = ("window", labels[at[dim]])
    if "segment" in recording.coords:
        coords["segment"] = ("window", recording["segment"].values[at["time"]])
    return coords
