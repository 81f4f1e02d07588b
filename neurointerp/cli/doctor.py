"""The command that says what this installation can do, and how to mend what it cannot."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from neurointerp.cli._options import AsJson
from neurointerp.cli._printing import echo, print_rows

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SHOWN = ("numpy", "scipy", "xarray", "zarr", "scikit-learn", "tensorly")


def doctor(as_json: AsJson = False) -> None:
    """Tell what is installed, what each missing extra would add, the cache, versions and threads."""
    from neurointerp import extras, fetch, recordings

    rows = []
    for extra, names in extras.libraries().items():
        found = {name: extras.installed(name) for name in names}
        missing = [name for name, version in found.items() if version is None]
        have = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
        lack = f"missing {', '.join(missing)}: {extras.command(extra)}" if missing else ""
        state = "; ".join(filter(None, (have, lack)))
        rows.append({"extra": extra, "adds": extras.ADDS.get(extra, ""), "installed": state})
    about: dict[str, Any] = {
        "neurointerp": recordings.version(),
        "installed at": str(Path(recordings.__file__).parent),
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "libraries": ", ".join(f"{name} {extras.installed(name)}" for name in SHOWN),
        "cache": _cache(fetch.cache_folder()),
        "mirror": os.environ.get("NEUROINTERP_MIRROR") or "none (NEUROINTERP_MIRROR is not set)",
        "threads": _threads(),
        "shell": _completion(),
    }
    if as_json:
        echo(json.dumps({**about, "extras": rows}))
        return
    width = max(map(len, about))
    echo("\n".join(f"{what:{width}}  {value}" for what, value in about.items()) + "\n")
    print_rows(rows, False)
    incomplete = [row["extra"] for row in rows if "missing" in row["installed"]]
    echo(f"\nto add all that is missing: {extras.command(*incomplete)}" if incomplete else "\nnothing is missing")
    echo("to see it work: neurointerp compare")


def _cache(folder: Path) -> str:
    if not folder.exists():
        return f"{folder} (not made yet)"
    held = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    writable = "" if os.access(folder, os.W_OK) else ", NOT writable: set NEUROINTERP_CACHE"
    return f"{folder} ({len(held)} files, {sum(held) / 1e6:.1f} MB{writable})"


def _threads() -> str:
    """Say how many threads the linear algebra takes, and which variables say so."""
    import numpy  # noqa: F401  (its BLAS shows once it is loaded)
    import threadpoolctl

    pools = {pool["internal_api"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    told = [f"{name}={os.environ[name]}" for name in THREADS if name in os.environ] or ["no variable set"]
    using = ", ".join(f"{name} {count}" for name, count in pools.items())
    return f"{os.cpu_count()} cores; {using}; {', '.join(told)}"


def _completion() -> str:
    shell = Path(os.environ.get("SHELL", "")).name
    return f"{shell or 'unknown'}; neurointerp --install-completion completes commands and options"
