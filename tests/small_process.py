"""Analyse a recording that is larger than memory: `small_process.py CALL STORE`.

Prints the peak resident bytes, and saves the result beside the store. Its address space is limited, so that what asks
for all values has no room.
"""

import resource
import sys
from pathlib import Path

TRIALS = 32
"""Trials of a chunk: 4 MiB."""
ADDRESSES = 4 * 2**30
"""Of these a process of several threads takes more than half, most of which is never used."""
CALLS = {
    "pca": ("factorization", "pca", {"rank": 2}),
    "semi_nmf": ("factorization", "semi_nmf", {"rank": 2, "max_iter": 4}),
    "nonnegative_cp": ("tensor", "nonnegative_cp", {"rank": 2, "max_iter": 4}),
    "correlation": ("connectivity", "correlation", {}),
    "coherence": ("connectivity", "coherence", {"mode": "fourier", "fmin": 20.0, "fmax": 22.0}),
    "tucker": ("tensor", "tucker", {"rank": 2}),
    "partial_correlation": ("connectivity", "partial_correlation", {}),
    "ica": ("factorization", "ica", {"rank": 2, "max_iter": 5}),
    "compare": ("comparison", "compare", {"units": 8, "samples": 200, "nulls": 2, "resamples": 0}),
}


def main(name: str, path: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    import neurointerp as ni

    ni.save(result_of(ni.open(path).chunk({"trial": TRIALS}), name), f"{path}.{name}.zarr")
    print(peak())  # noqa: T201


def result_of(lazy, name):
    """Make a call on a chunked recording, with two threads."""
    import importlib

    import dask

    family, method, options = CALLS[name]
    call = getattr(importlib.import_module(f"neurointerp.analyses.{family}"), method)
    with dask.config.set(scheduler="threads", num_workers=2):
        return call({"large": lazy} if name == "compare" else lazy, **options)


def peak() -> int:
    """Give the peak of what is resident: of this program, where `ru_maxrss` also counts what was there before it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
