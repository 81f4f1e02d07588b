"""Whether groups of recordings differ in a figure: permutations of who belongs to which group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.statistics import fdr

PERMUTATIONS = 9999


def group_tests(summary: xr.Dataset, groups: Mapping[str, str], seed: int) -> xr.Dataset:
    """Add `group (recording)` and the test of every figure between groups.

    Two groups: the difference of their means, the first (in order of appearance) minus the second, two-sided. More: the
    F ratio of the variance between groups to that within. All assignments of recordings to groups are taken where there
    are at most 9,999, else so many drawn at random. A recording without the figure takes no part.
    """
    names = [str(name) for name in summary["recording"].values]
    missing = [name for name in names if name not in groups]
    unknown = [name for name in groups if name not in names]
    if missing or unknown:
        found = f"{missing[0]!r} has no group" if missing else f"{unknown[0]!r} is no recording"
        raise AnalysisError(f"compare: groups must name every recording once; {found}")
    label = np.array([str(groups[name]) for name in names], dtype=object)
    kinds = list(dict.fromkeys(label))
    counts = {kind: int((label == kind).sum()) for kind in kinds}
    if len(kinds) < 2 or min(counts.values()) < 2:
        raise AnalysisError(f"compare: two groups or more, of two recordings or more each, are needed; found {counts}")
    values = summary["summary"].sel(arm="data").values
    tests = [_tested(values[:, metric], label, kinds, seed) for metric in range(values.shape[1])]
    statistic, p = (np.array(column) for column in zip(*tests, strict=True))
    means = np.array([[_mean(values[label == kind, m]) for m in range(values.shape[1])] for kind in kinds])
    return summary.assign(
        group_mean=(("group_name", "metric"), means),
        group_statistic=("metric", statistic),
        group_p=("metric", p),
        group_q=("metric", fdr(p)),
    ).assign_coords(group=("recording", label), group_name=np.array(kinds, dtype=object))


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _tested(values: np.ndarray, label: np.ndarray, kinds: list[str], seed: int) -> tuple[float, float]:
    from scipy.stats import permutation_test

    samples = [values[(label == kind) & np.isfinite(values)] for kind in kinds]
    if min(map(len, samples)) < 2 or not np.ptp(np.concatenate(samples)) > 0:
        return float("nan"), float("nan")

    def statistic(*parts: Any, axis: int = -1) -> Any:
        if len(parts) == 2:
            return parts[0].mean(axis=axis) - parts[1].mean(axis=axis)
        return _f_ratio(parts, axis)

    found = permutation_test(
        samples, statistic, permutation_type="independent", vectorized=True, n_resamples=PERMUTATIONS, batch=500,
        alternative="two-sided" if len(kinds) == 2 else "greater", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.statistic), float(found.pvalue)


def _f_ratio(parts: Any, axis: int) -> Any:
    sizes = [part.shape[axis] for part in parts]
    means = [part.mean(axis=axis) for part in parts]
    whole = sum(n * mean for n, mean in zip(sizes, means, strict=True)) / sum(sizes)
    between = sum(n * (mean - whole) ** 2 for n, mean in zip(sizes, means, strict=True)) / (len(parts) - 1)
    within = sum(part.var(axis=axis) * n for n, part in zip(sizes, parts, strict=True)) / (sum(sizes) - len(parts))
    return between / np.maximum(within, 1e-300)
