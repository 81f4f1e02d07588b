"""Causality by frequency from the coefficients and innovations of vector autoregressions."""

from __future__ import annotations

import numpy as np

from neurointerp.errors import AnalysisError

_ANALYSIS = "connectivity.spectral_granger"


def _autoregression(gram: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the coefficients (lag, unit, unit of the past) and the covariance of the innovations; refuse explosive ones.

    `gram` (lag, unit, lag, unit) are the centred products of present and past, divided by their number.
    """
    units = gram.shape[1]
    past = gram[1:, :, 1:].reshape(order * units, order * units)
    cross = gram[0, :, 1:].reshape(units, order * units)
    if np.linalg.cond(past) > 1e12:
        raise AnalysisError(
            f"{_ANALYSIS}: the pasts of units are linearly dependent (units that are copies or sums of others, or a "
            "common average reference); drop some units first"
        )
    weights = np.linalg.solve(past, cross.T).T
    noise = gram[0, :, 0] - weights @ cross.T
    radius = np.abs(np.linalg.eigvals(_companion(weights))).max(initial=0.0)
    if radius >= 1 - 1e-8:
        raise AnalysisError(
            f"{_ANALYSIS}: the autoregression of order {order} is not stable (spectral radius {radius:.4f}): the units "
            "have a trend or a unit root; detrend, filter or difference them first"
        )
    return weights.reshape(units, order, units).swapaxes(0, 1), (noise + noise.T) / 2


def _companion(weights: np.ndarray) -> np.ndarray:
    units, size = weights.shape
    return np.concatenate([weights, np.eye(size - units, size)])


def _transfer(weights: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Give the transfer function (frequency, unit, innovation); `frequency` in cycles per sample."""
    lag = np.arange(1, len(weights) + 1)
    response = np.einsum("fk,kij->fij", np.exp(-2j * np.pi * np.outer(frequency, lag)), weights)
    return np.asarray(np.linalg.inv(np.eye(weights.shape[1]) - response))


def by_pair(gram: np.ndarray, order: int, frequency: np.ndarray) -> np.ndarray:
    """Give the causality (source, target, frequency), each pair from an autoregression of its own."""
    units = gram.shape[1]
    out = np.full((units, units, len(frequency)), np.nan)
    for i in range(units):
        for j in range(i):
            both = [i, j]
            weights, noise = _autoregression(gram[:, both][:, :, :, both], order)
            transfer = _transfer(weights, frequency)
            power = np.einsum("fij,jk,fik->fi", transfer, noise, transfer.conj()).real
            for source, target in ((0, 1), (1, 0)):
                own = noise[source, source] - noise[source, target] ** 2 / noise[target, target]
                share = own * np.abs(transfer[:, target, source]) ** 2 / power[:, target]
                out[both[source], both[target]] = -np.log1p(-share)
    return out


def conditional(gram: np.ndarray, order: int, frequency: np.ndarray) -> np.ndarray:
    """Give the causality (source, target, frequency) in the autoregression of all units."""
    units = gram.shape[1]
    weights, noise = _autoregression(gram, order)
    transfer = _transfer(weights, frequency)
    out = np.full((units, units, len(frequency)), np.nan)
    for source in range(units):
        rest = np.delete(np.arange(units), source)
        whiten, reduced = _without(weights, noise, rest, frequency)
        response = whiten @ transfer[:, rest]  # of the innovations without the source to those with all
        own = np.abs(np.einsum("fij,ji->fi", response, noise[:, rest])) ** 2 / np.diag(noise)[rest]
        out[source, rest] = np.maximum(np.log(np.diag(reduced) / own), 0.0).T
    return out


def _without(
    weights: np.ndarray, noise: np.ndarray, rest: np.ndarray, frequency: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give what turns the units `rest` alone into their innovations (frequency, unit, unit), and these' covariance.

    The units that are left follow no autoregression of finite order; their innovations form is the solution of a
    discrete algebraic Riccati equation of the state-space model of all.
    """
    from scipy.linalg import solve_discrete_are

    order, units = weights.shape[:2]
    A = _companion(weights.swapaxes(0, 1).reshape(units, order * units))
    C = A[rest]
    Q, S = np.zeros_like(A), np.zeros((order * units, len(rest)))
    Q[:units, :units], S[:units] = noise, noise[:, rest]
    R = noise[np.ix_(rest, rest)]
    try:
        P = solve_discrete_are(A.T, C.T, Q, R, s=S)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise AnalysisError(
            f"{_ANALYSIS}: the model without one unit could not be solved ({error}); lower the order, or drop units "
            "that nearly are sums of others"
        ) from error
    V = C @ P @ C.T + R
    K = np.linalg.solve(V.T, (A @ P @ C.T + S).T).T
    z = np.exp(2j * np.pi * frequency)[:, None, None]
    return np.eye(len(rest)) - C @ np.linalg.solve(z * np.eye(len(A)) - (A - K @ C), K + 0j), (V + V.T) / 2
