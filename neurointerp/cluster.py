"""Work on one recording after another: here, or on the workers of the dask client in use as they come free."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any


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


def finished(function: Callable[..., Any], calls: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Give (name, what `function(**options)` gives) of every call, in the order in which they finish.

    Parameters
    ----------
    function
        Of a module, so that a worker finds it; without side effects but files that it may write again.
    calls
        Name -> options. A call whose worker is lost is made again on another (as often as the scheduler allows).

    Yields
    ------
    tuple
        Name and result.
    """
    there = client()
    if there is None:
        for name, options in calls.items():
            yield name, function(**options)
        return
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
