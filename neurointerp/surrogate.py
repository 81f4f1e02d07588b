"""Surrogates: recordings that keep what each unit does alone and lose what units do together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.backend import like, namespace
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stack, stretches
from neurointerp.recordings import add_history

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
    index = np.tile(np.arange(values.shape[0])[:, None], values.shape[1])
    for block in blocks:
        index[block] = rng.permuted(index[block], axis=0)
    return namespace(values).take_along_axis(values, like(index, values), axis=0)
