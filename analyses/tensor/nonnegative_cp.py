"""Non-negative canonical polyadic (CP) decomposition."""

from __future__ import annotations

import xarray as xr

from neurointerp.analyses.tensor._decompose import Kind, Search, decompose
from neurointerp.analyses.tensor._rules import NONNEGATIVE
from neurointerp.analyses.tensor._starts import halves, uniform
from neurointerp.analyses.tensor._values import Given

KIND = Kind("tensor.nonnegative_cp", False, NONNEGATIVE, {"random": uniform, "svd": halves})


def nonnegative_cp(
    recording: Given,
    rank: int,
    *,
    max_iter: int = 500,
    tolerance: float = 1e-6,
    init: str = "random",
    restarts: int = 1,
    device: str | None = None,
    precision: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Split a non-negative recording into components with one non-negative factor per dim.

    Minimise `||X - sum_r w_r a_r (x) b_r (x) ... ||^2` with every factor >= 0, by hierarchical alternating
    least squares (HALS): each column of each factor in turn is set to its best value, the others fixed.

    Parameters
    ----------
    recording
        Non-negative, of three or more dims, such as (trial, time, unit) or (subject, trial, time, unit);
        `align.epoch` and `align.windows` make one of a continuous recording. Or a dict or list of the recordings of
        several subjects, which `align.stack_subjects` puts on one list of units: a unit that a subject lacks is
        missing there. Or the result of `connectivity.affinity`. Missing values (NaN) are left out of the error: what
        stands there has no influence.
    rank
        Number of components; it may exceed the size of a dim.
    max_iter
        Most sweeps over all factors.
    tolerance
        Stop when a plain sweep lowers `loss` by no more than this part of it.
    init
        `"random"`, uniform on (0, 1); or `"svd"`, the larger half (positive or negative) of each leading
        singular vector of each unfolding, which does not depend on `seed` unless `rank` exceeds a dim.
        It needs all values of a chunked (dask) recording in memory; `"random"` reads block by block.
    restarts
        Number of starts; the one that ends with the smallest error is kept.
    device
        Where torch works on the blocks of a recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy. With `init="random"` alone.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
    seed
        Seed of the first start; the next ones follow. Different starts can end in different minima.

    Returns
    -------
    xarray.Dataset
        - `factor_<dim>(<dim>, component)` for each dim: >= 0, dimensionless, columns of norm 1.
        - `weight(component)`: the norm of each component, descending, in the units of the recording.
        - `loss(iteration)`: squared relative error, SSE / sum of squares of what is observed, after each sweep of the
          start that was kept; never rises. It comes from Gram matrices: of float32 values, it is known to about 1e-7,
          and where it falls below 0.01 the fit goes on in float64.
        - `relative_error`: square root of the last loss. `restart_error(restart)`: the same of every start,
          ascending; their seeds are the coordinate `restart_seed`.
        - `explained_variance`: 1 - SSE / sum of squares about the means of the last dim (NaN where nothing varies).
        - `stop_reason`: `"tolerance"` or `"max_iter"`.

    Raises
    ------
    AnalysisError
        When the recording has two dims, values are negative or all zero, all values of one label (a unit, a pair, a
        trial) are missing, or an argument is out of range.
    AlignmentError
        When the recordings of several subjects disagree in more than their units.
    RecordingError
        When `recording` breaks the contract.

    Notes
    -----
    The largest dim is contracted once per sweep and the other factors are updated twice from the small
    result, so that a sweep reads the data twice. An update visits every column twice, and five times after ten sweeps:
    thorough early updates end in worse minima, hasty late ones crawl where components are alike. Between sweeps the
    factors are extrapolated as in Ang and Gillis; a sweep that does not pay is followed by a plain one, and only a
    plain sweep can end the fit.

    Where values are missing each sweep works on the data completed by the model it starts from, which lowers the
    error on what is observed (Dempster, Laird and Rubin); a sweep then costs about twice as much.

    A tensor without missing values whose sweep takes more than 2e7 operations (2e8 of more than three dims), and whose
    largest dim has four labels or more for each component, is fitted on its two leading directions per component in
    every dim first (compression as in Bro and Andersson, 1998, by random sketches); what follows are sweeps of the
    whole, which `loss` counts. Of three dims, up to four random starts are drawn from `seed` and swept ten times there,
    and the one that is ahead goes on: together they cost less than a sweep of the whole.

    References
    ----------
    Cichocki, Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor factorizations.
    Phan, Tichavsky, Cichocki (2013), Fast alternating LS algorithms for high order CP decompositions.
    Ang, Cohen, Gillis, Hien (2021), Accelerating block coordinate descent for nonnegative tensor
    factorization. Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import tensor
    >>> rng = np.random.default_rng(0)
    >>> values = np.einsum("ir,jr,kr->ijk", *(rng.random((size, 2)) for size in (5, 20, 4)))
    >>> rec = ni.recording(
    ...     values, modality="calcium", units="1", sampling_rate=1.0, dims=("trial", "time", "unit")
    ... )
    >>> res = tensor.nonnegative_cp(rec, 2)
    >>> res.factor_time.dims, bool(res.relative_error < 0.01)
    (('time', 'component'), True)
    """
    return decompose(recording, rank, KIND, Search(max_iter, tolerance, init, restarts, device, precision, seed))
