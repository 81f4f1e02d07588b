"""Measures of the coherency and of the phase of two units, each by itself; all are computed by `spectral`.

Of several subjects `connectivity` is the average, `by_subject (subject, ...)` what was averaged, and `subjects (source,
target)` how many had the pair.
"""

from __future__ import annotations

from typing import Unpack

import xarray as xr

from neurointerp.analyses.connectivity._estimates import Estimate, single


def coherence(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Measure how constant the relation of amplitude and phase of two units is, per frequency.

    .. math:: \frac{|\langle S_{xy} \rangle|}{\sqrt{\langle S_{xx} \rangle \langle S_{yy} \rangle}}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`: in [0, 1], symmetric, 1 on the
        diagonal.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Carter (1987), Coherence and time delay estimation, Proc IEEE 75:236-255. Not squared, as in mne-connectivity.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.coherence(rec, fmin=8, fmax=15).connectivity.mean("frequency")
    >>> bool(out[0, 1] > 0.9), bool(out[0, 2] < 0.3)
    (True, True)
    """
    return single(recording, "coherence", seed, options)


def imaginary_coherence(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Measure the part of the coherency of two units that no instant mixing can make.

    .. math:: \frac{\operatorname{Im} \langle S_{xy} \rangle}{\sqrt{\langle S_{xx} \rangle \langle S_{yy} \rangle}}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs. A source
    seen by both units at once has none of it.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`: in [-1, 1], antisymmetric, 0 on the
        diagonal. Positive where the source leads by less than half a cycle.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Nolte et al. (2004), Identifying true brain interaction from EEG data using the imaginary part of coherency, Clin
    Neurophysiol 115:2292-2307.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.imaginary_coherence(rec, fmin=8, fmax=15).connectivity.mean("frequency")
    >>> bool(out[0, 1] > 0.8), bool(out[1, 0] < -0.8)
    (True, True)
    """
    return single(recording, "imaginary_coherence", seed, options)


def psi(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Measure which of two units leads, by the slope of the phase of their coherency over a band.

    .. math:: \operatorname{Im} \sum_{f} \overline{C(f)}\, C(f + \delta f), \quad
        C = \frac{\langle S_{xy} \rangle}{\sqrt{\langle S_{xx} \rangle \langle S_{yy} \rangle}}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs; the sum
    is over the frequencies from `fmin` to `fmax`.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, dimensionless, antisymmetric, 0 on the diagonal. Positive where
        the source leads.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Nolte et al. (2008), Robustly estimating the flow direction of information in complex physical systems, Phys Rev
    Lett 100:234101, eq. 3. Deviation: not divided by its standard deviation.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.psi(rec, fmin=8, fmax=15).connectivity
    >>> bool(out[0, 1] > 0), bool(out[1, 0] < 0)
    (True, True)
    """
    return single(recording, "psi", seed, options)


def plv(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Measure how constant the phase between two units is over epochs (phase-locking value).

    .. math:: \left| \left\langle \frac{S_{xy}}{|S_{xy}|} \right\rangle \right|

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`: in [0, 1], symmetric, 1 on the
        diagonal.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Lachaux et al. (1999), Measuring phase synchrony in brain signals, Hum Brain Mapp 8:194-208. Deviation: phases are
    of tapered spectra of epochs, not of a filtered signal.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.plv(rec, fmin=8, fmax=15).connectivity.mean("frequency")
    >>> bool(out[0, 1] > 0.9), bool(out[0, 2] < 0.5)
    (True, True)
    """
    return single(recording, "plv", seed, options)


def ciplv(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Measure the phase locking of two units that no instant mixing can make (corrected imaginary).

    .. math:: \frac{|\operatorname{Im} P|}{\sqrt{1 - (\operatorname{Re} P)^2}}, \quad
        P = \left\langle \frac{S_{xy}}{|S_{xy}|} \right\rangle

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`: in [0, 1], symmetric, 0 on the
        diagonal.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Bruna, Maestu and Pereda (2018), Phase locking value revisited, J Neural Eng 15:056011, eq. 12.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.ciplv(rec, fmin=8, fmax=15).connectivity.mean("frequency")
    >>> bool(out[0, 1] > 0.9), bool(out[0, 2] < 0.5)
    (True, True)
    """
    return single(recording, "ciplv", seed, options)


def pli(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Measure how much more often one of two units leads than the other (phase-lag index).

    .. math:: \left| \left\langle \operatorname{sign} \operatorname{Im} S_{xy} \right\rangle \right|

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`: in [0, 1], symmetric, 0 on the
        diagonal.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Stam, Nolte and Daffertshofer (2007), Phase lag index, Hum Brain Mapp 28:1178-1193.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.pli(rec, fmin=8, fmax=15).connectivity.mean("frequency")
    >>> bool(out[0, 1] > 0.9), bool(out[0, 2] < 0.7)
    (True, True)
    """
    return single(recording, "pli", seed, options)


def wpli(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Measure as `pli` does, epochs weighted by how far from instant they are (weighted phase-lag index).

    .. math:: \frac{|\langle \operatorname{Im} S_{xy} \rangle|}{\langle |\operatorname{Im} S_{xy}| \rangle}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs. It is 0
    where no epoch has a lag.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`: in [0, 1], symmetric, 0 on the
        diagonal.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Vinck et al. (2011), An improved index of phase-synchronization, NeuroImage 55:1548-1565, eq. 8.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.wpli(rec, fmin=8, fmax=15).connectivity.mean("frequency")
    >>> bool(out[0, 1] > 0.9), bool(out[0, 2] < 0.7)
    (True, True)
    """
    return single(recording, "wpli", seed, options)


def wpli2_debiased(recording: xr.DataArray, *, seed: int = 0, **options: Unpack[Estimate]) -> xr.Dataset:
    r"""Estimate the square of `wpli` without the bias of few epochs.

    .. math:: \frac{(\sum \operatorname{Im} S_{xy})^2 - \sum (\operatorname{Im} S_{xy})^2}
        {(\sum |\operatorname{Im} S_{xy}|)^2 - \sum (\operatorname{Im} S_{xy})^2}

    With :math:`S` the cross-spectrum of an epoch and sums over epochs. Around 0, also below, where there is no lag.

    Parameters
    ----------
    recording
        With a regular clock and without missing values; trials or windows are its epochs, each subject is taken alone.
    seed
        Kept in the result; nothing here is random.
    **options
        `mode`, `fmin`, `fmax`, `bandwidth`, `window`, `step`, `frequencies`, `cycles`, `decimate`, `device`,
        `precision`: as in `spectral`.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`: in [-1, 1], symmetric, 0 on the
        diagonal.

    Raises
    ------
    AnalysisError
        As `spectral`, which computes several measures from one pass.

    References
    ----------
    Vinck et al. (2011), An improved index of phase-synchronization, NeuroImage 55:1548-1565, eq. 29.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((4002, 2))
    >>> values = np.stack([x[2:, 0], x[:-2, 0], x[2:, 1]], axis=1)  # the second follows the first by 20 ms
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.wpli2_debiased(rec, fmin=8, fmax=15).connectivity.mean("frequency")
    >>> bool(out[0, 1] > 0.9), bool(out[0, 2] < 0.3)
    (True, True)
    """
    return single(recording, "wpli2_debiased", seed, options)
