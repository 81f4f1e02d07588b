"""Two-photon calcium traces of planted, overlapping ensembles."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import RecordingError
from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._simulated import names, on_clock, on_units, simulated

_CITATION = "Vogelstein et al. (2010) J Neurophysiol 104:3691-3704; Chen et al. (2013) Nature 499:295-300"
_EVENT_RATE, _EVENT_DURATION = 0.1, 1.0  # Hz and s of an ensemble's activations
_EVENT_SHAPE = 4.0  # of the gamma distribution of their amplitudes


def calcium_ensembles(
    *,
    n_units: int = 60,
    n_samples: int = 1000,
    sampling_rate: float = 10.0,
    n_ensembles: int = 6,
    ensemble_size: int = 12,
    overlap: float = 0.25,
    signed: bool = False,
    gain: float = 8.0,
    baseline: float | None = None,
    decay: float = 0.7,
    amplitude: float = 0.2,
    noise: float = 0.1,
    seed: int = 0,
) -> xr.DataTree:
    r"""Simulate dF/F of cells whose firing rates are driven by ensembles.

    Rates are :math:`r = \max(0, b + C F)` with ensembles F and activations C in Hz (about six a minute, each
    lasting 1 s, with gamma-distributed amplitudes of mean ``gain``); spike counts of a frame are
    Poisson(r / sampling_rate); calcium follows :math:`c_t = \gamma c_{t-1} + s_t` with
    :math:`\gamma = e^{-1/(\text{decay} \cdot \text{sampling rate})}`; dF/F is ``amplitude`` times calcium
    above its level at the baseline rate, plus Gaussian noise.

    Parameters
    ----------
    n_units, n_samples
        Cells and frames.
    sampling_rate
        Frames per second.
    n_ensembles, ensemble_size
        Number of ensembles and cells in each.
    overlap
        Fraction of an ensemble's cells borrowed from other ensembles, in [0, 1); needs two ensembles.
    signed
        Whether each ensemble also suppresses: half of its cells get negative weights.
    gain
        Mean rate in Hz that an activation adds to a member of weight 1.
    baseline
        Rate in Hz of a cell at rest. None: 0.5, or 5 with ``signed``, where suppression needs room.
    decay
        Time constant of the indicator in s.
    amplitude
        dF/F of one spike.
    noise
        Standard deviation of the noise in dF/F.
    seed
        Seed of ensembles, activations, spikes and noise.

    Returns
    -------
    xr.DataTree
        ``recordings/calcium_ensembles`` (time, unit): dF/F, units ``"1"``. ``truth``:
        ``ensembles (component, unit)`` with weights of magnitude 0.5 to 1, ``coefficients (time, component)``
        in Hz, ``spikes (time, unit)`` in counts per frame.

    Raises
    ------
    RecordingError
        If a parameter is out of range, or the ensembles do not fit into the cells.

    References
    ----------
    Spikes to fluorescence: Vogelstein et al. (2010), Fast nonnegative deconvolution for spike train inference
    from population calcium imaging, J Neurophysiol 104:3691-3704. Decay and amplitude are
    of the order of GCaMP6s in Chen et al. (2013), Ultrasensitive fluorescent proteins for imaging neuronal
    activity, Nature 499:295-300. Deviations: no rise time, saturation, bleaching or neuropil.

    Examples
    --------
    >>> from neurointerp.synthetic import calcium_ensembles
    >>> tree = calcium_ensembles()
    >>> dict(tree["recordings/calcium_ensembles/recording"].sizes)
    {'time': 1000, 'unit': 60}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    _parameters.integer("n_units", n_units)
    _parameters.integer("n_samples", n_samples)
    for name in ("sampling_rate", "gain", "decay", "amplitude"):
        _parameters.number(name, parameters[name], above=0.0)
    resting = (5.0 if signed else 0.5) if baseline is None else baseline
    _parameters.number("baseline", resting, minimum=0.0)
    _parameters.number("noise", noise, minimum=0.0)

    ensembles = _ensembles(rng, n_units, n_ensembles, ensemble_size, overlap, signed)
    coefficients = gain * _activations(rng, n_samples, n_ensembles, sampling_rate)
    rate = np.maximum(resting + coefficients @ ensembles, 0.0)
    spikes = rng.poisson(rate / sampling_rate)
    clean = amplitude * _calcium(spikes, resting / sampling_rate, np.exp(-1 / (decay * sampling_rate)))

    rec = simulated(
        clean + noise * rng.standard_normal(clean.shape),
        function="calcium_ensembles",
        parameters=parameters,
        citation=_CITATION,
        modality="calcium",
        units="1",
        sampling_rate=sampling_rate,
        unit=names("cell", n_units),
        name="calcium_ensembles",
    )
    truth = {
        "ensembles": on_units(ensembles, rec, "component"),
        "coefficients": on_clock(coefficients, rec, "component").assign_attrs(units="Hz"),
        "spikes": on_clock(spikes, rec, "unit", rec["unit"].variable),
    }
    return session({"calcium_ensembles": rec}, truth=truth)


def _ensembles(
    rng: np.random.Generator, n_units: int, count: int, size: int, overlap: float, signed: bool
) -> NDArray[np.float64]:
    """Draw the weights (component, unit): own cells are disjoint, the rest is borrowed from others."""
    _parameters.integer("n_ensembles", count)
    _parameters.integer("ensemble_size", size)
    borrowed = round(size * _parameters.number("overlap", overlap, minimum=0.0, maximum=0.99))
    own = size - borrowed
    if count * own > n_units:
        raise RecordingError(
            f"n_ensembles x ensemble_size x (1 - overlap) must not exceed n_units; found {count} x {own} "
            f"cells of their own in {n_units}: raise n_units or overlap"
        )
    if borrowed > (count - 1) * own:
        raise RecordingError(
            f"overlap asks each ensemble for {borrowed} cells of others, which have {(count - 1) * own}; "
            f"found {overlap!r}: lower overlap or raise n_ensembles"
        )
    owner = np.full(n_units, -1)
    owner[rng.permutation(n_units)[: count * own]] = np.repeat(np.arange(count), own)
    weights = np.zeros((count, n_units))
    for number, ensemble in enumerate(weights):
        lent = rng.choice(np.flatnonzero((owner >= 0) & (owner != number)), borrowed, replace=False)
        members = rng.permutation(np.concatenate([np.flatnonzero(owner == number), lent]))
        ensemble[members] = rng.uniform(0.5, 1.0, size)
        if signed:
            ensemble[members[: size // 2]] *= -1
    return weights


def _activations(rng: np.random.Generator, n_samples: int, count: int, sampling_rate: float) -> NDArray[np.float64]:
    """Draw boxcar activations (time, component) of mean amplitude 1; overlapping ones add up."""
    length = max(1, round(_EVENT_DURATION * sampling_rate))
    shape = (n_samples + length - 1, count)
    onsets = (rng.random(shape) < _EVENT_RATE / sampling_rate) * rng.gamma(_EVENT_SHAPE, 1 / _EVENT_SHAPE, shape)
    # A view of windows, not a running sum, so that silence is exactly zero.
    return np.asarray(np.lib.stride_tricks.sliding_window_view(onsets, length, axis=0).sum(axis=-1))


def _calcium(spikes: NDArray[np.int64], resting: float, gamma: float) -> NDArray[np.float64]:
    """Filter counts (time, unit) from rest, relative to the level at ``resting`` spikes per frame."""
    from scipy.signal import lfilter

    start = np.zeros((1, spikes.shape[1]))
    filtered, _ = lfilter([1.0], [1.0, -gamma], spikes - resting, axis=0, zi=start)
    return np.asarray(filtered)
