"""Surrogates: recordings that keep what a null hypothesis says and lose the rest, within segments.

| function | keeps | loses |
|---|---|---|
| `circular_shift` | each unit's values and dynamics | relations between units, and to the clock |
| `phase_randomize` | each unit's power spectrum, on request cross-spectra too | distributions, bursts, events |
| `iaaft` | each unit's values exactly, its power spectrum nearly | relations between units, nonlinear structure |
| `shuffle_trials` | each unit's trials as they are | what units share from trial to trial |
| `shuffle_labels` | the data, and how often each label stands | the relation of labels to data |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import split
from neurointerp._phases import iaaft_matrix, phase_randomized_matrix
from neurointerp.backend import like, namespace
from neurointerp.errors import AnalysisError
from neurointerp.matrix import require_complete, stack, stretches
from neurointerp.recordings import add_history
from neurointerp.schema import check

MINIMUM_SHIFT = 0.1
"""Smallest shift, either way round, as a fraction of a stretch."""


def circular_shift(recording: xr.DataArray, *, seed: int = 0) -> xr.DataArray:
    """Shift each unit in time by its own random offset, circularly within each stretch.

    A stretch is one segment of one trial of one subject. Its offsets are drawn independently for each unit,
    uniformly between a tenth and nine tenths of its length, or over all of it where it has fewer than ten
    samples. Each unit keeps its values, and its autocorrelation but for the one place where the ends meet;
    the relation between units is lost, and so is that to the clock and the events.

    Without a `time` dim there is nothing to shift along: the trials of each unit are permuted independently,
    within each subject.

    Parameters
    ----------
    recording
        Any recording; missing values travel with the unit they belong to.
    seed
        Seed of the offsets.

    Returns
    -------
    xarray.DataArray
        Same dims, labels, dtype and attrs, one step longer `history`.

    Raises
    ------
    AnalysisError
        When no stretch has two samples: nothing could be shifted.

    References
    ----------
    Harris (2020), Nonsense correlations in neuroscience, bioRxiv 2020.11.29.402719, which also says where a
    shift misleads: a series that drifts over a stretch is not the same process once its ends are joined.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.arange(10.0)[:, None], modality="eeg", units="V", sampling_rate=1.0)
    >>> ni.surrogate.circular_shift(rec).values.ravel()
    array([2., 3., 4., 5., 6., 7., 8., 9., 0., 1.])
    """
    values = stack(recording).values
    rng = np.random.default_rng(seed)
    if "time" in recording.dims:
        parts = stretches(recording)
        moved = circular_shift_matrix(values, parts, rng)
    else:
        size = len(values) // recording.sizes.get("subject", 1)
        parts = [slice(start, start + size) for start in range(0, len(values), max(size, 1))]
        moved = permuted_matrix(values, parts, rng)
    if all(part.stop - part.start < 2 for part in parts):
        raise AnalysisError(
            f"circular_shift: none of the {len(parts)} stretches has two samples, so nothing can be shifted"
        )
    out = recording.copy(data=moved.reshape(recording.shape).astype(recording.dtype, copy=False))
    return add_history(out, "surrogate.circular_shift", seed=seed, minimum_shift=MINIMUM_SHIFT)


def phase_randomize(recording: xr.DataArray, *, independent: bool = True, seed: int = 0) -> xr.DataArray:
    r"""Draw new Fourier phases for each unit, within each stretch.

    A stretch is one segment of one trial of one subject. Of its discrete Fourier transform
    :math:`|S_k| e^{i \phi_k}` the moduli stay and the phases become :math:`\phi_k + \theta_k`, with
    :math:`\theta_k` uniform on :math:`[0, 2\pi)`; the mean and, at even length, the Nyquist component stay. Each
    unit keeps its power spectrum and circular autocorrelation in every stretch, and becomes a Gaussian-like
    linear process: its distribution, bursts and events are lost (`iaaft` keeps the distribution).

    Parameters
    ----------
    recording
        With a `time` dim, a regular clock and no missing values. Ends that do not meet (a drift) leak power to
        high frequencies, as in any discrete Fourier transform.
    independent
        True draws phases for each unit alone (Theiler et al. 1992): relations between units are lost. False adds
        the same phases to all units of a stretch (Prichard and Theiler 1994): cross-spectra, and with them all
        linear correlations at all lags, are kept.
    seed
        Seed of the phases.

    Returns
    -------
    xarray.DataArray
        Same dims, labels, units and attrs, one step longer `history`; integers and booleans become float64.

    Raises
    ------
    AnalysisError
        When values are missing (with their count), there is no regular `time`, or no stretch has three samples.

    References
    ----------
    Theiler, Eubank, Longtin, Galdrikian, Farmer (1992), Testing for nonlinearity in time series: the method of
    surrogate data, Physica D 58:77-94. Prichard, Theiler (1994), Generating surrogate data for time series with
    several simultaneously measured variables, Physical Review Letters 73:951-954.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.load("demo-eeg")
    >>> power = [abs(np.fft.rfft(r.values, axis=-2)) for r in (rec, ni.surrogate.phase_randomize(rec))]
    >>> np.allclose(*power, rtol=1e-6)
    True
    """
    values, parts = _spectral(recording, "phase_randomize")
    moved = phase_randomized_matrix(values, parts, np.random.default_rng(seed), independent=independent)
    out = recording.copy(data=moved.reshape(recording.shape))
    return add_history(out, "surrogate.phase_randomize", independent=independent, seed=seed)


def iaaft(recording: xr.DataArray, *, iterations: int = 100, seed: int = 0) -> xr.DataArray:
    r"""Draw surrogates with each unit's own values and, nearly, its own power spectrum, within each stretch.

    Iterative amplitude-adjusted Fourier transform: from a random order of the values, impose the moduli of the
    Fourier transform, then put the values back by rank, and again, until no rank changes or `iterations` is
    reached. The last step is the ranks', so that the values of each unit and stretch are kept exactly and the
    spectrum to the tolerance that `history` gives: `spectrum_error`, the largest of
    :math:`\sqrt{\sum_k (|R_k| - |S_k|)^2 / \sum_k |S_k|^2}` (without the mean) over units and stretches.

    Parameters
    ----------
    recording
        With a `time` dim, a regular clock and no missing values; counts stay counts.
    iterations
        At most this many, at least 1.
    seed
        Seed of the first order.

    Returns
    -------
    xarray.DataArray
        Same dims, labels, dtype and attrs, one step longer `history`.

    Raises
    ------
    AnalysisError
        When values are missing (with their count), there is no regular `time`, or no stretch has three samples.

    References
    ----------
    Schreiber, Schmitz (1996), Improved surrogate data for nonlinearity tests, Physical Review Letters 77:635-638.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.load("demo-calcium")
    >>> null = ni.surrogate.iaaft(rec)
    >>> bool((np.sort(null.values, axis=0) == np.sort(rec.values, axis=0)).all())
    True
    """
    if iterations < 1:
        raise AnalysisError(f"iaaft: iterations is {iterations}; at least 1 is needed")
    values, parts = _spectral(recording, "iaaft")
    moved, error = iaaft_matrix(values, parts, np.random.default_rng(seed), iterations=iterations)
    out = recording.copy(data=moved.reshape(recording.shape).astype(recording.dtype, copy=False))
    return add_history(out, "surrogate.iaaft", iterations=iterations, seed=seed, spectrum_error=float(f"{error:.3g}"))


def shuffle_trials(recording: xr.DataArray, *, within: str | None = None, seed: int = 0) -> xr.DataArray:
    """Permute the trials of each unit independently, each trial as a whole.

    What units share from trial to trial is lost. Within a stimulus or condition each unit keeps its response to
    it, so that what is lost are the noise correlations and what is left the signal correlations.

    Parameters
    ----------
    recording
        With a `trial` dim. Missing values travel with the trial and unit they belong to.
    within
        Coordinate on `trial` (`stimulus`, `condition`, ...): trials move among those of one value alone.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.DataArray
        Same dims, labels, dtype and attrs, one step longer `history`. Trials never leave their subject.

    Raises
    ------
    AnalysisError
        When there is no `trial` dim or such a coordinate, or no two trials could change places.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.arange(8.0).reshape(4, 2), modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", ["a", "a", "b", "b"])})
    >>> ni.surrogate.shuffle_trials(rec, within="stimulus", seed=1).values.tolist()
    [[0.0, 1.0], [2.0, 3.0], [6.0, 5.0], [4.0, 7.0]]
    """
    check(recording)
    if "trial" not in recording.dims:
        raise AnalysisError(f"shuffle_trials: dims are {recording.dims}, without trials to shuffle")
    blocks = _exchangeable(recording, "trial", within, "shuffle_trials")
    trials, units = recording.sizes["trial"], recording.sizes["unit"]
    by_trial = recording.transpose("trial", ...)
    values = np.asarray(by_trial.values).reshape(trials, recording.sizes.get("subject", 1), -1, units)
    rng = np.random.default_rng(seed)
    index = np.stack([_permuted_rows(trials, units, blocks, rng) for _ in range(values.shape[1])], axis=1)
    moved = np.take_along_axis(values, index[:, :, None, :], axis=0).reshape(by_trial.shape)
    out = by_trial.copy(data=moved).transpose(*recording.dims)
    return add_history(out, "surrogate.shuffle_trials", within=within, seed=seed)


def shuffle_labels(recording: xr.DataArray, coord: str, *, within: str | None = None, seed: int = 0) -> xr.DataArray:
    """Permute the values of a sample coordinate: the null of "the label says nothing about the data".

    Parameters
    ----------
    recording
        Any recording; its values are not touched.
    coord
        Coordinate on `trial`, `time` or `subject` (`stimulus`, `condition`, ...). On `time` single samples
        exchange their labels, within their segment alone; neighbours in time are alike, so a null for labels that
        last should come from `circular_shift`, or from labels on trials.
    within
        Another coordinate on the same dim (`block`, ...): labels move among samples of one value alone.
    seed
        Seed of the permutation.

    Returns
    -------
    xarray.DataArray
        Same values, dims and attrs, one step longer `history`; `coord` permuted.

    Raises
    ------
    AnalysisError
        When there is no such coordinate on sample dims, or its labels could not change.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((4, 1)), modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"condition": ("trial", ["a", "b", "c", "d"])})
    >>> ni.surrogate.shuffle_labels(rec, "condition").condition.values.tolist()
    ['c', 'a', 'b', 'd']
    """
    check(recording)
    labels = [
        str(name)
        for name, c in recording.coords.items()
        if name not in ("segment", *recording.dims) and len(c.dims) == 1 and c.dims != ("unit",)
    ]
    if coord not in labels:
        raise AnalysisError(
            f"shuffle_labels: {coord!r} is no label of samples; there are: {', '.join(sorted(labels)) or 'none'}"
        )
    dim, old = str(recording[coord].dims[0]), recording[coord].values
    blocks = _exchangeable(recording, dim, within, "shuffle_labels")
    if all((old[block] == old[block[0]]).all() for block in blocks):
        raise AnalysisError(f"shuffle_labels: {coord!r} has one value in each of {len(blocks)} groups, so none changes")
    moved, rng = old.copy(), np.random.default_rng(seed)
    for block in blocks:
        moved[block] = rng.permutation(old[block])
    out = recording.assign_coords({coord: (dim, moved, recording[coord].attrs)})
    return add_history(out, "surrogate.shuffle_labels", coord=coord, within=within, seed=seed)


def circular_shift_matrix(values: Any, stretches: Sequence[slice], rng: np.random.Generator) -> Any:
    """Shift each column of a (sample, unit) matrix circularly within each stretch.

    Parameters
    ----------
    values
        (sample, unit), numpy or torch; not modified.
    stretches
        Slices of the sample axis (`neurointerp.matrix.stretches`); samples outside all of them stay.
    rng
        Draws the offset of each stretch and unit.

    Returns
    -------
    array
        (sample, unit), of the library, dtype and device of `values`.
    """
    index = np.tile(np.arange(values.shape[0])[:, None], values.shape[1])
    for part in stretches:
        size = part.stop - part.start
        least = int(MINIMUM_SHIFT * size)
        offset = rng.integers(least, size - least + (least > 0), size=values.shape[1])
        index[part] = part.start + (np.arange(size)[:, None] - offset) % size
    return namespace(values).take_along_axis(values, like(index, values), axis=0)


def permuted_matrix(values: Any, blocks: Sequence[slice], rng: np.random.Generator) -> Any:
    """Permute the rows of each column of a (sample, unit) matrix independently, within each block."""
    index = _permuted_rows(values.shape[0], values.shape[1], blocks, rng)
    return namespace(values).take_along_axis(values, like(index, values), axis=0)


def _spectral(recording: xr.DataArray, name: str) -> tuple[np.ndarray, list[slice]]:
    """Give the matrix and its stretches, of a recording that has a Fourier transform along time."""
    values = stack(recording).values
    if "time" not in recording.dims or "sampling_rate" not in recording.attrs:
        raise AnalysisError(
            f"{name}: a time dim with a regular clock is needed, found dims {recording.dims}, sampling_rate "
            f"{recording.attrs.get('sampling_rate')}; resample first, or use shuffle_trials without time"
        )
    require_complete(recording, name)
    parts = stretches(recording)
    if all(part.stop - part.start < 3 for part in parts):
        raise AnalysisError(
            f"{name}: none of the {len(parts)} stretches has three samples, so there is no phase to draw"
        )
    return values, parts


def _permuted_rows(rows: int, columns: int, blocks: Sequence[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    index = np.tile(np.arange(rows)[:, None], columns)
    for block in blocks:
        index[block] = rng.permuted(index[block], axis=0)
    return index


def _exchangeable(recording: xr.DataArray, dim: str, within: str | None, name: str) -> list[NDArray[np.int64]]:
    """Give the positions along `dim` that may change places: of one segment and one value of `within`."""
    others = {d: 0 for d in recording.dims if d not in (dim, "unit")}
    line = recording.isel(others)
    group = np.zeros(line.sizes[dim], dtype=np.int64) if within is None else split.groups(line, within)
    if dim == "time":
        for number, part in enumerate(stretches(line)):
            group[part] += number * line.sizes[dim]
    blocks = [np.flatnonzero(group == value) for value in np.unique(group)]
    if all(block.size < 2 for block in blocks):
        where = "" if within is None else f" of one {within!r}"
        raise AnalysisError(f"{name}: no two of {group.size} places on {dim!r}{where} may change places")
    return blocks
