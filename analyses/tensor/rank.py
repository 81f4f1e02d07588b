"""How many components a non-negative CP decomposition should have: error, agreement of restarts, spread of factors."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.tensor.nonnegative_cp import nonnegative_cp
from neurointerp.errors import AnalysisError
from neurointerp.result import result

NAME = "tensor.rank"
SMOOTH = 1.5
FLAT = 0.2


def rank(
    recording: xr.DataArray | xr.Dataset, ranks: Sequence[int] = (1, 2, 3, 4, 5, 6), *, restarts: int = 10,
    dim: str | None = None, max_iter: int = 500, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Fit non-negative CP decompositions of several ranks, from several starts each.

    The error alone always falls. Beside it stand how much the starts of a rank agree, and how many directions its
    factors spread over: the singular values of the centred, unit-norm factor of one dim, squared, over the largest,
    summed, averaged over starts and smoothed over ranks. Where that stops growing, further components repeat others.

    Parameters
    ----------
    recording
        As for `tensor.nonnegative_cp`.
    ranks
        Numbers of components, ascending.
    restarts
        Starts of each rank, at least 2.
    dim
        Dim of the spread; the last one by default (units or pairs).
    max_iter
        Most sweeps of each fit.
    seed
        Seed of the first start of each rank; the next ones follow.

    Returns
    -------
    xarray.Dataset
        - `relative_error (rank, restart)`, ascending along `restart`.
        - `similarity (rank, restart)`: of each start with the best: the product over dims of the cosines of matched
          components, mean over components (Hungarian method); 1 for the best itself.
        - `spread (rank)`, smoothed, and `suggested`: the first rank after which spread grows by less than a fifth of
          its fastest growth; NaN with fewer than three ranks. It is a hint, to be read with the other two.

    Raises
    ------
    AnalysisError
        When ranks are not ascending whole numbers, there are fewer than two restarts, or from `nonnegative_cp`.

    References
    ----------
    Williams et al. (2018), Unsupervised discovery of demixed, low-dimensional neural dynamics across multiple
    timescales, Neuron 98:1099 (similarity). The rule of spread follows the code that accompanies Dyballa et al.
    (2024), Population encoding of stimulus features along the visual hierarchy, PNAS 121:e2317773121; where its
    growth counts as flat is a choice made here, and the rank that Dyballa et al. (2024, ICLR) used could not be
    verified.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import tensor
    >>> tree = ni.synthetic.tensor_trials(rank=2, noise="gaussian", noise_level=0.1)
    >>> rec = tree["recordings/tensor_trials/recording"].clip(min=0, keep_attrs=True)
    >>> found = tensor.rank(rec, (1, 2), restarts=2)
    >>> bool(found.relative_error[1, 0] < found.relative_error[0, 0]), bool(found.similarity.sel(rank=2).min() > 0.95)
    (True, True)
    """
    wanted = list(ranks)
    whole = all(isinstance(r, Integral) and not isinstance(r, bool) and r >= 1 for r in wanted)
    if not wanted or not whole or wanted != sorted(set(wanted)):
        raise AnalysisError(f"{NAME}: ranks are {wanted}; ascending whole numbers of at least 1 are needed")
    if not isinstance(restarts, Integral) or isinstance(restarts, bool) or restarts < 2:
        raise AnalysisError(f"{NAME}: restarts is {restarts!r}; a whole number of at least 2 is needed")
    errors, similarity = np.empty((len(wanted), restarts)), np.empty((len(wanted), restarts))
    spread = np.empty(len(wanted))
    for place, each in enumerate(wanted):
        fits = [nonnegative_cp(recording, each, max_iter=max_iter, seed=seed + start) for start in range(restarts)]
        fits.sort(key=lambda fit: float(fit["relative_error"]))
        factors = [_factors(fit) for fit in fits]
        last = _dim(fits[0], dim)
        errors[place] = [float(fit["relative_error"]) for fit in fits]
        similarity[place] = [_similarity(factors[0], other) for other in factors]
        spread[place] = np.mean([_spread(found[last]) for found in factors])
    smooth = _smoothed(spread)
    at = {"rank": np.array(wanted), "restart": np.arange(restarts)}
    return result(
        {
            "relative_error": xr.DataArray(errors, dims=("rank", "restart"), coords=at),
            "similarity": xr.DataArray(similarity, dims=("rank", "restart"), coords=at),
            "spread": xr.DataArray(smooth, dims="rank", coords={"rank": at["rank"]}),
            "suggested": xr.DataArray(_suggested(np.array(wanted), smooth)),
        },
        analysis=NAME,
        recording=recording,
        parameters={"ranks": wanted, "restarts": restarts, "dim": dim, "max_iter": max_iter},
        seed=seed,
    )


def _factors(fit: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    return {
        str(name).removeprefix("factor_"): np.asarray(values.values, dtype=np.float64)
        for name, values in fit.data_vars.items()
        if str(name).startswith("factor_")
    }


def _dim(fit: xr.Dataset, dim: str | None) -> str:
    dims = list(_factors(fit))
    if dim is None:
        return dims[-1]
    if dim not in dims:
        raise AnalysisError(f"{NAME}: dim is {dim!r}; one of {', '.join(dims)} is needed")
    return dim


def _similarity(one: dict[str, NDArray[np.float64]], other: dict[str, NDArray[np.float64]]) -> float:
    from scipy.optimize import linear_sum_assignment

    cosine = np.prod([one[dim].T @ other[dim] for dim in one], axis=0)
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    return float(cosine[rows, columns].mean())


def _spread(factor: NDArray[np.float64]) -> float:
    """Give the sum of squared singular values over the largest, of the centred factor; 0 where it has none."""
    squares = np.linalg.svd(factor - factor.mean(axis=0), compute_uv=False) ** 2
    return float(squares.sum() / squares[0]) if squares[0] > 1e-24 else 0.0


def _smoothed(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(spread, SMOOTH, mode="nearest") if len(spread) > 2 else spread)


def _suggested(ranks: NDArray[np.int64], spread: NDArray[np.float64]) -> float:
    if len(ranks) < 3:
        return float("nan")
    growth = np.diff(spread) / np.diff(ranks)
    flat = np.flatnonzero(growth < FLAT * growth.max())
    flat = flat[flat > growth.argmax()]
    return float(ranks[flat[0]] if flat.size else ranks[-1])
