"""How many components a CP decomposition should have: error, agreement of starts, core consistency, spread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.tensor._alternate import model
from neurointerp.analyses.tensor._chunked import Blocks, core_of
from neurointerp.analyses.tensor._similarity import described, factors_of, matched
from neurointerp.analyses.tensor._values import Given, count, labelled, source_of
from neurointerp.analyses.tensor.nonnegative_cp import nonnegative_cp
from neurointerp.errors import AnalysisError
from neurointerp.result import result

NAME = "tensor.rank"
SMOOTH = 1.5
FLAT = 0.2


def rank(
    recording: Given, ranks: Sequence[int] = (1, 2, 3, 4, 5, 6), *, method: Callable[..., xr.Dataset] = nonnegative_cp,
    restarts: int = 10, dim: str | None = None, max_iter: int = 500, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Fit CP decompositions of several ranks, from several starts each.

    The error alone always falls. Beside it stand how much the starts of a rank agree, how nearly the data have the
    form of the model (core consistency), and how many directions the factors spread over: the singular values of the
    centred, unit-norm factor of one dim, squared, over the largest, summed, averaged over starts and smoothed over
    ranks. Where that stops growing, further components repeat others.

    Parameters
    ----------
    recording
        As for `method`.
    ranks
        Numbers of components, ascending.
    method
        `tensor.nonnegative_cp` or `tensor.cp`, called as `method(recording, rank, max_iter=max_iter, seed=seed)`. Its
        other options are set with `functools.partial(cp, init="svd")`.
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
        - `core_consistency (rank)` of the best start, in percent: 100 (1 - sum of (g - t)^2 / rank), where g is the
          core that fits the data best with these factors (least squares, each component scaled to a core of 1) and t
          has ones on its superdiagonal. Near 100 the components do not interact; low or negative, they do. NaN where
          a factor has not as many independent columns as components. Missing values are those of the model, which
          flatters it.
        - `spread (rank)`, smoothed, and `suggested`: the first rank after which spread grows by less than a fifth of
          its fastest growth; NaN with fewer than three ranks. It is a hint, to be read with the other two.

    Raises
    ------
    AnalysisError
        When ranks are not ascending whole numbers, there are fewer than two restarts, `method` gives no CP
        decomposition, or from `method`.

    References
    ----------
    Williams et al. (2018), Unsupervised discovery of demixed, low-dimensional neural dynamics across multiple
    timescales, Neuron 98:1099 (similarity). Bro, Kiers (2003), A new efficient method for determining the number of
    components in PARAFAC models, Journal of Chemometrics 17:274 (core consistency). The rule of spread follows the
    code that accompanies Dyballa et al. (2024), Population encoding of stimulus features along the visual hierarchy,
    PNAS 121:e2317773121; where its growth counts as flat is a choice made here, and the rank that Dyballa et al. (2024,
    ICLR) used could not be verified.

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
    wanted = list(ranks) if isinstance(ranks, Iterable) else []
    whole = all(isinstance(r, Integral) and not isinstance(r, bool) and r >= 1 for r in wanted)
    if not wanted or not whole or wanted != sorted(set(wanted)):
        found = wanted if isinstance(ranks, Iterable) else ranks
        raise AnalysisError(f"{NAME}: ranks are {found!r}; ascending whole numbers of at least 1 are needed")
    count(restarts, "restarts", NAME, low=2)
    name, options = described(method)
    if "max_iter" in options:
        raise AnalysisError(f"{NAME}: method fixes max_iter to {options['max_iter']!r}; pass max_iter= here instead")
    errors, similarity = np.empty((len(wanted), restarts)), np.empty((len(wanted), restarts))
    spread, consistency = np.empty(len(wanted)), np.empty(len(wanted))
    array = labelled(recording, NAME)
    values = Blocks(array.data) if array.chunks else np.asarray(array.values, dtype=np.float64)
    for place, each in enumerate(wanted):
        fits = [method(recording, each, max_iter=max_iter, seed=seed + start) for start in range(restarts)]
        fits.sort(key=lambda fit: float(fit["relative_error"]))
        factors = [factors_of(fit, NAME) for fit in fits]
        spread_dim = _dim(list(factors[0]), dim)
        errors[place] = [float(fit["relative_error"]) for fit in fits]
        similarity[place] = [matched(factors[0], other).mean() for other in factors]
        spread[place] = np.mean([_spread(found[spread_dim]) for found in factors])
        consistency[place] = _consistency(values, list(factors[0].values()), fits[0]["weight"].values)
    smooth = _smoothed(spread)
    at = {"rank": np.array(wanted), "restart": np.arange(restarts)}
    by_rank = {"rank": at["rank"]}
    return result(
        {
            "relative_error": xr.DataArray(errors, dims=("rank", "restart"), coords=at),
            "similarity": xr.DataArray(similarity, dims=("rank", "restart"), coords=at),
            "core_consistency": xr.DataArray(consistency, dims="rank", coords=by_rank),
            "spread": xr.DataArray(smooth, dims="rank", coords=by_rank),
            "suggested": xr.DataArray(_suggested(np.array(wanted), smooth)),
        },
        analysis=NAME,
        recording=source_of(recording),
        parameters={
            "ranks": wanted,
            "method": name,
            "options": options,
            "restarts": restarts,
            "dim": dim,
            "max_iter": max_iter,
        },
        seed=seed,
    )


def _dim(dims: list[str], dim: str | None) -> str:
    if dim is None:
        return dims[-1]
    if dim not in dims:
        raise AnalysisError(f"{NAME}: dim is {dim!r}; one of {', '.join(dims)} is needed")
    return dim


def _consistency(values: Any, factors: list[NDArray[np.float64]], weight: NDArray[np.float64]) -> float:
    """Give the core consistency in percent; NaN where the core is not determined."""
    rank = weight.size
    if any(np.linalg.matrix_rank(factor) < rank for factor in factors) or not weight.all():
        return float("nan")
    scaled = [*factors[:-1], factors[-1] * weight]
    inverses = [np.linalg.pinv(factor) for factor in scaled]
    if isinstance(values, Blocks):
        core = core_of(values, scaled, inverses)
    else:
        missing = np.isnan(values)
        core = np.where(missing, model(scaled, values.shape), values) if missing.any() else values
        for mode in np.argsort(values.shape)[::-1]:  # the largest first: what is left is small
            core = np.moveaxis(np.tensordot(inverses[mode], core, axes=(1, mode)), 0, mode)
    ideal = np.zeros(core.shape)
    ideal[(np.arange(rank),) * core.ndim] = 1
    return float(100 * (1 - ((core - ideal) ** 2).sum() / rank))


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
