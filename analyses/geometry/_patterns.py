"""What each stimulus evoked in each recording: matrices whose rows are the same stimuli in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix, streaming
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.schema import check
from neurointerp.streaming import require_room

JOINS = ("exact", "inner")
Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Patterns:
    """Recordings as matrices of shared rows.

    Attributes
    ----------
    names
        One per recording.
    stimulus
        (stimulus) labels, in the order of the first recording.
    values
        Per recording (stimulus, feature), float64.
    left_out
        Per recording how many of its stimuli the others lack (0 unless `join="inner"`).
    """

    names: list[str]
    stimulus: np.ndarray
    values: list[np.ndarray]
    left_out: list[int]

    def coords(self) -> dict[str, Any]:
        """Give the labels of `similarity (recording, recording2)`."""
        names = np.array(self.names, dtype=object)
        return {"recording": names, "recording2": names}


def patterns(
    recordings: Mapping[str, xr.DataArray], analysis: str, *, by: str, join: str, complete: bool = True
) -> Patterns:
    """Average each recording over the samples of each stimulus, and put the stimuli of all in one order.

    Raises
    ------
    AlignmentError
        When the recordings do not hold the same stimuli and `join` is `exact`, or share fewer than three.
    """
    rows = {
        name: averaged(rec, analysis, by=by, complete=complete) for name, rec in named(recordings, analysis).items()
    }
    shared, left_out = joined({name: labels for name, (labels, _) in rows.items()}, analysis, by=by, join=join)
    values = []
    for labels, means in rows.values():
        place = {label: row for row, label in enumerate(labels.tolist())}
        values.append(means[[place[label] for label in shared.tolist()]])
    return Patterns(list(rows), shared, values, left_out)


def named(recordings: Mapping[str, Any], analysis: str, least: int = 2) -> dict[str, Any]:
    """Check that `recordings` maps names to at least `least` recordings."""
    if not isinstance(recordings, Mapping) or len(recordings) < least:
        found = f"{len(recordings)} of them" if isinstance(recordings, Mapping) else type(recordings).__name__
        raise AnalysisError(
            f"{analysis}: recordings must be a mapping of name to recording, {least} or more; got {found}"
        )
    return {str(name): recording for name, recording in recordings.items()}


def joined(labels: Mapping[str, np.ndarray], analysis: str, *, by: str, join: str) -> tuple[np.ndarray, list[int]]:
    """Give the labels that all hold, in the order of the first, and how many of each are left out."""
    if join not in JOINS:
        raise AnalysisError(f"{analysis}: join {join!r} is not one of {', '.join(JOINS)}")
    common = set.intersection(*(set(found.tolist()) for found in labels.values()))
    left_out = [len(found) - len(common) for found in labels.values()]
    if join == "exact" and any(left_out):
        lost = ", ".join(
            f"{count} of {len(labels[name])} in {name!r}" for name, count in zip(labels, left_out, strict=True)
        )
        example = next(label for found in labels.values() for label in found.tolist() if label not in common)
        raise AlignmentError(
            f"{analysis}: the recordings do not hold the same {by}: {lost} are not in all, such as {example!r}; "
            'pass join="inner" to compare what they share'
        )
    first = next(iter(labels.values()))
    shared = np.array([label for label in first.tolist() if label in common], dtype=first.dtype)
    if len(shared) < 3:
        raise AlignmentError(f"{analysis}: the recordings share {len(shared)} {by}; three or more are needed")
    return shared, left_out


def averaged(recording: xr.DataArray, analysis: str, *, by: str, complete: bool = True) -> Rows:
    """Give the stimuli, in order of first appearance, and the mean pattern (stimulus, feature) of each."""
    if recording.chunks:
        return _averaged_blocks(recording, analysis, by=by, complete=complete)
    labels, values = labelled(recording, analysis, by=by)
    if complete:
        matrix.require_complete(recording, analysis)
    distinct, first, group = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)[group]
    there = ~np.isnan(values)
    counts, sums = np.zeros((len(order), values.shape[1])), np.zeros((len(order), values.shape[1]))
    np.add.at(counts, rank, there)
    np.add.at(sums, rank, np.where(there, values, 0.0))
    with np.errstate(invalid="ignore"):
        return distinct[order], np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _averaged_blocks(recording: xr.DataArray, analysis: str, *, by: str, complete: bool) -> Rows:
    """Do the same from sums over the blocks of a chunked recording; the mean patterns alone lie in memory."""
    labels = _labels(recording, analysis, by)
    if complete:
        matrix.require_complete(recording, analysis)
    turned = recording.transpose(recording[by].dims[0], ...)
    array = turned.data.reshape(len(labels), -1)
    distinct, first, group = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)[group]
    require_room(2 * 8 * len(order) * array.shape[1], analysis)
    rows = streaming.Rows(array.astype(np.float64), int(array.shape[1]), np.dtype(np.float64))
    infinite, *found = rows.total(partial(_sums_of_block, rank=rank), combine=_merged)
    _require_finite(infinite, analysis)
    present, sums, counts = found  # every stimulus has a sample, so all are there
    with np.errstate(invalid="ignore"):
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return distinct[order], means[np.argsort(present)]


def _sums_of_block(values: Any, first: int, own: slice, *, rank: np.ndarray) -> tuple[Any, ...]:
    """Give how many values are infinite, which stimuli a block holds, and their sums and counts (stimulus, feature)."""
    present, group = np.unique(rank[first : first + len(values)], return_inverse=True)
    there = ~np.isnan(values)
    sums, counts = np.zeros((len(present), values.shape[1])), np.zeros((len(present), values.shape[1]))
    np.add.at(sums, group, np.where(there, values, 0.0))
    np.add.at(counts, group, there)
    return int(np.isinf(values).sum()), present, sums, counts


def _merged(*parts: tuple[Any, ...]) -> tuple[Any, ...]:
    infinite, stimuli, sums, counts = zip(*parts, strict=True)
    present, group = np.unique(np.concatenate(stimuli), return_inverse=True)
    merged = [np.zeros((len(present), sums[0].shape[1])) for _ in range(2)]
    for out, one in zip(merged, (sums, counts), strict=True):
        np.add.at(out, group, np.concatenate(one))
    return sum(infinite), present, *merged


def labelled(recording: xr.DataArray, analysis: str, *, by: str) -> Rows:
    """Give the label of each row and the rows (row, feature) of a recording along the dim that `by` labels."""
    labels = _labels(recording, analysis, by)
    recording = matrix.in_memory(recording, analysis)
    values = np.asarray(recording.transpose(recording[by].dims[0], ...).values, dtype=np.float64)
    values = values.reshape(len(labels), -1)
    _require_finite(int(np.isinf(values).sum()), analysis)
    return labels, values


def _labels(recording: xr.DataArray, analysis: str, by: str) -> np.ndarray:
    check(recording)
    if "subject" in recording.dims:
        raise AnalysisError(f"{analysis}: a recording holds a dim 'subject'; pass each subject as its own recording")
    if by not in recording.coords or len(recording[by].dims) != 1 or recording[by].dims == ("unit",):
        known = sorted(str(n) for n, c in recording.coords.items() if len(c.dims) == 1 and c.dims != ("unit",))
        raise AnalysisError(
            f"{analysis}: no coordinate {by!r} on the samples of a recording with dims {recording.dims}; there are: "
            f"{', '.join(known) or 'none'}; name one as by="
        )
    labels = recording[by].values
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise AnalysisError(f"{analysis}: {int(np.isnan(labels).sum())} samples have no {by}; drop them first")
    return labels.astype(str).astype(object) if labels.dtype.kind in "OU" else np.asarray(labels)


def _require_finite(infinite: int, analysis: str) -> None:
    if infinite:
        raise AnalysisError(f"{analysis}: {infinite} infinite values; they have no distance: mask them as NaN first")


def table(rows: Sequence[Sequence[float]] | np.ndarray, patterns_: Patterns) -> xr.DataArray:
    """Give a (recording, recording2) matrix its labels."""
    return xr.DataArray(np.asarray(rows, dtype=np.float64), dims=("recording", "recording2"), coords=patterns_.coords())
