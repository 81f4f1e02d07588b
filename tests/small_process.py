"""Analyse a recording that is larger than the memory this process may have: `small_process.py CALL STORE BYTES`.

Prints the peak resident bytes, and saves the result beside the store.
"""

import resource
import sys

TRIALS = 64
"""Trials of a chunk."""
CALLS = {
    "pca": ("factorization", "pca", {"rank": 2}),
    "semi_nmf": ("factorization", "semi_nmf", {"rank": 2, "max_iter": 4}),
    "nonnegative_cp": ("tensor", "nonnegative_cp", {"rank": 2, "max_iter": 4}),
    "correlation": ("connectivity", "correlation", {}),
    "coherence": ("connectivity", "coherence", {"mode": "fourier", "fmin": 20.0, "fmax": 22.0}),
    "tucker": ("tensor", "tucker", {"rank": 2}),
}


def main(name: str, path: str, allowed: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))  # of all memory that is not a file's
    import importlib

    import dask

    import neurointerp as ni

    family, method, options = CALLS[name]
    call = getattr(importlib.import_module(f"neurointerp.analyses.{family}"), method)
    with dask.config.set(scheduler="threads", num_workers=2):
        found = call(ni.open(path).chunk({"trial": TRIALS}), **options)
    ni.save(found, f"{path}.{name}.zarr")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
