"""What every benchmark does alike: time the contestants in turn, take the peak of their memory, and keep rows.

A row is one workload beside one peer. `python benchmarks/run.py` collects the rows of all scripts into a page.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One workload: the seconds that each side took in each round, and what bounds ours."""

    work: str
    workload: str
    peer: str
    ours: list[float]
    theirs: list[float]
    target: float | None = None
    quality: str = ""
    limit: str = ""
    share: float | None = None
    ours_gb: float | None = None
    theirs_gb: float | None = None
    arrived: bool = True

    @property
    def ratio(self) -> float:
        """How many times sooner ours is: the median over rounds of the ratio within a round."""
        return statistics.median(b / a for a, b in zip(self.ours, self.theirs, strict=True))

    def line(self) -> str:
        """Say it in one line."""
        goal = "" if self.target is None else f" (to reach {self.target:g}x)"
        least = "" if self.arrived else "at least "
        bound = "" if self.share is None else f"; {self.limit}: {self.share:.0%}"
        memory = "" if self.ours_gb is None else f"; adds {1e3 * self.ours_gb:.0f} MB"
        other = "" if self.theirs_gb is None else f", {self.peer} {1e3 * self.theirs_gb:.0f} MB"
        return (
            f"{self.work} | {self.workload}: {statistics.median(self.ours):.3f} s, {self.peer} "
            f"{statistics.median(self.theirs):.3f} s: {least}{self.ratio:.1f}x{goal}{bound}{memory}{other}"
        )


def options(parser: argparse.ArgumentParser, rounds: int = 5) -> argparse.ArgumentParser:
    """Add the options that all scripts share."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"interleaved rounds (default {rounds})")
    parser.add_argument("--rows", type=Path, help="append each row to this file, one JSON object a line")
    return parser


def keep(row: Row, path: Path | None) -> None:
    """Print a row, and append it to a file."""
    print(row.line(), flush=True)
    if path is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**asdict(row), "ratio": row.ratio}) + "\n")


def seconds(call: Call, clock: Callable[[], float] = time.process_time) -> tuple[float, Any]:
    """Give the processor seconds of all threads, which other work on the machine hardly lengthens, and the answer."""
    begun = clock()
    found = call()
    return clock() - begun, found


def in_turn(calls: Mapping[str, Call], rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time all in turn, A B C A B C ..., after one uncounted run of the first (it compiles); and the last answers."""
    next(iter(calls.values()))()
    times: dict[str, list[float]] = {name: [] for name in calls}
    answers: dict[str, Any] = {}
    for _ in range(rounds):
        for name, call in calls.items():
            took, answers[name] = seconds(call)
            times[name].append(took)
    return times, answers


def contest(row: Row, ours: Call, theirs: Call, rounds: int, *, limit: Call | None = None, scale: float = 1.0) -> Row:
    """Fill the times, the share of the limit and the peaks; `scale` is the whole job in units of the peer's call."""
    calls = {"ours": ours, "theirs": theirs} | ({} if limit is None else {"limit": limit})
    times, _ = in_turn(calls, rounds)
    share = statistics.median(times["limit"]) / statistics.median(times["ours"]) if limit is not None else None
    return replace(
        row,
        ours=times["ours"],
        theirs=[scale * took for took in times["theirs"]],
        share=share,
        ours_gb=peak(ours),
        theirs_gb=peak(theirs) if scale == 1 else None,
    )


def peak(call: Call) -> float | None:
    """Give by how many GB a call raises the resident memory at its peak (Linux; None elsewhere)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again at what is resident now
    before = _resident(status, "VmRSS")
    call()
    return _resident(status, "VmHWM") - before


def _resident(status: Path, field: str) -> float:
    return int(status.read_text().split(f"{field}:")[1].split()[0]) * 1024 / 1e9


def product_rate(left: np.ndarray, right: np.ndarray, rounds: int = 5) -> float:
    """Give the GFLOP/s of `left @ right`, the median of a few runs."""
    took = statistics.median(seconds(lambda: left @ right)[0] for _ in range(rounds))
    return 2e-9 * left.shape[0] * left.shape[1] * right.shape[1] / took
