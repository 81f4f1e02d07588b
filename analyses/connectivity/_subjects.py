"""Several subjects at once: one complete (sample, unit) matrix each in, labelled averages out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import (
    averaged,
    each_subject,
    require_present,
    require_samples,
    stacked_units,
    subject_coords,
)
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES, side_coords
from neurointerp.matrix import Stacked, stretches
from neurointerp.streaming import Rows

Average = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Turns (subject, ...) values, NaN where there is none, into one, and says how many there were."""
Plan = Callable[[list[slice]], Any]
"""Refuses options that the stretches of a subject do not allow, and gives what follows from them."""


@dataclass(frozen=True)
class Subjects:
    """A recording subject by subject; without a `subject` dim there is one.

    Attributes
    ----------
    stacked
        The recording as one matrix, and its labels.
    each
        (sample, unit) of each subject, of the units that it has; `Rows` where the recording is chunked.
    present
        (unit): which of all units those are.
    parts
        The stretches of one subject, which are those of all.
    coords
        Those of `subject`; empty where there is no such dim.
    plan
        What the plan of `subjects_of` gave.
    """

    stacked: Stacked
    each: list[Any]
    present: list[NDArray[np.bool_]]
    parts: list[slice]
    coords: dict[str, Any]
    plan: Any = None

    @property
    def several(self) -> bool:
        return bool(self.coords)

    def undefined(self, varies: Sequence[np.ndarray]) -> int:
        """Count the units that vary in no subject, from (unit of the subject) whether they do."""
        return int((~np.any([_whole(v, p, 1, False) for v, p in zip(varies, self.present, strict=True)], axis=0)).sum())

    def variables(
        self,
        name: str,
        each: Sequence[np.ndarray],
        *,
        average: Average,
        attrs: Mapping[str, Any],
        sides: tuple[str, ...] = SIDES,
        axes: Mapping[str, Any] | None = None,
    ) -> dict[str, xr.DataArray]:
        """Label `name` (side, ..., axis, ...) of one subject, or its average and what was averaged.

        `each` holds the values of each subject for the units that it has; NaN stands for the others. The parts of the
        average are `by_subject`, with the name before it unless that is `connectivity`; `subjects` is how many a pair
        has.
        """
        filled = [_whole(values, p, len(sides), np.nan) for values, p in zip(each, self.present, strict=True)]
        pairs = {k: v for k, v in side_coords(self.stacked.unit_coords).items() if v.dims[0] in sides}
        dims, coords = (*sides, *(axes or {})), {**pairs, **(axes or {})}
        if not self.several:
            return {name: xr.DataArray(np.ascontiguousarray(filled[0]), dims=dims, coords=coords, attrs=attrs)}
        whole = np.stack(filled)
        mean, count = average(whole)
        own = "by_subject" if name == "connectivity" else f"{name}_by_subject"
        found = {
            name: xr.DataArray(mean, dims=dims, coords=coords, attrs=attrs),
            own: xr.DataArray(whole, dims=("subject", *dims), coords={**self.coords, **coords}, attrs=attrs),
        }
        if sides == SIDES:
            most = count.reshape(*count.shape[: len(sides)], -1).max(axis=-1)
            found["subjects"] = xr.DataArray(most, dims=sides, coords=pairs, attrs={"units": "1"})
        return found

    def numbers(self, name: str, values: Sequence[float]) -> dict[str, xr.DataArray]:
        """Label one number per subject; a scalar where there is one subject."""
        if not self.several:
            return {name: xr.DataArray(values[0], attrs={"units": "1"})}
        return {name: xr.DataArray(list(values), dims=("subject",), coords=self.coords, attrs={"units": "1"})}


def subjects_of(recording: xr.DataArray, analysis: str, plan: Plan | None = None) -> Subjects:
    """Give a recording subject by subject; a unit that a subject lacks is NaN there as a whole.

    Any other missing value is refused. `plan` sees the stretches of a subject before a block is read.
    """
    stacked = stacked_units(recording, analysis, lazy=True)
    parts = stretches(recording)
    parts = parts[: len(parts) // max(recording.sizes.get("subject", 1), 1)]
    if "subject" not in recording.dims:
        require_samples(stacked, len(stacked.values), 2, analysis)
        planned = plan(parts) if plan else None
        require_present(recording, stacked, analysis)
        return Subjects(stacked, [stacked.values], [np.ones(stacked.values.shape[1], dtype=bool)], parts, {}, planned)
    count = recording.sizes["subject"]
    if not count or len(stacked.values) // count < 2:
        raise AnalysisError(f"{analysis}: {len(stacked.values)} samples of {count} subjects; each needs at least 2")
    planned = plan(parts) if plan else None
    lazy = isinstance(stacked.values, Rows)
    given: list[Any] = each_subject(recording) if lazy else np.split(stacked.values, count)
    each, present = [], []
    for s, values in enumerate(given):
        missing = values.about.missing if lazy else np.isnan(values).sum(axis=0)
        there = missing < len(values)
        single = np.where(there, missing, 0)
        if single.any():
            unit = stacked.unit_coords["unit"].values[int((single > 0).argmax())]
            raise AnalysisError(
                f"{analysis}: {int(single.sum())} missing values within units that subject {s} otherwise has, first in "
                f"unit {unit!r}; fill them (align.interpolate) or drop the unit (.drop_sel(unit=[...]))"
            )
        each.append(values if there.all() else values.take(there) if lazy else values[:, there])
        present.append(there)
    coords = subject_coords(recording) or {"subject": ("subject", np.arange(count))}
    return Subjects(stacked, each, present, parts, coords, planned)


def mean(each: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average (subject, ...) values as they are, without NaN; give also how many there were."""
    return averaged(each, fisher=False)


def fisher_mean(each: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average (subject, ...) correlations on Fisher's z, without NaN; give also how many there were."""
    return averaged(each, fisher=True)


def combined_p(each: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Combine the p-values (subject, ...) of independent subjects by Fisher's method, without NaN."""
    from scipy.stats import chi2

    there = ~np.isnan(each)
    count = there.sum(axis=0)
    with np.errstate(divide="ignore"):
        statistic = -2 * np.log(np.where(there, each, 1.0)).sum(axis=0)
    return np.where(count > 0, chi2.sf(statistic, 2 * np.maximum(count, 1)), np.nan), count


def _whole(values: np.ndarray, present: NDArray[np.bool_], sides: int, fill: Any) -> np.ndarray:
    """Give values (unit, ...), or (unit, unit, ...), of all units from those of the units that are present."""
    if present.all():
        return values
    out = np.full((len(present),) * sides + values.shape[sides:], fill, dtype=values.dtype)
    out[np.ix_(*(present,) * sides)] = values
    return out
