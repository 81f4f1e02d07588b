"""What the readouts hold, on realisations that they were not trained on: when, and how probable."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.models.reservoir.circuit import CUE, check_rate
from neurointerp.models.reservoir.learning import CONSTANT


def readout(found: xr.Dataset, rate: xr.DataArray) -> xr.DataArray:
    """Read realisations out that were not trained on.

    Parameters
    ----------
    found
        What `learn`, `force` or `oracle` gave.
    rate
        The recording; its trials of the split test are read.

    Returns
    -------
    xarray.DataArray
        (trial, realisation, time, readout): trial counts what had been learnt from.

    Raises
    ------
    RecordingError
        When the recording has no split.

    Examples
    --------
    >>> from neurointerp.models.reservoir import Block, learn, record
    >>> rate = record(4, size=50)["recordings/rate/recording"]
    >>> readout(learn(rate, [Block(40, 0.3, 0.8)]), rate).sizes["realisation"]
    1
    """
    check_rate(rate)
    tests = rate.values[rate["split"].values == "test"]
    x = np.concatenate([tests - found["offset"].values[:-1], np.full((*tests.shape[:2], 1), CONSTANT)], axis=-1)
    values = np.einsum("rtf,nfk->nrtk", x, found["weight"].values, optimize=True)
    coords = {"trial": found["trial"].values, "time": rate["time"].variable, "readout": found["readout"].values}
    return xr.DataArray(values, dims=("trial", "realisation", "time", "readout"), coords=coords)


def timing_error(read: xr.DataArray, latency: float) -> xr.DataArray:
    """Give how much later than the outcome the sum of the readouts peaks (s).

    Parameters
    ----------
    read
        What `readout` gives, or its mean over realisations.
    latency
        From the cue to the outcome (s).

    Returns
    -------
    xarray.DataArray
        Without the dims time and readout; negative where the peak comes early.

    Examples
    --------
    >>> from neurointerp.models.reservoir import Block, learn, record
    >>> rate = record(4, size=50)["recordings/rate/recording"]
    >>> timing_error(readout(learn(rate, [Block(40, 0.3, 0.8)]), rate), 0.3).dims
    ('trial', 'realisation')
    """
    return read.sum("readout").idxmax("time") - (CUE + latency)


def probability(read: xr.DataArray, latency: float) -> xr.DataArray:
    """Give the probability of A that the readouts hold: A over A plus B, within 15 ms of the outcome.

    Parameters
    ----------
    read
        What `readout` gives, with the readouts A and B, or its mean over realisations.
    latency
        From the cue to the outcome (s).

    Returns
    -------
    xarray.DataArray
        Without the dims time and readout.

    Examples
    --------
    >>> from neurointerp.models.reservoir import Block, learn, record
    >>> rate = record(4, size=50)["recordings/rate/recording"]
    >>> probability(readout(learn(rate, [Block(40, 0.3, 0.8)]), rate).mean("realisation"), 0.3).dims
    ('trial',)
    """
    near = read.where(abs(read["time"] - CUE - latency) <= 0.015 + 1e-9, drop=True).mean("time")
    return near.sel(readout="A", drop=True) / near.sum("readout")
