"""Work on recordings: one after another, on processes of this machine, or on the workers of the dask client in use."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from neurointerp.errors import NeurointerpError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SECONDS_TO_END = 5.0
CUT, BUSY = threading.Event(), threading.Event()
"""Of a worker process: nobody waits for it any more; it is at a call."""


def cores() -> int:
    """Give how many processor cores this process may use.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def client() -> Any | None:
    """Give the `dask.distributed` client in use; None where there is none, and on a worker, which is one already.

    Examples
    --------
    >>> client() is None
    True
    """
    distributed = sys.modules.get("distributed")
    if distributed is None:  # nobody can have made a client
        return None
    try:
        distributed.get_worker()
    except ValueError:
        pass
    else:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


def finished(
    function: Callable[..., Any], calls: Mapping[str, Mapping[str, Any]], workers: int = 1
) -> Iterator[tuple[str, Any]]:
    """Give (name, what `function(**options)` gives) of every call, in the order in which they finish.

    Parameters
    ----------
    function
        Of a module, so that a worker finds it; without side effects but files that it may write again.
    calls
        Name -> options. A call whose dask worker is lost is made again on another (as often as the scheduler allows).
    workers
        Processes of this machine that share the calls, on one thread each, where there is no client; 1: this process.

    Yields
    ------
    tuple
        Name and result.

    Raises
    ------
    NeurointerpError
        When one of the processes ends without an answer.
    """
    there, workers = client(), min(workers, len(calls))
    if there is not None:
        yield from _on_client(there, function, calls)
    elif workers > 1:
        yield from _on_processes(workers, function, calls)
    else:
        for name, options in calls.items():
            yield name, function(**options)


def _on_client(
    there: Any, function: Callable[..., Any], calls: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Any]]:
    import distributed

    as_completed: Any = distributed.as_completed

    futures = {
        there.submit(function, **options, key=f"{function.__name__}-{name}-{uuid.uuid4()}"): name
        for name, options in calls.items()
    }
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        there.cancel(list(futures))


def _on_processes(
    workers: int, function: Callable[..., Any], calls: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Any]]:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    spawn = get_context("spawn")  # a fork would carry over threads of BLAS and numba in whatever state they are
    theirs, lifeline = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_as_worker, initargs=(theirs,))
    try:
        with _deaf_to_ctrl_c():
            futures = {pool.submit(_answer, function, options): name for name, options in calls.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException as error:  # Ctrl-C and a caller that wants no more among them: nobody waits for the rest
        lifeline.close()
        if not isinstance(error, BrokenProcessPool):
            raise
        raise NeurointerpError(
            f"one of {workers} worker processes ended before its answer: there may be too little memory (take fewer "
            'workers), or a script asks for workers outside of `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        lifeline.close()
        theirs.close()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that are started meanwhile begin without an ear for Ctrl-C: else each prints where it stood."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _answer(function: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    BUSY.set()
    try:
        if CUT.is_set():
            raise SystemExit(1)
        return function(**options)
    finally:
        BUSY.clear()


def _as_worker(lifeline: Connection) -> None:
    """Keep a worker to its own core, and end what it does when the other end of its lifeline is closed or gone.

    Ctrl-C in a terminal reaches all its processes: a worker leaves it to the one that asked.
    """
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(THREADS, "1"))  # of libraries that are not loaded yet
    threadpool_limits(1)  # pools of threads on the same cores wait for each other

    def interrupted(*_: object) -> None:
        if CUT.is_set() and BUSY.is_set():  # a worker that waits is told by the pool
            raise SystemExit(1)

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv()
        CUT.set()
        _thread.interrupt_main()  # which lets it take away what is half-written
        time.sleep(SECONDS_TO_END)
        os._exit(1)

    signal.signal(signal.SIGINT, interrupted)
    threading.Thread(target=watch, daemon=True).start()
