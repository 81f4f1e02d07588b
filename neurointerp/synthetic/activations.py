"""Activations of a layer made of planted sparse features."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._simulated import names, on_clock, on_units, simulated

_CITATION = "Shafran, Geiger & Geva (2025) arXiv:2506.10920"


def activation_features(
    *,
    n_samples: int = 1500,
    n_units: int = 512,
    n_features: int = 20,
    active_units: int = 11,
    probability: float = 0.12,
    noise: float = 0.3,
    prompt_length: int = 30,
    seed: int = 0,
) -> xr.DataTree:
    """Draw activations that are sparse signed features times sparse non-negative coefficients.

    ``activations = coefficients @ features + noise``. A feature has ``active_units`` standard-normal weights
    at random units and unit norm; a coefficient is Bernoulli(``probability``) x Gamma(shape 2, scale 1),
    independent over tokens and features.

    Parameters
    ----------
    n_samples, n_units
        Tokens and units of the layer.
    n_features
        Number of planted features.
    active_units
        Units with a weight in each feature, at most ``n_units``.
    probability
        Probability that a feature is present at a token, in (0, 1].
    noise
        Standard deviation of the Gaussian noise, as a fraction of that of the whole noise-free matrix.
    prompt_length
        Tokens of a prompt; the last prompt may be shorter.
    seed
        Seed of features, coefficients and noise.

    Returns
    -------
    xr.DataTree
        ``recordings/activation_features`` (time, unit): float32, arbitrary units (``"1"``), an integer clock
        in tokens, with ``segment``, ``sequence`` (prompt number) and ``position`` (token within the prompt).
        ``truth``: ``features (component, unit)`` and ``coefficients (time, component)``.

    Raises
    ------
    RecordingError
        If a parameter is out of range.

    References
    ----------
    The generative reading of MLP activations in Shafran, Geiger and Geva (2025), Decomposing MLP activations
    into interpretable features via semi-nonnegative matrix factorization, arXiv:2506.10920. The distributions
    are this project's: the paper has no simulation.

    Examples
    --------
    >>> from neurointerp.synthetic import activation_features
    >>> tree = activation_features()
    >>> dict(tree["recordings/activation_features/recording"].sizes)
    {'time': 1500, 'unit': 512}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    _parameters.integer("n_samples", n_samples)
    _parameters.integer("active_units", active_units, maximum=_parameters.integer("n_units", n_units))
    _parameters.integer("n_features", n_features)
    _parameters.integer("prompt_length", prompt_length)
    _parameters.number("probability", probability, above=0.0, maximum=1.0)
    _parameters.number("noise", noise, minimum=0.0)

    features = _sparse_features(rng, n_features, n_units, active_units)
    shape = (n_samples, n_features)
    coefficients = (rng.random(shape) < probability) * rng.gamma(2.0, 1.0, shape)
    signal = coefficients @ features
    values = signal + noise * signal.std() * rng.standard_normal(signal.shape)

    token = np.arange(n_samples)
    rec = simulated(
        values.astype(np.float32),
        function="activation_features",
        parameters=parameters,
        citation=_CITATION,
        modality="activations",
        units="1",
        time=("time", token, {"units": "token"}),
        unit=names("u", n_units),
        coords={
            "segment": ("time", token // prompt_length),
            "sequence": ("time", token // prompt_length),
            "position": ("time", token % prompt_length),
        },
        name="activation_features",
    )
    truth = {
        "features": on_units(features, rec, "component"),
        "coefficients": on_clock(coefficients, rec, "component"),
    }
    return session({"activation_features": rec}, truth=truth)


def _sparse_features(rng: np.random.Generator, n_features: int, n_units: int, active: int) -> NDArray[np.float64]:
    """Draw unit-norm features (component, unit) with ``active`` standard-normal weights each."""
    features = np.zeros((n_features, n_units))
    for feature in features:
        feature[rng.choice(n_units, active, replace=False)] = rng.standard_normal(active)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features
