"""Spectral measures of the pairs of units as labelled arrays: how epochs are cut, and what is averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypedDict

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import one_of, require_whole, sampling_rate
from neurointerp.analyses.connectivity._spectra import (
    SUMS,
    Tapers,
    Wavelets,
    cross_spectra,
    measured,
    morlet,
    tapers,
)
from neurointerp.analyses.connectivity._subjects import fisher_mean, mean, subjects_of
from neurointerp.device import in_blocks, on_device
from neurointerp.errors import AnalysisError
from neurointerp.matrix import in_order
from neurointerp.result import pending, result

MODES = ("multitaper", "fourier", "morlet")
COHERENCIES = ("coherence", "imaginary_coherence")
"""Measures that are averaged over subjects on Fisher's z; the others are averaged as they are."""
SHORTEST, LONGEST, WINDOWS = 16, 512, 8
"""Without `window`: the longest power of two between the first two of which so many windows fit."""


class Estimate(TypedDict, total=False):
    """How epochs are cut and their spectra are estimated; see `spectral`."""

    mode: str
    fmin: float | None
    fmax: float | None
    bandwidth: float | None
    window: int | None
    step: int | None
    frequencies: Sequence[float] | None
    cycles: float
    decimate: int
    device: str | None
    precision: str | None


DEFAULTS = Estimate(
    mode="multitaper",
    fmin=None,
    fmax=None,
    bandwidth=None,
    window=None,
    step=None,
    frequencies=None,
    cycles=7.0,
    decimate=1,
    device=None,
    precision=None,
)


def single(recording: xr.DataArray, measure: str, seed: int, options: Estimate) -> xr.Dataset:
    """Give the result of one measure as `connectivity`."""
    analysis = f"connectivity.{measure}"
    other = sorted(set(options) - set(DEFAULTS))
    if other:
        raise AnalysisError(f"{analysis}: no option {other[0]!r}; there are seed, {', '.join(DEFAULTS)}")
    parameters: Estimate = {**DEFAULTS, **options}
    given = parameters["frequencies"]
    parameters["frequencies"] = None if given is None else list(map(float, given))
    recording = in_order(recording)
    analysed = pending(recording)
    variables = spectral_variables(recording, {measure: "connectivity"}, analysis, parameters)
    return result(variables, analysis=analysis, recording=analysed, parameters=parameters, seed=seed)


def spectral_variables(
    recording: xr.DataArray, measures: dict[str, str], analysis: str, options: Estimate
) -> dict[str, xr.DataArray]:
    """Give each measure, under the name it is to have, as a labelled array; of several subjects also the parts."""
    mode, decimate = options["mode"], options["decimate"]
    one_of(mode, MODES, analysis, "mode")
    require_whole(analysis, window=options["window"], step=options["step"], decimate=decimate)
    rate = sampling_rate(recording, analysis)
    device, precision = options["device"], options["precision"]
    plan = partial(_planned, recording, tuple(measures), rate, analysis, options)
    people = subjects_of(in_blocks(recording, device, precision, analysis), analysis, plan)
    starts, length, way, frequency = people.plan
    placed = on_device(people.each, device, precision)
    crosses = [cross_spectra(values, starts, length, way, tuple(measures)) for values in placed]
    clock = str(recording["time"].attrs["units"])
    axes: dict[str, Any] = {"frequency": ("frequency", frequency, {"units": "Hz" if clock == "s" else f"1/{clock}"})}
    if mode == "morlet":
        whole = length == recording.sizes["time"]
        times = (recording["time"].values if whole else np.arange(length) / rate)[:: int(decimate)]
        axes["time"] = ("time", times, {"units": clock})
    undefined = people.undefined([cross.varies for cross in crosses])
    attrs = {"units": "1", "undefined_units": undefined, "epochs": len(starts), "tapers": way.shape[1]}
    dtype = people.stacked.values.dtype
    found: dict[str, xr.DataArray] = {}
    for measure, name in measures.items():
        kept = {dim: axis for dim, axis in axes.items() if not (dim == "frequency" and measure == "psi")}
        shape = tuple(len(axis[1]) for axis in kept.values())
        each = [measured(cross, measure, dtype) for cross in crosses]
        each = [values.reshape(*values.shape[:2], *shape) for values in each]
        average = fisher_mean if measure in COHERENCIES else mean
        found |= people.variables(name, each, average=average, axes=kept, attrs=attrs)
    return found


def _planned(
    recording: xr.DataArray, measures: tuple[str, ...], rate: float, analysis: str, options: Estimate,
    parts: Sequence[slice],
) -> tuple[list[int], int, Tapers | Wavelets, NDArray[np.float64]]:  # fmt: skip
    """Give the first samples of the epochs, the samples of one, how they are transformed, and the frequencies."""
    starts, length = _epochs(recording, parts, options["window"], options["step"], analysis)
    frequencies, bandwidth = options["frequencies"], options["bandwidth"]
    band = options["fmin"], options["fmax"]
    least = 2 if "psi" in measures else 1
    way: Tapers | Wavelets
    if options["mode"] == "morlet":
        given = _frequencies(frequencies, *band, bandwidth, rate, least, analysis)
        cycles, decimate = options["cycles"], options["decimate"]
        if not cycles > 0 or decimate < 1:
            raise AnalysisError(
                f"{analysis}: cycles {cycles!r} and decimate {decimate!r}: above 0 and at least 1 are needed"
            )
        way, frequency = morlet(given, cycles, length, rate, int(decimate), analysis), np.asarray(given)
    else:
        if frequencies is not None:
            raise AnalysisError(
                f"{analysis}: frequencies are those of wavelets; with mode={options['mode']!r} pass fmin and fmax"
            )
        half = None if bandwidth is None else bandwidth * length / (2 * rate)
        weights = tapers(length, options["mode"], half, analysis)
        bins = _bins(length, rate, *band, least, analysis)
        way, frequency = Tapers(weights, bins), np.fft.rfftfreq(length, 1 / rate)[bins]
    _require_epochs(len(starts), way.shape[1], measures, analysis)
    return starts, length, way, frequency


def _frequencies(
    frequencies: Sequence[float] | None,
    fmin: float | None,
    fmax: float | None,
    bandwidth: float | None,
    rate: float,
    least: int,
    analysis: str,
) -> list[float]:
    """Give the frequencies of wavelets, refusing what does not belong to them."""
    if frequencies is None or (fmin, fmax, bandwidth) != (None, None, None):
        raise AnalysisError(
            f"{analysis}: mode 'morlet' takes frequencies=[...] and cycles, not fmin {fmin!r}, fmax {fmax!r} and "
            f"bandwidth {bandwidth!r}"
        )
    given = [float(frequency) for frequency in frequencies]
    steps = np.diff(given)
    if len(given) < least or not (min(given) > 0 and max(given) <= rate / 2 and (steps > 0).all()):
        raise AnalysisError(
            f"{analysis}: frequencies are {given}; {least} or more, ascending, above 0 and up to half the sampling "
            f"rate ({rate / 2:g}) are needed"
        )
    return given


def _epochs(
    recording: xr.DataArray, parts: Sequence[slice], window: int | None, step: int | None, analysis: str
) -> tuple[list[int], int]:
    """Give the first sample of each epoch of a subject, whose stretches are `parts`, and the samples of one."""
    sizes = {part.stop - part.start for part in parts}
    whole = "trial" in recording.dims and len(sizes) == 1 and "segment" not in recording.coords
    length = (max(sizes) if whole else _longest(parts)) if window is None else int(window)
    stride = length if step is None else int(step)
    if length < 4 or stride < 1:
        raise AnalysisError(f"{analysis}: a window of {length} samples every {stride}; at least 4 every 1 are needed")
    starts = [s for part in parts for s in range(part.start, part.stop - length + 1, stride)]
    if not starts:
        raise AnalysisError(
            f"{analysis}: no segment holds a window of {length} samples, the longest has {max(sizes, default=0)}; "
            "pass a shorter window"
        )
    return starts, length


def _longest(parts: Sequence[slice]) -> int:
    length = LONGEST
    while length > SHORTEST and sum((part.stop - part.start) // length for part in parts) < WINDOWS:
        length //= 2
    return length


def _require_epochs(epochs: int, n_tapers: int, measures: Sequence[str], analysis: str) -> None:
    found = epochs if set(measures) & set(SUMS) else epochs * n_tapers
    if found < 2:
        raise AnalysisError(
            f"{analysis}: {epochs} epoch with {n_tapers} tapers; any two units agree in one epoch, at least 2 epochs "
            "are needed: pass a shorter window, or for coherence several tapers"
        )


def _bins(length: int, rate: float, fmin: float | None, fmax: float | None, least: int, analysis: str) -> slice:
    frequency = np.fft.rfftfreq(length, 1 / rate)
    low = frequency > 0 if fmin is None else frequency >= fmin
    keep = np.flatnonzero(low if fmax is None else low & (frequency <= fmax))
    if len(keep) < least:
        raise AnalysisError(
            f"{analysis}: {len(keep)} frequencies from fmin={fmin} to fmax={fmax}, {least} needed; windows of {length} "
            f"samples have one every {frequency[1]:.4g} up to {frequency[-1]:.4g}"
        )
    return slice(int(keep[0]), int(keep[-1]) + 1)
