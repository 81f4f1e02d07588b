"""Features joined to responses by what was shown, never by position."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from neurointerp.errors import AlignmentError
from neurointerp.matrix import require_complete, stack
from neurointerp.recordings import add_history, recording

Pooling = Literal["mean", "last"]


def join(
    features: xr.DataArray, responses: xr.DataArray, *, on: str = "stimulus", pool: Pooling | None = None,
    missing: Literal["raise", "drop"] = "raise",
) -> tuple[xr.DataArray, xr.DataArray]:  # fmt: skip
    """Give each response the features of its stimulus, by label.

    Parameters
    ----------
    features
        One sample dim and `unit`, with the coordinate `on` along the samples: one sample per stimulus, such as a
        model's activations of each image; or several (the tokens of a text) and `pool`.
    responses
        (trial, unit) with the coordinate `on` along `trial`; a stimulus may return.
    on
        Name of the label on both sides.
    pool
        What stands for a stimulus with several samples of features: their `"mean"`, or the `"last"` of them. Default:
        a label that returns among the features is refused.
    missing
        `"raise"` where a response's stimulus has no features; `"drop"` leaves such responses out and says so in
        `history`. Features of stimuli without a response are left out either way.

    Returns
    -------
    tuple of xarray.DataArray
        Features (trial, unit) and responses (trial, unit), one trial per response that is kept, in their order; both
        carry `on`, so that folds can hold whole stimuli out.

    Raises
    ------
    AlignmentError
        When the label is missing on a side, returns among the features without `pool`, or has no features; the
        message counts and names them.
    AnalysisError
        When values to pool are missing.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> shown = {"coords": {"stimulus": ("trial", ["b", "a", "b"])}, "dims": ("trial", "unit"), "units": "1"}
    >>> known = {**shown, "coords": {"stimulus": ("trial", ["a", "b"])}}
    >>> features = ni.recording(np.array([[1.0], [2.0]]), modality="activations", **known)
    >>> responses = ni.recording(np.zeros((3, 1)), modality="fmri", **shown)
    >>> ni.align.join(features, responses)[0].values.ravel()
    array([2., 1., 2.])
    """
    known, shown = _labels(features, on, "features"), _labels(responses, on, "responses")
    if pool not in (None, "mean", "last") or missing not in ("raise", "drop"):
        raise AlignmentError(f"join: pool={pool!r}, missing={missing!r}: 'mean' or 'last', and 'raise' or 'drop', go")
    names, first, counts = np.unique(known, return_index=True, return_counts=True)
    if pool is None and (counts > 1).any():
        raise AlignmentError(
            f"join: {int((counts > 1).sum())} of {names.size} labels {on!r} return among the features, first "
            f"{str(names[counts > 1][0])!r} ({counts.max()} samples at most); pool='mean' or 'last' makes one of them"
        )
    there = np.isin(shown, names)
    if not there.any() or (missing == "raise" and not there.all()):
        lost = np.unique(shown[~there])
        raise AlignmentError(
            f"join: {int((~there).sum())} of {shown.size} responses have no features: {lost.size} labels {on!r}, first "
            f"{str(lost[0])!r}; record them, or missing='drop' if some are left"
        )
    values = _pooled(features, known, names, first, pool)[np.searchsorted(names, shown[there])]
    kept = responses.isel({str(responses.dims[0]): np.flatnonzero(there)})
    return _on_trials(features, values, kept, on, pool, int((~there).sum())), add_history(
        kept, "align.join", on=on, dropped=int((~there).sum())
    )


def _labels(rec: xr.DataArray, on: str, side: str) -> np.ndarray:
    want = ("trial", "unit") if side == "responses" else None
    if rec.ndim != 2 or (want and rec.dims != want) or on not in rec.coords or rec[on].dims != rec.dims[:1]:
        raise AlignmentError(
            f"join: {side} need {'dims (trial, unit)' if want else 'one sample dim'} with the coordinate {on!r} along "
            f"it; found dims {rec.dims}, coordinates {', '.join(sorted(map(str, rec.coords)))}"
        )
    return np.asarray(rec[on].values)


def _pooled(features: xr.DataArray, known: np.ndarray, names: np.ndarray, first: np.ndarray, pool: Any) -> np.ndarray:
    """Give one row per label, labels sorted."""
    values = stack(features).values
    if pool == "last":
        first = len(known) - 1 - np.unique(known[::-1], return_index=True)[1]
    if pool != "mean":
        picked: np.ndarray = values[first]
        return picked
    require_complete(features, "align.join")
    number = np.searchsorted(names, known)
    total = np.zeros((names.size, values.shape[1]))
    np.add.at(total, number, values)
    mean: np.ndarray = (total / np.bincount(number)[:, None]).astype(values.dtype)
    return mean


def _on_trials(
    features: xr.DataArray, values: np.ndarray, responses: xr.DataArray, on: str, pool: Any, dropped: int
) -> xr.DataArray:
    coords = {str(n): ("unit", c.values) for n, c in features.coords.items() if c.dims == ("unit",) and n != "unit"}
    along = {str(n): ("trial", c.values) for n, c in responses.coords.items() if c.dims == ("trial",) and n != "trial"}
    if "trial" in responses.coords:
        along["trial"] = ("trial", responses["trial"].values)
    out = recording(
        values, modality=features.attrs["modality"], units=features.attrs["units"], dims=("trial", "unit"),
        unit=list(features["unit"].values), coords={**coords, **along}, name=str(features.name or on),
        attrs={k: v for k, v in features.attrs.items() if k != "sampling_rate"},
    )  # fmt: skip
    return add_history(out, "align.join", on=on, pool=pool, responses_dropped=dropped)


def require_alike(a: xr.DataArray, b: xr.DataArray, name: str, analysis: str) -> None:
    """Refuse matched recordings whose samples both have the label `name`, and not the same one."""
    sides = [rec[name].reset_coords(drop=True) for rec in (a, b) if name in rec.coords and rec[name].dims]
    if len(sides) < 2:
        return
    one, other = (side.values for side in xr.broadcast(*sides))
    if (one.dtype.kind in "OUT") != (other.dtype.kind in "OUT"):
        one, other = one.astype(str), other.astype(str)
    differ = (one != other) & ((one == one) | (other == other))  # both may be NaN
    if differ.any():
        where = np.unravel_index(int(np.argmax(differ)), differ.shape)
        raise AlignmentError(
            f"{analysis}: {name!r} differs between the recordings on {np.count_nonzero(differ)} of {differ.size} "
            f"samples, first {str(one[where])!r} and {str(other[where])!r}: put them in one order "
            f"(ni.align.join(..., on={name!r})), or drop what does not mean the same"
        )
