"""Put recordings of any modality through the four families and set them side by side, with their nulls."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import store
from neurointerp.analyses.comparison._figures import FIGURES
from neurointerp.analyses.comparison._groups import group_tests
from neurointerp.analyses.comparison._mapped import all_analysed
from neurointerp.analyses.comparison._matched import matched
from neurointerp.errors import AnalysisError
from neurointerp.recordings import version
from neurointerp.schema import SCHEMA_VERSION


def compare(
    recordings: Mapping[str, xr.DataArray] | Sequence[xr.DataArray],
    *,
    units: int | None = None,
    samples: int | None = None,
    nulls: int = 20,
    groups: Mapping[str, str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> xr.DataTree:
    """Compare recordings of any modality on the same figures, each beside its circular-shift null.

    Every recording is cut to the same number of samples and units (drawn with the seed), z-scored per unit, and
    put through semi-NMF and PCA, non-negative CP, correlation with communities, and lagged ridge. The same is
    done `nulls` times after shifting each unit circularly by its own random offset within segments, which keeps
    every unit's own dynamics and removes what units share.

    Parameters
    ----------
    recordings
        Name -> recording, or recordings that carry names. Dims (time, unit), (trial, time, unit) or (trial, unit).
    units, samples
        The matched numbers; by default the smallest there is, at most 64 units and 1,000 samples.
    nulls
        Surrogates per recording, at least 2.
    groups
        Name of each recording -> its group, two recordings or more in each: every figure is tested between groups.
    cache
        Folder where what was computed of each recording is kept and found again: by its matched values and labels, its
        name, `nulls`, `seed` and the version. State `units` and `samples` with it: where they are left to the smallest
        recording, adding one may change all others. With a `dask.distributed` client recordings are computed on its
        workers at once, and each is kept as soon as it is done: give a folder that all workers see.
    seed
        Seeds the draws, the solvers and the surrogates.

    Returns
    -------
    xarray.DataTree
        Root: `summary(recording, metric, arm)` with arms `data` and `null` (mean over surrogates), `null_sd` and
        `z_score` (recording, metric), `null_draws(recording, metric, draw)`, `status` ("ok", or why a figure or its
        z-score is missing). Coordinates `modality`, `system`, `kind` (real, simulated, not stated) and `clock` on
        recording; `family`, `unit_of_metric`, `definition` on metric. The attr `provenance` tells where each
        came from. With `groups`: `group (recording)`, `group_mean (group_name, metric)` and on metric `group_statistic`
        (the difference of the two means, or the F ratio of more groups), `group_p` by permutation of the groups and
        `group_q` over all figures. `/matched/<recording>` holds what was analysed (variable `matched`), and
        `/<family>/<recording>/<method>` each result.

    Raises
    ------
    AnalysisError
        When a recording has missing values, too few units or samples, or names repeat; or groups do not fit.

    Examples
    --------
    >>> import neurointerp as ni
    >>> recs = {"worm": ni.load("demo-calcium"), "scalp": ni.load("demo-eeg")}
    >>> tree = ni.analyses.comparison.compare(recs, samples=100, nulls=2)
    >>> tree["summary"].sel(arm="data", metric="effective_dimension").dims
    ('recording',)
    """
    named = _named(recordings)
    if nulls < 2:
        raise AnalysisError(f"compare: nulls is {nulls}; at least 2 are needed for a z-score")
    cut = matched(named, units=units, samples=samples, seed=seed)
    shape = (len(named), len(FIGURES))
    data, draws, status = (
        np.full(shape, np.nan),
        np.full((*shape, nulls), np.nan),
        np.full(shape, "ok", object),
    )
    nodes: dict[str, xr.Dataset] = {}
    each = all_analysed(cut, nulls=nulls, seed=seed, cache=None if cache is None else Path(cache))
    for row, (name, rec) in enumerate(cut.items()):
        one = each[name]
        data[row], draws[row], status[row] = (one[key].values for key in ("data", "draws", "status"))
        nodes[f"/matched/{name}"] = rec.to_dataset(name="matched")
        nodes |= {
            _result_node(part.path, name): part.to_dataset(inherit=False) for part in one.leaves if part.path != "/"
        }
    nodes["/"] = _summary(named, data, draws, status)
    if groups is not None:
        nodes["/"] = group_tests(nodes["/"], groups, seed)
    nodes["/"].attrs = _attrs(named, cut, nulls, seed)
    return xr.DataTree.from_dict(nodes)


def _named(recordings: Mapping[str, xr.DataArray] | Sequence[xr.DataArray]) -> dict[str, xr.DataArray]:
    if not isinstance(recordings, Mapping):
        names = [str(rec.name) if rec.name is not None else f"recording{i}" for i, rec in enumerate(recordings)]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise AnalysisError(f"compare: several recordings are named {sorted(repeated)[0]!r}; pass a mapping")
        recordings = dict(zip(names, recordings, strict=True))
    bad = [name for name in recordings if "/" in name or name in ("", ".", "..")]
    if bad or not recordings:
        raise AnalysisError(f"compare: {'name ' + repr(bad[0]) + ' holds a slash' if bad else 'no recordings'}")
    return dict(recordings)


def _result_node(path: str, name: str) -> str:
    family, method = path.strip("/").split("/")
    return f"/{family}/{name}/{method}"


def z_score(data: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Give (data - mean of draws) / sd of draws; 0 where data and every draw agree to rounding."""
    mean, sd = draws.mean(axis=-1), draws.std(axis=-1, ddof=1)
    same = np.abs(data - mean) + sd <= 1e-9 * np.maximum(np.abs(data), 1e-300)
    out: np.ndarray = np.where(same, 0.0, (data - mean) / np.where(sd > 0, sd, np.nan))
    return out


def _summary(named: Mapping[str, xr.DataArray], data: np.ndarray, draws: np.ndarray, status: np.ndarray) -> xr.Dataset:
    systems = [str(rec.attrs.get("system", "")) for rec in named.values()]
    rows, cells = "recording", ("recording", "metric")
    return xr.Dataset(
        {
            "summary": ((*cells, "arm"), np.stack([data, draws.mean(axis=-1)], axis=-1)),
            "null_sd": (cells, draws.std(axis=-1, ddof=1)),
            "z_score": (cells, z_score(data, draws)),
            "null_draws": ((*cells, "draw"), draws),
            "status": (cells, status),
        },
        coords={
            "recording": _strings(rows, list(named)),
            "metric": _strings("metric", [figure.name for figure in FIGURES]),
            "arm": _strings("arm", ["data", "null"]),
            "modality": _strings(rows, [rec.attrs["modality"] for rec in named.values()]),
            "system": _strings(rows, systems),
            "kind": _strings(rows, [_kind(system) for system in systems]),
            "clock": _strings(rows, [_clock_units(rec) for rec in named.values()]),
            "family": _strings("metric", [figure.family for figure in FIGURES]),
            "unit_of_metric": _strings("metric", [figure.unit for figure in FIGURES]),
            "definition": _strings("metric", [figure.definition for figure in FIGURES]),
        },
    )  # fmt: skip


def _kind(system: str) -> str:
    """Tell real from simulated by the attr `system`; data that do not say what was recorded are neither."""
    return "simulated" if system == "simulated" else "real" if system else "not stated"


def _clock_units(rec: xr.DataArray) -> str:
    return str(rec["time"].attrs["units"]) if "time" in rec.coords else "trial"


def _strings(dim: str, values: list[str]) -> tuple[str, np.ndarray]:
    return dim, np.array(values, dtype=object)


def _attrs(named: Mapping[str, xr.DataArray], cut: Mapping[str, xr.DataArray], nulls: int, seed: int) -> dict[str, Any]:
    first = next(iter(cut.values()))
    return {
        "analysis": "comparison.compare",
        "parameters": {"units": first.sizes["unit"], "samples": len(first), "nulls": nulls},
        "recording": {name: store.digest(rec) for name, rec in named.items()},
        "provenance": {name: _provenance(rec) for name, rec in named.items()},
        "version": version(),
        "seed": seed,
        "schema_version": SCHEMA_VERSION,
    }


def _provenance(rec: xr.DataArray) -> dict[str, Any]:
    kept = ("system", "source", "license", "citation", "units", "sampling_rate", "history")
    sizes = {str(dim): int(size) for dim, size in rec.sizes.items()}
    return {"sizes": sizes, **{key: rec.attrs[key] for key in kept if key in rec.attrs}}
