"""Differential affinity: which pairs of units change together, moment by moment; and the motifs made of it."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import one_of
from neurointerp.errors import AnalysisError
from neurointerp.graph import side_coords
from neurointerp.matrix import in_memory
from neurointerp.result import result
from neurointerp.schema import check, segment_bounds

_ANALYSIS = "connectivity.affinity"
_CONNECTOME = "connectivity.dynamic_connectome"
KERNELS = ("geomean", "min", "product")


def affinity(
    recording: xr.DataArray, *, kernel: str = "geomean", smooth: float = 2.0, bin_size: int = 4, min_subjects: int = 1,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Measure, at every moment and in every subject, which pairs of units change together.

    Each unit is smoothed by a Gaussian, :math:`d_i(t)` is its central difference over its root mean square, and

    .. math:: a_{ij}(t) = \sqrt{\max(0, d_i(t)\, d_j(t))} \quad (\text{geomean}), \qquad
        \min(|d_i|, |d_j|)\, [d_i d_j > 0] \quad (\text{min}), \qquad \max(0, d_i d_j) \quad (\text{product}),

    averaged in bins of time. Two units that move against each other have affinity 0. Smoothing, differences and bins
    stay within segments.

    Parameters
    ----------
    recording
        (time, unit), (subject, time, unit) or (trial, time, unit), on a common clock (`align.stack_subjects`). A unit
        that a subject lacks is NaN there as a whole; single missing values are refused.
        All values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    kernel
        `geomean`, `min` or `product`.
    smooth
        Standard deviation of the Gaussian in samples; 0 leaves it out.
    bin_size
        Samples averaged; what is left over at the end of a segment is dropped.
    min_subjects
        Units that fewer subjects have are left out.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `affinity (time, subject, pair)`, dimensionless, >= 0; `trial` instead of `subject` where trials were given.
        `pair` is `"<unit>~<unit>"`, with the coordinates `unit_i` and `unit_j`, and runs over the strict upper
        triangle. NaN where a subject lacks one of the two, or one is constant. Pairs that no subject has are left
        out; the attr `unobserved_pairs` counts them. `time` is the mean of each bin.

    Raises
    ------
    AnalysisError
        When the recording has other dims, single values are missing, fewer than two units are left, no segment is as
        long as a bin, or an argument is out of range.

    References
    ----------
    Dyballa, Lang, Haslund-Gourley, Yemini, Zucker (2024), Learning dynamic representations of the functional
    connectome in neurobiological networks, ICLR, arXiv 2402.14102. The exact kernel of the paper could not be
    verified, nor its smoothing and bins: kernels and defaults are choices made here. That derivatives are used and
    opposite changes count as zero is the paper's.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> t = np.arange(40)
    >>> values = np.stack([np.sin(t / 5), np.sin(t / 5), -np.sin(t / 5)], axis=1)
    >>> rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0, unit=["a", "b", "c"])
    >>> found = connectivity.affinity(rec).affinity.isel(subject=0).mean("time")
    >>> bool(found.sel(pair="a~b") > 0.7), float(found.sel(pair="a~c"))
    (True, 0.0)
    """
    one_of(kernel, KERNELS, _ANALYSIS, "kernel")
    for name, value, least in (("bin_size", bin_size, 1), ("min_subjects", min_subjects, 1)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise AnalysisError(f"{_ANALYSIS}: {name} is {value!r}; a whole number of at least {least} is needed")
    if not smooth >= 0:
        raise AnalysisError(f"{_ANALYSIS}: smooth is {smooth!r}; a number of at least 0 is needed")
    by_subject = _by_subject(recording)
    bins = _bins(by_subject, int(bin_size))
    if not bins:
        raise AnalysisError(f"{_ANALYSIS}: no segment has {bin_size} samples; choose smaller bins")
    if min_subjects > len(by_subject):
        _require_two(0, min_subjects)
    by_subject = in_memory(by_subject, _ANALYSIS)
    kept = by_subject.isel(unit=_present(by_subject).sum(axis=0) >= min_subjects)
    _require_two(kept.sizes["unit"], min_subjects)
    rates = _rates(kept, float(smooth))
    variable = _labelled(kept, _affinities(rates, bins, kernel), bins)
    if not variable.sizes["pair"]:
        raise AnalysisError(f"{_ANALYSIS}: none of the {kept.sizes['unit']} units varies together with another")
    return result(
        {"affinity": variable},
        analysis=_ANALYSIS,
        recording=recording,
        parameters={"kernel": kernel, "smooth": smooth, "bin_size": bin_size, "min_subjects": min_subjects},
        seed=seed,
    )


def dynamic_connectome(
    recording: xr.DataArray, rank: int, *, kernel: str = "geomean", smooth: float = 2.0, bin_size: int = 4,
    min_subjects: int = 1, restarts: int = 20, model: str = "either", starts: int = 10, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Find which groups of units change together, during which stretch of time, in which subjects.

    Three stages, each a function of its own: `connectivity.affinity`, `tensor.nonnegative_cp` on its (time, subject,
    pair), and `graphs.motifs`, which folds each component into a graph, divides it into blocks and reads off its
    interval and its subjects.

    Parameters
    ----------
    recording
        (time, unit), (subject, time, unit) or (trial, time, unit) on a common clock; a unit that a subject lacks is
        NaN there.
        All values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    rank
        Number of components, the background among them; `tensor.rank` compares several.
    kernel, smooth, bin_size, min_subjects
        Of `connectivity.affinity`.
    restarts
        Starts of the factorization.
    model, starts
        Of the blocks, as in `graphs.block_model`.
    seed
        Seed of all starts.

    Returns
    -------
    xarray.Dataset
        All that `graphs.motifs` gives, the units with the side coordinates of the recording, and from the
        factorization `factor_pair (pair, component)`, `relative_error` and `restart_error (restart)`.

    Raises
    ------
    AnalysisError
        As the three stages.

    References
    ----------
    Dyballa, Lang, Haslund-Gourley, Yemini, Zucker (2024), Learning dynamic representations of the functional
    connectome in neurobiological networks, ICLR, arXiv 2402.14102; deviations are listed at each stage.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> tree = ni.synthetic.dynamic_motifs(n_units=16, n_motifs=1, motif_size=6, gain=3, seed=1)
    >>> rec = tree["recordings/dynamic_motifs/recording"]
    >>> found = connectivity.dynamic_connectome(rec, 2, restarts=2, starts=1)
    >>> motif = found.community.sel(component=1, level=0)
    >>> planted = tree["truth/member"].values[0]
    >>> len(set(motif.values[planted])), len(set(motif.values[~planted]) & set(motif.values[planted]))
    (1, 0)
    """
    from neurointerp.analyses.graphs.block_model import MODELS  # graphs builds on this family
    from neurointerp.analyses.graphs.motifs import motifs
    from neurointerp.analyses.tensor import nonnegative_cp

    one_of(model, (*MODELS, "either"), _CONNECTOME, "model")
    for name, value in (("rank", rank), ("restarts", restarts), ("starts", starts)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise AnalysisError(f"{_CONNECTOME}: {name} is {value!r}; a whole number of at least 1 is needed")
    pairs = affinity(recording, kernel=kernel, smooth=smooth, bin_size=bin_size, min_subjects=min_subjects, seed=seed)
    factors = nonnegative_cp(pairs, rank, restarts=restarts, seed=seed)
    read = motifs(factors, model=model, starts=starts, seed=seed)
    coords = recording.sel(unit=read["unit"].values).coords
    units = {str(name): ("unit", c.values, c.attrs) for name, c in coords.items() if c.dims == ("unit",)}
    parts = read.assign_coords({**units, **side_coords(coords)})
    kept = factors[["factor_pair", "relative_error", "restart_error"]]
    return result(
        {**{str(name): variable for part in (parts, kept) for name, variable in part.data_vars.items()}},
        analysis=_CONNECTOME,
        recording=recording,
        parameters={
            "rank": rank, "kernel": kernel, "smooth": smooth, "bin_size": bin_size, "min_subjects": min_subjects,
            "restarts": restarts, "model": model, "starts": starts,
        },
        seed=seed,
    )  # fmt: skip


def _require_two(units: int, min_subjects: int) -> None:
    if units < 2:
        raise AnalysisError(f"{_ANALYSIS}: {units} units are there in {min_subjects} subjects; two are needed")


def _by_subject(recording: xr.DataArray) -> xr.DataArray:
    """Give (subject or trial, time, unit); one subject where there is no such dim."""
    check(recording)
    if not recording.sizes.get("unit", 1):
        raise AnalysisError(f"{_ANALYSIS}: the recording has no units, dims are {dict(recording.sizes)}")
    if recording.dims == ("time", "unit"):
        name = np.array([str(recording.attrs.get("subject", "0"))], dtype=object)
        return recording.expand_dims({"subject": name})
    if recording.dims not in (("subject", "time", "unit"), ("trial", "time", "unit")):
        raise AnalysisError(
            f"{_ANALYSIS}: dims are {recording.dims}; (time, unit), (subject, time, unit) or (trial, time, unit) is "
            "needed"
        )
    return recording


def _present(by_subject: xr.DataArray) -> NDArray[np.bool_]:
    """Tell which subject has which unit; refuse single missing values."""
    missing = np.isnan(by_subject.values) if by_subject.dtype.kind == "f" else np.zeros(by_subject.shape, bool)
    absent: NDArray[np.bool_] = np.asarray(missing.all(axis=1))
    single = int((missing & ~absent[:, None]).sum())
    if single:
        where = np.argwhere((missing & ~absent[:, None]).any(axis=1))[0]
        dim = by_subject.dims[0]
        raise AnalysisError(
            f"{_ANALYSIS}: {single} missing values within units that are otherwise there, first in unit "
            f"{by_subject['unit'].values[where[1]]!r} of {dim} {where[0]}; interpolate them (align.interpolate) or "
            "drop the unit"
        )
    return np.asarray(~absent)


def _rates(by_subject: xr.DataArray, smooth: float) -> NDArray[Any]:
    """Give the scaled rates of change (subject, time, unit); NaN for units that are absent or constant."""
    from scipy.ndimage import gaussian_filter1d

    dtype = np.float32 if by_subject.dtype == np.float32 else np.float64
    values = np.asarray(by_subject.values, dtype=np.float64)
    values = values / 2 - values[:, :1] / 2  # a constant stays exactly constant under the filter
    largest = np.abs(values).max(axis=1, keepdims=True)
    values /= np.where(largest > 0, largest, 1.0)  # so that no square under- or overflows
    clock = np.asarray(by_subject["time"].values, dtype=np.float64)
    rates = np.zeros_like(values)
    for start, stop in segment_bounds(by_subject):
        if stop - start < 2:
            continue
        part = values[:, start:stop]
        part = gaussian_filter1d(part, smooth, axis=1, mode="nearest") if smooth else part
        rates[:, start:stop] = np.gradient(part, clock[start:stop], axis=1)
    scale = np.sqrt((rates**2).mean(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        return np.asarray((rates / np.where(scale > 0, scale, np.nan)).astype(dtype))


def _bins(by_subject: xr.DataArray, size: int) -> list[tuple[int, int]]:
    """Give the bins (start, stop) of samples, whole ones within segments."""
    return [
        (int(a), int(b))
        for start, stop in segment_bounds(by_subject)
        for a, b in pairwise(range(start, stop + 1, size))
    ]


def _affinities(rates: NDArray[Any], bins: list[tuple[int, int]], kernel: str) -> NDArray[Any]:
    """Give the mean affinity (bin, subject, pair) of rates (subject, time, unit)."""
    first, second = np.triu_indices(rates.shape[2], 1)
    size = bins[0][1] - bins[0][0]
    out = np.empty((len(bins), len(rates), len(first)), dtype=rates.dtype)
    for s, rate in enumerate(rates):
        binned = np.stack([rate[a:b] for a, b in bins])  # (bin, sample, unit)
        if kernel == "min":
            for k, part in enumerate(binned):
                out[k, s] = _smaller(part[:, first], part[:, second]).mean(axis=0)
            continue
        for sign in (1, -1):
            side = np.maximum(sign * binned, 0)
            side = np.sqrt(side) if kernel == "geomean" else side
            gram = (side.swapaxes(1, 2) @ side)[:, first, second] / size
            out[:, s] = gram if sign == 1 else out[:, s] + gram
    return out


def _smaller(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    small = np.minimum(np.abs(a), np.abs(b))
    return np.asarray(np.where(np.isnan(small) | (a * b > 0), small, 0))


def _labelled(by_subject: xr.DataArray, values: NDArray[Any], bins: list[tuple[int, int]]) -> xr.DataArray:
    units = by_subject["unit"].values
    first, second = np.triu_indices(len(units), 1)
    seen = ~np.isnan(values).all(axis=(0, 1))
    dim = str(by_subject.dims[0])
    clock = by_subject["time"]
    coords: dict[str, Any] = {
        "time": ("time", np.array([clock.values[a:b].mean() for a, b in bins]), clock.attrs),
        **{str(name): c for name, c in by_subject.coords.items() if c.dims == (dim,)},
        "pair": np.array([f"{a}~{b}" for a, b in zip(units[first], units[second], strict=True)], dtype=object)[seen],
        "unit_i": ("pair", units[first][seen]),
        "unit_j": ("pair", units[second][seen]),
    }
    if "segment" in by_subject.coords:
        coords["segment"] = ("time", by_subject["segment"].values[[a for a, _ in bins]])
    return xr.DataArray(
        values[:, :, seen],
        dims=("time", dim, "pair"),
        coords=coords,
        attrs={"units": "1", "unobserved_pairs": int((~seen).sum())},
    )
