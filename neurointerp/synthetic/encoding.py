"""Responses that are a known linear function of features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import RecordingError
from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._signals import autoregressive
from neurointerp.synthetic._simulated import names, on_clock, on_units, simulated

_CITATION = "Naselaris et al. (2011) NeuroImage 56:400-410; Schoppe et al. (2016) Front Comput Neurosci 10:10"


def linear_responses(
    *,
    n_samples: int = 600,
    n_features: int = 20,
    n_units: int = 30,
    lags: Sequence[int] = (0,),
    density: float = 1.0,
    snr: float | Sequence[float] = 1.0,
    autocorrelation: float = 0.5,
    sampling_rate: float = 1.0,
    seed: int = 0,
) -> xr.DataTree:
    r"""Draw features and the responses that a linear encoding model has to explain.

    :math:`y_u(t) = \sum_{f, l} w_{(f, l) u}\, x_f(t - l) + \epsilon_u(t)` with autoregressive features of
    unit variance, standard-normal weights scaled by the root of their number, and white noise.

    Parameters
    ----------
    n_samples, n_features, n_units
        Samples, features and responding units.
    lags
        Delays of the responses in samples, each at least 0 and none twice.
    density
        Fraction of non-zero weights of each unit, in (0, 1]; at least one weight stays.
    snr
        Variance of the signal over that of the noise: one number, or one per unit; 0 leaves only noise.
    autocorrelation
        Correlation of successive values of a feature, in [0, 1).
    sampling_rate
        Samples per second of both recordings.
    seed
        Seed of features, weights and noise.

    Returns
    -------
    xr.DataTree
        ``recordings/features`` (time, unit), a stimulus, and ``recordings/responses`` (time, unit), labelled
        as fMRI, on one clock; units ``"1"``. ``truth``: ``weights (feature, unit)``, where a feature is
        called as in ``features`` or, with other lags than ``(0,)``, ``<feature>@<lag>`` as by ``align.lag``;
        ``signal (time, unit)``; ``ceiling (unit)``, the r2 of the signal with the responses, which is what
        the true weights attain. The first ``max(lags)`` samples also depend on features before the recording.

    Raises
    ------
    RecordingError
        If a parameter is out of range.

    References
    ----------
    Model: Naselaris et al. (2011), Encoding and decoding in fMRI, NeuroImage 56:400-410. The ceiling is the
    signal power of Schoppe et al. (2016), Measuring the performance of neural models, Front Comput Neurosci
    10:10, on the realised noise instead of its expectation (snr / (1 + snr)).

    Examples
    --------
    >>> from neurointerp.synthetic import linear_responses
    >>> tree = linear_responses(lags=(0, 1))
    >>> dict(tree["truth/weights"].sizes)
    {'feature': 40, 'unit': 30}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    _parameters.integer("n_samples", n_samples, minimum=2)
    _parameters.integer("n_features", n_features)
    _parameters.number("density", density, above=0.0, maximum=1.0)
    _parameters.number("autocorrelation", autocorrelation, minimum=0.0, maximum=0.999)
    _parameters.number("sampling_rate", sampling_rate, above=0.0)
    ratio = _ratios(snr, _parameters.integer("n_units", n_units))
    delays = _delays(lags)

    history = autoregressive(rng, max(delays) + n_samples, n_features, autocorrelation)
    starts = [max(delays) - delay for delay in delays]
    design = np.concatenate([history[start : start + n_samples] for start in starts], axis=1)
    weights = _weights(rng, design.shape[1], n_units, density)
    weights[:, ratio == 0] = 0.0
    signal = design @ weights
    responses = signal + _noise(rng, signal, ratio)

    shared: dict[str, Any] = {"function": "linear_responses", "parameters": parameters, "citation": _CITATION}
    shared |= {"units": "1", "sampling_rate": sampling_rate}
    labels = names("f", n_features)
    features = simulated(history[max(delays) :], modality="stimulus", unit=labels, name="features", **shared)
    rec = simulated(responses, modality="fmri", unit=names("v", n_units), name="responses", **shared)
    lagged = labels if delays == [0] else [f"{label}@{delay}" for delay in delays for label in labels]
    truth = {
        "weights": on_units(weights, rec, "feature").assign_coords(
            feature=np.array(lagged, dtype=object), lag=("feature", np.repeat(delays, n_features))
        ),
        "signal": on_clock(signal, rec, "unit", rec["unit"].variable),
        "ceiling": on_units(_ceiling(signal, responses), rec),
    }
    return session({"features": features, "responses": rec}, truth=truth)


def _delays(lags: Sequence[int]) -> list[int]:
    delays = [_parameters.integer("lags", lag, minimum=0) for lag in lags]
    if not delays or len(set(delays)) != len(delays):
        raise RecordingError(f"lags must be one or more different integers; found {lags!r}")
    return delays


def _ratios(snr: float | Sequence[float], n_units: int) -> NDArray[np.float64]:
    """Return the signal-to-noise ratio of each unit."""
    given = [snr] * n_units if np.ndim(snr) == 0 else list(snr)  # type: ignore[arg-type]
    if len(given) != n_units:
        raise RecordingError(f"snr must be one number or one per unit; found {len(given)} for {n_units} units")
    return np.array([_parameters.number("snr", value, minimum=0.0) for value in given])


def _weights(rng: np.random.Generator, n_features: int, n_units: int, density: float) -> NDArray[np.float64]:
    """Draw the weights (feature, unit), equally many of them non-zero for each unit."""
    kept = max(1, round(density * n_features))
    order = rng.permuted(np.tile(np.arange(n_features)[:, None], n_units), axis=0)
    return np.where(order < kept, rng.standard_normal(order.shape) / np.sqrt(kept), 0.0)


def _noise(rng: np.random.Generator, signal: NDArray[np.float64], ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw noise (time, unit) at exactly this signal-to-noise ratio; of unit variance where it is 0."""
    noise = rng.standard_normal(signal.shape)
    wanted = np.divide(signal.std(axis=0), np.sqrt(ratio), out=np.ones_like(ratio), where=ratio > 0)
    return np.asarray(noise * (wanted / noise.std(axis=0)))


def _ceiling(signal: NDArray[np.float64], responses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the r2 of the signal, or of the mean where that is better."""
    missed = ((responses - signal) ** 2).sum(axis=0)
    total = ((responses - responses.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(np.maximum(1 - missed / total, 0.0))
