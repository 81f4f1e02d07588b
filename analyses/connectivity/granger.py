"""Granger causality: how much better one unit's past foretells another than what was known already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity import _autoregression
from neurointerp.analyses.connectivity._pairs import require_whole, sampling_rate
from neurointerp.analyses.connectivity._past import conditioned, lagged_gram, order_of, pairs, require_reach
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.analyses.connectivity._subjects import Subjects, combined_p, mean, subjects_of
from neurointerp.backend import to_numpy
from neurointerp.device import in_blocks, on_device
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result
from neurointerp.streaming import Rows

_IN_TIME = "connectivity.granger"
_BY_FREQUENCY = "connectivity.spectral_granger"


def granger(
    recording: xr.DataArray, *, order: int | None = None, conditional: bool = False, device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Measure how much the past of each unit foretells each other unit.

    .. math:: \mathcal{F}_{x \to y} = \ln \frac{\mathrm{RSS}(y \mid y^-, z^-)}{\mathrm{RSS}(y \mid y^-, z^-, x^-)}

    with :math:`y^-` the `order` samples before, an intercept in both regressions, and :math:`z` no other unit
    (pairwise) or all others (conditional).

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values; each subject is taken alone, and may lack whole
        units (NaN). The past is taken within segments and trials. Computed in float64.
    order
        Samples of past. Left out, the order from 1 to 10 (or as far as the samples reach) of smallest BIC: of the
        vector autoregression of all units where `conditional`, else of the mean BIC of the regressions on both
        units of a pair.
    conditional
        Whether the past of all other units is known too; default False.
    device
        Where torch multiplies the blocks of the recording and solves the regressions (`"cuda"`, `"cpu"`, ...), in
        float64; None (default): numpy.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, :math:`\mathcal{F} \ge 0` in nats, NaN on the diagonal; `f_statistic` and
        `p_value` of the F test that the source's past adds nothing (`order` and samples - parameters degrees of
        freedom; not corrected for the number of pairs); `order`, a scalar. Constant units are NaN, and counted in
        the attr `undefined_units`. With a `subject` dim one order serves all (that of the smallest sum of BIC),
        `connectivity` and `f_statistic` are means over subjects, `p_value` combines theirs by Fisher's method, and
        `by_subject`, `f_statistic_by_subject`, `p_value_by_subject (subject, source, target)` and `subjects (source,
        target)`, how many had the pair, stand beside them.

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
    require_whole(_IN_TIME, order=order)
    sampling_rate(recording, _IN_TIME)
    people = _people(recording, order, conditional, device, _IN_TIME)
    analysed = pending(recording)
    measure = _conditionally if conditional else _pairwise
    lags, found, varies = _of_each(people, order, conditional, device, measure, _IN_TIME)
    attrs = {"units": "1", "undefined_units": people.undefined(varies)}
    variables: dict[str, xr.DataArray] = {}
    for name, values in zip(("connectivity", "f_statistic", "p_value"), zip(*found, strict=True), strict=True):
        average = combined_p if name == "p_value" else mean
        variables |= people.variables(name, values, average=average, attrs=attrs)
    variables["order"] = xr.DataArray(lags, attrs={"units": "1"})
    return result(
        variables,
        analysis=_IN_TIME,
        recording=analysed,
        parameters={"order": order, "conditional": conditional, "device": device},
        seed=seed,
    )


def spectral_granger(
    recording: xr.DataArray,
    *,
    order: int | None = None,
    conditional: bool = False,
    n_frequencies: int = 64,
    device: str | None = None,
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
        A recording with a regular clock and without missing values; each subject is taken alone, and may lack whole
        units (NaN). The past is taken within segments and trials. Computed in float64.
    order
        Samples of past; chosen as in `granger` if left out.
    conditional
        Whether all other units are known too; default False. One algebraic Riccati equation of order x units unknowns
        per source: seconds for 20 units, minutes for 60.
    n_frequencies
        Evenly spaced, from 0 to half the sampling rate, both included; at least 2.
    device
        Where torch multiplies the blocks of the recording, and solves what the order is chosen by (`"cuda"`, `"cpu"`,
        ...), in float64; None (default): numpy, in which the spectra of the autoregressions are in any case.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, nats, 0 or more, NaN on the diagonal; `order`, a scalar. Constant
        units are NaN, and counted in the attr `undefined_units`. With a `subject` dim the mean over subjects, of one
        order; `by_subject` are those averaged, `subjects (source, target)` is how many had the pair.

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
    require_whole(_BY_FREQUENCY, order=order, n_frequencies=n_frequencies)
    rate = sampling_rate(recording, _BY_FREQUENCY)
    if n_frequencies < 2:
        raise AnalysisError(f"{_BY_FREQUENCY}: n_frequencies is {n_frequencies!r}; at least 2 are needed")
    people = _people(recording, order, conditional, device, _BY_FREQUENCY)
    analysed = pending(recording)
    frequency = np.linspace(0, 0.5, n_frequencies)
    kernel = _autoregression.conditional if conditional else _autoregression.by_pair

    def measure(gram: Any, count: int, lags: int) -> tuple[np.ndarray]:
        return (kernel(to_numpy(gram) / count, lags, frequency),)

    lags, found, varies = _of_each(people, order, conditional, device, measure, _BY_FREQUENCY)
    clock = str(recording["time"].attrs["units"])
    axes = {"frequency": ("frequency", frequency * rate, {"units": "Hz" if clock == "s" else f"1/{clock}"})}
    attrs = {"units": "1", "undefined_units": people.undefined(varies)}
    variables = people.variables("connectivity", [values for (values,) in found], average=mean, axes=axes, attrs=attrs)
    return result(
        {**variables, "order": xr.DataArray(lags, attrs={"units": "1"})},
        analysis=_BY_FREQUENCY,
        recording=analysed,
        parameters={"order": order, "conditional": conditional, "n_frequencies": n_frequencies, "device": device},
        seed=seed,
    )


def _people(
    recording: xr.DataArray, order: int | None, conditional: bool, device: str | None, analysis: str
) -> Subjects:
    """Give the subjects; an order that is too large even if one unit alone varies is refused before values are read."""
    units = 1 if conditional else recording.sizes["unit"]
    blocks = in_blocks(recording, device, None, analysis)
    return subjects_of(blocks, analysis, lambda parts: require_reach(parts, units, order, conditional, analysis))


def _of_each(
    people: Subjects,
    order: int | None,
    conditional: bool,
    device: str | None,
    measure: Callable[..., tuple[np.ndarray, ...]],
    analysis: str,
) -> tuple[int, list[tuple[np.ndarray, ...]], list[NDArray[np.bool_]]]:
    """Give the order, what `measure` finds of each subject (source, target, ...), and which of its units vary."""
    scores = [scaled(values.astype(np.float64)) for values in on_device(people.each, device, None)]
    z = [one.take(v) if isinstance(one, Rows) else one[:, v] for one, v in scores]
    varies = [v for _, v in scores]
    lags = order_of(z, people.parts, order, conditional, analysis)
    found = []
    for one, v in zip(z, varies, strict=True):
        parts = measure(*lagged_gram(one, people.parts, lags), lags)
        found.append(tuple(_on_all(values, v) for values in parts))
    return lags, found, varies


def _on_all(values: np.ndarray, varies: NDArray[np.bool_]) -> np.ndarray:
    """Give (source, target, ...) of all units from those of the units that vary; NaN elsewhere and on the diagonal."""
    out = np.full((len(varies),) * 2 + values.shape[2:], np.nan)
    out[np.ix_(varies, varies)] = values
    out[np.arange(len(out)), np.arange(len(out))] = np.nan
    return out


def _pairwise(gram: Any, count: int, lags: int) -> tuple[np.ndarray, ...]:
    return _tested(*pairs(gram, lags, _IN_TIME), count, lags)


def _conditionally(gram: Any, count: int, lags: int) -> tuple[np.ndarray, ...]:
    return _tested(*conditioned(gram, lags, _IN_TIME), count, lags)


def _tested(reduced: np.ndarray, full: np.ndarray, known: int, count: int, lags: int) -> tuple[np.ndarray, ...]:
    """Give the causality, its F statistic and p-value (source, target) from residuals without and with the source."""
    from scipy.stats import f

    freedom = count - known - 1
    statistic = (reduced - full) / lags / (full / freedom)
    return np.log(reduced / full), statistic, np.asarray(f.sf(statistic, lags, freedom))
