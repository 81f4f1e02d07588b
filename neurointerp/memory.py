"""How much memory this process may still take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
PROCESS = Path("/proc/self")
UNIFIED = ("memory.max", "memory.current", "inactive_file")
SPLIT = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
"""Files of a control group that say what it may use and does, and what of that is pages of files; versions 2 and 1."""


def available() -> int | None:
    """Give the bytes that this process may still take: the least of what the machine, its groups and its limits leave.

    None where the system says nothing.

    Examples
    --------
    >>> found = available()
    >>> found is None or found > 0
    True
    """
    return min((max(left, 0) for left in _left()), default=None)


def _left() -> Iterator[int]:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
    for group, (most, now, files) in _groups():
        limit, used = _number(group / most), _number(group / now)
        if limit is not None and used is not None:
            # pages of files count as used, and are given back when memory is asked for
            cached = [int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith(f"{files} ")]
            yield limit - used + sum(cached)
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    taken = _lines(PROCESS / "statm")
    for limit_of, place in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)) if taken else ():
        allowed = resource.getrlimit(limit_of)[0]
        if allowed != resource.RLIM_INFINITY:
            yield allowed - int(taken[0].split()[place]) * resource.getpagesize()


def _groups() -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Give the control group of this process and those it lies in: a job's limit is seldom that of the outermost."""
    for line in _lines(PROCESS / "cgroup"):
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, names = (GROUPS / "memory", SPLIT) if kinds else (GROUPS, UNIFIED)
        inner = [part for part in path.split("/") if part not in ("", "..")]
        yield from ((root.joinpath(*inner[:depth]), names) for depth in range(len(inner), -1, -1))


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
