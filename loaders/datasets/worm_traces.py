"""Traces of any worm on the common neuron order and clock: normalise, differentiate, smooth, resample, place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders.datasets import worm_neurons
from neurointerp.recordings import add_history, recording
from neurointerp.schema import check, segment_bounds

TARGET_DT = 1 / 3
"""Step of the common clock (s): what the shortest worm of the published build implies."""
FINE_DT = 0.1
"""Step (s) that faster recordings are averaged from."""
ABOUT = "Simeon Q, Astrom H, Kashyap A, Kording KP, Boyden ES (2024) arXiv:2411.12091"
Kernel = Callable[[np.ndarray], np.ndarray]


def homogenise(rec: xr.DataArray, *, target_dt: float = TARGET_DT, neurons: int = 300) -> xr.DataArray:
    """Put one worm's traces on the common neuron order and clock.

    Parameters
    ----------
    rec
        (time, unit) calcium traces of one worm, clock in seconds, as any worm's `load` gives them. Units are the
        labels as annotated; the coordinate `is_labeled`, where there is one, marks those that are a name at all.
    target_dt
        Step of the clock (s); 1/3 by default.
    neurons
        300, or 302 with CANL and CANR.

    Returns
    -------
    xarray.DataArray
        (time, unit), float64, units `"1"`: each trace with mean 0 and standard deviation 1 over its own samples
        (a constant trace is 0). Units are the whole order, NaN where the worm has no such neuron, then the
        unlabelled traces as `u000`, ... in the file's order: never in a name's place. Along `unit`: `is_labeled`,
        `cell_class`, `cell_type`, `hemisphere`, `label` (as annotated), `candidates` (`A,B`: what the label could
        mean) and `column` (place in `rec`, -1 where missing). `time` holds the multiples of `target_dt` that the
        recording covers, counted from its first stamp. attrs: `dt` (the step produced), `original_dt` (median)
        and the numbers of `labeled` and `unlabeled` traces.

    Raises
    ------
    LoaderError
        When `rec` is not (time, unit) in seconds, has fewer than two samples in a segment or no span.

    Notes
    -----
    Simeon et al. 2024, arXiv:2411.12091, their order of steps. Deviations: missing values stay NaN (a resampled
    value between a missing and a present one is NaN); labels that leave several neurons open name none, where
    the source draws one at random; unlabelled traces get units of their own, where the source gives them free
    names; where the recording is faster than the target, the fine grid has `target_dt / round(target_dt / 0.1)`
    as its step, so that the clock asked for is the one produced (the source truncates, and 0.7 s can become
    0.6 s), and an average is centred on its stamp. Segments are treated one by one.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> labels = ["AVAL", "RI?", "VB02", "4"]
    >>> rec = ni.recording(np.eye(4), modality="calcium", units="1", sampling_rate=1.0, unit=labels)
    >>> out = homogenise(rec, target_dt=0.5)
    >>> out.sizes["unit"], list(out.unit.values[-2:]), bool(out.sel(unit="VB2").notnull().all())
    (302, ['u000', 'u001'], True)
    >>> str(out.sel(unit="u000").candidates.values)
    'RID,RIH,RIR,RIS'
    """
    _check(rec, target_dt)
    return _finished(rec, normalised(_values(rec)), "calcium", target_dt, neurons)


def copies(
    rec: xr.DataArray, *, target_dt: float = TARGET_DT, neurons: int = 300, smoother: str = "gaussian"
) -> dict[str, xr.DataArray]:
    """Give one worm as `homogenise` does, with its derivative, smoothed copies and the traces as they were.

    Parameters
    ----------
    rec, target_dt, neurons
        As for `homogenise`.
    smoother
        `"gaussian"` (standard deviation 3 frames), `"moving_average"` (21 frames) or `"exponential"` (0.1).

    Returns
    -------
    dict of str to xarray.DataArray
        Recordings `calcium`, `residual` (its time derivative, 1/s), `calcium_smooth`, `residual_smooth`, all
        on the common order and clock, and `original`: `rec` itself. They are what a session takes.

    Raises
    ------
    LoaderError
        As for `homogenise`, or when the smoother is not known.

    Notes
    -----
    All are made on the recording's own clock, then resampled. Deviations from Simeon et al. 2024: the derivative
    is `numpy.gradient` by the stamps themselves, second order also where steps differ (the source divides the
    differences by their mean step; the same on a regular clock); the moving average mirrors the trace at its ends,
    where the source pads with zeros; a missing value is left out of the average around it.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.eye(4), modality="calcium", units="1", sampling_rate=1.0)
    >>> list(copies(rec))
    ['calcium', 'residual', 'calcium_smooth', 'residual_smooth', 'original']
    """
    _check(rec, target_dt)
    if smoother not in SMOOTHERS:
        raise LoaderError(f"no smoother {smoother!r}; there are {', '.join(SMOOTHERS)}")
    calcium = normalised(_values(rec))
    residual = _by_segment(rec, calcium, lambda part, time: np.gradient(part, time, axis=0))
    out = {}
    for name, values in (("calcium", calcium), ("residual", residual)):
        out[name] = _finished(rec, values, name, target_dt, neurons)
        smooth = _by_segment(rec, values, lambda part, _: SMOOTHERS[smoother](part))
        done = _finished(rec, smooth, f"{name}_smooth", target_dt, neurons)
        out[f"{name}_smooth"] = add_history(done, "loaders.datasets.worm_traces.copies", smoother=smoother)
        out[f"{name}_smooth"].attrs["smoother"] = smoother
    order = ("calcium", "residual", "calcium_smooth", "residual_smooth")
    return {name: out[name] for name in order} | {"original": rec}


def worm(
    values: Any, time: Any, labels: Sequence[str], *, function: str, attrs: dict[str, Any], **coords: Any
) -> xr.DataArray:
    """Build one worm's recording from its traces as stored and their annotation.

    Parameters
    ----------
    values
        (time, neuron).
    time
        Stamps (s); the clock is counted from the first, which `history` keeps.
    labels
        Annotation of each neuron; "" or a number where there is none.
    function
        The loader, for `history`.
    attrs, **coords
        Further attrs, and coordinates along `unit`.

    Returns
    -------
    xarray.DataArray
        (time, unit): units are the labels, `u000`, ... (place in the file) for those without one and for
        repeated ones. `is_labeled` marks labels that spell one neuron; `candidates` are what the others could mean.

    Raises
    ------
    RecordingError
        When the shapes or the clock are not those of a recording.

    Examples
    --------
    >>> import numpy as np
    >>> rec = worm(np.eye(3), [7.0, 7.5, 8.1], ["AVAL", "", "AVAL"], function="example", attrs={})
    >>> list(rec.unit.values), rec.is_labeled.values
    (['AVAL', 'u001', 'u002'], array([ True, False, False]))
    """
    stamps = np.asarray(time, dtype=np.float64).ravel()
    texts = ["" if str(label).strip().isnumeric() else str(label).strip() for label in labels]
    found = worm_neurons.identify(texts)
    first = [bool(text) and text not in texts[:place] for place, text in enumerate(texts)]
    repeat = [bool(worm_neurons.canonical(text)) and not name for text, name in zip(texts, found.names, strict=True)]
    names = [
        text if new and not again else f"u{place:03d}"
        for place, (text, new, again) in enumerate(zip(texts, first, repeat, strict=True))
    ]
    rec = recording(
        values, modality="calcium", units="1", time=stamps - stamps[0] if stamps.size else stamps, unit=names,
        name="calcium", attrs=attrs,
        coords={
            "is_labeled": ("unit", np.array([bool(name) for name in found.names])),
            "label": ("unit", texts),
            "candidates": ("unit", list(found.candidates)),
            **{name: ("unit", column) for name, column in coords.items()},
        },
    )  # fmt: skip
    return add_history(
        rec, function, first_stamp=float(stamps[0]) if stamps.size else 0.0, labeled=sum(map(bool, found.names)),
        repeated_labels=list(found.repeated),
    )  # fmt: skip


def normalised(values: np.ndarray) -> np.ndarray:
    """Scale each column to mean 0 and standard deviation 1 over its finite entries; a constant one is 0."""
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=0), 1)
    centred = values - np.where(finite, values, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(finite, centred, 0) ** 2).sum(axis=0) / count)
    flat = spread <= 1e-12 * np.abs(np.where(finite, values, 0)).max(axis=0, initial=0)
    out: np.ndarray = np.where(flat & finite, 0.0, centred / np.where(flat, 1.0, spread))
    return out


def resampled(values: np.ndarray, time: np.ndarray, target_dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Put the rows of a (time, unit) matrix on the multiples of `target_dt` within the span of `time`.

    Linear interpolation where the median step is at least the target; else the mean of `round(target_dt / 0.1)`
    interpolated points, centred on each stamp (the interpolated value itself where they would leave the span).
    """
    slack = 1e-9 * target_dt
    steps = np.arange(np.ceil((time[0] - slack) / target_dt), np.floor((time[-1] + slack) / target_dt) + 1)
    steps += 0.0  # no -0
    grid = np.clip(steps * target_dt, time[0], time[-1])
    if np.median(np.diff(time)) >= target_dt:
        return steps * target_dt, interpolated(values, time, grid)
    parts = max(round(target_dt / FINE_DT), 1)
    points = grid[:, None] + ((np.arange(parts) + 0.5) / parts - 0.5) * target_dt
    inside = (points[:, :1] >= time[0]) & (points[:, -1:] <= time[-1])
    points = np.where(inside, points, grid[:, None])
    fine = interpolated(values, time, points.ravel()).reshape(*points.shape, -1)
    return steps * target_dt, fine.mean(axis=1)


def interpolated(values: np.ndarray, time: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate the columns of a (time, unit) matrix linearly; NaN beside a missing value stays NaN."""
    right = np.clip(np.searchsorted(time, at, side="left"), 1, len(time) - 1)
    weight = ((at - time[right - 1]) / (time[right] - time[right - 1]))[:, None]
    before, after = values[right - 1], values[right]
    between = before * (1 - weight) + after * weight
    out: np.ndarray = np.where(weight <= 0, before, np.where(weight >= 1, after, between))
    return out


def _gaussian(values: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    return _where_finite(values, lambda part: gaussian_filter1d(part, 3.0, axis=0))


def _moving_average(values: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter1d

    return _where_finite(values, lambda part: uniform_filter1d(part, 21, axis=0))


def _exponential(values: np.ndarray) -> np.ndarray:
    import pandas as pd

    smooth = pd.DataFrame(values).ewm(alpha=0.1, adjust=False, ignore_na=True).mean().to_numpy()
    return np.where(np.isfinite(values), smooth, np.nan)


def _where_finite(values: np.ndarray, smooth: Kernel) -> np.ndarray:
    """Smooth what is there: the filtered values over the filtered mask."""
    finite = np.isfinite(values)
    weight = smooth(finite.astype(np.float64))
    out = smooth(np.where(finite, values, 0.0)) / np.where(finite, weight, 1.0)
    return np.where(finite, out, np.nan)


SMOOTHERS: dict[str, Kernel] = {
    "gaussian": _gaussian,
    "moving_average": _moving_average,
    "exponential": _exponential,
}


def _check(rec: xr.DataArray, target_dt: float) -> None:
    check(rec)
    if rec.dims != ("time", "unit") or rec["time"].attrs.get("units") != "s":
        raise LoaderError(f"one worm's traces (time, unit) in seconds are needed, found dims {rec.dims}")
    if not target_dt > 0:
        raise LoaderError(f"target_dt is {target_dt!r}: a positive number of seconds is needed")
    short = [stop - start for start, stop in segment_bounds(rec) if stop - start < 2]
    if short:
        raise LoaderError(f"a segment has {short[0]} samples: two are needed to resample it")


def _values(rec: xr.DataArray) -> np.ndarray:
    return np.asarray(rec.values, dtype=np.float64)


def _by_segment(rec: xr.DataArray, values: np.ndarray, kernel: Callable[..., np.ndarray]) -> np.ndarray:
    time = rec["time"].values
    return np.concatenate([kernel(values[a:b], time[a:b]) for a, b in segment_bounds(rec)])


def _finished(rec: xr.DataArray, values: np.ndarray, name: str, target_dt: float, neurons: int) -> xr.DataArray:
    """Resample each segment, then place every trace in the slot of its name or behind them all."""
    time = rec["time"].values - rec["time"].values[0]
    bounds = segment_bounds(rec)
    pieces = [resampled(values[a:b], time[a:b], target_dt) for a, b in bounds]
    clock = np.concatenate([stamps for stamps, _ in pieces])
    if not clock.size:
        raise LoaderError(f"the recording spans {time[-1]:g} s, which holds no step of {target_dt:g} s")
    traces = np.concatenate([part for _, part in pieces])
    given = rec["label" if "label" in rec.coords else "unit"].values
    labels = ["" if re.fullmatch(r"u\d+", str(label)) else str(label) for label in given]
    named = [bool(each) for each in rec["is_labeled"].values] if "is_labeled" in rec.coords else None
    units, column, coords = slots(labels, neurons=neurons, named=named)
    placed = np.where(column >= 0, traces[:, column], np.nan)
    labelled = (column >= 0) & coords["is_labeled"][1]
    if len(bounds) > 1:
        sizes = [len(stamps) for stamps, _ in pieces]
        coords["segment"] = ("time", np.repeat(np.arange(len(pieces)), sizes))
    about = {key: value for key, value in rec.attrs.items() if key not in ("sampling_rate", "units", "modality")}
    out = recording(
        placed, modality="calcium", units="1/s" if name.startswith("residual") else "1", time=clock, unit=units,
        sampling_rate=1 / target_dt, name=name, coords=coords,
        attrs={
            **about, "dt": target_dt, "original_dt": float(np.median(np.diff(time))), "labeled": int(labelled.sum()),
            "unlabeled": int((column >= 0).sum() - labelled.sum()), "normaliser": "z-score of each trace over time",
        },
    )  # fmt: skip
    return add_history(
        out, "loaders.datasets.worm_traces.homogenise", target_dt=target_dt, neurons=neurons,
        awc_on_off_aliases=list(worm_neurons.identify([str(unit) for unit in rec["unit"].values]).aliased),
        largest_gap=float(np.diff(time).max()), missing=int(np.isnan(values).sum()), method=ABOUT,
    )  # fmt: skip


def slots(
    labels: Sequence[str], *, neurons: int = 300, named: Sequence[bool] | None = None
) -> tuple[list[str], np.ndarray, dict[str, Any]]:
    """Give every trace its place: the slot of its name, or one behind all names.

    Parameters
    ----------
    labels
        Annotation of each trace; "" where there is none.
    neurons
        300, or 302 with CANL and CANR.
    named
        Which labels may be a name; all by default. The others keep their candidates.

    Returns
    -------
    units : list of str
        The whole order, then `u000`, ... for the traces without a name in it.
    column : numpy.ndarray
        The trace in each of them, -1 where there is none.
    coords : dict
        `is_labeled`, `cell_class`, `cell_type`, `hemisphere`, `label`, `candidates`, `column`, each along `unit`.

    Examples
    --------
    >>> units, column, coords = slots(["VB02", "SAAD?", "VB2"])
    >>> units[300:], [int(column[units.index(name)]) for name in ("VB2", "VB1")]
    (['u000', 'u001'], [0, -1])
    """
    allowed = [True] * len(labels) if named is None else [bool(each) for each in named]
    found = worm_neurons.identify([label if may else "" for label, may in zip(labels, allowed, strict=True)])
    meant = [",".join(worm_neurons.candidates(label)) for label in labels]
    order = worm_neurons.order(neurons)
    placed = {name: place for place, name in enumerate(found.names) if name in order}
    taken = set(placed.values())
    loose = [place for place in range(len(labels)) if place not in taken]
    column = np.array([placed.get(name, -1) for name in order] + loose, dtype=np.int64)
    known = [worm_neurons.neurons()[name] for name in order]
    blank = [""] * len(loose)
    units = [*order, *(f"u{number:03d}" for number in range(len(loose)))]
    coords: dict[str, Any] = {
        "is_labeled": ("unit", np.arange(len(units)) < len(order)),
        "cell_class": ("unit", [neuron.cell_class for neuron in known] + blank),
        "cell_type": ("unit", [neuron.cell_type for neuron in known] + blank),
        "hemisphere": ("unit", [neuron.hemisphere for neuron in known] + blank),
        "label": ("unit", [labels[place] if place >= 0 else "" for place in column]),
        "candidates": ("unit", [meant[place] if place >= 0 else "" for place in column]),
        "column": ("unit", column),
    }
    return units, column, coords
