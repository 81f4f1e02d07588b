"""Delayed copies of units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurointerp.errors import AlignmentError
from neurointerp.matrix import stack, stretches
from neurointerp.recordings import add_history


def lag(recording: xr.DataArray, lags: Sequence[int]) -> xr.DataArray:
    """Put delayed copies of each unit side by side, within segments and trials.

    Parameters
    ----------
    recording
        Recording with a `time` dim.
    lags
        Delays in samples: at lag 2 the value at time t is the unit's value two samples earlier.

    Returns
    -------
    xarray.DataArray
        Same sample dims; units `<unit>@<lag>` (all units of the first lag, then the next) with the unit's own
        coordinates beside `lag` and `source_unit`. Samples whose past (or future, for negative lags) lies
        outside are NaN.

    Raises
    ------
    AlignmentError
        When there is no `time` dim, no lag, or a lag is no whole number.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.arange(3.0)[:, None], modality="eeg", units="V", sampling_rate=1.0)
    >>> ni.align.lag(rec, [1]).values.ravel()
    array([nan,  0.,  1.])
    """
    if "time" not in recording.dims or not len(lags):
        raise AlignmentError(f"lag needs a time dim and at least one lag, found dims {recording.dims}, lags {lags}")
    if any(delay != int(delay) for delay in lags):
        raise AlignmentError(f"lags {list(lags)} must be whole numbers of samples")
    stacked, parts = stack(recording), stretches(recording)
    copies = [shifted(stacked.values, parts, int(delay)) for delay in lags]
    names = [str(u) for u in recording["unit"].values]
    labels = np.array([f"{name}@{int(delay)}" for delay in lags for name in names], dtype=object)
    out = stacked.unstack(np.concatenate(copies, axis=1), "unit", labels)
    own = {
        name: ("unit", np.tile(coord.values, len(lags)), coord.attrs)
        for name, coord in stacked.unit_coords.items()
        if name != "unit"
    }
    out = out.assign_coords(own).assign_coords(
        lag=("unit", np.repeat(np.asarray(lags, dtype=np.int64), len(names))),
        source_unit=("unit", np.array(names * len(lags), dtype=object)),
    )
    out.name, out.attrs = recording.name, recording.attrs
    return add_history(out, "align.lag", lags=[int(delay) for delay in lags])


def shifted(values: np.ndarray, stretches: Sequence[slice], delay: int) -> np.ndarray:
    """Delay the rows of a (sample, unit) matrix by `delay` samples within each stretch; NaN where unknown."""
    out = np.full_like(values, np.nan)
    for stretch in stretches:
        size = stretch.stop - stretch.start
        if abs(delay) < size:
            to = slice(stretch.start + max(delay, 0), stretch.stop + min(delay, 0))
            back = slice(stretch.start + max(-delay, 0), stretch.stop + min(-delay, 0))
            out[to] = values[back]
    return out
