"""How reliable the signal of a recording is, and noise that makes all as reliable as the least."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
import xarray as xr

from neurointerp import score
from neurointerp.errors import AnalysisError
from neurointerp.recordings import add_history

Quality = Literal["repeats", "units"]
HALVES = 10
BLOCKS = 5
SMALLEST = 0.01
"""A reliability below this is none: no noise leads there."""
LARGEST_NOISE = 1e4


def of_equal_quality(
    cut: Mapping[str, xr.DataArray], originals: Mapping[str, xr.DataArray], quality: Quality,
    reliability: float | None, seed: int,
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Add white noise to z-scored recordings until each is as reliable as asked, or as the least reliable.

    `"repeats"`: the share of a unit's variance that repeats of a stimulus share (`score.noise_ceiling` of a single
    repeat), mean over the units drawn. Noise of variance s divides it by 1 + s. `"units"`: see `shared_variance`; the
    noise is found by bisection.
    """
    if quality not in ("repeats", "units"):
        raise AnalysisError(f"compare: quality is {quality!r}: 'repeats' or 'units' is needed")
    if reliability is not None and not SMALLEST <= reliability <= 1:
        raise AnalysisError(f"compare: reliability is {reliability:g}: a number from {SMALLEST} to 1 is needed")
    found = {name: _reliability(name, rec, originals[name], quality, seed) for name, rec in cut.items()}
    least = min(found, key=found.__getitem__)
    if found[least] < SMALLEST or (reliability is not None and reliability > found[least] * (1 + 1e-9)):
        asked = "" if reliability is None else f", below the {reliability:g} asked for"
        raise AnalysisError(
            f"compare: recording {least!r} has a reliability of {found[least]:.3f} by {quality}{asked}; leave it out"
            + ("" if reliability is None else ", or ask for less")
        )
    target = found[least] if reliability is None else reliability
    return {name: _worsened(name, rec, found[name], target, quality, seed) for name, rec in cut.items()}


def shared_variance(values: np.ndarray, rng_seed: int) -> float:
    """Give the share of a unit's variance that a random half of the other units predicts at the same sample.

    Ridge regression from one half of the units to the other and back, fitted outside a block of samples and read off
    within it (5 blocks); mean over units and 10 halves, at least 0. What units do not share counts as noise.
    """
    rng = np.random.default_rng(rng_seed)
    samples, units = values.shape
    block = np.arange(samples) * BLOCKS // samples
    shares = []
    for _ in range(HALVES):
        order = rng.permutation(units)
        for one, other in ((order[: units // 2], order[units // 2 :]), (order[units // 2 :], order[: units // 2])):
            rest = sum(_missed(values, one, other, block == k) for k in range(BLOCKS))
            shares.append(1 - rest / float((values[:, other] ** 2).sum()))
    return max(float(np.mean(shares)), 0.0)


def noisy(rec: xr.DataArray, variance: float, rng: np.random.Generator) -> xr.DataArray:
    """Add white noise of a variance to a z-scored recording, and z-score it again."""
    values = rec.values + np.sqrt(variance) * rng.standard_normal(rec.shape)
    return rec.copy(data=(values - values.mean(axis=0)) / values.std(axis=0))


def _missed(values: np.ndarray, one: np.ndarray, other: np.ndarray, test: np.ndarray) -> float:
    """Give the sum of squares of the other units that the one half leaves unexplained in a test block."""
    x, y = values[~test][:, one], values[~test][:, other]
    gram = x.T @ x + 0.01 * len(x) * np.eye(len(one))
    rest = values[test][:, other] - values[test][:, one] @ np.linalg.solve(gram, x.T @ y)
    return float((rest**2).sum())


def _reliability(name: str, rec: xr.DataArray, original: xr.DataArray, quality: Quality, seed: int) -> float:
    if quality == "units":
        return shared_variance(rec.values, seed)
    if "stimulus" not in original.coords:
        raise AnalysisError(
            f"compare: quality='repeats': recording {name!r} has no sample coordinate 'stimulus' that tells repeats; "
            "give it one, or match by 'units'"
        )
    try:
        share = score.noise_ceiling(original.sel(unit=rec["unit"].values), of="single")
    except AnalysisError as error:
        raise AnalysisError(f"compare: quality='repeats': recording {name!r}: {error}") from error
    # NaN, of units whose mean response is constant, is left out; where no unit has another, nothing repeats
    return float(np.nan_to_num(float(share.mean())))


def _worsened(name: str, rec: xr.DataArray, found: float, target: float, quality: Quality, seed: int) -> xr.DataArray:
    key = [seed, zlib.crc32(f"{name}/noise".encode())]
    if quality == "repeats":
        variance = max(found / target - 1, 0.0)
    else:
        variance = _noise_for(rec, target, key, seed) if found > target else 0.0
    out = noisy(rec, variance, np.random.default_rng(key)) if variance > 0 else rec
    return add_history(
        out, "comparison.of_equal_quality", quality=quality, reliability_before=found, reliability=target,
        noise_variance=variance, seed=seed,
    )  # fmt: skip


def _noise_for(rec: xr.DataArray, target: float, key: list[int], seed: int) -> float:
    """Find the variance by bisection on its logarithm; the noise is one draw, scaled."""
    low, high = -12.0, float(np.log(LARGEST_NOISE))
    for _ in range(20):
        middle = (low + high) / 2
        made = noisy(rec, float(np.exp(middle)), np.random.default_rng(key))
        low, high = (middle, high) if shared_variance(made.values, seed) > target else (low, middle)
    return float(np.exp((low + high) / 2))
