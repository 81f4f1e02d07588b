"""How many threads of BLAS and OpenMP a kernel runs on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

SERIAL = 2e8
"""Fewer flops than this run on one thread: waking others costs more than they bring."""
_counting = threading.Lock()
_held: dict[str, Any] = {"holders": 0, "before": {}}


@contextmanager
def for_work(flops: float) -> Iterator[None]:
    """Run what is inside on one thread where one step of it has few flops; leave threads as they are otherwise.

    BLAS has one number of threads for all threads of the process: it is 1 while any of them is inside, and comes back
    when the last leaves. OpenMP, and a BLAS that was built with it, has one for each thread.

    Examples
    --------
    >>> with for_work(1e6):
    ...     pass
    """
    if flops >= SERIAL:
        yield
        return
    blas, openmp = _libraries(len(sys.modules))
    _hold(blas)
    try:
        with openmp.limit(limits=1):  # whose number is that of the thread which sets it
            yield
    finally:
        _let_go()


def _hold(libraries: Sequence[Any]) -> None:
    """Set libraries to one thread, those that nobody holds yet, and keep what they had."""
    with _counting:
        for one in libraries:
            if one.filepath not in _held["before"]:
                _held["before"][one.filepath] = one, one.num_threads
                _set(one, 1)
        _held["holders"] += 1


def _let_go() -> None:
    with _counting:
        _held["holders"] -= 1
        if not _held["holders"]:
            for one, count in _held["before"].values():
                _set(one, count)
            _held["before"].clear()


def _set(library: Any, count: int) -> None:
    """Set the threads of a library; threadpoolctl (3.8) lets one thread alone do so, and the last to leave is any."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(count)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> tuple[Sequence[Any], Any]:
    """Give each BLAS with threads of its own, and OpenMP; looked for again (2 ms) only where modules came since."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController()
    blas = found.select(user_api="blas").lib_controllers
    # OpenBLAS that was built with OpenMP (conda has it) runs on as many threads as OpenMP has in the thread that calls
    shared = [one for one in blas if getattr(one, "threading_layer", None) != "openmp"]
    return shared, found.select(user_api="openmp")
