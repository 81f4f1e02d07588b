"""Run every benchmark beside its peers, and write docs/benchmarks.md.

    python benchmarks/run.py                              # all, on a quiet machine: two hours or so
    python benchmarks/run.py --only ridge connectivity    # these again; the page keeps the rows of the others
    python benchmarks/run.py --page                       # the page alone, from the rows that are kept

Each script runs in a process of its own, one after the other, on one thread. Peers that do not go with this package's
numpy need a Python of their own: `--brian2 PYTHON`, `--tensortools PYTHON`, `--sparsify PYTHON`; left out, their rows
are those of the last run.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE / "results.json"
PAGE = HERE.parent / "docs" / "benchmarks.md"
SCRIPTS: dict[str, list[str]] = {
    "semi_nmf": ["factorization.py", "--only", "semi-NMF"],
    "semi_nmf_400": ["factorization.py", "--only", "semi-NMF", "--rank", "400", "--seconds", "24"],
    "nmf": ["factorization.py", "--only", "NMF"],
    "tensor": ["tensor.py"],
    "connectivity": ["connectivity.py", "--full"],
    "ridge": ["encoding.py", "--only", "ridge"],
    "banded": ["encoding.py", "--only", "banded"],
    "decoding": ["decoding.py"],
    "storage": ["storage.py", "--gb", "2"],
    "recording": ["activations.py"],
    "sparse_autoencoder": ["sparse_autoencoder.py"],
    "spiking": ["spiking.py"],
    "growth": ["growth.py"],
}
OWN_PYTHON = {"spiking": "brian2", "tensor": "tensortools", "sparse_autoencoder": "sparsify"}
"""Which option names the Python that a peer needs; `spiking` and `tensor` start it, the autoencoder runs in it."""


def run(name: str, chosen: argparse.Namespace) -> list[dict[str, Any]] | None:
    """Run one script; give its rows, or None where its peer's Python is not named."""
    script, *rest = SCRIPTS[name]
    peer = OWN_PYTHON.get(name)
    python = getattr(chosen, peer) if peer else None
    if peer and python is None and name != "tensor":
        print(f"{name} is left out: --{peer} names no Python", flush=True)
        return None
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        interpreter = python if name == "sparse_autoencoder" else sys.executable
        command = [interpreter, "-W", "ignore", str(HERE / script), *rest, "--rows", str(rows)]
        command += ["--rounds", str(chosen.rounds)]
        if python and name != "sparse_autoencoder":
            command += [f"--{peer}", python]
        pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        settings = {**os.environ, **dict.fromkeys(pools, "1"), "PYTHONPATH": str(HERE.parent)}
        print(f"--- {name}", flush=True)
        subprocess.run(command, check=True, env=settings)
        stamp = {"date": datetime.date.today().isoformat(), "machine": machine()}
        return [{**json.loads(line), **stamp} for line in rows.read_text().splitlines()]


def machine() -> str:
    """Name the processor and the libraries that decide."""
    info = Path("/proc/cpuinfo")
    model = platform.processor() or platform.machine()
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), model
        )
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "numba"))
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def rows_kept() -> dict[str, list[dict[str, Any]]]:
    """Give the rows of earlier runs by script."""
    found: dict[str, list[dict[str, Any]]] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return found


def page(kept: dict[str, list[dict[str, Any]]]) -> str:
    """Fill the template of the page."""
    timed = [row for name in SCRIPTS if name != "growth" for row in kept.get(name, [])]
    stamped = [row for rows in kept.values() for row in rows]
    dates = sorted({row["date"] for row in stamped})
    return (
        (HERE / "page.md")
        .read_text(encoding="utf-8")
        .replace("{machine}", "; ".join(sorted({row["machine"] for row in stamped})))
        .replace("{dates}", " to ".join(dict.fromkeys((dates[0], dates[-1]))))
        .replace("{timed}", "\n".join(map(table_row, timed)))
        .replace("{growth}", "\n".join(map(growth_row, kept.get("growth", []))))
    )


def table_row(row: dict[str, Any]) -> str:
    """Format one contest."""
    each = sorted(b / a for a, b in zip(row["ours"], row["theirs"], strict=True))
    least = "" if row["arrived"] else "> "
    ratio = f"**{least}{row['ratio']:.3g}x** ({each[0]:.3g} to {each[-1]:.3g}, {len(each)} rounds)"
    target = "" if row["target"] is None else f"{row['target']:.3g}x" + (" ✓" if row["ratio"] >= row["target"] else "")
    share = "" if row["share"] is None else f"{row['limit']}: {row['share']:.0%}"
    if row["share"] and row["share"] > 1.1:
        share = f"{row['limit']} would take {row['share']:.1f} times as long"
    memory = " / ".join("" if gb is None else f"{1e3 * gb:.0f}" for gb in (row["ours_gb"], row["theirs_gb"]))
    memory = memory if memory != " / " else ""
    workload = f"{row['workload']}; {statistics.median(row['ours']):.3g} s"
    return (
        f"| {row['work']} | {workload} | {row['peer']} | {ratio} | {target} | {row['quality']} | {share} | {memory} |"
    )


def growth_row(row: dict[str, Any]) -> str:
    """Format one fit."""
    sizes = f"{min(row['sizes']):,} to {max(row['sizes']):,}"
    return (
        f"| {row['analysis']} | {row['against']} | {sizes} | {row['time_exponent']:.2f} | {row['order']} "
        f"| {1e3 * row['gigabytes'][-1]:.0f} |"
    )


def main() -> None:
    """Run, keep and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(SCRIPTS), default=list(SCRIPTS))
    parser.add_argument("--page", action="store_true", help="write the page alone")
    parser.add_argument("--rounds", type=int, default=5)
    for peer in OWN_PYTHON.values():
        parser.add_argument(f"--{peer}", help=f"a Python that has {peer}")
    chosen = parser.parse_args()
    kept = rows_kept()
    for name in [] if chosen.page else chosen.only:
        rows = run(name, chosen)
        if rows is not None:
            kept = {**rows_kept(), name: rows}  # another run may have written meanwhile
            KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
