"""How time and memory grow with samples, units, rank and recordings, over three decades where that ends in minutes.

    python benchmarks/growth.py --only correlation

`cost = constant * size^exponent` is fitted by least squares in logarithms to the sizes above the middle of the range
(where what every call costs no longer counts); solvers run a fixed number of passes. The order beside it is that of
the arithmetic.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from _measure import options, peak, seconds
from threadpoolctl import threadpool_limits

import neurointerp as ni
from neurointerp.analyses import comparison, connectivity, encoding, factorization, geometry, tensor

Make = Callable[[int], Callable[[], Any]]
FLOOR = 1e-3
"""A millisecond, a megabyte: what is less is not told from the machine's own moods."""
SAMPLES, UNITS, RANKS = (1_000, 1_000_000), (4, 4_000), (1, 1_000)


def plain(samples: int, units: int, dtype: str = "float32", rate: float = 100.0) -> xr.DataArray:
    """Give white noise on a clock."""
    values = np.random.default_rng(0).standard_normal((samples, units), dtype=np.dtype(dtype))
    return ni.recording(values, modality="eeg", units="V", sampling_rate=rate)


def trials(count: int, samples: int, units: int) -> xr.DataArray:
    """Give trials of non-negative noise."""
    values = np.random.default_rng(0).random((count, samples, units), dtype=np.float32)
    return ni.recording(values, modality="spikes", units="Hz", sampling_rate=100.0, dims=("trial", "time", "unit"))


def stimuli(count: int, units: int) -> dict[str, xr.DataArray]:
    """Give two recordings of the same stimuli."""
    rng = np.random.default_rng(0)
    names = np.array([f"s{i}" for i in range(count)], dtype=object)
    return {
        name: ni.recording(
            rng.standard_normal((count, units), dtype=np.float32), modality="fmri", units="1",
            dims=("trial", "unit"), coords={"stimulus": ("trial", names)}, name=name,
        )
        for name in "ab"
    }  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """An analysis along one size."""

    analysis: str
    against: str
    ends: tuple[int, int]
    order: str
    make: Make
    points: int = 7
    rounds: int | None = None
    """At most so many, of what takes long in any size."""


def on(recording: Callable[[int], Any], call: Callable[..., Any], **fixed: Any) -> Make:
    """Give what builds the input of a size and the call on it."""
    return lambda size: partial(call, recording(size), **fixed)


def ranked(recording: xr.DataArray, call: Callable[..., Any], **fixed: Any) -> Make:
    """Give the call of a rank on one recording."""
    return lambda size: partial(call, recording, size, **fixed)


def sweeps() -> list[Sweep]:
    """List what is measured."""
    semi = {"max_iter": 10, "tolerance": 0.0}
    cp = {"max_iter": 10, "tolerance": 0.0}
    long, wide = partial(plain, units=32), partial(plain, 500)
    ridge = partial(encoding.ridge, alphas=np.logspace(0, 4, 5), cv=3)

    def in_pairs(call: Callable[..., Any], make: Callable[[int], dict[str, xr.DataArray]]) -> Make:
        return lambda size: partial(call, make(size), permutations=0)  # each is a pass over the same kernels

    def compared(count: int) -> Callable[[], Any]:
        base = plain(60 * count, 8)  # the least that is compared, each its own
        recs = {f"r{i}": base[60 * i : 60 * (i + 1)] for i in range(count)}
        return partial(comparison.compare, recs, units=8, samples=60, nulls=2, resamples=0)

    return [
        Sweep("factorization.pca", "samples", SAMPLES, "1", on(long, factorization.pca, rank=8)),
        Sweep("factorization.pca", "units", UNITS, "1 (more units than samples)", on(wide, factorization.pca, rank=3)),
        Sweep("factorization.semi_nmf", "samples", SAMPLES, "1", on(long, factorization.semi_nmf, rank=8, **semi)),
        Sweep("factorization.semi_nmf", "units", (10, 10_000), "1",
              on(wide, factorization.semi_nmf, rank=8, **semi)),
        Sweep("factorization.semi_nmf", "rank", RANKS, "1 to 2", ranked(plain(2_000, 1_500), factorization.semi_nmf,
              init="random", **semi)),
        Sweep("tensor.nonnegative_cp", "trials", (10, 10_000), "1",
              on(partial(trials, samples=50, units=40), tensor.nonnegative_cp, rank=5, **cp)),
        Sweep("tensor.nonnegative_cp", "units", (10, 10_000), "1",
              on(lambda units: trials(50, 40, units), tensor.nonnegative_cp, rank=5, **cp)),
        Sweep("tensor.nonnegative_cp", "rank", (1, 300), "1 to 2", ranked(trials(60, 80, 100), tensor.nonnegative_cp,
              init="random", **cp)),
        Sweep("connectivity.correlation", "samples", SAMPLES, "1", on(long, connectivity.correlation)),
        Sweep("connectivity.correlation", "units", UNITS, "2", on(wide, connectivity.correlation)),
        Sweep("connectivity.coherence", "samples", SAMPLES, "1",
              on(partial(plain, units=16), connectivity.coherence, window=256)),
        Sweep("connectivity.coherence", "units", (2, 600), "2",
              on(partial(plain, 5_000), connectivity.coherence, window=256)),
        Sweep("connectivity.granger", "samples", SAMPLES, "1",
              on(partial(plain, units=8, dtype="float64"), connectivity.granger, order=4)),
        Sweep("connectivity.granger", "units", (2, 300), "2",
              on(partial(plain, 5_000, dtype="float64"), connectivity.granger, order=4)),
        Sweep("encoding.ridge", "samples", SAMPLES, "1", lambda size: partial(
              ridge, plain(size, 24), plain(size, 8).assign_coords(unit=[f"v{i}" for i in range(8)]))),
        Sweep("encoding.ridge", "features", (4, 1_000), "2 to 3", lambda size: partial(
              ridge, plain(2_500, size), plain(2_500, 8).assign_coords(unit=[f"v{i}" for i in range(8)]))),
        Sweep("encoding.ridge", "targets", (10, 10_000), "1", lambda size: partial(
              ridge, plain(500, 24), plain(500, size).assign_coords(unit=[f"v{i}" for i in range(size)]))),
        Sweep("geometry.cka", "stimuli", (10, 5_000), "2", in_pairs(geometry.cka, partial(stimuli, units=64))),
        Sweep("geometry.rsa", "stimuli", (8, 2_000), "2", in_pairs(geometry.rsa, partial(stimuli, units=64))),
        Sweep("comparison.compare", "recordings", (1, 64), "1", compared, 5, 2),
    ]  # fmt: skip


def exponent(sizes: list[int], costs: list[float]) -> float:
    """Fit the slope of log cost on log size over the upper half of the range."""
    middle = (sizes[0] * sizes[-1]) ** 0.5
    kept = [(size, max(cost, FLOOR)) for size, cost in zip(sizes, costs, strict=True) if size >= middle]
    return float(np.polyfit(*np.log(np.array(kept)).T, 1)[0])


def measured(sweep: Sweep, rounds: int) -> dict[str, Any]:
    """Time every size; give the fits."""
    sizes = sorted({round(size) for size in np.geomspace(*sweep.ends, sweep.points)})
    times, memory = [], []
    for size in sizes:
        call = sweep.make(size)
        call()
        times.append(statistics.median(seconds(call)[0] for _ in range(min(rounds, sweep.rounds or rounds))))
        added = peak(call)
        memory.append(float("nan") if added is None else added)
    found = {
        "analysis": sweep.analysis, "against": sweep.against, "order": sweep.order, "sizes": sizes, "seconds": times,
        "gigabytes": memory, "time_exponent": exponent(sizes, times), "memory_exponent": exponent(sizes, memory),
    }  # fmt: skip
    times_seen = f"{times[0]:.3g} to {times[-1]:.3g} s, exponent {found['time_exponent']:.2f}, order {sweep.order}"
    memory_seen = f"{1e3 * memory[-1]:.0f} MB at the most, exponent {found['memory_exponent']:.2f}"
    print(f"{sweep.analysis} against {sweep.against}: {times_seen}; {memory_seen}", flush=True)
    return found


def main() -> None:
    """Measure and print."""
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of analyses")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        for sweep in sweeps():
            if not chosen.only or any(part in sweep.analysis for part in chosen.only):
                found = measured(sweep, chosen.rounds)
                if chosen.rows:
                    with open(chosen.rows, "a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
