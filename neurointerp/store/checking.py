"""Check every file of a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from neurointerp.errors import StoreError
from neurointerp.store import layout
from neurointerp.store.digests import Digests
from neurointerp.store.headers import is_metadata
from neurointerp.store.layout import DIGESTS
from neurointerp.store.reading import named, read_contents, read_digests
from neurointerp.store.sources import Source, find
from neurointerp.store.staging import restore_for_reader


def verify(path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> int:
    """Check every file of a store against the digests that were written with it.

    Parameters
    ----------
    path
        A folder, a `.zarr.zip` file, or a URL of either. Over http, where files cannot be listed, files that should
        not be there are not found.
    storage_options
        What fsspec should know besides the URL.

    Returns
    -------
    int
        Number of chunks checked (files of chunks, where the store has shards).

    Raises
    ------
    StoreError
        One message that names every file that is missing, altered or too many.

    Examples
    --------
    >>> import tempfile, numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.ones((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> path = ni.save(rec, tempfile.mkdtemp() + "/rec.zarr")
    >>> ni.verify(path)
    3
    >>> (path / "recording" / "c" / "0" / "0").unlink()
    >>> ni.verify(path)
    Traceback (most recent call last):
    ...
    neurointerp.errors.StoreError: .../rec.zarr is damaged: recording/c/0/0 is missing
    """
    if not layout.is_url(path):
        restore_for_reader(layout.local_path(path))
    source = find(path, storage_options)
    with named(source):
        digests = read_digests(source)
    if digests is None:
        read_contents(path, storage_options)  # what is no store, or has lost its digests, says so
        raise StoreError(
            f"{source} is a store of the first release, without {DIGESTS} to verify it with: save it again with "
            "neurointerp.save(neurointerp.open(path), path, overwrite=True)"
        )
    keys = sorted(digests.all_keys())
    with ThreadPoolExecutor(4) as pool:
        found = [text for text in pool.map(lambda key: _problem(source, digests, key), keys) if text]
    there = source.sizes()
    found += [f"{key} is extra" for key in sorted(set(there or ()) - set(keys) - {DIGESTS})]
    if found:
        raise StoreError(f"{source} is damaged: {'; '.join(found)}")
    read_contents(path, storage_options)
    return sum(not is_metadata(key) for key in keys)


def _problem(source: Source, digests: Digests, key: str) -> str | None:
    try:
        data = source.read(key, most=digests.size(key) + 1)
    except FileNotFoundError:
        return f"{key} is missing"
    except StoreError:
        raise
    except Exception as error:  # disk, zip and network errors of many libraries
        return f"{key} cannot be read ({layout.first_line(error)})"
    return None if digests.agree(key, data) else f"{key} is altered"
