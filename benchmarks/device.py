"""Kernels on a device beside numpy: ratio, error, memory, and how far copies run beside products.

Those of factorization, tensor, connectivity and geometry; `rsa` makes the products of `rdm`, and encoding and decoding
models are not among them.

For each kernel: the seconds of numpy and of the device (medians), their ratio, the largest difference over the largest
value of the answer, of values as they are, in TF32 and in bfloat16, and the most memory of the device that was in use.
Then, of the pass over the blocks that `correlation` makes: the seconds of copies alone, of products alone and of both,
and the share of the shorter that the longer hides (1: all of it, 0: none). On the processor nothing is copied, and no
share is given.

    python benchmarks/device.py                # on "cuda" where there is one, else on "cpu", at a small size
    python benchmarks/device.py --device cuda:1 --samples 400000 --units 1024 --rounds 5

Numbers of one machine say nothing of another: the first line names the device, and the threads of numpy's products, on
which the ratio depends as much (`OMP_NUM_THREADS` sets them).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import torch
import xarray as xr
from threadpoolctl import threadpool_info

import neurointerp as ni
from neurointerp import streaming
from neurointerp.analyses import connectivity, factorization, geometry, tensor
from neurointerp.backend import placed
from neurointerp.device import in_blocks

Kernel = tuple[Callable[..., xr.Dataset], Any, dict[str, Any], str, bool]
"""Call, what it is given, options, the variable that is compared, and whether it takes a precision."""
TRIAL = 100
"""Samples of a trial."""
THREADS = 2
"""Of dask: one copies while the other multiplies."""


def main() -> None:
    """Run every kernel on both sides and print a line for each; write all as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if there else "cpu")
    parser.add_argument("--samples", type=int, default=200_000 if there else 4_000)
    parser.add_argument("--units", type=int, default=512 if there else 24)
    parser.add_argument("--rank", type=int, default=32 if there else 3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of kernels; all by default")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    place = torch.device(given.device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else f"{os.cpu_count()} cores, no graphics card"
    threads = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    print(
        f"{name}; numpy with {threads} threads of {os.cpu_count()} cores; {given.samples:,} x {given.units:,} float32; "
        f"torch {torch.__version__}",
        flush=True,
    )
    found: dict[str, Any] = {"device": name, "samples": given.samples, "units": given.units, "torch": torch.__version__}
    found |= {"numpy_threads": threads, "cores": os.cpu_count()}
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        for label, kernel in kernels(given.samples, given.units, given.rank).items():
            if not given.only or label in given.only:
                found[label] = beside(label, kernel, given.device, given.rounds)
        found["overlap"] = overlap(recorded(given.samples, given.units), given.device, given.rounds)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


def recorded(samples: int, units: int, seed: int = 0) -> xr.DataArray:
    """Draw non-negative trials of a few patterns and noise, float32."""
    rng = np.random.default_rng(seed)
    few = rng.gamma(0.5, size=(4, units)).astype(np.float32)
    x = rng.standard_gamma(0.5, (samples // TRIAL * TRIAL, 4), dtype=np.float32) @ few
    x += rng.random(x.shape, dtype=np.float32) / 4
    return ni.recording(
        x.reshape(-1, TRIAL, units), modality="calcium", units="1", sampling_rate=100.0, dims=("trial", "time", "unit")
    )


def kernels(samples: int, units: int, rank: int) -> dict[str, Kernel]:
    """Give the calls, and what each is given."""
    rec = recorded(samples, units)
    part = rec[
        : max(len(rec) // 8, 4), :, : max(units // 4, 8)
    ]  # what is not made of few products, or lies there whole
    shown = {"stimulus": ("trial", np.arange(len(rec)) % min(len(rec), 2000))}
    stimuli = ni.recording(rec.values[:, 0], modality="fmri", units="1", dims=("trial", "unit"), coords=shown)
    two = {"one": stimuli, "two": stimuli.copy(data=np.sqrt(stimuli.values))}
    fit = {"rank": rank, "max_iter": 10}
    return {
        "correlation": (connectivity.correlation, rec, {}, "connectivity", True),
        "covariance": (connectivity.covariance, rec, {"method": "ledoit_wolf"}, "connectivity", True),
        "partial_correlation": (connectivity.partial_correlation, rec, {}, "connectivity", True),
        "lagged": (connectivity.lagged, part, {"max_lag": 10}, "connectivity", True),
        "coherence": (connectivity.coherence, part, {"fmax": 25.0}, "connectivity", True),
        "granger": (connectivity.granger, part, {"order": 5}, "connectivity", False),
        "granger_conditional": (connectivity.granger, part, {"order": 5, "conditional": True}, "connectivity", False),
        "effective": (connectivity.effective, part, {"order": 5}, "connectivity", False),
        "dynamic": (connectivity.dynamic, part, {"window": TRIAL // 2, "step": TRIAL // 20}, "connectivity", False),
        "wpli": (connectivity.wpli, part, {"fmax": 25.0}, "connectivity", True),
        "pca": (factorization.pca, rec, {"rank": min(rank, 4)}, "features", True),
        "ica": (factorization.ica, part, {"rank": min(rank, 4), "max_iter": 20}, "features", False),
        "semi_nmf": (factorization.semi_nmf, rec, fit, "loss", True),
        "nmf": (factorization.nmf, rec, fit, "loss", True),
        "cp": (tensor.cp, rec, fit, "loss", True),
        "nonnegative_cp": (tensor.nonnegative_cp, rec, fit, "loss", True),
        "tucker": (tensor.tucker, part, {"rank": min(rank, 4), "max_iter": 5}, "loss", True),
        "parafac2": (tensor.parafac2, part, {"rank": min(rank, 4), "max_iter": 5}, "loss", False),
        "rdm": (geometry.rdm, stimuli, {}, "rdm", False),
        "cka": (geometry.cka, two, {"permutations": 0}, "similarity", False),
        "cca": (geometry.cca, two, {"permutations": 5, "penalty": 0.1}, "similarity", False),
        "procrustes": (geometry.procrustes, two, {"permutations": 5}, "similarity", False),
        "hyperalignment": (geometry.hyperalignment, two, {"rank": rank, "max_iter": 10}, "loss", False),
    }


def beside(label: str, kernel: Kernel, place: str, rounds: int) -> dict[str, Any]:
    """Run one kernel on both sides in turn, and once in each precision."""
    call, given, options, name, reduced = kernel
    here, there = (partial(call, given, device=device, **options) for device in (None, place))
    here(), there()  # what is compiled is, and the device is awake
    times: list[tuple[float, float]] = []
    forgotten(place)
    for _ in range(rounds):
        (ours, wanted), (theirs, exact) = seconds(here, place), seconds(there, place)
        times.append((ours, theirs))
    row: dict[str, Any] = {
        "numpy_s": statistics.median(one for one, _ in times),
        "device_s": statistics.median(one for _, one in times),
        "ratio": statistics.median(one / other for one, other in times),
        "peak_gb": peak(place),
        "error": off(exact[name], wanted[name]),
    }
    for precision in ("tf32", "bfloat16") if reduced else ():
        row[precision], rounded = seconds(partial(there, precision=precision), place)
        row[f"{precision}_error"] = off(rounded[name], wanted[name])
    lower = "".join(
        f", {one} {row['numpy_s'] / row[one]:.1f}x (off {row[f'{one}_error']:.0e})"
        for one in ("tf32", "bfloat16")
        if one in row
    )
    print(
        f"{label}: numpy {row['numpy_s']:.3f} s, device {row['device_s']:.3f} s: {row['ratio']:.1f}x "
        f"(off {row['error']:.0e}){lower}" + (f"; {row['peak_gb']:.2f} GB there" if row["peak_gb"] is not None else ""),
        flush=True,
    )
    return row


def overlap(rec: xr.DataArray, place: str, rounds: int) -> dict[str, float | None]:
    """Time a pass of blocks that only copies, their products alone, and the pass that does both."""
    cut = rec.chunk(trial=max(len(rec) // 64, 1))
    rows = streaming.rows_of(in_blocks(cut, place, None, "overlap")).on(place)
    held = placed(next(rows.on(None).blocks()), place)

    def products() -> None:
        for _ in rows.slices:
            held.T @ held

    calls = {"copies": partial(rows.total, copied), "products": products, "both": partial(rows.total, multiplied)}
    took = {name: statistics.median(seconds(call, place)[0] for _ in range(rounds + 1)) for name, call in calls.items()}
    hidden, told = None, "on the processor nothing is copied"
    if torch.device(place).type == "cuda":
        hidden = (took["copies"] + took["products"] - took["both"]) / min(took["copies"], took["products"])
        told = f"{min(max(hidden, 0), 1):.0%} of the shorter is hidden"
    print(
        f"a pass of {len(rows.slices)} blocks: copies {took['copies']:.3f} s, products {took['products']:.3f} s, both "
        f"{took['both']:.3f} s: {told}",
        flush=True,
    )
    return {**took, "hidden": hidden}


def copied(values: Any, first: int, own: slice) -> tuple[int]:
    """Do nothing with a block that was copied."""
    return (len(values),)


def multiplied(values: Any, first: int, own: slice) -> tuple[int]:
    """Multiply a block with itself, and leave the product there."""
    return (len(values.T @ values),)


def seconds(call: Callable[[], Any], place: str) -> tuple[float, Any]:
    """Give the seconds until the device is done, and the answer."""
    begun = time.perf_counter()
    found = call()
    if torch.device(place).type == "cuda":
        torch.cuda.synchronize(place)
    return time.perf_counter() - begun, found


def off(found: xr.DataArray, wanted: xr.DataArray) -> float:
    """Give the largest difference over the largest value; of losses that of the last, over it."""
    if "iteration" in wanted.dims:
        return float(abs(found[-1] / wanted[-1] - 1))
    return float(np.nanmax(np.abs(found.values - wanted.values)) / np.nanmax(np.abs(wanted.values)))


def forgotten(place: str) -> None:
    """Count the peak of the device's memory anew."""
    if torch.device(place).type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)


def peak(place: str) -> float | None:
    """Give the most GB that were in use on the device; None where torch does not count them."""
    return torch.cuda.max_memory_allocated(place) / 1e9 if torch.device(place).type == "cuda" else None


if __name__ == "__main__":
    main()
