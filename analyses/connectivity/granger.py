"""Granger causality: how much better one unit's past foretells another than what was known already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import SIDES, complete, pair_coords, sampling_rate
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.result import result

_ANALYSIS = "connectivity.granger"
LARGEST_ORDER = 10
"""The largest order that is tried where none is given."""


def granger(
    recording: xr.DataArray, *, order: int | None = None, conditional: bool = False, seed: int = 0
) -> xr.Dataset:
    r"""Measure how much the past of each unit foretells each other unit.

    .. math:: \mathcal{F}_{x \to y} = \ln \frac{\mathrm{RSS}(y \mid y^-, z^-)}{\mathrm{RSS}(y \mid y^-, z^-, x^-)}

    with :math:`y^-` the `order` samples before, an intercept in both regressions, and :math:`z` no other unit
    (pairwise) or all others (conditional).

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values. The past is taken within segments and trials.
        Computed in float64.
    order
        Samples of past. Left out, the order from 1 to 10 (or as far as the samples reach) of smallest BIC: of the
        vector autoregression of all units where `conditional`, else of the mean BIC of the regressions on both
        units of a pair.
    conditional
        Whether the past of all other units is known too; default False.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, :math:`\mathcal{F} \ge 0` in nats, NaN on the diagonal; `f_statistic` and
        `p_value` of the F test that the source's past adds nothing (`order` and samples - parameters degrees of
        freedom; not corrected for the number of pairs); `order`, a scalar. Constant units are NaN, and counted in
        the attr `undefined_units`.

    Raises
    ------
    AnalysisError
        When values are missing, the clock is irregular or absent, there are too few samples for the regressions, or
        the pasts of units are linearly dependent.

    References
    ----------
    Geweke (1982), J Am Stat Assoc 77:304-313 (pairwise); Geweke (1984), J Am Stat Assoc 79:907-915 (conditional);
    Schwarz (1978), Ann Stat 6:461-464 (BIC). Deviation: both regressions are fitted, of one order, over the same
    samples. Slow sampling and filters make spurious causes.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((501, 2))
    >>> x[1:, 1] += 0.8 * x[:-1, 0]  # the first unit drives the second
    >>> rec = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.granger(rec)
    >>> int(out.order), bool(out.p_value[0, 1] < 1e-6), bool(out.p_value[1, 0] > 0.01)
    (1, True, True)
    """
    stacked = complete(recording, _ANALYSIS)
    sampling_rate(recording, _ANALYSIS)
    if order is not None and order < 1:
        raise AnalysisError(f"{_ANALYSIS}: order is {order!r}; at least 1 sample of past is needed")
    z, varies = scaled(stacked.values.astype(np.float64))
    z, parts = z[:, varies], stretches(recording)
    most = _reach(parts, z.shape[1], conditional)
    if (order or 1) > most:
        raise AnalysisError(
            f"{_ANALYSIS}: order {order or 1} of {z.shape[1]} units{' together' if conditional else ''} has too few "
            f"samples ({len(z)} in {len(parts)} segments), which reach order {most}; "
            + ("take fewer units (pca)" if conditional else "take longer segments")
        )
    lags = _chosen(z, parts, min(most, LARGEST_ORDER), conditional) if order is None else order
    gram, count = _lagged_gram(z, parts, lags)
    reduced, full, known = _conditional(gram, lags) if conditional else _pairwise(gram, lags)
    freedom = count - known - 1
    statistic = (reduced - full) / lags / (full / freedom)
    shape = (len(varies), len(varies))
    coords = pair_coords(stacked.unit_coords)
    attrs = {"units": "1", "undefined_units": int((~varies).sum())}
    found = {
        "connectivity": np.log(reduced / full),
        "f_statistic": statistic,
        "p_value": _p_value(statistic, lags, freedom),
    }
    variables = {}
    for name, values in found.items():
        whole = np.full(shape, np.nan)
        np.fill_diagonal(values, np.nan)
        whole[np.ix_(varies, varies)] = values
        variables[name] = xr.DataArray(whole, dims=SIDES, coords=coords, attrs=attrs)
    variables["order"] = xr.DataArray(lags, attrs={"units": "1"})
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=recording,
        parameters={"order": order, "conditional": conditional},
        seed=seed,
    )


def _p_value(statistic: np.ndarray, order: int, freedom: int) -> np.ndarray:
    from scipy.stats import f

    return np.asarray(f.sf(statistic, order, freedom))


def _rows(parts: Sequence[slice], order: int) -> NDArray[np.int64]:
    """Give the samples that have `order` samples of past in their stretch."""
    return np.concatenate([np.arange(part.start + order, max(part.stop, part.start + order)) for part in parts])


def _reach(parts: Sequence[slice], units: int, conditional: bool) -> int:
    """Give the largest order whose regressions leave as many samples free as they have parameters."""
    order, predictors = 0, units if conditional else 2
    while len(_rows(parts, order + 1)) >= 2 * (predictors * (order + 1) + 1):
        order += 1
    return order


def _lagged_gram(z: np.ndarray, parts: Sequence[slice], order: int) -> tuple[np.ndarray, int]:
    """Give the centred products (lag, unit, lag, unit) of the present (lag 0) and past, and how many samples."""
    rows = _rows(parts, order)
    past = np.concatenate([z[rows - lag] for lag in range(order + 1)], axis=1)
    past -= past.mean(axis=0)
    units = z.shape[1]
    return (past.T @ past).reshape(order + 1, units, order + 1, units), len(rows)


def _residual(power: np.ndarray, cross: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Give the residual sums of squares of regressions from their products, refusing dependent predictors."""
    try:
        factor = np.linalg.cholesky(inner)
        smallest = np.diagonal(factor, axis1=-2, axis2=-1).min(initial=np.inf) ** 2
    except np.linalg.LinAlgError:
        smallest = 0.0
    if smallest <= 10 * inner.shape[-1] * np.finfo(np.float64).eps * np.abs(inner).max(initial=0.0):
        raise AnalysisError(
            f"{_ANALYSIS}: the pasts of units are linearly dependent (units that are copies or sums of others, or a "
            "common average reference); drop some units first"
        )
    half = np.linalg.solve(factor, cross[..., None])[..., 0]
    return np.asarray(power - (half**2).sum(axis=-1))


def _pairwise(gram: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Give the residuals (source, target) of pairs without and with the source, and the number of predictors."""
    units = gram.shape[1]
    blocks = gram.transpose(1, 3, 0, 2)  # (unit, unit, lag, lag)
    same = np.arange(units)
    own, cross, power = blocks[same, same, 1:, 1:], blocks[same, same, 0, 1:], blocks[same, same, 0, 0]
    reduced = _residual(power, cross, own)
    full = np.ones((units, units))
    for target in range(units):
        sources = np.delete(same, target)
        inner = np.empty((units - 1, 2 * order, 2 * order))
        inner[:, :order, :order] = own[target]
        inner[:, order:, order:] = own[sources]
        inner[:, :order, order:] = blocks[target, sources, 1:, 1:]
        inner[:, order:, :order] = inner[:, :order, order:].swapaxes(1, 2)
        known = np.broadcast_to(cross[target], (units - 1, order))
        both = np.concatenate([known, blocks[target, sources, 0, 1:]], axis=1)
        full[sources, target] = _residual(power[target], both, inner)
    return np.tile(reduced, (units, 1)), full, 2 * order


def _conditional(gram: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Give the residuals (source, target) without the source and with all, and the number of predictors."""
    units = gram.shape[1]
    past = gram[1:, :, 1:, :].reshape(order * units, order * units)
    cross = gram[0, :, 1:, :].reshape(units, order * units)
    power = np.diag(gram[0, :, 0, :])
    full = _residual(power, cross, past)
    reduced = np.empty((units, units))
    owner = np.tile(np.arange(units), order)
    for source in range(units):
        keep = owner != source
        if not keep.any():
            reduced[source] = power
            continue
        reduced[source] = _residual(power, cross[:, keep], past[np.ix_(keep, keep)])
    return reduced, np.tile(full, (units, 1)), order * units


def _chosen(z: np.ndarray, parts: Sequence[slice], most: int, conditional: bool) -> int:
    """Give the order from 1 to `most` of smallest BIC, all on the samples that have `most` samples of past."""
    gram, count = _lagged_gram(z, parts, most)
    units = z.shape[1]
    scores = []
    for order in range(1, most + 1):
        part = gram[: order + 1, :, : order + 1]
        if conditional:
            past = part[1:, :, 1:].reshape(order * units, order * units)
            cross = part[0, :, 1:].reshape(units, order * units)
            noise = part[0, :, 0] - cross @ np.linalg.solve(past, cross.T)
            scores.append(count * np.linalg.slogdet(noise / count)[1] + order * units**2 * np.log(count))
        else:
            _, full, known = _pairwise(part, order)
            off = ~np.eye(units, dtype=bool)
            scores.append(count * np.log(full[off]).mean() + known * np.log(count) if off.any() else 0.0)
    return int(np.argmin(scores)) + 1
