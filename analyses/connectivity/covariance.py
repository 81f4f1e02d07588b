"""Covariance of every pair of units, as it is or shrunk."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._pairs import SIDES, complete, one_of, pair_coords
from neurointerp.analyses.connectivity._shrinkage import SHRINKAGES, centred, shrunk
from neurointerp.result import result

_ANALYSIS = "connectivity.covariance"


def covariance(recording: xr.DataArray, *, method: str = "empirical", seed: int = 0) -> xr.Dataset:
    r"""Give the covariance of every pair of units over all samples.

    .. math:: C = (1 - \lambda) S + \lambda \frac{\operatorname{tr} S}{p} I, \quad
        S_{ij} = \frac{1}{n} \sum_t (x_i(t) - \bar x_i)(x_j(t) - \bar x_j)

    Parameters
    ----------
    recording
        Any recording without missing values; the samples of all trials, segments and subjects are pooled about
        one mean. float32 stays float32.
    method
        `empirical` (default, :math:`\lambda = 0`, divided by the number of samples), or :math:`\lambda` by
        `ledoit_wolf` or `oas` (oracle approximating shrinkage).
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, symmetric, in the square of the recording's units; `shrinkage`, a
        scalar: :math:`\lambda` in [0, 1].

    Raises
    ------
    AnalysisError
        When values are missing, there are fewer than two samples, or `method` is not known.

    References
    ----------
    Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices, J Multivar
    Anal 88:365-411; Chen et al. (2010), Shrinkage algorithms for MMSE covariance estimation, IEEE Trans Sign
    Process 58:5016-5029, eq. 23 without its factor 2/p, as in scikit-learn. Both take samples as independent;
    those of a recording seldom are, so that :math:`\lambda` is smaller than it should be.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> values = np.array([[0.0, 2.0], [2.0, 0.0], [4.0, 4.0]])
    >>> rec = ni.recording(values, modality="eeg", units="uV", sampling_rate=1.0)
    >>> cov = connectivity.covariance(rec).connectivity
    >>> cov.values.round(3), cov.attrs["units"]
    (array([[2.667, 1.333],
           [1.333, 2.667]]), '(uV)**2')
    """
    one_of(method, SHRINKAGES, _ANALYSIS, "method")
    stacked = complete(recording, _ANALYSIS)
    z = centred(stacked.values)
    largest = float(np.abs(z).max(initial=0.0)) or 1.0
    values, amount = shrunk(z / largest, method)
    units = str(recording.attrs["units"])
    attrs = {"units": units if units.strip() == "1" else f"({units})**2"}
    return result(
        {
            "connectivity": xr.DataArray(
                values * largest**2, dims=SIDES, coords=pair_coords(stacked.unit_coords), attrs=attrs
            ),
            "shrinkage": xr.DataArray(amount, attrs={"units": "1"}),
        },
        analysis=_ANALYSIS,
        recording=recording,
        parameters={"method": method},
        seed=seed,
    )
