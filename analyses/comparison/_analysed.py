"""One matched recording put through the families and its nulls, or taken from where that was kept."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import store, surrogate
from neurointerp.analyses import factorization, features
from neurointerp.analyses.comparison._degraded import LEVELS, REPLICATES, degraded_figures
from neurointerp.analyses.comparison._figures import FIGURES, STABILITY_RANK, figures
from neurointerp.analyses.comparison._intervals import METHOD, intervals
from neurointerp.errors import StoreError
from neurointerp.recordings import version

log = logging.getLogger("neurointerp")
NO_SPREAD = "no z-score: all draws of the null are the same"
UNDEFINED = "no null: the figure is undefined on some of its draws"
READ = ("semi_nmf", "pca")
DEGRADED: dict[str, Any] = {"levels": LEVELS, "replicates": REPLICATES}
TOP, CONTEXT = 6, 8
"""Of the samples that evoke each component: how many, and how many around each, within which there is no other."""


def analysed(
    name: str, matched: xr.DataArray, *, nulls: int, resamples: int, sensitivity: bool, seed: int, cache: Path | None
) -> xr.DataTree:
    """Give figures, null draws, intervals and results of one recording.

    Returns
    -------
    xarray.DataTree
        Root: `data (metric)`, `draws (metric, draw)`, `status (metric)` and, with `resamples`, `interval (metric,
        bound)` and `interval_freedom`; `/<family>/<method>` each result, `/features/<method>`
        what evokes each of its components; with `sensitivity` the node `/sensitivity`.
    """
    options = {"nulls": nulls, "resamples": resamples}
    out = _kept(name, matched, options, seed, cache, lambda: _computed(name, matched, nulls, resamples, seed))
    if not sensitivity:
        return out
    degraded = _kept(
        name, matched, DEGRADED, seed, cache,
        lambda: xr.DataTree(degraded_figures(name, matched, LEVELS, REPLICATES, seed)),
    )  # fmt: skip
    return out.assign(sensitivity=degraded)


def is_kept(
    name: str, matched: xr.DataArray, *, nulls: int, resamples: int, sensitivity: bool, seed: int, cache: Path | None
) -> bool:
    """Tell whether `analysed` has nothing to compute."""
    wanted = [{"nulls": nulls, "resamples": resamples}, *([DEGRADED] if sensitivity else [])]
    return cache is not None and all(_path(cache, name, matched, options, seed).exists() for options in wanted)


def _kept(
    name: str, matched: xr.DataArray, options: Mapping[str, Any], seed: int, cache: Path | None,
    compute: Callable[[], xr.DataTree],
) -> xr.DataTree:  # fmt: skip
    """Give what was computed before, from the cache, or compute and keep it."""
    if cache is None:
        return compute()
    path = _path(cache, name, matched, options, seed)
    if path.exists():
        try:
            kept: xr.DataTree = store.open(path, verify=True)
            log.info("%s: taken from %s", name, path)
            return kept
        except StoreError as error:
            log.warning("%s: what was kept cannot be used and is made again: %s", name, error)
    cache.mkdir(parents=True, exist_ok=True)
    made = compute()
    store.save(made, path, overwrite=True)
    return made


def _path(cache: Path, name: str, matched: xr.DataArray, options: Mapping[str, Any], seed: int) -> Path:
    """Name a file by what decides the answer: values, labels, name (it seeds the nulls), options, figures, version."""
    known = [[f.name, f.definition] for f in FIGURES]
    about = [name, store.digest(matched), options, seed, version(), known, METHOD, READ, TOP, CONTEXT]
    return cache / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]}.zarr"


def _computed(name: str, matched: xr.DataArray, nulls: int, resamples: int, seed: int) -> xr.DataTree:
    values, failures, results = figures(matched, seed)
    results["factorization/pca"] = factorization.pca(matched, min(STABILITY_RANK, *matched.shape), seed=seed)
    for method in READ:
        if (fit := results.get(f"factorization/{method}")) is not None:
            results[f"features/{method}"] = features.top_samples(fit, matched, n=TOP, context=CONTEXT, apart=CONTEXT)
    data = np.array(_in_order(values))
    draws = np.full((len(FIGURES), nulls), np.nan)
    status = np.array([failures.get(figure.name, "ok") for figure in FIGURES], dtype=object)
    for draw in range(nulls):
        shifted = surrogate.circular_shift(matched, seed=_null_seed(name, seed, draw))
        draws[:, draw] = _in_order(figures(shifted, seed)[0])
    unknown = ~np.isfinite(draws).all(axis=-1)
    status[np.isfinite(data) & unknown] = UNDEFINED
    status[np.isfinite(data) & (draws.max(axis=-1) == draws.min(axis=-1)) & (data != draws[..., 0])] = NO_SPREAD
    root = xr.Dataset({"data": ("metric", data), "draws": (("metric", "draw"), draws), "status": ("metric", status)})
    if resamples:
        bounds, freedom = intervals(name, matched, data, resamples=resamples, seed=seed)
        root = root.assign(interval=(("metric", "bound"), bounds), interval_freedom=freedom)
    return xr.DataTree.from_dict({"/": root, **{f"/{key}": one for key, one in results.items()}})


def _in_order(values: Mapping[str, float]) -> list[float]:
    return [values.get(figure.name, np.nan) for figure in FIGURES]


def _null_seed(name: str, seed: int, draw: int) -> int:
    return int(np.random.default_rng([seed, zlib.crc32(name.encode()), draw]).integers(2**31))
