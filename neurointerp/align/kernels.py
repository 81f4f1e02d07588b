"""Kernels (lag, basis) that weigh the past of a feature: haemodynamic responses."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AlignmentError


def hrf(
    sampling_rate: float, *, basis: Literal["canonical", "derivatives"] = "canonical", duration: float = 32.0
) -> xr.DataArray:
    r"""Give the canonical haemodynamic response on the samples of a clock, with its derivatives if wanted.

    :math:`h(t) = \gamma(t; 6, 1) - \gamma(t; 16, 1) / 6` for gamma densities of shape 6 and 16 and scale 1 s,
    scaled to a sum of 1 over the samples; its temporal derivative :math:`h(t) - h(t - 1 s)`, and its dispersion
    derivative :math:`(h(t) - h_{1.01}(t)) / 0.01` where the first gamma is 1.01 times as wide, as SPM has them.

    Parameters
    ----------
    sampling_rate
        Samples per second of the recording it is for.
    basis
        `"canonical"`, or with the two `"derivatives"`.
    duration
        Seconds that it lasts.

    Returns
    -------
    xarray.DataArray
        `(lag, basis)`, lags in samples from 0; for `lags=` of the encoding models.

    Raises
    ------
    AlignmentError
        When there are fewer than two samples in `duration`, or the basis is unknown.

    References
    ----------
    Friston et al. (1998), Event-related fMRI: characterizing differential responses, NeuroImage 7:30-40. Deviation
    from SPM: sampled at the recording's own rate, not integrated from a finer one.

    Examples
    --------
    >>> kernel = hrf(1.0)
    >>> int(kernel.values.argmax()), round(float(kernel.sum()), 6)
    (5, 1.0)
    """
    if basis not in ("canonical", "derivatives") or not sampling_rate > 0 or not duration * sampling_rate >= 2:
        raise AlignmentError(
            f"hrf: basis {basis!r}, sampling_rate {sampling_rate}, duration {duration}: 'canonical' or 'derivatives' "
            "and two samples or more are needed"
        )
    time = np.arange(round(duration * sampling_rate) + 1) / sampling_rate
    canonical = _response(time)
    columns = {"canonical": canonical}
    if basis == "derivatives":
        columns["temporal"] = canonical - _response(time - 1.0)
        columns["dispersion"] = (canonical - _response(time, 1.01)) / 0.01
    values = np.stack(list(columns.values()), axis=1) / canonical.sum()
    labels = np.array(list(columns), dtype=object)
    return xr.DataArray(
        values, dims=("lag", "basis"), coords={"lag": np.arange(len(time)), "basis": labels}, name="hrf"
    )


def _response(time: NDArray[np.float64], width: float = 1.0) -> NDArray[np.float64]:
    from scipy.stats import gamma

    found: NDArray[np.float64] = gamma.pdf(time, 6.0 / width, scale=width) - gamma.pdf(time, 16.0) / 6.0
    return found
