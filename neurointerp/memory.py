"""How much memory this process may still take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Give the bytes that this process may still take: the least of what the machine, its group and its limit leave.

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
    limit, used = (_number(GROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        # pages of files count as used, and are given back when memory is asked for
        cached = [int(line.split()[1]) for line in _lines(GROUP / "memory.stat") if line.startswith("inactive_file ")]
        yield limit - used + sum(cached)
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    taken = _lines(Path("/proc/self/statm"))
    for limit_of, place in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)) if taken else ():
        allowed = resource.getrlimit(limit_of)[0]
        if allowed != resource.RLIM_INFINITY:
            yield allowed - int(taken[0].split()[place]) * resource.getpagesize()


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
