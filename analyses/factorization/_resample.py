"""A recording drawn again from its own samples, stretches or blocks of them kept whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.recordings import recording as make

ENOUGH = 10
"""From so many stretches on they are drawn whole."""
BLOCKS = 20
"""Otherwise, by default, blocks of this part of the samples."""


def drawn(stretches: Sequence[slice], block: int | None, rng: np.random.Generator) -> list[slice]:
    """Draw stretches with replacement or, of few, blocks that begin anywhere within each (moving blocks).

    Parameters
    ----------
    stretches
        Of the sample axis.
    block
        Samples of a block; None: whole stretches where there are ten, else a twentieth of all samples.
    rng
        Draws.
    """
    if block is None and len(stretches) >= ENOUGH:
        return [stretches[i] for i in rng.integers(len(stretches), size=len(stretches))]
    length = block or max(1, sum(part.stop - part.start for part in stretches) // BLOCKS)
    out = []
    for part in stretches:
        size = part.stop - part.start
        wide = min(length, size)
        starts = part.start + rng.integers(size - wide + 1, size=-(-size // wide))
        last = size - wide * (len(starts) - 1)
        out += [slice(int(start), int(start) + wide) for start in starts[:-1]]
        out.append(slice(int(starts[-1]), int(starts[-1]) + last))
    return out


def resampled(recording: xr.DataArray, block: int | None, rng: np.random.Generator) -> xr.DataArray:
    """Give a recording (time, unit) of drawn stretches or blocks, each a segment of its own, counted from 0."""
    stacked = matrix.stack(recording, "a resampled recording")
    parts = drawn(matrix.stretches(recording), block, rng)
    rows = np.concatenate([np.arange(part.start, part.stop) for part in parts])
    segment = np.repeat(np.arange(len(parts)), [part.stop - part.start for part in parts])
    coords = {str(name): ("unit", coord.values) for name, coord in stacked.unit_coords.items() if name != "unit"}
    return make(
        stacked.values[rows],
        modality=recording.attrs["modality"],
        units=recording.attrs["units"],
        time=np.arange(len(rows)),
        unit=list(recording["unit"].values),
        coords={**coords, "segment": ("time", segment)},
    )
