"""How a new store takes its place: built beside the target by one writer at a time, and put there in one step."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from neurointerp.errors import StoreError
from neurointerp.store import digests
from neurointerp.store.layout import DIGESTS, METADATA

POLL = 0.02
"""Seconds between two looks at a lock that another save holds."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
LOCKED_BYTE = 2**30
"""Which byte of the lock file is locked on Windows, far from the text that others read."""


class Stage:
    """The folder beside a target in which its next content is built; a context that one writer holds.

    What an earlier writer left when it was killed is put right on entry: a store it had taken away comes back, and
    its unfinished folders go.

    Parameters
    ----------
    target
        What is to be written, links resolved.
    overwrite
        Whether something may be there already.
    kind
        `"save"` waits for another save of the same target to end; `"writer"` does not, and nothing waits for one.
    keep
        Eight letters or digits that name a piece of work: what is unpublished at the end stays, and is found again
        by the next stage with the same name. Any other stage of the target removes it.

    Attributes
    ----------
    new : pathlib.Path
        The folder to fill.
    """

    def __init__(self, target: Path, *, overwrite: bool, kind: str, keep: str | None = None) -> None:
        self.target, self.overwrite, self.kind, self.keep = target, overwrite, kind, keep

    def __enter__(self) -> Self:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._lock = acquire(self.target, self.kind)
        except OSError as error:
            raise StoreError(f"cannot write {self.target}: {error.strerror or error}") from error
        try:
            restore(self.target)
            own = self.target.parent / f".{self.target.name}.{self.keep}.partial"
            for litter in stages(self.target):
                if litter != own:
                    shutil.rmtree(litter, ignore_errors=True)
            self._check_target()
            self.folder = own if self.keep else self._temporary()
            self.folder.mkdir(exist_ok=True)
            self.new = self.folder / "new"
        except BaseException as error:
            release(self.target, self._lock)
            if isinstance(error, OSError):
                raise StoreError(f"cannot write {self.target}: {error.strerror or error}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        release(self.target, self._lock)
        if isinstance(error, OSError):
            raise StoreError(f"cannot write {self.target}: {error.strerror or error}") from error

    def publish(self) -> None:
        """Check what was built, put it on the disk and then in place of the target, in one step."""
        zipped = self.target.name.endswith(".zip")
        digests.seal(self.new, sync=not zipped)
        fresh = _zipped(self.new, self.folder / "new.zip") if zipped else self.new
        self._check_target()
        place(fresh, self.target, self.folder / "old")

    def _temporary(self) -> Path:
        return Path(tempfile.mkdtemp(prefix=f".{self.target.name}.", suffix=".partial", dir=self.target.parent))

    def _check_target(self) -> None:
        if not os.path.lexists(self.target):
            return
        if not self.overwrite:
            raise StoreError(f"{self.target} exists already; choose another path or pass overwrite=True")
        if self.target.is_dir():
            holds = {path.name for path in self.target.iterdir()}
            if holds and not holds & {METADATA, DIGESTS}:
                raise StoreError(
                    f"{self.target} is a folder but no store, so it is not overwritten: choose another path"
                )


def place(fresh: Path, target: Path, old: Path) -> None:
    """Put a finished folder or file where the target is; at every moment one of the two, whole, stands there.

    Where the system cannot exchange two names, the target is first moved to `old`: for that moment nothing stands
    there, and a reader or the next writer moves it back should this process end just then (`restore`).
    """
    if not os.path.lexists(target) or (fresh.is_file() and target.is_file()):
        fresh.replace(target)
    elif not exchange(fresh, target):
        target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            old.rename(target)
            raise
        old.rename(old.with_name("gone"))
    digests.sync_folder(target.parent)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot (Linux can)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def stages(target: Path) -> list[Path]:
    """Give the staging folders of a target, of this and of earlier writers."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}\.partial")
    return [path for path in target.parent.iterdir() if name.fullmatch(path.name)] if target.parent.is_dir() else []


def restore(target: Path) -> None:
    """Put back a store that a writer had moved away when it was killed."""
    for stage in stages(target):
        if (stage / "old").exists() and not os.path.lexists(target):
            (stage / "old").rename(target)


def restore_for_reader(target: Path) -> None:
    """Put back what a killed writer had moved away, or wait while a living one is between two names."""
    while not os.path.lexists(target) and any((stage / "old").exists() for stage in stages(target)):
        try:
            lock = acquire(target, "reader", wait=False)
        except StoreError:
            time.sleep(POLL)
            continue
        except OSError as error:
            kept = [str(stage / "old") for stage in stages(target)]
            raise StoreError(f"{target} was being replaced when its writer ended; rename {kept[0]} to it") from error
        try:
            restore(target)
        finally:
            release(target, lock)


def acquire(target: Path, kind: str, *, wait: bool = True) -> IO[str]:
    """Lock a target against other writers; the lock goes with the process that holds it, however that ends.

    Raises
    ------
    StoreError
        When a `writer` holds the lock, or this is one and anything holds it.
    """
    path = _lock_path(target)
    waiting = False
    while True:
        file = open(path, "a+")  # noqa: SIM115 - held until release
        if _lock(file):
            if _is_at(file, path):
                file.truncate(0)
                file.write(f"{kind} process {os.getpid()} on {socket.gethostname()}")
                file.flush()
                return file
            file.close()  # its last holder removed it between our open and our lock
            continue
        file.seek(0)
        holder = file.read()
        file.close()
        if kind == "writer" or holder.startswith("writer") or not wait:
            raise StoreError(
                f"{target} is being written by another ({holder or 'unknown'}): wait for it, or choose another path"
            )
        if not waiting:
            logging.getLogger("neurointerp").info("waiting for another save of %s (%s)", target, holder)
        waiting = True
        time.sleep(POLL)


def release(target: Path, file: IO[str]) -> None:
    """Unlock a target."""
    path = _lock_path(target)
    if sys.platform != "win32":  # an open file cannot be removed there
        path.unlink(missing_ok=True)
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


def _lock_path(target: Path) -> Path:
    return target.parent / f".{target.name}.lock"


def _lock(file: IO[str]) -> bool:
    """Lock an open file; False where another holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        file.close()
        raise StoreError(
            f"{file.name} cannot be locked ({error.strerror}): save on another file system and move the store"
        ) from error
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _zipped(folder: Path, target: Path) -> Path:
    """Put a folder in a zip, uncompressed, with the same bytes each time, on the disk."""
    with open(target, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                info.external_attr = 0o644 << 16
                archive.writestr(info, path.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    return target
