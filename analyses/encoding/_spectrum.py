"""Ridge regression for all penalties and units from one eigendecomposition, on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from neurointerp.backend import like, namespace


class Spectrum(NamedTuple):
    """A training set, decomposed: ridge weights are `basis @ (rotated / (values + alpha))`.

    Attributes
    ----------
    basis
        (feature, direction).
    values
        (direction,), eigenvalues of the Gram matrix of the scaled features.
    rotated
        (direction, unit).
    feature_mean, feature_scale
        (feature,), what was taken from the features and what they were then divided by.
    response_mean
        (unit,), taken from the responses.
    """

    basis: Any
    values: Any
    rotated: Any
    feature_mean: Any
    feature_scale: Any
    response_mean: Any


def decompose(features: Any, responses: Any, standardize: bool) -> Spectrum:
    """Decompose training features (sample, feature) and responses (sample, unit) about their means.

    The feature-feature Gram matrix is decomposed, or the sample-sample one where features are more than samples.
    """
    xp = namespace(features, responses)
    feature_mean, response_mean = _mean(xp, features), _mean(xp, responses)
    x, y = features - feature_mean, responses - response_mean
    scale = _scale(xp, x, feature_mean) if standardize else xp.ones_like(feature_mean)
    x = x / scale
    if x.shape[1] <= x.shape[0]:
        values, basis = xp.linalg.eigh(x.T @ x)
        rotated = basis.T @ (x.T @ y)
    else:
        values, vectors = xp.linalg.eigh(x @ x.T)
        basis, rotated = x.T @ vectors, vectors.T @ y
    values = xp.clip(values, min=0.0)  # rounding makes zero eigenvalues negative
    return Spectrum(basis, values, rotated, feature_mean, scale, response_mean)


def weights(spectrum: Spectrum, alpha: Any) -> tuple[Any, Any]:
    """Give weights (feature, unit) in the features' own units and the intercept (unit), for alpha (unit)."""
    scaled = spectrum.basis @ (spectrum.rotated / (spectrum.values[:, None] + alpha[None, :]))
    own = scaled / spectrum.feature_scale[:, None]
    return own, spectrum.response_mean - spectrum.feature_mean @ own


def predict(spectrum: Spectrum, features: Any, alpha: Any) -> Any:
    """Give predictions (sample, unit) for features (sample, feature), with alpha (unit)."""
    coefficients = spectrum.rotated / (spectrum.values[:, None] + alpha[None, :])
    return _projected(spectrum, features) @ coefficients + spectrum.response_mean


def squared_errors(spectrum: Spectrum, features: Any, responses: Any, alphas: Any) -> Any:
    """Give the summed squared error (alpha, unit) of predicting responses (sample, unit) with each alpha."""
    xp = namespace(features, responses)
    projected, target = _projected(spectrum, features), responses - spectrum.response_mean
    errors = []
    for index in range(alphas.shape[0]):
        shrunk = spectrum.rotated / (spectrum.values[:, None] + alphas[index])
        errors.append(xp.sum((target - projected @ shrunk) ** 2, axis=0))
    return xp.stack(errors)


def best_alpha(features: Any, responses: Any, folds: Sequence[Any], alphas: Any, standardize: bool) -> Any:
    """Give each unit the alpha (unit) with the smallest squared error, summed over (train, test) folds."""
    errors = namespace(alphas).zeros_like(responses[:1, :])
    if alphas.shape[0] == 1:
        return _lowest(errors, alphas)
    for train, test in folds:
        x, y, x_test, y_test = (array[like(i, array)] for i in (train, test) for array in (features, responses))
        errors = errors + squared_errors(decompose(x, y, standardize), x_test, y_test, alphas)
    return _lowest(errors, alphas)


def nested_predictions(
    features: Any, responses: Any, outer: Sequence[Any], inner: Sequence[Any], alphas: Any, standardize: bool
) -> tuple[list[Any], Any]:
    """Predict each outer test set by a model whose scaling, weights and alphas come from its training set.

    Parameters
    ----------
    features, responses
        (sample, feature) and (sample, unit).
    outer, inner
        (train, test) int arrays per fold; per outer fold, a list of such pairs inside its training set.
    alphas
        (alpha,).

    Returns
    -------
    predictions
        (test sample, unit) per outer fold.
    alpha
        (unit), chosen on the outer folds: for a model of all data, not for these predictions.
    """
    predictions, errors = [], namespace(alphas).zeros_like(responses[:1, :])
    for (train, test), folds in zip(outer, inner, strict=True):
        x, y, x_test, y_test = (array[like(i, array)] for i in (train, test) for array in (features, responses))
        spectrum = decompose(x, y, standardize)
        alpha = best_alpha(features, responses, folds, alphas, standardize)
        predictions.append(predict(spectrum, x_test, alpha))
        errors = errors + squared_errors(spectrum, x_test, y_test, alphas)
    return predictions, _lowest(errors, alphas)


def _lowest(errors: Any, alphas: Any) -> Any:
    """Give the alpha of the lowest error (alpha, unit); of equals, the largest alpha."""
    xp = namespace(errors)
    order = xp.argsort(-alphas)
    return alphas[order][xp.argmin(errors[order, :], axis=0)]


def _projected(spectrum: Spectrum, features: Any) -> Any:
    return ((features - spectrum.feature_mean) / spectrum.feature_scale) @ spectrum.basis


def _mean(xp: Any, values: Any) -> Any:
    return xp.astype(xp.sum(values, axis=0, dtype=xp.float64) / values.shape[0], values.dtype)


def _scale(xp: Any, centred: Any, mean: Any) -> Any:
    """Give the standard deviation of each feature, or 1 where it is constant up to rounding."""
    variance = xp.sum(centred * centred, axis=0, dtype=xp.float64) / centred.shape[0]
    scale = xp.astype(xp.sqrt(variance), centred.dtype)
    rounding = 10 * xp.finfo(centred.dtype).eps * xp.abs(mean)
    return xp.where(scale > rounding, scale, xp.ones_like(scale))
