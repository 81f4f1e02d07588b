"""Any measure of connectivity beside what it gives on surrogates: p-values, corrected over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import surrogate as surrogates
from neurointerp.analyses.connectivity._pairs import one_of, require_whole
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES
from neurointerp.result import result
from neurointerp.statistics import fdr

_ANALYSIS = "connectivity.null"
SIGNED = (
    "correlation",
    "covariance",
    "partial_correlation",
    "lagged",
    "imaginary_coherence",
    "psi",
    "effective",
    "dynamic",
)
"""Measures that lie on both sides of 0 where there is nothing."""
MEASURES = (
    *SIGNED,
    "mutual_information",
    "granger",
    "spectral_granger",
    "transfer_entropy",
    "spectral",
    "coherence",
    "plv",
    "ciplv",
    "pli",
    "wpli",
    "wpli2_debiased",
    "affinity",
    "states",
    "communities",
    "dynamic_connectome",
)
SURROGATES = ("circular_shift", "phase_randomize", "iaaft", "shuffle_trials")
TAILS = ("greater", "less", "two-sided")


def null(
    recording: xr.DataArray,
    measure: str = "correlation",
    *,
    surrogate: str = "circular_shift",
    draws: int = 200,
    variable: str = "connectivity",
    tail: str | None = None,
    options: Mapping[str, Any] | None = None,
    surrogate_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Compare a measure with what it gives on surrogates of the recording, in which no unit knows of another.

    .. math:: p_{ij} = \frac{1 + \#\{b : \max_{kl} T^{(b)}_{kl} \ge T_{ij}\}}{1 + B}

    over :math:`B` draws, the largest value taken over all pairs (and frequencies, lags or windows): the chance of one
    false pair or more is at most the level tested at.

    Parameters
    ----------
    recording
        What the measure takes.
        All values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    measure
        Name of a function of `neurointerp.analyses.connectivity` that takes a recording; default `correlation`.
    surrogate
        A function of `neurointerp.surrogate`: `circular_shift` (default) keeps each unit's values and dynamics,
        `phase_randomize` its spectrum, `iaaft` both, `shuffle_trials` its trials: for epoched recordings whose units
        share what is locked to the trial.
    draws
        How many; p is at least 1 / (1 + draws), so that a rate of false discoveries over many pairs needs many.
    variable
        Which variable of the measure's result, `connectivity` by default; `peak` of `lagged`, `wpli` of `spectral`,
        `affinity` of `affinity`, or a number: `explained` of `states`, `modularity` of `communities`, ...
    tail
        Which values speak against the null: `greater`, `less` or `two-sided`; by default `two-sided` where the
        measure has a sign.
    options
        Further arguments of the measure.
    surrogate_options
        Further arguments of the surrogate. `{"independent": False}` of `phase_randomize` keeps what units share and
        loses its changes: the null for `dynamic` and `states`.
    seed
        Seed of the surrogates; the measure gets it too.

    Returns
    -------
    xarray.Dataset
        `connectivity`, the variable as observed; `p_value`, by the maximum statistic; `p_uncorrected`, each
        pair among its own draws; `q_value`, the latter adjusted for the rate of false discoveries (Benjamini and
        Hochberg); `null_mean`, `null_std` and `z_score` over draws; `null_max (draw)`, the largest of each draw (its
        size, where two-sided). The diagonal takes no part and is NaN, as is what is undefined in the recording. What
        the measure says beside (`by_subject`, `samples`, ...) is not kept.

    Raises
    ------
    AnalysisError
        When a name is not known, `draws` is under 1, the measure or the surrogate refuses the recording, or a draw is
        undefined where the recording is not.

    Notes
    -----
    The maximum treats all pairs on one scale: of a covariance, the units with the largest variance decide. Whatever the
    measure chooses from the data (an order, a penalty) it chooses anew in each draw.

    References
    ----------
    Nichols and Holmes (2002), Nonparametric permutation tests for functional neuroimaging, Hum Brain Mapp 15:1-25;
    Phipson and Smyth (2010), Stat Appl Genet Mol Biol 9:39; Benjamini and Hochberg (1995), J R Stat Soc B 57:289-300;
    Theiler et al. (1992), Physica D 58:77-94 (surrogates).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(1).standard_normal((200, 2)).cumsum(axis=0)  # random walks correlate by chance
    >>> rec = ni.recording(x, modality="eeg", units="V", sampling_rate=1.0)
    >>> out = connectivity.null(rec, draws=39)
    >>> bool(abs(out.connectivity[0, 1]) > 0.6), bool(out.p_value[0, 1] > 0.05)
    (True, True)
    """
    from neurointerp.analyses import connectivity

    one_of(measure, MEASURES, _ANALYSIS, "measure")
    one_of(surrogate, SURROGATES, _ANALYSIS, "surrogate")
    side = tail or ("two-sided" if measure in SIGNED else "greater")
    one_of(side, TAILS, _ANALYSIS, "tail")
    require_whole(_ANALYSIS, draws=draws)
    if draws < 1:
        raise AnalysisError(f"{_ANALYSIS}: draws is {draws!r}; at least 1 is needed")
    function: Callable[..., xr.Dataset] = getattr(connectivity, measure)
    given, drawn = dict(options or {}), dict(surrogate_options or {})

    def measured(rec: xr.DataArray) -> xr.DataArray:
        found = function(rec, seed=seed, **given)
        one_of(variable, tuple(map(str, found.data_vars)), _ANALYSIS, "variable")
        return _off_diagonal(found[variable])

    observed = measured(recording)
    tally = _Tally(observed.values, side)
    draw: Callable[..., xr.DataArray] = getattr(surrogates, surrogate)
    for child in np.random.SeedSequence(seed).generate_state(draws, np.uint32):
        tally.add(measured(draw(recording, seed=int(child), **drawn)).values)
    found = {name: observed.copy(data=values) for name, values in tally.variables().items()}
    for name in ("p_value", "p_uncorrected", "q_value", "z_score"):
        found[name].attrs = {"units": "1"}
    found["null_max"] = xr.DataArray(np.array(tally.largest), dims=("draw",), attrs=_units_of(observed))
    parameters = {
        "measure": measure,
        "surrogate": surrogate,
        "draws": draws,
        "variable": variable,
        "tail": side,
        "options": given,
        "surrogate_options": drawn,
    }
    return result(
        {"connectivity": observed, **found}, analysis=_ANALYSIS, recording=recording, parameters=parameters, seed=seed
    )


def _off_diagonal(values: xr.DataArray) -> xr.DataArray:
    """Give values as float64, NaN on the diagonal of pairs (source, target)."""
    if values.dtype.kind != "f":
        raise AnalysisError(
            f"{_ANALYSIS}: {values.name!r} holds {values.dtype}, labels or counts; pass another variable"
        )
    out = np.array(values.values, dtype=np.float64)
    if set(SIDES) <= set(values.dims):
        pairs = np.moveaxis(out, [values.dims.index(side) for side in SIDES], (0, 1))
        pairs[np.arange(len(pairs)), np.arange(len(pairs))] = np.nan
    return values.copy(data=out)


def _units_of(values: xr.DataArray) -> dict[str, Any]:
    return {"units": values.attrs["units"]} if "units" in values.attrs else {}


@dataclass
class _Tally:
    """Counts and moments of the draws, one draw in memory at a time."""

    observed: np.ndarray
    tail: str
    largest: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.there = ~np.isnan(self.observed)
        if not self.there.any():
            raise AnalysisError(f"{_ANALYSIS}: the measure is undefined for every pair, so there is nothing to test")
        self.slack = 100 * np.finfo(np.float64).eps * np.abs(self.observed)  # rounding makes a tie
        self.more, self.less = np.zeros(self.observed.shape), np.zeros(self.observed.shape)
        self.mean, self.square = np.zeros(self.observed.shape), np.zeros(self.observed.shape)

    def add(self, values: np.ndarray) -> None:
        if values.shape != self.observed.shape:
            raise AnalysisError(
                f"{_ANALYSIS}: a surrogate gives {values.shape} values where the recording gives "
                f"{self.observed.shape}; pass a variable of fixed size"
            )
        missing = int((np.isnan(values) & self.there).sum())
        if missing:
            raise AnalysisError(
                f"{_ANALYSIS}: a surrogate is undefined for {missing} pairs for which the recording is not (a unit "
                "that is constant within a shift); drop such units"
            )
        self.more += values >= self.observed - self.slack
        self.less += values <= self.observed + self.slack
        self.largest.append(float(self._towards(values)[self.there].max()))
        step = values - self.mean
        self.mean += step / len(self.largest)
        self.square += step * (values - self.mean)

    def variables(self) -> dict[str, np.ndarray]:
        count = len(self.largest)
        more, less = (self.more + 1) / (count + 1), (self.less + 1) / (count + 1)
        own = {"greater": more, "less": less, "two-sided": np.minimum(1.0, 2 * np.minimum(more, less))}[self.tail]
        below = np.searchsorted(np.sort(self.largest), self._towards(self.observed) - self.slack, side="left")
        own = np.where(self.there, own, np.nan)
        deviation = np.sqrt(self.square / max(count - 1, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(deviation > 0, (self.observed - self.mean) / deviation, np.nan)
        return {
            "p_value": np.where(self.there, (1 + count - below) / (count + 1), np.nan),
            "p_uncorrected": own,
            "q_value": fdr(own),
            "null_mean": self.mean,
            "null_std": deviation,
            "z_score": z,
        }

    def _towards(self, values: np.ndarray) -> np.ndarray:
        return np.abs(values) if self.tail == "two-sided" else (-values if self.tail == "less" else values)
