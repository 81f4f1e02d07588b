"""Put recordings of any modality through the four families and set them side by side, with their nulls."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurointerp import store
from neurointerp.analyses.comparison._degraded import LEVELS
from neurointerp.analyses.comparison._figures import FIGURES
from neurointerp.analyses.comparison._groups import checked, group_tests
from neurointerp.analyses.comparison._intervals import KEPT, LEVEL, METHOD
from neurointerp.analyses.comparison._mapped import all_analysed
from neurointerp.analyses.comparison._matched import matched
from neurointerp.analyses.comparison.sensitivity import clock_units, joined
from neurointerp.errors import AnalysisError
from neurointerp.recordings import version
from neurointerp.schema import SCHEMA_VERSION

FEWEST_RESAMPLES = 10
MATCHING_STEPS = ("comparison.at_one_rate", "comparison.matched", "comparison.of_equal_quality")


def compare(
    recordings: Mapping[str, xr.DataArray] | Sequence[xr.DataArray],
    *,
    units: int | None = None,
    samples: int | None = None,
    nulls: int = 20,
    resamples: int = 10,
    rate: float | Literal["slowest"] | None = None,
    quality: Literal["repeats", "units"] | None = None,
    reliability: float | None = None,
    groups: Mapping[str, str] | None = None,
    subjects: Mapping[str, str] | None = None,
    sensitivity: bool = False,
    cache: str | os.PathLike[str] | None = None,
    workers: int = 1,
    seed: int = 0,
) -> xr.DataTree:
    """Compare recordings of any modality on the same figures, each beside its circular-shift null.

    Every recording is cut to the same number of samples and units (drawn with the seed), z-scored per unit, and
    put through semi-NMF and PCA, non-negative CP, correlation with communities, and lagged ridge. The same is
    done `nulls` times after shifting each unit circularly by its own random offset within segments, which keeps
    every unit's own dynamics and removes what units share. How far a figure would move with other units and another
    stretch of time of the same system tells its interval, by a jackknife that leaves out units and blocks of time.

    Parameters
    ----------
    recordings
        Name -> recording, or recordings that carry names. Dims (time, unit), (trial, time, unit) or (trial, unit).
    units, samples
        The matched numbers; by default the smallest there is, at most 64 units and 1,000 samples.
    nulls
        Surrogates per recording, at least 2.
    resamples
        Draws of units and blocks of time behind each interval, at least 10; with 0 there is no `interval`.
    rate
        Sampling rate (Hz) that every recording with a clock in seconds is brought to, or `"slowest"`: the lowest among
        them. Recordings on other clocks stay.
    quality
        By what noise is added until all recordings are as reliable as the least: `"repeats"` of stimuli (the share of a
        single repeat's variance that repeats share), or `"units"` (the share that a half of the units predicts in the
        other half).
    reliability
        That share, where it is not to be the lowest there is; at most the lowest.
    groups
        Name of each recording -> its group, two recordings or more in each: every figure is tested between groups.
    subjects
        Name of each recording -> its subject, where recordings of one are not independent: `groups` are dealt to whole
        subjects or, where subjects have recordings in several groups, within each; and mixed models are fitted.
    sensitivity
        Whether to add the node `/sensitivity`: what `comparison.sensitivity` gives, with its default levels.
    cache
        Folder where what was computed of each recording is kept and found again: by its matched values and labels, its
        name, `nulls`, `resamples`, `seed` and the version. State `units` and `samples` with it: where they are left to
        the smallest recording, adding one may change all others. With a
        `dask.distributed` client recordings are computed on its workers at once, and each is kept as soon as it is
        done: give a folder that all workers see.
    workers
        Recordings that are computed at the same time, each in a process and on one thread of its own; 1 (default): one
        after another in this process. A script that asks for more needs `if __name__ == "__main__":` about its calls
        (processes are spawned). Not used where there is a `dask.distributed` client.
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
        `group_q` over all figures. With `resamples`: `interval (recording, metric, bound)`, low and high, whose attrs
        tell level and method, and its `interval_freedom (recording)`. With `subjects`: `subject (recording)`,
        `mixed_difference (group_name, metric)` of each group from the last by REML with a random intercept of subjects,
        `mixed_interval (group_name, metric, bound)`, `subject_variance` and `residual_variance`. The attr `matching`
        tells what was done to make each recording comparable. `/matched/<recording>` holds what was analysed (variable
        `matched`), `/<family>/<recording>/<method>` each result, and `/features/<recording>/<method>` the samples that
        evoke each component of semi-NMF and PCA (`features.top_samples`).

    Raises
    ------
    AnalysisError
        When a recording has missing values, too few units or samples, or names repeat; when groups or subjects do not
        fit; when a rate or a reliability cannot be reached.

    References
    ----------
    Shao, Wu (1989), A general theory for jackknife variance estimation, Annals of Statistics 17:1176-1197, for leaving
    out many at a time; Kuensch (1989), The jackknife and the bootstrap for general stationary observations, Annals of
    Statistics 17:1217-1241, for blocks of time. Deviation: units and blocks are left out at once (15% of each), and
    the share of the variance that single samples of single units have enters about twice: intervals err on the wide
    side. Its coverage is measured on simulations, see the page Comparison.

    Examples
    --------
    >>> import neurointerp as ni
    >>> recs = {"worm": ni.load("demo-calcium"), "scalp": ni.load("demo-eeg")}
    >>> tree = ni.analyses.comparison.compare(recs, samples=100, nulls=2, resamples=0)
    >>> tree["summary"].sel(arm="data", metric="effective_dimension").dims
    ('recording',)
    """
    named = _named(recordings)
    if workers < 1:
        raise AnalysisError(f"compare: workers is {workers}; at least 1 is needed")
    if nulls < 2:
        raise AnalysisError(f"compare: nulls is {nulls}; at least 2 are needed for a z-score")
    if resamples != 0 and resamples < FEWEST_RESAMPLES:
        raise AnalysisError(f"compare: resamples is {resamples}; {FEWEST_RESAMPLES} at least, or 0 for no intervals")
    if subjects is not None and groups is None:
        raise AnalysisError("compare: subjects without groups: there is nothing to test; give both or neither")
    if groups is not None:
        checked(named, groups, subjects)  # before the work, not after it
    cut = matched(named, units=units, samples=samples, seed=seed, rate=rate, quality=quality, reliability=reliability)
    each = all_analysed(
        cut, nulls=nulls, resamples=resamples, sensitivity=sensitivity, seed=seed,
        cache=None if cache is None else Path(cache), workers=workers,
    )  # fmt: skip
    roots = [one.to_dataset(inherit=False) for one in each.values()]
    data, draws, status = (np.stack([one[key].values for one in roots]) for key in ("data", "draws", "status"))
    root = _summary(named, data, draws, status)
    if resamples:
        root = _with_intervals(root, roots, resamples)
    if groups is not None:
        root = group_tests(root, groups, subjects, seed)
    options = {"nulls": nulls, "resamples": resamples, "rate": rate, "quality": quality, "reliability": reliability}
    nodes = {"/": root.assign_attrs(_attrs(named, cut, options, seed))}
    for name, one in each.items():
        nodes[f"/matched/{name}"] = cut[name].to_dataset(name="matched")
        results = [part for part in one.leaves if part.path not in ("/", "/sensitivity")]
        nodes |= {_result_node(part.path, name): part.to_dataset(inherit=False) for part in results}
    if sensitivity:
        parts = {name: one.children["sensitivity"].to_dataset(inherit=False) for name, one in each.items()}
        nodes["/sensitivity"] = joined(parts, cut, LEVELS)
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
            "clock": _strings(rows, [clock_units(rec) for rec in named.values()]),
            "family": _strings("metric", [figure.family for figure in FIGURES]),
            "unit_of_metric": _strings("metric", [figure.unit for figure in FIGURES]),
            "definition": _strings("metric", [figure.definition for figure in FIGURES]),
        },
    )  # fmt: skip


def _with_intervals(summary: xr.Dataset, roots: Sequence[xr.Dataset], resamples: int) -> xr.Dataset:
    bounds, freedom = (np.stack([one[key].values for one in roots]) for key in ("interval", "interval_freedom"))
    about = {"level": LEVEL, "method": METHOD, "kept": KEPT,
             "resamples": resamples}  # fmt: skip
    return summary.assign(
        interval=(("recording", "metric", "bound"), bounds, about), interval_freedom=("recording", freedom)
    ).assign_coords(bound=_strings("bound", ["low", "high"]))


def _kind(system: str) -> str:
    """Tell real from simulated by the attr `system`; data that do not say what was recorded are neither."""
    return "simulated" if system == "simulated" else "real" if system else "not stated"


def _strings(dim: str, values: list[str]) -> tuple[str, np.ndarray]:
    return dim, np.array(values, dtype=object)


def _attrs(
    named: Mapping[str, xr.DataArray], cut: Mapping[str, xr.DataArray], options: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    first = next(iter(cut.values()))
    return {
        "analysis": "comparison.compare",
        "parameters": {"units": first.sizes["unit"], "samples": len(first), **options},
        "matching": {name: _matching(rec) for name, rec in cut.items()},
        "recording": {name: store.digest(rec) for name, rec in named.items()},
        "provenance": {name: _provenance(rec) for name, rec in named.items()},
        "version": version(),
        "seed": seed,
        "schema_version": SCHEMA_VERSION,
    }


def _matching(rec: xr.DataArray) -> dict[str, Any]:
    """Give what was done to make a recording comparable: the parameters of each step, by its name."""
    steps = {step["function"]: step["parameters"] for step in rec.attrs["history"]}
    return {name.rpartition(".")[2]: steps[name] for name in MATCHING_STEPS if name in steps}


def _provenance(rec: xr.DataArray) -> dict[str, Any]:
    kept = ("system", "source", "license", "citation", "units", "sampling_rate", "history")
    sizes = {str(dim): int(size) for dim, size in rec.sizes.items()}
    return {"sizes": sizes, **{key: rec.attrs[key] for key in kept if key in rec.attrs}}
