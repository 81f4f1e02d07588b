"""A folder of output files that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neurointerp.errors import StoreError


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give a folder to write files in before they are moved into `out`; fails early if it cannot be.

    It goes at the end. A run that is killed leaves its own, which the next one for the same `out` removes: the lock
    beside a folder goes with the process that holds it, however that ends.
    """
    from neurointerp.store.staging import acquire, release

    try:
        whole = _followed(out)
        near = next(folder for folder in (whole, *whole.parents) if folder.exists())
        if not near.is_dir():
            found = "it" if near == whole else near.name
            raise StoreError(f"cannot write to {out}: {found} is a file, not a folder")
        _remove_left(whole)
        stage = near / f".neurointerp.{whole.name}.{secrets.token_hex(4)}.partial"
        lock = acquire(stage, "save")  # before there is a folder, which nobody then takes for one that was left
        try:
            stage.mkdir()
        except OSError:
            release(stage, lock)
            raise
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        release(stage, lock)


def _remove_left(out: Path) -> None:
    """Remove the folders and locks that runs for `out` left in it, or above it where it was not there yet."""
    from neurointerp.store.staging import acquire, release

    pattern = re.compile(rf"\.?(\.neurointerp\.{re.escape(out.name)}\.[0-9a-f]{{8}}\.partial)(\.lock)?")
    for folder in (out, *out.parents):
        names: list[str] = []
        with suppress(OSError):  # a folder above may not be ours to read
            names = [path.name for path in folder.iterdir()]
        for name in {found[1] for found in map(pattern.fullmatch, names) if found}:
            with suppress(OSError, StoreError):  # a living run holds it
                lock = acquire(folder / name, "save", wait=False)
                shutil.rmtree(folder / name, ignore_errors=True)
                release(folder / name, lock)


def deliver(stage: Path, out: Path) -> None:
    """Move finished files into `out`, which is made if need be; what is there of the same name goes, be it a link."""
    try:
        whole = _followed(out)  # of a link to what is not there yet, that is made
        whole.mkdir(parents=True, exist_ok=True)
        for path in sorted(stage.iterdir()):
            target = whole / path.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            path.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error


def _followed(out: Path) -> Path:
    """Give where a path leads; OSError where its links go round in a circle, on every version of Python."""
    circle = OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(out))
    try:
        whole = out.resolve()
    except RuntimeError as error:  # until 3.12
        raise circle from error
    if any(path.is_symlink() for path in (whole, *whole.parents)):  # from 3.13 on they are left in
        raise circle
    return whole
