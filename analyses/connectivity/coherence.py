"""Measures of the coherency of two units: its size, its imaginary part, its slope over frequency."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from neurointerp.analyses.connectivity.spectral import single


def coherence(
    recording: xr.DataArray,
    *,
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
    r"""Measure how constant the relation of amplitude and phase of two units is, per frequency.

    .. math:: \frac{|\langle S_{xy} \rangle|}{\sqrt{\langle S_{xx} \rangle \langle S_{yy} \rangle}}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values; trials or windows are its epochs.
    mode, fmin, fmax, bandwidth, window, step, frequencies, cycles, decimate
        How epochs are cut and their spectra are estimated, as in `spectral`.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`,
        dimensionless in [0, 1], symmetric, 1 on the diagonal.

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
    return single(
        recording,
        "coherence",
        seed,
        mode=mode,
        fmin=fmin,
        fmax=fmax,
        bandwidth=bandwidth,
        window=window,
        step=step,
        frequencies=frequencies,
        cycles=cycles,
        decimate=decimate,
    )


def imaginary_coherence(
    recording: xr.DataArray,
    *,
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
    r"""Measure the part of the coherency of two units that no instant mixing can make.

    .. math:: \frac{\operatorname{Im} \langle S_{xy} \rangle}{\sqrt{\langle S_{xx} \rangle \langle S_{yy} \rangle}}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs. A source
    seen by both units at once has none of it.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values; trials or windows are its epochs.
    mode, fmin, fmax, bandwidth, window, step, frequencies, cycles, decimate
        How epochs are cut and their spectra are estimated, as in `spectral`.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, frequency)`, with `morlet` also `time`,
        dimensionless in [-1, 1], antisymmetric, 0 on the diagonal. Positive
        where the source leads by less than half a cycle.

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
    return single(
        recording,
        "imaginary_coherence",
        seed,
        mode=mode,
        fmin=fmin,
        fmax=fmax,
        bandwidth=bandwidth,
        window=window,
        step=step,
        frequencies=frequencies,
        cycles=cycles,
        decimate=decimate,
    )


def psi(
    recording: xr.DataArray,
    *,
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
    r"""Measure which of two units leads, by the slope of the phase of their coherency over a band.

    .. math:: \operatorname{Im} \sum_{f} \overline{C(f)}\, C(f + \delta f), \quad
        C = \frac{\langle S_{xy} \rangle}{\sqrt{\langle S_{xx} \rangle \langle S_{yy} \rangle}}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs; the sum
    is over the frequencies from `fmin` to `fmax`.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values; trials or windows are its epochs.
    mode, fmin, fmax, bandwidth, window, step, frequencies, cycles, decimate
        How epochs are cut and their spectra are estimated, as in `spectral`.
    seed
        Kept in the result; nothing here is random.

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
    return single(
        recording,
        "psi",
        seed,
        mode=mode,
        fmin=fmin,
        fmax=fmax,
        bandwidth=bandwidth,
        window=window,
        step=step,
        frequencies=frequencies,
        cycles=cycles,
        decimate=decimate,
    )
