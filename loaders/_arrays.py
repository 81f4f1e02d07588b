"""Named arrays of `.npz` and `.safetensors` files, checked before anything is allocated."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.models.sites import find_sites, unit_labels
from neurointerp.recordings import add_history, recording


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


def from_arrays(
    source: Path, arrays: Mapping[str, np.ndarray], site: str, time: Any, segment: Any, units: str, attrs: Any
) -> xr.DataArray:
    """Put the arrays that match side by side, as a recording."""
    found = find_sites(list(arrays), site)
    shapes = {one.path: arrays[one.path].shape for one in found}
    if any(len(shape) != 2 for shape in shapes.values()) or len({shape[0] for shape in shapes.values()}) != 1:
        raise LoaderError(f"{source}: arrays (token, unit) of one length are needed, found {shapes}; choose by site=")
    labels, coords = unit_labels(found, [arrays[one.path].shape[1] for one in found])
    if segment is not None:
        coords["segment"] = ("time", np.asarray(segment))
    values = np.concatenate([arrays[one.path] for one in found], axis=1)
    clock = np.arange(len(values)) if time is None else time
    rec = recording(values, modality="activations", units=units, time=clock, unit=labels, coords=coords, attrs=attrs)
    left_out = sorted(set(arrays) - set(shapes))
    return add_history(rec, "activations.load", file=source.name, site=site, left_out=left_out)
