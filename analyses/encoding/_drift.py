"""Slow drift taken from the samples of a fold, of each side by itself, on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.backend import like, namespace
from neurointerp.errors import AnalysisError

Indices = NDArray[np.int64]


class HighPassed:
    """A (sample, column) array whose rows are high-passed among those that are asked for with them.

    Each run of consecutive samples of one stretch loses its mean and its cosines slower than the cutoff, by least
    squares within the run: a training set is filtered without a look at the test block, and the block without
    one at the training set.
    """

    def __init__(self, values: Any, stretches: Sequence[slice], samples_per_cutoff: float) -> None:
        self.values, self.cutoff = values, samples_per_cutoff
        self.shape, self.dtype = values.shape, values.dtype
        self.stretch = np.repeat(np.arange(len(stretches)), [part.stop - part.start for part in stretches])

    def rows(self, index: Indices) -> Any:
        """Give the filtered rows of a sorted index."""
        found = self.values[like(index, self.values)]
        breaks = (np.diff(index) != 1) | (np.diff(self.stretch[index]) != 0)
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(index)]
        parts = []
        for start, stop in pairwise(edges):
            slow = like(cosines(stop - start, self.cutoff), found)
            run = found[start:stop]
            parts.append(run - slow @ (slow.T @ run))
        return namespace(found).concat(parts, axis=0)

    def columns(self, which: Any) -> HighPassed:
        """Give some of the columns."""
        out = copy(self)
        out.values = self.values[:, which]
        out.shape = out.values.shape
        return out


def cosines(samples: int, cutoff: float) -> NDArray[np.float64]:
    """Give the orthonormal constant and cosines (sample, cosine) of periods longer than `cutoff` samples."""
    count = int(2 * samples / cutoff) + 1
    if count >= samples:
        raise AnalysisError(
            f"encoding: a run of {samples} samples has nothing left after a high-pass of {cutoff:g} samples; fewer "
            "folds, or a longer high_pass, are needed"
        )
    phase = np.pi * (np.arange(samples)[:, None] + 0.5) * np.arange(count)[None] / samples
    basis = np.cos(phase)
    found: NDArray[np.float64] = basis / np.linalg.norm(basis, axis=0)
    return found
