"""A space that several brains or models share: hyperalignment, or the shared response model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.geometry._patterns import Patterns, averaged, joined, named, patterns
from neurointerp.backend import like, namespace, to_numpy
from neurointerp.device import require_device, whole_on
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "geometry.hyperalignment"
_ALIGNED = "geometry.aligned"


def hyperalignment(
    recordings: Mapping[str, xr.DataArray], rank: int, *, by: str = "stimulus", join: str = "exact",
    max_iter: int = 200, tolerance: float = 1e-8, device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Find one response to the stimuli that all recordings share, and how each carries it.

    Minimises :math:`\sum_i \|X_i - S W_i^\top\|^2` over one shared response :math:`S` (stimulus, component) and an
    orthonormal basis :math:`W_i` (unit, component) per recording, by turns: :math:`W_i` by orthogonal Procrustes,
    :math:`S = \overline{X_i W_i}`. With `rank` as large as the number of units, equal in all, this is hyperalignment.

    Parameters
    ----------
    recordings
        Name -> recording with the coordinate `by`; samples of one stimulus are averaged, units are centred over
        stimuli. Units may differ in name and number.
    rank
        Components of the shared space, at most the smallest number of units and of stimuli.
    by, join
        As in `cka`.
    max_iter, tolerance
        The turns end when the loss falls by less than `tolerance` of the sum of squares.
    device
        Where torch takes the turns (`"cuda"`, `"cpu"`, ...), in float64: all mean patterns are copied there, and
        refused where three times their size is not free. None (default): numpy.
    seed
        Seed of the start, a random orthonormal basis for each recording.

    Returns
    -------
    xarray.Dataset
        `shared (stimulus, component)`, centred, its components uncorrelated and in falling order of variance; `basis
        (feature, component)` with the coordinates `of_recording` and `of_unit` on `feature`, all recordings below each
        other, and `centre (feature)`, what was subtracted; `loss (iteration)`, the squared relative error;
        `explained_variance (recording)`.

    Raises
    ------
    AlignmentError
        When stimuli differ and `join` is `exact`, or fewer than three are shared.
    AnalysisError
        When values are missing (their count), a recording does not vary, or the rank is too large.

    References
    ----------
    Haxby et al. (2011), Neuron 72:404 (hyperalignment); Chen et al. (2015), NeurIPS 28 (shared response model, here
    the deterministic one, eq. 1). Deviation from the former: all recordings are aligned at once, none is the first.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.standard_normal((20, 2))
    >>> make = lambda v: ni.recording(v, modality="fmri", units="1", dims=("trial", "unit"),
    ...                               coords={"stimulus": ("trial", np.arange(20))})
    >>> recs = {name: make(shared @ np.linalg.qr(rng.standard_normal((5, 2)))[0].T) for name in "ab"}
    >>> geometry.hyperalignment(recs, 2).explained_variance.values.round(6)
    array([1., 1.])
    """
    require_device(device, None, _ANALYSIS)
    found = patterns(recordings, _ANALYSIS, by=by, join=join)
    largest = min(len(found.stimulus), *(values.shape[1] for values in found.values))
    if not isinstance(rank, int | np.integer) or not 1 <= rank <= largest:
        raise AnalysisError(f"{_ANALYSIS}: rank is {rank!r}; with these stimuli and units, 1 to {largest} are possible")
    if max_iter < 1 or not tolerance >= 0:
        raise AnalysisError(
            f"{_ANALYSIS}: max_iter {max_iter!r} and tolerance {tolerance!r}: 1 or more and 0 or more are needed"
        )
    centres = [values.mean(axis=0) for values in found.values]
    centred = [values - centre for values, centre in zip(found.values, centres, strict=True)]
    for name, values in zip(found.names, found.values, strict=True):
        if not (np.ptp(values, axis=0) > 0).any():
            raise AnalysisError(f"{_ANALYSIS}: {name!r} gives the same pattern for all {len(found.stimulus)} {by}")
    there = whole_on(centred, device, _ANALYSIS)
    shared, bases, loss = _alternated(there, rank, max_iter, tolerance, np.random.default_rng(seed))
    rest = [((x - shared @ w.T) ** 2).sum() for x, w in zip(centred, bases, strict=True)]
    share = [1 - left / max((x**2).sum(), 1e-300) for x, left in zip(centred, rest, strict=True)]
    component, names = {"component": np.arange(rank)}, {"recording": found.coords()["recording"]}
    whose = _features(found, recordings)
    return result(
        {
            "shared": xr.DataArray(
                shared, dims=("stimulus", "component"), coords={"stimulus": found.stimulus, **component}
            ),
            "basis": xr.DataArray(np.concatenate(bases), dims=("feature", "component"), coords={**whose, **component}),
            "centre": xr.DataArray(np.concatenate(centres), dims="feature", coords=whose),
            "loss": xr.DataArray(loss, dims="iteration"),
            "explained_variance": xr.DataArray(share, dims="recording", coords=names),
        },
        analysis=_ANALYSIS,
        recording=list(recordings.values()),
        parameters={"rank": int(rank), "by": by, "join": join, "max_iter": max_iter, "tolerance": tolerance,
                    "device": device},
        seed=seed,
    )  # fmt: skip


def aligned(
    found: xr.Dataset, recordings: Mapping[str, xr.DataArray], *, by: str = "stimulus", seed: int = 0
) -> xr.Dataset:
    """Bring other responses of the same recordings into the space that `hyperalignment` found.

    Parameters
    ----------
    found
        Result of `hyperalignment`.
    recordings
        Names that `found` knows -> recording with the same units and the coordinate `by`; other stimuli than
        those aligned on, for an honest test. All hold the same stimuli.
    by
        Sample coordinate that names the stimulus.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `response (recording, stimulus, component)`.

    Raises
    ------
    AlignmentError
        When the recordings do not hold the same stimuli.
    AnalysisError
        When `found` has no such recording, its units differ, or values are missing.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> import numpy as np
    >>> rec = ni.recording(np.random.default_rng(0).standard_normal((20, 5)), modality="fmri", units="1",
    ...                    dims=("trial", "unit"), coords={"stimulus": ("trial", np.arange(20))})
    >>> found = geometry.hyperalignment({"a": rec, "b": rec}, 2)
    >>> bool(np.allclose(geometry.aligned(found, {"a": rec}).response.values[0], found.shared))
    True
    """
    rows = {}
    for name, rec in named(recordings, _ALIGNED, least=1).items():
        part = found.isel(feature=found["of_recording"].values == name)
        labels, values = averaged(rec, _ALIGNED, by=by)
        if list(part["of_unit"].values) != _unit_names(rec, by):
            raise AnalysisError(
                f"{_ALIGNED}: {name!r} does not have the {part.sizes['feature']} units it was aligned "
                "with, in their order"
            )
        rows[name] = (labels, (values - part["centre"].values) @ part["basis"].values)
    stimulus, _ = joined({name: labels for name, (labels, _) in rows.items()}, _ALIGNED, by=by, join="exact")
    place = [{label: row for row, label in enumerate(labels.tolist())} for labels, _ in rows.values()]
    response = [
        values[[at[label] for label in stimulus.tolist()]] for at, (_, values) in zip(place, rows.values(), strict=True)
    ]
    coords = {"recording": np.array(list(rows), dtype=object), "stimulus": stimulus, "component": found["component"]}
    named_response = xr.DataArray(np.stack(response), dims=("recording", "stimulus", "component"), coords=coords)
    return result(
        {"response": named_response},
        analysis=_ALIGNED,
        recording=list(recordings.values()),
        parameters={"by": by},
        seed=seed,
    )


def _alternated(
    centred: list[Any], rank: int, max_iter: int, tolerance: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray], list[float]]:
    """Give S, the W_i and the loss of each turn; S on its principal axes, signs fixed."""
    power = [float((x**2).sum()) for x in centred]
    bases = [like(np.linalg.qr(rng.standard_normal((x.shape[1], rank)))[0], x) for x in centred]
    loss: list[float] = []
    while len(loss) < max_iter and (len(loss) < 2 or loss[-2] - loss[-1] > tolerance):
        shared = _mean(centred, bases)
        bases = [_orthonormal(x.T @ shared) for x in centred]
        # ||X - S W'||^2 with W'W = I
        held = float((shared**2).sum())
        loss.append(sum(own + held - 2 * float(((x @ w) * shared).sum())
                        for x, w, own in zip(centred, bases, power, strict=True)) / sum(power))  # fmt: skip
    shared, bases = to_numpy(_mean(centred, bases)), [to_numpy(w) for w in bases]
    turn = np.linalg.svd(shared, full_matrices=False)[2].T
    turn = turn * np.where((shared @ turn)[np.abs(shared @ turn).argmax(axis=0), np.arange(rank)] < 0, -1.0, 1.0)
    return shared @ turn, [w @ turn for w in bases], loss


def _mean(centred: list[Any], bases: list[Any]) -> Any:
    """Give the mean over recordings of what lies on their bases."""
    return sum(x @ w for x, w in zip(centred, bases, strict=True)) / len(centred)


def _orthonormal(product: Any) -> Any:
    u, _, v = namespace(product).linalg.svd(product, full_matrices=False)
    return u @ v


def _unit_names(rec: xr.DataArray, by: str) -> list[str]:
    """Give the unit of each feature of a pattern (of epochs, of each time and unit)."""
    other = int(np.prod([size for dim, size in rec.sizes.items() if dim not in ("unit", *rec[by].dims)], dtype=int))
    return [str(unit) for unit in rec["unit"].values] * other


def _features(found: Patterns, recordings: Mapping[str, xr.DataArray]) -> dict[str, tuple[str, np.ndarray]]:
    names = [name for name, values in zip(found.names, found.values, strict=True) for _ in range(values.shape[1])]
    units = [
        unit
        for rec, values in zip(recordings.values(), found.values, strict=True)
        for unit in [str(u) for u in rec["unit"].values] * (values.shape[1] // rec.sizes["unit"])
    ]
    return {
        "of_recording": ("feature", np.array(names, dtype=object)),
        "of_unit": ("feature", np.array(units, dtype=object)),
    }
