"""Parcel BOLD of planted modules."""

from math import factorial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._signals import autoregressive
from neurointerp.synthetic._simulated import names, on_clock, on_units, simulated

_CITATION = "Friston et al. (1998) NeuroImage 7:30-40; Smith et al. (2011) NeuroImage 54:875-891"
_HRF_LENGTH = 32.0  # s


def bold_networks(
    *,
    n_units: int = 40,
    n_samples: int = 300,
    n_modules: int = 4,
    repetition_time: float = 2.0,
    autocorrelation: float = 0.5,
    private: float = 0.6,
    noise: float = 0.4,
    seed: int = 0,
) -> xr.DataTree:
    r"""Simulate BOLD of parcels that share the neural signal of their module.

    The neural signal of a parcel is its module's plus ``private`` times its own, both first-order
    autoregressive with unit variance, one value per volume; BOLD is the parcel's loading (0.7 to 1.3) times
    that signal convolved with the canonical double-gamma response

    .. math:: h(t) \propto \frac{t^5 e^{-t}}{5!} - \frac{1}{6} \frac{t^{15} e^{-t}}{15!},

    sampled once a volume and scaled to sum to one, plus white noise.

    Parameters
    ----------
    n_units, n_samples
        Parcels and volumes.
    n_modules
        Number of modules; parcels are dealt to them in order and as evenly as possible.
    repetition_time
        Time between volumes in s, at most 5.
    autocorrelation
        Correlation of successive values of the neural signals, in [0, 1).
    private
        Standard deviation of a parcel's own neural signal relative to its module's.
    noise
        Standard deviation of the noise, as a fraction of that of the parcel's noise-free BOLD.
    seed
        Seed of loadings, neural signals and noise.

    Returns
    -------
    xr.DataTree
        ``recordings/bold_networks`` (time, unit) in percent. ``truth``: ``module (unit)``,
        ``neural (time, component)`` with component the number of the module, ``loading (unit)`` in percent
        and ``hrf (lag)``, with lag in s. The response to neural activity before the first volume is included.

    Raises
    ------
    RecordingError
        If a parameter is out of range.

    References
    ----------
    Response: Friston et al. (1998), Event-related fMRI: characterizing differential responses, NeuroImage
    7:30-40, in the form used by SPM. Design of the simulation: Smith et al. (2011), Network modelling methods
    for FMRI, NeuroImage 54:875-891. Deviations: a linear response in place of the balloon model, no variation
    of its delay between parcels, no physiological noise, modules without coupling.

    Examples
    --------
    >>> from neurointerp.synthetic import bold_networks
    >>> tree = bold_networks()
    >>> dict(tree["recordings/bold_networks/recording"].sizes)
    {'time': 300, 'unit': 40}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    _parameters.integer("n_samples", n_samples, minimum=2)
    _parameters.integer("n_modules", n_modules, maximum=_parameters.integer("n_units", n_units))
    _parameters.number("repetition_time", repetition_time, above=0.0, maximum=5.0)
    _parameters.number("autocorrelation", autocorrelation, minimum=0.0, maximum=0.999)
    _parameters.number("private", private, minimum=0.0)
    _parameters.number("noise", noise, minimum=0.0)

    response = _double_gamma(np.arange(0.0, _HRF_LENGTH, repetition_time))
    before = len(response) - 1
    module = np.arange(n_units) * n_modules // n_units
    loading = rng.uniform(0.7, 1.3, n_units)
    neural = autoregressive(rng, before + n_samples, n_modules, autocorrelation)
    own = autoregressive(rng, before + n_samples, n_units, autocorrelation)
    windows = np.lib.stride_tricks.sliding_window_view(neural[:, module] + private * own, before + 1, axis=0)
    clean = loading * (windows * response[::-1]).sum(axis=-1)
    values = clean + noise * clean.std(axis=0) * rng.standard_normal(clean.shape)

    rec = simulated(
        values,
        function="bold_networks",
        parameters=parameters,
        citation=_CITATION,
        modality="fmri",
        units="percent",
        sampling_rate=1 / repetition_time,
        unit=names("parcel", n_units),
        name="bold_networks",
    )
    lag = ("lag", np.arange(len(response)) * repetition_time, {"units": "s"})
    truth = {
        "module": on_units(module, rec),
        "neural": on_clock(neural[before:], rec, "component"),
        "loading": on_units(loading, rec).assign_attrs(units="percent"),
        "hrf": xr.DataArray(response, dims=("lag",), coords={"lag": lag}),
    }
    return session({"bold_networks": rec}, truth=truth)


def _double_gamma(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the canonical response at ``time`` (s), scaled to sum to one; it peaks at 5 s."""
    peak = time**5 * np.exp(-time) / factorial(5)
    undershoot = time**15 * np.exp(-time) / factorial(15)
    response = peak - undershoot / 6
    return np.asarray(response / response.sum())
