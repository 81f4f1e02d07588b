"""Granger causality by frequency: what part of a unit's power comes from the innovations of another."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._pairs import SIDES, complete, pair_coords, sampling_rate
from neurointerp.analyses.connectivity._past import fitted
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.spectral_granger"


def spectral_granger(
    recording: xr.DataArray,
    *,
    order: int | None = None,
    conditional: bool = False,
    n_frequencies: int = 64,
    seed: int = 0,
) -> xr.Dataset:
    r"""Measure, frequency by frequency, how much the past of each unit foretells each other unit.

    Of the vector autoregression of a pair, with transfer function :math:`H(f)` and covariance :math:`\Sigma` of its
    innovations, and :math:`S(f) = H \Sigma H^*`:

    .. math:: f_{x \to y}(f) = \ln \frac{S_{yy}}{S_{yy} - (\Sigma_{xx} - \Sigma_{xy}^2 / \Sigma_{yy})\, |H_{yx}|^2}

    Its mean over frequencies is the causality that `granger` estimates in time. Conditional on all others
    :math:`z`, the numerator is the power of the innovations of :math:`y` in the model without :math:`x`; the
    denominator is what the innovations of :math:`y` in the model of all, with what others share with them, put into it.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values. The past is taken within segments and trials.
        Computed in float64.
    order
        Samples of past; chosen as in `granger` if left out.
    conditional
        Whether all other units are known too; default False. One algebraic Riccati equation of order x units unknowns
        per source: seconds for 20 units, minutes for 60.
    n_frequencies
        Evenly spaced, from 0 to half the sampling rate, both included; at least 2.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, nats, 0 or more, NaN on the diagonal; `order`, a scalar. Constant
        units are NaN, and counted in the attr `undefined_units`.

    Raises
    ------
    AnalysisError
        As `granger`, and when the fitted autoregression is not stable (a trend, or a unit root).

    References
    ----------
    Geweke (1982), J Am Stat Assoc 77:304-313 (pairwise); Geweke (1984), J Am Stat Assoc 79:907-915 (conditional);
    Barnett and Seth (2015), Granger causality for state-space models, Phys Rev E 91:040101. Deviation from Geweke
    (1984): the model without the source is not fitted but follows exactly from that with all, as in Barnett and Seth,
    so that no value is negative.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((2001, 2))
    >>> x[1:, 1] += 0.8 * x[:-1, 0]  # the first unit drives the second
    >>> rec = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.spectral_granger(rec).connectivity
    >>> bool(out[0, 1].min() > 0.3), bool(out[1, 0].max() < 0.01)
    (True, True)
    """
    stacked = complete(recording, _ANALYSIS)
    analysed = pending(recording)
    rate = sampling_rate(recording, _ANALYSIS)
    if n_frequencies < 2:
        raise AnalysisError(f"{_ANALYSIS}: n_frequencies is {n_frequencies!r}; at least 2 are needed")
    z, varies = scaled(stacked.values.astype(np.float64))
    lags, gram, count = fitted(z[:, varies], stretches(recording), order, conditional, _ANALYSIS)
    frequency = np.linspace(0, 0.5, n_frequencies)
    found = _conditional(gram / count, lags, frequency) if conditional else _pairwise(gram / count, lags, frequency)
    whole = np.full((len(varies), len(varies), n_frequencies), np.nan)
    whole[np.ix_(varies, varies)] = found
    clock = str(recording["time"].attrs["units"])
    axis = ("frequency", frequency * rate, {"units": "Hz" if clock == "s" else f"1/{clock}"})
    coords = {**pair_coords(stacked.unit_coords), "frequency": axis}
    attrs = {"units": "1", "undefined_units": int((~varies).sum())}
    return result(
        {
            "connectivity": xr.DataArray(whole, dims=(*SIDES, "frequency"), coords=coords, attrs=attrs),
            "order": xr.DataArray(lags, attrs={"units": "1"}),
        },
        analysis=_ANALYSIS,
        recording=analysed,
        parameters={"order": order, "conditional": conditional, "n_frequencies": n_frequencies},
        seed=seed,
    )


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


def _pairwise(gram: np.ndarray, order: int, frequency: np.ndarray) -> np.ndarray:
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


def _conditional(gram: np.ndarray, order: int, frequency: np.ndarray) -> np.ndarray:
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
