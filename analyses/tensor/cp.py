"""Canonical polyadic (CP) decomposition of signed data."""

from __future__ import annotations

import xarray as xr

from neurointerp.analyses.tensor._decompose import Kind, Search, decompose
from neurointerp.analyses.tensor._rules import SIGNED
from neurointerp.analyses.tensor._starts import normal, singular
from neurointerp.analyses.tensor._values import Given

KIND = Kind("tensor.cp", True, SIGNED, {"random": normal, "svd": singular})


def cp(
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
    r"""Split a recording into components with one signed factor per dim.

    Minimise `||X - sum_r w_r a_r (x) b_r (x) ... ||^2` by alternating least squares: each factor in turn is set to
    its best value, the others fixed, and the whole is extrapolated while that pays.

    Parameters
    ----------
    recording
        Of three or more dims, such as (trial, time, unit) or (subject, trial, time, unit); `align.epoch` and
        `align.windows` make one of a continuous recording. Or a dict or list of the recordings of several subjects,
        which `align.stack_subjects` puts on one list of units: a unit that a subject lacks is missing there. Or the
        result of `connectivity.affinity`. Missing values (NaN) are left out of the error: what stands there has no
        influence. Nothing is centred: subtract means first where they are of no interest.
    rank
        Number of components; it may exceed the size of a dim.
    max_iter
        Most sweeps over all factors.
    tolerance
        Stop when a plain sweep lowers `loss` by no more than this part of it.
    init
        `"random"`, from a normal distribution; or `"svd"`, the leading singular vectors of each unfolding, which do
        not depend on `seed` unless `rank` exceeds a dim.
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
        - `factor_<dim>(<dim>, component)` for each dim: dimensionless, columns of norm 1, on the recording's own
          coordinates. Signs: the larger half of a column is positive in every dim but the last, which takes the rest.
        - `weight(component)`: the norm of each component, descending, in the units of the recording.
        - `loss(iteration)`: squared relative error, SSE / sum of squares of what is observed, after each sweep of the
          start that was kept; never rises. It comes from Gram matrices: of float32 values, it is known to about 1e-7,
          and where it falls below 0.01 the fit goes on in float64.
        - `relative_error`: square root of the last loss. `restart_error(restart)`: the same of every start,
          ascending; their seeds are the coordinate `restart_seed`.
        - `explained_variance`: 1 - SSE / sum of squares about the means of the last dim (NaN where nothing varies).
        - `congruence(component, component2)`: product over dims of the cosines of two components. Near -1 two of
          them cancel: the tensor has no best approximation of this rank, only ever larger components. Take fewer
          components, or `nonnegative_cp`.
        - `stop_reason`: `"tolerance"` or `"max_iter"`.

    Raises
    ------
    AnalysisError
        When the recording has two dims, all values are zero, all values of one label (a unit, a trial) are missing, or
        an argument is out of range.
    AlignmentError
        When the recordings of several subjects disagree in more than their units.
    RecordingError
        When a recording breaks the contract.

    Notes
    -----
    The largest dim is contracted once per sweep and the other factors are updated several times from the small
    result, so that a sweep reads the data twice. Each least-squares step is held to where it starts from by a term
    of a millionth of the mean diagonal of its Gram matrix (proximal, as in Li, Kindermann and Navasca, but fixed): the
    loss cannot rise, the term is gone where the fit stands still, and nearly parallel components do not run away
    (swamps). A sweep after extrapolation that does not pay is followed by a plain one, and only a plain sweep can end
    the fit.

    Where values are missing each sweep works on the data completed by the model it starts from, which lowers the
    error on what is observed (Dempster, Laird and Rubin); a sweep then costs about twice as much.

    A tensor without missing values whose sweep takes more than 2e8 operations, and whose largest dim has four labels or
    more for each component, is fitted on its two leading directions per component in every dim first (compression
    as in Bro and Andersson, 1998, by random sketches): `loss` counts the sweeps of the whole tensor that follow.

    References
    ----------
    Harshman (1970), Foundations of the PARAFAC procedure. Carroll, Chang (1970), Analysis of individual differences
    in multidimensional scaling. Phan, Tichavsky, Cichocki (2013), Fast alternating LS algorithms for high order CP
    decompositions. Li, Kindermann, Navasca (2013), Some convergence results on the regularized alternating
    least-squares method for tensor decomposition. Ang, Cohen, Gillis, Hien (2021), Accelerating block coordinate
    descent for nonnegative tensor factorization (extrapolation with restart; there of non-negative factors). Dempster,
    Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import tensor
    >>> rng = np.random.default_rng(0)
    >>> values = np.einsum("ir,jr,kr->ijk", *(rng.standard_normal((size, 2)) for size in (5, 20, 4)))
    >>> rec = ni.recording(
    ...     values, modality="eeg", units="V", sampling_rate=1.0, dims=("trial", "time", "unit")
    ... )
    >>> res = tensor.cp(rec, 2)
    >>> res.factor_time.dims, bool(res.relative_error < 0.01), res.weight.attrs["units"]
    (('time', 'component'), True, 'V')
    """
    return decompose(recording, rank, KIND, Search(max_iter, tolerance, init, restarts, device, precision, seed))
