"""Trials that are a known non-negative low-rank tensor."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._simulated import names, simulated

_CITATION = "Williams et al. (2018) Neuron 98:1099-1115"
_SPARSITY = 0.4  # probability that a unit takes part in a component
_DRIFT = 0.1  # standard deviation of the steps of the log trial factors


def tensor_trials(
    *,
    n_trials: int = 40,
    n_samples: int = 50,
    n_units: int = 30,
    rank: int = 3,
    noise: str = "poisson",
    mean: float = 1.0,
    noise_level: float = 0.3,
    sampling_rate: float = 50.0,
    seed: int = 0,
) -> xr.DataTree:
    r"""Draw trials around a non-negative canonical polyadic tensor.

    :math:`\lambda_{ktn} = \sum_r w_r\, a_{kr}\, b_{tr}\, c_{nr}` with unit-norm factors: over trials a
    positive random walk, over time a Gaussian bump at evenly spread latencies, over units sparse
    weights.

    Parameters
    ----------
    n_trials, n_samples, n_units
        Sizes of the tensor.
    rank
        Number of components.
    noise
        ``"poisson"`` draws counts with these means; ``"gaussian"`` adds noise, so values may be negative.
    mean
        Mean of the noise-free tensor.
    noise_level
        Standard deviation of Gaussian noise, as a fraction of that of the noise-free tensor; without effect
        on Poisson counts.
    sampling_rate
        Samples per second.
    seed
        Seed of factors and noise.

    Returns
    -------
    xr.DataTree
        ``recordings/tensor_trials`` (trial, time, unit), units ``"1"``: spike counts, or calcium traces with
        Gaussian noise. ``truth``: ``factor_trial (trial, component)``, ``factor_time (time, component)``,
        ``factor_unit (unit, component)`` and ``weight (component)``, in decreasing order.

    Raises
    ------
    RecordingError
        If a parameter is out of range.

    References
    ----------
    Williams et al. (2018), Unsupervised discovery of demixed, low-dimensional neural dynamics across multiple
    timescales through tensor component analysis, Neuron 98:1099-1115. The shapes of the factors are this
    project's.

    Examples
    --------
    >>> from neurointerp.synthetic import tensor_trials
    >>> tree = tensor_trials()
    >>> dict(tree["recordings/tensor_trials/recording"].sizes)
    {'trial': 40, 'time': 50, 'unit': 30}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    for name in ("n_trials", "n_samples", "n_units", "rank"):
        _parameters.integer(name, parameters[name])
    _parameters.choice("noise", noise, ("poisson", "gaussian"))
    _parameters.number("mean", mean, above=0.0)
    _parameters.number("noise_level", noise_level, minimum=0.0)
    _parameters.number("sampling_rate", sampling_rate, above=0.0)

    factors, weight = _factors(rng, n_trials, n_samples, n_units, rank)
    clean = np.einsum("r,kr,tr,nr->ktn", weight, *factors)
    weight, clean = weight * (mean / clean.mean()), clean * (mean / clean.mean())
    if noise == "poisson":
        values = rng.poisson(clean)
    else:
        values = clean + noise_level * clean.std() * rng.standard_normal(clean.shape)

    rec = simulated(
        values,
        function="tensor_trials",
        parameters=parameters,
        citation=_CITATION,
        modality="spikes" if noise == "poisson" else "calcium",
        units="1",
        sampling_rate=sampling_rate,
        unit=names("n", n_units),
        dims=("trial", "time", "unit"),
        name="tensor_trials",
    )
    component = np.arange(rank)
    truth = {
        f"factor_{dim}": xr.DataArray(
            factor, dims=(dim, "component"), coords={dim: rec[dim].variable, "component": component}
        )
        for dim, factor in zip(("trial", "time", "unit"), factors, strict=True)
    }
    truth["weight"] = xr.DataArray(weight, dims=("component",), coords={"component": component})
    return session({"tensor_trials": rec}, truth=truth)


def _factors(
    rng: np.random.Generator, n_trials: int, n_samples: int, n_units: int, rank: int
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Draw unit-norm factors over trial, time and unit, (size, component) each, and their weights."""
    trial = np.exp(_DRIFT * rng.standard_normal((n_trials, rank)).cumsum(axis=0))
    latency = (np.arange(rank) + 0.5) / rank * n_samples
    width = rng.uniform(0.06, 0.12, rank) * n_samples
    time = np.exp(-0.5 * ((np.arange(n_samples)[:, None] - latency) / width) ** 2)
    unit = rng.uniform(0.5, 1.5, (n_units, rank)) * (rng.random((n_units, rank)) < _SPARSITY)
    unit[rng.integers(n_units, size=rank), np.arange(rank)] += 1.0  # no component without a unit
    factors = [factor / np.linalg.norm(factor, axis=0) for factor in (trial, time, unit)]
    return factors, np.sort(rng.uniform(0.7, 1.3, rank))[::-1]
