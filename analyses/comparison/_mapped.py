"""Many recordings through the families: one after another, or at once on processes or the dask client in use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurointerp import cluster
from neurointerp.analyses.comparison._analysed import analysed, is_kept

log = logging.getLogger("neurointerp")


def all_analysed(
    cut: Mapping[str, xr.DataArray],
    *,
    nulls: int,
    resamples: int,
    sensitivity: bool,
    seed: int,
    cache: Path | None,
    workers: int,
) -> dict[str, xr.DataTree]:
    """Give what `analysed` gives of every recording, in their order.

    Each is kept in `cache` by whoever computes it, as soon as it is done: what was stopped goes on from there, where
    the folder is one that all workers see.
    """
    options: dict[str, Any] = {
        "nulls": nulls, "resamples": resamples, "sensitivity": sensitivity, "seed": seed,
        "cache": None if cache is None else cache.absolute(),
    }  # fmt: skip
    calls: dict[str, dict[str, Any]] = {name: {"name": name, "matched": rec, **options} for name, rec in cut.items()}
    found: dict[str, xr.DataTree] = {}
    left = dict(calls)
    if cluster.client() is None:  # what is there already is not worth a process
        one_by_one = [name for name, call in calls.items() if workers == 1 or is_kept(**call)]
        one_by_one = list(calls) if len(calls) - len(one_by_one) <= 1 else one_by_one
        for name in one_by_one:
            log.info("comparing %s (%d of %d)", name, len(found) + 1, len(calls))
            found[name] = analysed(**left.pop(name))
    if left:
        log.info("comparing: %s at once", ", ".join(left))
    for name, tree in cluster.finished(analysed, left, workers):
        found[name] = tree
        log.info("comparing: %s is done (%d of %d)", name, len(found), len(calls))
    return {name: found[name] for name in calls}
