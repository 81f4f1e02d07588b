"""Granger causality: how much better one unit's past foretells another than what was known already."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._pairs import SIDES, complete, pair_coords, sampling_rate
from neurointerp.analyses.connectivity._past import conditioned, fitted, pairs
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.matrix import stretches
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.granger"


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
    analysed = pending(recording)
    sampling_rate(recording, _ANALYSIS)
    z, varies = scaled(stacked.values.astype(np.float64))
    lags, gram, count = fitted(z[:, varies], stretches(recording), order, conditional, _ANALYSIS)
    reduced, full, known = (conditioned if conditional else pairs)(gram, lags, _ANALYSIS)
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
        recording=analysed,
        parameters={"order": order, "conditional": conditional},
        seed=seed,
    )


def _p_value(statistic: np.ndarray, order: int, freedom: int) -> np.ndarray:
    from scipy.stats import f

    return np.asarray(f.sf(statistic, order, freedom))
