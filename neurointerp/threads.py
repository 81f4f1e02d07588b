"""How many threads of BLAS and OpenMP a kernel runs on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

SERIAL = 2e8
"""Fewer flops than this run on one thread: waking others costs more than they bring."""


@contextmanager
def for_work(flops: float) -> Iterator[None]:
    """Run what is inside on one thread where one step of it has few flops; leave threads as they are otherwise.

    Examples
    --------
    >>> with for_work(1e6):
    ...     pass
    """
    if flops >= SERIAL:
        yield
        return
    with _libraries(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    """Give the thread pools of this process; looked for again (2 ms) only when modules have been imported since."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
