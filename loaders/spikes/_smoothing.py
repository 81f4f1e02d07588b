"""Firing rates from counts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError
from neurointerp.recordings import add_history
from neurointerp.schema import check, segment_bounds

TRUNCATE = 5.0
"""Where the Gaussian ends, in standard deviations."""


def smooth(recording: xr.DataArray, sigma: float) -> xr.DataArray:
    r"""Turn counts into firing rates with a Gaussian kernel.

    .. math:: r_t = \frac{1}{w} \sum_s g_\sigma(t - s)\, n_s

    Parameters
    ----------
    recording
        Counts (time, unit) or (trial, time, unit) on a regular clock in seconds, with bins of width :math:`w`.
    sigma
        Standard deviation of the kernel (s); it ends at 5 sigma and sums to one.

    Returns
    -------
    xarray.DataArray
        Rates in Hz, float64, same labels. Segments and trials are smoothed apart; at their ends the counts are
        mirrored, so that rates times bin width sum to the number of spikes and an even rate stays even.
        `history` names the step.

    Raises
    ------
    RecordingError
        When the recording is no counts on a regular clock in seconds, a count is missing, or `sigma` is not
        positive.

    Notes
    -----
    Kernel estimate of a rate: Dayan P, Abbott LF (2001) Theoretical Neuroscience, eq. 1.11. Deviations: sampled
    at the bins, cut at 5 sigma, mirrored at the ends. Counts are placed at the middle of their bins, `time`
    stays their left edge.

    Examples
    --------
    >>> from neurointerp.loaders import spikes
    >>> rate = smooth(spikes.load({"a": [0.5, 0.52]}, bin_width=0.01, stop=1.0), 0.05)
    >>> rate.attrs["units"], round(float(rate.sum()) * 0.01, 9)
    ('Hz', 2.0)
    """
    from scipy.ndimage import gaussian_filter1d

    check(recording)
    rate = _rate(recording, sigma)
    axis = recording.get_axis_num("time")
    values = np.asarray(recording.values, dtype=np.float64)
    missing = int(np.isnan(values).sum())
    if missing:
        raise RecordingError(f"smooth: {missing} counts are missing; drop or fill them first")
    out = np.empty_like(values)
    for begin, end in segment_bounds(recording):
        cut = tuple(slice(begin, end) if dim == "time" else slice(None) for dim in recording.dims)
        out[cut] = gaussian_filter1d(values[cut], sigma * rate, axis=axis, mode="reflect", truncate=TRUNCATE) * rate
    smoothed = recording.copy(data=out)
    smoothed.attrs = {**recording.attrs, "units": "Hz"}
    return add_history(smoothed, "loaders.spikes.smooth", sigma=float(sigma), kernel="gaussian", ends="mirrored")


def _rate(recording: xr.DataArray, sigma: float) -> float:
    if "time" not in recording.dims or recording["time"].attrs.get("units") != "s":
        raise RecordingError("smooth: a clock in seconds is needed; count with the length of a step (sampling_rate=)")
    rate = recording.attrs.get("sampling_rate")
    if rate is None or recording.attrs["units"] != "1":
        units = recording.attrs["units"]
        raise RecordingError(
            f"smooth: counts (units '1') on a regular clock are needed, found {units!r} at {rate!r} Hz"
        )
    if not 0 < sigma < np.inf:
        raise RecordingError(f"smooth: sigma is {sigma!r}: a positive number of seconds is needed")
    return float(rate)
