"""Many homogenised worms together: stacked on the common order, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import align
from neurointerp.errors import LoaderError
from neurointerp.loaders.datasets import worm_neurons
from neurointerp.recordings import add_history, recording


def stack(worms: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Put homogenised worms on top of each other, on the common neuron order.

    Parameters
    ----------
    worms
        Worm -> recording as `worm_traces.homogenise` gives it (or `load(..., homogenised=True)`); all with the same
        step and order.

    Returns
    -------
    xarray.DataArray
        (subject, time, unit): the named units in the common order, NaN where a worm lacks a neuron, was not recorded
        (any more) or has a gap; unlabelled traces, which do not compare over worms, are left out and counted in
        `history`. `time` holds every step that any worm has; `segment` where it has gaps.

    Raises
    ------
    LoaderError
        When there is no worm, one is not homogenised, or steps or orders differ.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.loaders.datasets import worm_traces
    >>> rec = ni.recording(np.eye(4), modality="calcium", units="1", sampling_rate=1.0, unit=["AVAL", "VB02", "7", "8"])
    >>> short = worm_traces.homogenise(rec[:3, 1:], target_dt=1.0)
    >>> both = stack({"a": worm_traces.homogenise(rec, target_dt=1.0), "b": short})
    >>> both.dims, both.shape, both.sel(unit=["AVAL", "VB2"]).notnull().sum("time").values
    (('subject', 'time', 'unit'), (2, 4, 300), array([[4, 4],
           [0, 3]]))
    """
    if not worms:
        raise LoaderError("there are no worms to stack")
    steps = {name: _steps(name, rec) for name, rec in worms.items()}
    dts = {name: float(rec.attrs["dt"]) for name, rec in worms.items()}
    orders = {name: tuple(rec["unit"].values[rec["is_labeled"].values]) for name, rec in worms.items()}
    for what, found in (("step", dts), ("neuron order", orders)):
        odd = [name for name, value in found.items() if value != next(iter(found.values()))]
        if odd:
            raise LoaderError(f"worm {odd[0]!r} has another {what} than {next(iter(found))!r}: homogenise them alike")
    grid = np.unique(np.concatenate(list(steps.values())))
    dt = next(iter(dts.values()))
    placed = {name: _on_grid(rec, np.searchsorted(grid, steps[name]), grid, dt) for name, rec in worms.items()}
    out = align.stack_subjects(placed)
    loose = {name: int((~rec["is_labeled"]).sum()) for name, rec in worms.items()}
    return add_history(out, "loaders.datasets.worm_collection.stack", unlabeled_left_out=loose)


def summary(worms: Mapping[str, xr.DataArray]) -> dict[str, Any]:
    """Count what the worms of one source hold.

    Parameters
    ----------
    worms
        Worm -> recording, as stored or homogenised.

    Returns
    -------
    dict
        `worms`; `neurons` and `labeled`, traces with any value and those with a name, over all worms; `names`, how many
        different neurons have one; `minutes` over all worms; `rate`, the median over worms of one over the median
        step before any resampling (Hz). Zeros and None for no worm.

    Examples
    --------
    >>> import numpy as np
    >>> from neurointerp.loaders.datasets import worm_traces
    >>> rec = worm_traces.worm(np.eye(4)[:, :3], np.arange(4) * 30.0, ["AVAL", "17", "AVAL"], function="x", attrs={})
    >>> summary({"one": rec})
    {'worms': 1, 'neurons': 3, 'labeled': 1, 'names': 1, 'minutes': 1.5, 'rate': 0.0333}
    """
    neurons = labeled = 0
    minutes, names, rates = 0.0, set[str](), []
    for rec in worms.values():
        there = np.isfinite(rec.values).any(axis=0)
        sure = there & rec["is_labeled"].values if "is_labeled" in rec.coords else there & False
        called = [worm_neurons.canonical(str(unit)) for unit in rec["unit"].values[sure]]
        neurons, labeled = neurons + int(there.sum()), labeled + len([name for name in called if name])
        names |= {name for name in called if name}
        time = rec["time"].values
        minutes += float(time[-1] - time[0]) / 60
        rates.append(1 / float(rec.attrs.get("original_dt") or np.median(np.diff(time))))
    rate = round(float(np.median(rates)), 4) if rates else None
    return {
        "worms": len(worms), "neurons": neurons, "labeled": labeled, "names": len(names),
        "minutes": round(minutes, 2), "rate": rate,
    }  # fmt: skip


def _steps(name: str, rec: xr.DataArray) -> np.ndarray:
    """Give a homogenised clock in whole steps."""
    if "dt" not in rec.attrs or "is_labeled" not in rec.coords or rec.dims != ("time", "unit"):
        raise LoaderError(f"worm {name!r} is not homogenised: pass it through worm_traces.homogenise")
    steps = rec["time"].values / rec.attrs["dt"]
    whole: np.ndarray = np.rint(steps).astype(np.int64)
    if np.abs(steps - whole).max() > 1e-6:
        raise LoaderError(f"worm {name!r} has stamps between the steps of {rec.attrs['dt']:g} s: homogenise it again")
    return whole


def _on_grid(rec: xr.DataArray, rows: np.ndarray, grid: np.ndarray, dt: float) -> xr.DataArray:
    """Put one worm's named units on the steps of all, NaN where it has none."""
    named = rec.isel(unit=np.flatnonzero(rec["is_labeled"].values))
    values = np.full((len(grid), named.sizes["unit"]), np.nan)
    values[rows] = named.values
    coords = {
        name: ("unit", named[name].values)
        for name in ("cell_class", "cell_type", "hemisphere", "is_labeled")
        if name in named.coords
    }
    breaks = np.cumsum(np.diff(grid, prepend=grid[0]) > 1)
    segment = {"segment": ("time", breaks)} if breaks[-1] else {}
    out = recording(
        values, modality="calcium", units=rec.attrs["units"], time=grid * dt, unit=list(named["unit"].values),
        sampling_rate=1 / dt, name=str(rec.name), coords={**coords, **segment},
        attrs={name: rec.attrs[name] for name in ("system", "normaliser", "dt") if name in rec.attrs},
    )  # fmt: skip
    out.attrs["history"] = rec.attrs["history"]
    return out
