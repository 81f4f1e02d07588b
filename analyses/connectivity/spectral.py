"""Every spectral measure of the pairs of units, from one pass over their spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._pairs import SIDES, complete, one_of, pair_coords, sampling_rate
from neurointerp.analyses.connectivity._spectra import (
    MEASURES,
    SUMS,
    Tapers,
    Wavelets,
    cross_spectra,
    measured,
    morlet,
    tapers,
)
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.spectral"
MODES = ("multitaper", "fourier", "morlet")
SHORTEST, LONGEST, WINDOWS = 16, 512, 8
"""Without `window`: the longest power of two between the first two of which so many windows fit."""


def spectral(
    recording: xr.DataArray,
    *,
    measures: Sequence[str] = MEASURES,
    mode: str = "multitaper",
    fmin: float | None = None,
    fmax: float | None = None,
    bandwidth: float | None = None,
    window: int | None = None,
    step: int | None = None,
    frequencies: Sequence[float] | None = None,
    cycles: float = 7.0,
    decimate: int = 1,
    seed: int = 0,
) -> xr.Dataset:
    r"""Measure how the spectra of every pair of units go together, epoch by epoch.

    With :math:`S_e(f) = \sum_k w_k X_{ke}(f) \overline{Y_{ke}(f)}` the cross-spectrum of epoch :math:`e` over tapers
    :math:`k` with weights :math:`w_k`, and :math:`\langle \cdot \rangle` the mean over epochs:

    .. math::
        C = \frac{\langle S \rangle}{\sqrt{\langle S_{xx} \rangle \langle S_{yy} \rangle}}, \quad
        \mathrm{coherence} = |C|, \quad \mathrm{imaginary\_coherence} = \operatorname{Im} C, \quad
        \mathrm{psi} = \operatorname{Im} \sum_f \overline{C(f)}\, C(f + \delta f)

    .. math::
        P = \left\langle \frac{S}{|S|} \right\rangle, \quad \mathrm{plv} = |P|, \quad
        \mathrm{ciplv} = \frac{|\operatorname{Im} P|}{\sqrt{1 - (\operatorname{Re} P)^2}}, \quad
        \mathrm{pli} = |\langle \operatorname{sign} \operatorname{Im} S \rangle|

    .. math::
        \mathrm{wpli} = \frac{|\langle \operatorname{Im} S \rangle|}{\langle |\operatorname{Im} S| \rangle}, \quad
        \mathrm{wpli2\_debiased} = \frac{(\sum \operatorname{Im} S)^2 - \sum (\operatorname{Im} S)^2}
        {(\sum |\operatorname{Im} S|)^2 - \sum (\operatorname{Im} S)^2}

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values. Its trials (of all subjects) are the epochs; a
        continuous one is cut into windows, which never cross a segment.
    measures
        Any of `coherence`, `imaginary_coherence`, `plv`, `ciplv`, `pli`, `wpli`, `wpli2_debiased`, `psi`; all by
        default. The spectra are computed once for all.
    mode
        `multitaper` (default): Slepian tapers; `fourier`: one Hann window; `morlet`: wavelets, which follow the
        measures through the time of an epoch.
    fmin, fmax
        Lowest and highest frequency (Hz, or per unit of the clock), both included; by default all above 0, up to
        half the sampling rate. The phase slope index is taken over this band.
    bandwidth
        Full bandwidth of the tapers, in the units of the frequency; by default 8 cycles per window. Tapers with a
        tenth or more of their energy outside it are left out.
    window, step
        Samples of a window and from one start to the next (default: `window`, no overlap). By default whole trials
        where there are trials without segments; else the longest power of two from 16 to 512 samples of which eight
        windows fit, and 16 where none does.
    frequencies, cycles, decimate
        Of `morlet` alone: the frequencies of the wavelets, ascending, in place of `fmin` and `fmax` (required); their
        cycles, default 7; and the step in samples from one time that is kept to the next, default 1. The result holds a
        matrix per frequency and time.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        One variable per measure, `<measure> (source, target, frequency)`, `psi (source, target)`; dimensionless. On
        the diagonal `coherence` and `plv` are 1, the others 0. `imaginary_coherence` and `psi` are antisymmetric and
        positive where the source leads. A unit that is constant in every epoch is NaN; the attr `undefined_units`
        counts such units. The attrs `epochs` and `tapers` count those used. With `morlet` there is one more dim,
        `time`: that of whole trials, or from the start of a window; near its ends, within five deviations of a wavelet,
        values hold the edge.

    Raises
    ------
    AnalysisError
        When values are missing, the clock is irregular or absent, an option is not known, no window fits, too few
        epochs or frequencies are left.

    Notes
    -----
    float32 recordings give float32 results, within 1e-5 of those in float64 (`pli` can differ by two epochs' share
    where an epoch's lag is 0 to rounding). Of few epochs, all measures but `wpli2_debiased` are large by chance:
    compare with surrogates. Deviations from mne-connectivity, whose values these are: an epoch with no power
    adds nothing to `plv` and `ciplv` instead of making them NaN, both ends of the band count for `psi`, no
    five-cycle limit is put on `fmin`, and epochs are centred before wavelets too, so that an offset makes no edge.
    Tapers are not weighted adaptively.

    References
    ----------
    Nolte et al. (2004), Clin Neurophysiol 115:2292-2307 (imaginary part); Lachaux et al. (1999), Hum Brain Mapp
    8:194-208 (plv); Bruna et al. (2018), J Neural Eng 15:056011, eq. 12 (ciplv); Stam et al. (2007), Hum Brain Mapp
    28:1178-1193 (pli); Vinck et al. (2011), NeuroImage 55:1548-1565, eq. 8 and 29 (wpli and debiased); Nolte et
    al. (2008), Phys Rev Lett 100:234101, eq. 3 (psi, not divided by its standard deviation).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal(4002)
    >>> rec = ni.recording(np.stack([x[2:], x[:-2]], axis=1), modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.spectral(rec, measures=("coherence", "psi"), fmin=5, fmax=20)
    >>> bool(out.coherence[0, 1].min() > 0.9), bool(out.psi[0, 1] > 0)  # the first unit leads
    (True, True)
    """
    parameters: dict[str, Any] = {
        "mode": mode,
        "fmin": fmin,
        "fmax": fmax,
        "bandwidth": bandwidth,
        "window": window,
        "step": step,
        "frequencies": None if frequencies is None else list(map(float, frequencies)),
        "cycles": cycles,
        "decimate": decimate,
    }
    names = [measures] if isinstance(measures, str) else list(dict.fromkeys(measures))
    for name in names:
        one_of(name, MEASURES, _ANALYSIS, "a measure")
    analysed = pending(recording)
    variables = spectral_variables(recording, names, _ANALYSIS, **parameters)
    return result(
        variables, analysis=_ANALYSIS, recording=analysed, parameters={"measures": names, **parameters}, seed=seed
    )


def single(recording: xr.DataArray, measure: str, seed: int, **parameters: Any) -> xr.Dataset:
    """Give the result of one measure as `connectivity`."""
    analysis = f"connectivity.{measure}"
    if parameters["frequencies"] is not None:
        parameters["frequencies"] = list(map(float, parameters["frequencies"]))
    analysed = pending(recording)
    variables = spectral_variables(recording, [measure], analysis, **parameters)
    return result(
        {"connectivity": variables[measure]}, analysis=analysis, recording=analysed, parameters=parameters, seed=seed
    )


def spectral_variables(
    recording: xr.DataArray,
    measures: Sequence[str],
    analysis: str,
    *,
    mode: str,
    fmin: float | None,
    fmax: float | None,
    bandwidth: float | None,
    window: int | None,
    step: int | None,
    frequencies: Sequence[float] | None,
    cycles: float,
    decimate: int,
) -> dict[str, xr.DataArray]:
    """Give each measure as a labelled array."""
    one_of(mode, MODES, analysis, "mode")
    stacked = complete(recording, analysis)
    rate = sampling_rate(recording, analysis)
    starts, length = _epochs(recording, window, step, analysis)
    way: Tapers | Wavelets
    if mode == "morlet":
        given = _frequencies(frequencies, fmin, fmax, bandwidth, rate, 2 if "psi" in measures else 1, analysis)
        if not cycles > 0 or decimate < 1:
            raise AnalysisError(
                f"{analysis}: cycles {cycles!r} and decimate {decimate!r}: above 0 and at least 1 are needed"
            )
        way, frequency = morlet(given, cycles, length, rate, int(decimate)), np.asarray(given)
    else:
        if frequencies is not None:
            raise AnalysisError(f"{analysis}: frequencies are those of wavelets; with mode={mode!r} pass fmin and fmax")
        weights = tapers(length, mode, None if bandwidth is None else bandwidth * length / (2 * rate))
        bins = _bins(length, rate, fmin, fmax, 2 if "psi" in measures else 1, analysis)
        way, frequency = Tapers(weights, bins), np.fft.rfftfreq(length, 1 / rate)[bins]
    _require_epochs(len(starts), way.shape[1], measures, analysis)
    cross = cross_spectra(stacked.values, starts, length, way, measures)
    clock = str(recording["time"].attrs["units"])
    axes: dict[str, Any] = {"frequency": ("frequency", frequency, {"units": "Hz" if clock == "s" else f"1/{clock}"})}
    if mode == "morlet":
        whole = length == recording.sizes["time"]
        axes["time"] = (
            "time",
            (recording["time"].values if whole else np.arange(length) / rate)[:: int(decimate)],
            {"units": clock},
        )
    undefined = int((~cross.varies).sum())
    attrs = {"units": "1", "undefined_units": undefined, "epochs": cross.epochs, "tapers": way.shape[1]}
    coords = pair_coords(stacked.unit_coords)
    return {
        name: _labelled(measured(cross, name).astype(stacked.values.dtype, copy=False), name, coords, axes, attrs)
        for name in measures
    }


def _labelled(
    values: np.ndarray, name: str, coords: dict[str, Any], axes: dict[str, Any], attrs: dict[str, Any]
) -> xr.DataArray:
    """Label values (frequency and time, unit, unit), or (time, unit, unit) of the phase slope index."""
    kept = {dim: axis for dim, axis in axes.items() if not (dim == "frequency" and name == "psi")}
    shaped = values.reshape(*(len(axis[1]) for axis in kept.values()), *values.shape[1:])
    last = np.moveaxis(shaped, (-2, -1), (0, 1))
    return xr.DataArray(last, dims=(*SIDES, *kept), coords={**coords, **kept}, attrs=attrs)


def _frequencies(
    frequencies: Sequence[float] | None,
    fmin: float | None,
    fmax: float | None,
    bandwidth: float | None,
    rate: float,
    least: int,
    analysis: str,
) -> list[float]:
    """Give the frequencies of wavelets, refusing what does not belong to them."""
    if frequencies is None or (fmin, fmax, bandwidth) != (None, None, None):
        raise AnalysisError(
            f"{analysis}: mode 'morlet' takes frequencies=[...] and cycles, not fmin {fmin!r}, fmax {fmax!r} and "
            f"bandwidth {bandwidth!r}"
        )
    given = [float(frequency) for frequency in frequencies]
    steps = np.diff(given)
    if len(given) < least or min(given) <= 0 or max(given) > rate / 2 or (steps <= 0).any():
        raise AnalysisError(
            f"{analysis}: frequencies are {given}; {least} or more, ascending, above 0 and up to half the sampling "
            f"rate ({rate / 2:g}) are needed"
        )
    return given


def _epochs(recording: xr.DataArray, window: int | None, step: int | None, analysis: str) -> tuple[list[int], int]:
    """Give the first sample of each epoch on the stacked sample axis, and the samples of one."""
    parts = stretches(recording)
    sizes = {part.stop - part.start for part in parts}
    whole = len(recording.dims) > 2 and len(sizes) == 1 and "segment" not in recording.coords
    length = (max(sizes) if whole else _longest(parts)) if window is None else int(window)
    stride = length if step is None else int(step)
    if length < 4 or stride < 1:
        raise AnalysisError(f"{analysis}: a window of {length} samples every {stride}; at least 4 every 1 are needed")
    starts = [s for part in parts for s in range(part.start, part.stop - length + 1, stride)]
    if not starts:
        raise AnalysisError(
            f"{analysis}: no segment holds a window of {length} samples, the longest has {max(sizes, default=0)}; "
            "pass a shorter window"
        )
    return starts, length


def _longest(parts: Sequence[slice]) -> int:
    length = LONGEST
    while length > SHORTEST and sum((part.stop - part.start) // length for part in parts) < WINDOWS:
        length //= 2
    return length


def _require_epochs(epochs: int, n_tapers: int, measures: Sequence[str], analysis: str) -> None:
    found = epochs if set(measures) & set(SUMS) else epochs * n_tapers
    if found < 2:
        raise AnalysisError(
            f"{analysis}: {epochs} epoch with {n_tapers} tapers; any two units agree in one epoch, at least 2 epochs "
            "are needed: pass a shorter window, or for coherence several tapers"
        )


def _bins(length: int, rate: float, fmin: float | None, fmax: float | None, least: int, analysis: str) -> slice:
    frequency = np.fft.rfftfreq(length, 1 / rate)
    low = frequency > 0 if fmin is None else frequency >= fmin
    keep = np.flatnonzero(low if fmax is None else low & (frequency <= fmax))
    if len(keep) < least:
        raise AnalysisError(
            f"{analysis}: {len(keep)} frequencies from fmin={fmin} to fmax={fmax}, {least} needed; windows of {length} "
            f"samples have one every {frequency[1]:.4g} up to {frequency[-1]:.4g}"
        )
    return slice(int(keep[0]), int(keep[-1]) + 1)
