"""Every spectral measure of the pairs of units, from one pass over their spectra."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from neurointerp.analyses.connectivity._estimates import Estimate, spectral_variables
from neurointerp.analyses.connectivity._pairs import one_of
from neurointerp.analyses.connectivity._spectra import MEASURES
from neurointerp.errors import AnalysisError
from neurointerp.matrix import in_order
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.spectral"


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
    device: str | None = None,
    precision: str | None = None,
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
        A recording with a regular clock and without missing values. Its trials are the epochs; a continuous one is cut
        into windows, which never cross a segment. Each subject is taken alone, and may lack whole units (NaN).
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
    device
        Where torch transforms the epochs of a block of the recording and sums their products (`"cuda"`, `"cpu"`, ...);
        None (default): numpy and compiled loops.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; not of the phase sums, which are no products of matrices); `"bfloat16"`, the values themselves
        rounded to 8 bits (4e-3).
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
        values hold the edge. With a `subject` dim each measure is the average over subjects: of Fisher's z, turned
        back, for `coherence` and `imaginary_coherence`, which are correlations; the plain mean for the others.
        `<measure>_by_subject` holds those averaged, and `subjects (source, target)` is how many had the pair. Averaging
        does not take away what few epochs of each subject add by chance.

    Raises
    ------
    AnalysisError
        When values are missing, the clock is irregular or absent, an option is not known, no window fits, too few
        epochs or frequencies are left.

    Notes
    -----
    float32 recordings give float32 results, within 1e-5 of those in float64 (`pli` can differ by two epochs' share
    where an epoch's lag is 0 to rounding; `wpli2_debiased` of two epochs by 1e-3 and more where one has little lag).
    Of few epochs, all measures but `wpli2_debiased` are large by chance:
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
    parameters: Estimate = {
        "mode": mode,
        "fmin": fmin,
        "fmax": fmax,
        "bandwidth": bandwidth,
        "window": window,
        "step": step,
        "frequencies": None if frequencies is None else list(map(float, frequencies)),
        "cycles": cycles,
        "decimate": decimate,
        "device": device,
        "precision": precision,
    }
    names = [measures] if isinstance(measures, str) else list(dict.fromkeys(measures))
    if not names:
        raise AnalysisError(f"{_ANALYSIS}: no measures; one or more of {', '.join(MEASURES)} are needed")
    for name in names:
        one_of(name, MEASURES, _ANALYSIS, "a measure")
    recording = in_order(recording)
    analysed = pending(recording)
    variables = spectral_variables(recording, {name: name for name in names}, _ANALYSIS, parameters)
    return result(
        variables, analysis=_ANALYSIS, recording=analysed, parameters={"measures": names, **parameters}, seed=seed
    )
