"""Principal component analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp import backend, matrix, result
from neurointerp.analyses.factorization._checks import require_count
from neurointerp.analyses.factorization._principal import principal, projected
from neurointerp.analyses.factorization._spectrum import leading, row_blocks
from neurointerp.device import in_blocks
from neurointerp.errors import AnalysisError
from neurointerp.streaming import Rows

NAME = "factorization.pca"


def pca(
    recording: xr.DataArray, rank: int, *, device: str | None = None, precision: str | None = None, seed: int = 0
) -> xr.Dataset:
    """Find the orthogonal patterns over units that explain most variance.

    With `X` the (sample, unit) matrix and `m` its unit means, `X - m = U S V'`; the features are the first
    `rank` rows of `V'` and the coefficients `(X - m) V`. Exact: no random projection.

    Parameters
    ----------
    recording
        Any complete recording; every dim but `unit` is a sample dim. One that is chunked (dask) is read three times,
        block by block: for the means, for the triangular factors of the blocks (as exact as the whole), for the
        coefficients.
    rank
        Number of components, at most the number of samples and of units.
    device
        Where torch works on the blocks of the recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy. There components come from the products of units (or of samples, where units
        are more), and are exact to about 1e-16 times the square of (first singular value / their own).
    precision
        On a device: None (default), products in float64 whatever the values are (which, less their means, keep their
        type on the way there); `"tf32"`, products of float32, in TF32 where the device has it (10 bits of mantissa,
        about 1e-3); `"bfloat16"`, the values, centred, rounded to 8 bits (4e-3). Components of less than such a share
        of the variance of the first are then rounding.
    seed
        Recorded only: nothing here is random.

    Returns
    -------
    xarray.Dataset
        - `features(component, unit)`: orthonormal, dimensionless; of each, the loading largest in size is positive.
        - `coefficients(<sample dims>, component)`: in the units of the recording, by descending variance.
        - `mean(unit)`: what was subtracted.
        - `support(component, unit)`: where `features` is not zero.
        - `loss(iteration)`: squared relative error, SSE / sum of squares of the recording (not centred, as for
          the other factorizations); one entry.
        - `relative_error`: its square root.
        - `explained_variance`: 1 - SSE / sum of squares about the unit means.

    Raises
    ------
    AnalysisError
        When values are missing, `rank` is out of range, or no unit varies.
    RecordingError
        When `recording` breaks the contract.

    References
    ----------
    Pearson (1901), On lines and planes of closest fit to systems of points in space.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> values = np.outer(np.arange(6.0), [1.0, -2.0])
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    >>> res = factorization.pca(rec, 1)
    >>> res.features.values.round(3)
    array([[-0.447,  0.894]])
    >>> round(float(res.explained_variance), 6)
    1.0
    """
    stacked = matrix.streamed(in_blocks(recording, device, precision, NAME))
    X = stacked.values.on(device, precision) if isinstance(stacked.values, Rows) else stacked.values
    rank = require_count(rank, "rank", NAME, high=min(X.shape), why="the smaller of samples and units")
    if isinstance(X, Rows):
        matrix.require_all(X, recording["unit"].values, NAME)
    else:
        matrix.require_complete(recording, NAME)
    features, coefficients, mean, squares = _principal(X, rank)
    total, left = float(squares.sum()), float(squares[rank:].sum())
    if total <= np.finfo(X.dtype).eps ** 2 * X.shape[0] * float(mean @ mean):
        raise AnalysisError(f"{NAME}: no unit varies over samples; there is nothing to decompose")
    loss = left / (total + X.shape[0] * float(mean @ mean))
    units = {"units": recording.attrs["units"]}
    labels = {"component": np.arange(rank), **stacked.unit_coords}
    variables = {
        "features": xr.DataArray(
            features.astype(X.dtype), dims=("component", "unit"), coords=labels, attrs={"units": "1"}
        ),
        "coefficients": stacked.unstack(coefficients.astype(X.dtype), "component").assign_attrs(units),
        "mean": xr.DataArray(mean, dims="unit", coords=stacked.unit_coords, attrs=units),
        "support": xr.DataArray(features != 0, dims=("component", "unit"), coords=labels),
        "loss": xr.DataArray([loss], dims="iteration", coords={"iteration": [0]}),
        "relative_error": xr.DataArray(loss**0.5),
        "explained_variance": xr.DataArray(1 - left / total),
    }
    parameters = {"rank": rank, "device": device, "precision": precision}
    return result.result(variables, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


def _principal(X: Any, rank: int) -> tuple[Any, Any, Any, Any]:
    """Give features (component, unit), coefficients (sample, component), mean and squared singular values."""
    if isinstance(X, Rows):
        features, squares, mean = principal(X, rank)
        return features, projected(X, mean, features), mean, squares
    xp = backend.namespace(X)
    mean = xp.sum(X, axis=0, dtype=xp.float64) / X.shape[0]
    features, squares = leading(X, mean, rank)
    coefficients = xp.concat([rows @ features.T for rows in row_blocks(X, mean)], axis=0)
    return features, coefficients, mean, squares
