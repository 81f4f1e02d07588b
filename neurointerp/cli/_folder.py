"""A folder of output files that appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from neurointerp.errors import StoreError


def staging_folder(out: Path) -> Path:
    """Make the folder that the files are written in before they are moved into `out`; fails early if it cannot."""
    try:
        if out.exists() and not out.is_dir():
            raise StoreError(f"cannot write to {out}: it is a file, not a folder")
        near = out if out.is_dir() else next(parent for parent in out.absolute().parents if parent.exists())
        return Path(tempfile.mkdtemp(prefix=".neurointerp.", suffix=".partial", dir=near))
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error


def deliver(stage: Path, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(stage.iterdir()):
            target = out / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error
