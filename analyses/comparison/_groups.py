"""Whether groups of recordings differ in a figure: permutations of who belongs to which group, and mixed models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise, product
from math import factorial, prod
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.comparison._mixed import random_intercept
from neurointerp.errors import AnalysisError
from neurointerp.statistics import fdr, permutation_p

PERMUTATIONS = 9999
LEVEL = 0.95
Row = tuple[float, float, np.ndarray]
"""Statistic, p-value and the mean of each group, of one figure."""


def group_tests(
    summary: xr.Dataset, groups: Mapping[str, str], subjects: Mapping[str, str] | None, seed: int
) -> xr.Dataset:
    """Add `group (recording)` and the test of every figure between groups.

    Two groups: the difference of their means, the first (in order of appearance) minus the second, two-sided. More: the
    F ratio of the variance between groups to that within. What is dealt to the groups is recordings, or with
    `subjects` whole subjects; where a subject has recordings in several groups, groups are dealt anew within each
    subject, and differences are those within subjects. All ways to deal are taken where there are at most 9,999, else
    so many drawn at random. A recording without the figure takes no part. Times on different clocks (seconds, tokens)
    are not tested: of such a figure all is NaN.
    """
    label, subject, within = checked(summary["recording"].values, groups, subjects)
    kinds = list(dict.fromkeys(label))
    values = _on_one_clock(summary)
    if subject is None:
        rows = [_between(column, label, kinds, seed) for column in values.T]
        return _with_tests(summary, rows, label, kinds)
    if within:
        rows = [_within(column, label, subject, kinds, seed) for column in values.T]
    else:
        rows = [_between(*_by_subject(column, label, subject), kinds, seed) for column in values.T]
    out = _with_tests(summary, rows, label, kinds).assign_coords(subject=("recording", subject))
    return out.assign(_mixed_models(values, label, subject, kinds, within))


def checked(
    names: Iterable[str], groups: Mapping[str, str], subjects: Mapping[str, str] | None
) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Give group and subject of every recording, and whether groups vary within subjects; or refuse the design."""
    names = [str(name) for name in names]
    label = _labels(names, groups, "groups")
    if subjects is None:
        _require_two(Counter(label), "recordings")
        return label, None, False
    subject = _labels(names, subjects, "subjects")
    within = len(set(zip(subject, label, strict=True))) > len(set(subject))
    _require_nested(subject, label, within)
    return label, subject, within


def _labels(names: list[str], given: Mapping[str, str], what: str) -> np.ndarray:
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        one = what[:-1]
        found = f"{missing[0]!r} has no {one}" if missing else f"{unknown[0]!r} is no recording"
        raise AnalysisError(f"compare: {what} must name every recording once; {found}")
    return np.array([str(given[name]) for name in names], dtype=object)


def _require_two(counts: Counter[Any], of: str) -> None:
    if len(counts) < 2 or min(counts.values()) < 2:
        raise AnalysisError(f"compare: two groups or more, of two {of} or more each, are needed; found {dict(counts)}")


def _require_nested(subject: np.ndarray, label: np.ndarray, within: bool) -> None:
    if max(Counter(subject).values()) < 2:
        raise AnalysisError(
            "compare: every subject has one recording; leave subjects out, the recordings are the subjects"
        )
    pairs = dict.fromkeys(zip(subject, label, strict=True))
    held = Counter(s for s, _ in pairs)
    if within and sum(count > 1 for count in held.values()) < 2:
        alone = next(str(s) for s, count in held.items() if count > 1)
        raise AnalysisError(
            f"compare: {alone!r} alone has recordings in several groups; give two such subjects or more, or none"
        )
    taking_part = Counter(dict.fromkeys(label, 0))
    taking_part.update(g for s, g in pairs if not within or held[s] > 1)
    _require_two(taking_part, "subjects that take part" if within else "subjects")


def _on_one_clock(summary: xr.Dataset) -> np.ndarray:
    """Give the figures (recording, metric), without those that are times on different clocks."""
    values = summary["summary"].sel(arm="data").transpose("recording", "metric").values
    if len(set(summary["clock"].values)) > 1:
        return np.where(summary["unit_of_metric"].values == "clock", np.nan, values)
    return values


def _with_tests(summary: xr.Dataset, rows: list[Row], label: np.ndarray, kinds: list[str]) -> xr.Dataset:
    statistic, p = (np.array([row[i] for row in rows]) for i in (0, 1))
    return summary.assign(
        group_mean=(("group_name", "metric"), np.array([row[2] for row in rows]).T),
        group_statistic=("metric", statistic),
        group_p=("metric", p),
        group_q=("metric", fdr(p)),
    ).assign_coords(group=("recording", label), group_name=np.array(kinds, dtype=object))


def _by_subject(values: np.ndarray, label: np.ndarray, subject: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the mean of each subject, and its group."""
    each = list(dict.fromkeys(subject))
    means = np.array([_mean(values[subject == one]) for one in each])
    return means, np.array([label[subject == one][0] for one in each], dtype=object)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _between(values: np.ndarray, label: np.ndarray, kinds: list[str], seed: int) -> Row:
    from scipy.stats import permutation_test

    means = np.array([_mean(values[label == kind]) for kind in kinds])
    samples = [values[(label == kind) & np.isfinite(values)] for kind in kinds]
    if min(map(len, samples)) < 2 or not np.ptp(np.concatenate(samples)) > 0:
        return float("nan"), float("nan"), means

    def statistic(*parts: Any, axis: int = -1) -> Any:
        if len(parts) == 2:
            return parts[0].mean(axis=axis) - parts[1].mean(axis=axis)
        return _f_ratio(parts, axis)

    found = permutation_test(
        samples, statistic, permutation_type="independent", vectorized=True, n_resamples=PERMUTATIONS, batch=500,
        alternative="two-sided" if len(kinds) == 2 else "greater", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.statistic), float(found.pvalue), means


def _f_ratio(parts: Any, axis: int) -> Any:
    sizes = [part.shape[axis] for part in parts]
    means = [part.mean(axis=axis) for part in parts]
    whole = sum(n * mean for n, mean in zip(sizes, means, strict=True)) / sum(sizes)
    between = sum(n * (mean - whole) ** 2 for n, mean in zip(sizes, means, strict=True)) / (len(parts) - 1)
    within = sum(part.var(axis=axis) * n for n, part in zip(sizes, parts, strict=True)) / (sum(sizes) - len(parts))
    return between / np.maximum(within, 1e-300)


def _within(values: np.ndarray, label: np.ndarray, subject: np.ndarray, kinds: list[str], seed: int) -> Row:
    """Deal the groups anew within each subject; a subject whose known recordings are of one group takes no part."""
    means = np.array([_mean(values[label == kind]) for kind in kinds])
    known = np.isfinite(values)
    blocks = [np.flatnonzero(known & (subject == one)) for one in dict.fromkeys(subject)]
    blocks = [rows for rows in blocks if len(set(label[rows])) > 1]
    used = np.concatenate([np.zeros(0, dtype=int), *blocks])
    code = np.array([kinds.index(one) for one in label])
    if len(blocks) < 2 or len(set(code[used])) < len(kinds):
        return float("nan"), float("nan"), means
    place = np.cumsum([0, *map(len, blocks)])
    centred = np.concatenate([values[rows] - values[rows].mean() for rows in blocks])
    if np.abs(centred).max() <= 1e-12 * np.abs(values[used]).max():
        return float("nan"), float("nan"), means
    dealt = _dealt([code[rows] for rows in blocks], np.random.default_rng(seed))
    statistic = _paired_statistic(centred, dealt, place, len(kinds))
    tail = "two-sided" if len(kinds) == 2 else "greater"
    p = permutation_p(statistic[:1], statistic[1:, None], tail=tail)  # type: ignore[arg-type]
    return float(statistic[0]), float(p[0]), means


def _dealt(codes: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Give (1 + draw, recording) groups: those there are, then all other ways within subjects, or random ones."""
    ways = [factorial(len(one)) // prod(map(factorial, Counter(one.tolist()).values())) for one in codes]
    observed = np.concatenate(codes)
    if prod(ways) <= PERMUTATIONS + 1:
        every = [np.concatenate(way) for way in product(*(list(_arrangements(one.tolist())) for one in codes))]
        others = [way for way in every if not np.array_equal(way, observed)]
        return np.stack([observed, *others]).astype(int)
    drawn = [rng.permuted(np.tile(one, (PERMUTATIONS, 1)), axis=1) for one in codes]
    return np.vstack([observed, np.hstack(drawn)]).astype(int)


def _arrangements(items: list[int]) -> Iterator[list[int]]:
    """Give every distinct order of items."""
    if not items:
        yield []
    for first in dict.fromkeys(items):
        rest = list(items)
        rest.remove(first)
        yield from ([first, *one] for one in _arrangements(rest))


def _paired_statistic(centred: np.ndarray, dealt: np.ndarray, place: np.ndarray, kinds: int) -> np.ndarray:
    """Give for each draw the mean difference within subjects, or of more groups their squared means about 0, pooled."""
    if kinds == 2:
        each = []
        for start, stop in pairwise(place):
            first = dealt[:, start:stop] == 0
            part = centred[start:stop]
            each.append(first @ part / first.sum(axis=1) - ~first @ part / (~first).sum(axis=1))
        out: np.ndarray = np.mean(each, axis=0)
        return out
    among = np.stack([(dealt == kind) @ centred / (dealt == kind).sum(axis=1) for kind in range(kinds)])
    sizes = np.stack([(dealt == kind).sum(axis=1) for kind in range(kinds)])
    between = (sizes * among**2).sum(axis=0)
    freedom = (kinds - 1, max(len(centred) - (len(place) - 1) - (kinds - 1), 1))
    ratio: np.ndarray = (between / freedom[0]) / np.maximum((centred @ centred - between) / freedom[1], 1e-300)
    return ratio


def _mixed_models(
    values: np.ndarray, label: np.ndarray, subject: np.ndarray, kinds: list[str], within: bool
) -> dict[str, Any]:
    """Give for every figure what a mixed model estimates: differences from the last group, and both variances."""
    shape = (len(kinds), values.shape[1])
    difference, bounds = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    variances = np.full((2, values.shape[1]), np.nan)
    for metric, column in enumerate(values.T):
        found = _mixed_model(column, label, subject, kinds, within)
        if found is not None:
            difference[:, metric], bounds[:, metric], variances[:, metric] = found
    return {
        "mixed_difference": (("group_name", "metric"), difference),
        "mixed_interval": (("group_name", "metric", "bound"), bounds),
        "subject_variance": ("metric", variances[0]),
        "residual_variance": ("metric", variances[1]),
    }


def _mixed_model(
    values: np.ndarray, label: np.ndarray, subject: np.ndarray, kinds: list[str], within: bool
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]] | None:
    from scipy.stats import t

    known = np.isfinite(values)
    y, group = values[known], label[known]
    number = np.unique(subject[known].astype(str), return_inverse=True)[1]
    subjects = int(number.max(initial=-1)) + 1
    freedom = len(y) - subjects - (len(kinds) - 1) if within else subjects - len(kinds)
    if len(set(group)) < len(kinds) or freedom < 1 or len(y) <= subjects or not np.ptp(y) > 0:
        return None
    design = np.column_stack([np.ones(len(y)), *(group == kind for kind in kinds[:-1])]).astype(float)
    scale = float(y.std())
    fit = random_intercept((y - y.mean()) / scale, design, number)
    effect = np.append(fit.effects[1:], 0.0) * scale
    half = np.append(np.sqrt(np.diag(fit.covariance)[1:]), 0.0) * scale * t.ppf((1 + LEVEL) / 2, freedom)
    return (
        effect,
        effect[:, None] + half[:, None] * [-1, 1],
        (fit.subject_variance * scale**2, fit.residual_variance * scale**2),
    )
