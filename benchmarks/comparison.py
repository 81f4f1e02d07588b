"""What a comparison costs: the embedded five with and without intervals, and a 13th recording added to a kept study.

    python benchmarks/comparison.py --only five

Prints seconds and shares; one process, one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import neurointerp as ni
from neurointerp import manifest
from neurointerp.analyses import comparison


def seconds(recordings: dict[str, Any], **options: Any) -> float:
    start = time.perf_counter()
    comparison.compare(recordings, **options)
    return time.perf_counter() - start


def five() -> None:
    """Compare the embedded recordings at the defaults, without intervals, and with sensitivity."""
    recs = {entry.id: ni.load(entry.id) for entry in manifest.datasets().values() if entry.embedded}
    seconds(recs, samples=100, nulls=2, resamples=0)  # imports and compiles
    without, whole = seconds(recs, resamples=0), seconds(recs)
    print(f"{len(recs)} recordings: {without:.1f} s without intervals, {whole:.1f} s with intervals")


def thirteenth() -> None:
    """Add a recording to a study of twelve whose results are kept; beside it, all thirteen afresh."""
    simulated = ni.synthetic.calcium_ensembles(n_samples=3000, n_units=130, ensemble_size=20)
    rec = simulated["recordings/calcium_ensembles/recording"]
    recs = {f"r{i:02d}": rec.isel(unit=slice(10 * i, 10 * i + 10)) for i in range(13)}
    options: dict[str, Any] = {"units": 8, "samples": 120, "nulls": 2, "resamples": 10, "sensitivity": True}
    with tempfile.TemporaryDirectory() as folder:
        seconds({name: recs[name] for name in list(recs)[:12]}, cache=Path(folder) / "kept", **options)
        added = seconds(recs, cache=Path(folder) / "kept", **options)
        afresh = seconds(recs, cache=Path(folder) / "fresh", **options)
    print(f"13th recording: {added:.1f} s of {afresh:.1f} s afresh, {added / afresh:.1%} (its share is {1 / 13:.1%})")


CASES = {"five": five, "thirteenth": thirteenth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CASES)
    only = parser.parse_args().only
    with threadpool_limits(1):
        for name, case in CASES.items():
            if only in (None, name):
                case()


if __name__ == "__main__":
    main()
