"""Named arrays of `.npz` and `.safetensors` files, checked before anything is allocated."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from neurointerp.errors import LoaderError


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Give the arrays of a file by their keys; any defect of the file is a LoaderError."""
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise LoaderError(f"{path}: activations are read from {' or '.join(readers)}, not {path.suffix or 'this'}")
    try:
        arrays = readers[path.suffix](path)
    except LoaderError:
        raise
    except Exception as error:  # zip, header and format errors of two libraries: all mean the same to the user
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LoaderError(f"{path} cannot be read as {path.suffix}: {reason}") from error
    if not arrays:
        raise LoaderError(f"{path} holds no arrays")
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _check_npy(path, archive, member)
    with np.load(path, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def _check_npy(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Compare the size that a header promises with the bytes there, before anything is allocated."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise LoaderError(f"{path}: {member.filename} holds pickled objects, which are never unpacked")
        if stream.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise LoaderError(
                f"{path}: {member.filename} has {member.file_size} bytes, its header {shape} {dtype} differs"
            )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise LoaderError("reading .safetensors needs safetensors: pip install 'neurointerp[models]'") from error
    return dict(load_file(path))
