"""Measures of the phase between two units, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from neurointerp.analyses.connectivity.spectral import single


def plv(
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
    r"""Measure how constant the phase between two units is over epochs (phase-locking value).

    .. math:: \left| \left\langle \frac{S_{xy}}{|S_{xy}|} \right\rangle \right|

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
    return single(
        recording,
        "plv",
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


def ciplv(
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
    r"""Measure the phase locking of two units that no instant mixing can make (corrected imaginary).

    .. math:: \frac{|\operatorname{Im} P|}{\sqrt{1 - (\operatorname{Re} P)^2}}, \quad
        P = \left\langle \frac{S_{xy}}{|S_{xy}|} \right\rangle

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
        dimensionless in [0, 1], symmetric, 0 on the diagonal.

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
    return single(
        recording,
        "ciplv",
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


def pli(
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
    r"""Measure how much more often one of two units leads than the other (phase-lag index).

    .. math:: \left| \left\langle \operatorname{sign} \operatorname{Im} S_{xy} \right\rangle \right|

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
        dimensionless in [0, 1], symmetric, 0 on the diagonal.

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
    return single(
        recording,
        "pli",
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


def wpli(
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
    r"""Measure as `pli` does, epochs weighted by how far from instant they are (weighted phase-lag index).

    .. math:: \frac{|\langle \operatorname{Im} S_{xy} \rangle|}{\langle |\operatorname{Im} S_{xy}| \rangle}

    With :math:`S` the cross-spectrum of an epoch and :math:`\langle \cdot \rangle` the mean over epochs. It is 0
    where no epoch has a lag.

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
        dimensionless in [0, 1], symmetric, 0 on the diagonal.

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
    return single(
        recording,
        "wpli",
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


def wpli2_debiased(
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
    r"""Estimate the square of `wpli` without the bias of few epochs.

    .. math:: \frac{(\sum \operatorname{Im} S_{xy})^2 - \sum (\operatorname{Im} S_{xy})^2}
        {(\sum |\operatorname{Im} S_{xy}|)^2 - \sum (\operatorname{Im} S_{xy})^2}

    With :math:`S` the cross-spectrum of an epoch and sums over epochs. Around 0, also below, where there is no lag.

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
        dimensionless in [-1, 1], symmetric, 0 on the diagonal.

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
    return single(
        recording,
        "wpli2_debiased",
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
