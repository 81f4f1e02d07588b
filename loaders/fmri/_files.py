"""Opening images: what nibabel makes of a file, and whether the bytes its header promises are there."""

from __future__ import annotations

import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files

COMPRESSED = (".gz", ".mgz", ".bz2", ".zst")
DEFLATE_RATIO = 1100
"""No deflate stream unpacks to more than about 1032 times its size (zlib's documentation)."""
ENDINGS = (
    ".dtseries.nii", ".ptseries.nii", ".dscalar.nii", ".pscalar.nii", ".dlabel.nii", ".func.gii", ".shape.gii",
    ".label.gii", ".surf.gii", ".nii.gz", ".nii", ".gii.gz", ".gii", ".mgz", ".mgh.gz", ".mgh", ".img", ".hdr",
    ".head", ".brik.gz", ".brik", ".tsv.gz", ".tsv", ".csv", ".txt", ".json",
)  # fmt: skip
"""Endings of the files this loader meets, longest first: what is left is the stem."""
NO_IMAGES = {
    "physio.tsv.gz": "is a physiological recording; read it with loaders.fmri.physio",
    ".json": "is a sidecar, which goes with an image; pass the image",
    ".mat": "is a MATLAB file, which states no repetition time; read it with scipy.io.loadmat and give its numbers to "
    "neurointerp.recording(..., modality='fmri', sampling_rate=)",
}
"""Endings of files beside images -> what to do with them."""


@dataclass(frozen=True)
class Source:
    """An image, what to call it in messages, and its file where it was opened from one."""

    image: Any
    label: str
    path: Path | None = None

    def data(self) -> Any:
        """Give what to slice; the file stays open while it lives, so that a compressed one is read forward once."""
        if self.path is None:
            return self.image.dataobj
        nibabel = files.library("nibabel", "fmri")
        with files.reading(self.path, "an image"):
            return nibabel.load(self.path, keep_file_open=True).dataobj

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path alone: nibabel would pickle the bytes of the whole image."""
        return (Source, (self.image, self.label)) if self.path is None else (opened, (self.path,))

    def take(self, data: Any, index: tuple[slice, ...]) -> np.ndarray:
        """Read a part, scaled once as the header says; a defect of the file is one line that names it."""
        with files.reading(self.label, "an image"):
            try:
                values: np.ndarray = np.asanyarray(data[index])
            except (EOFError, OSError, zlib.error) as error:
                raise truncated(self, error) from error
        if values.dtype.kind not in "iuf":
            raise LoaderError(f"{self.label}: real numbers are needed, found dtype {values.dtype}")
        infinite = int(np.isinf(values).sum()) if values.dtype.kind == "f" else 0
        if infinite:
            raise LoaderError(f"{self.label}: {infinite} infinite values; a missing value is NaN")
        return values

    def read(self) -> np.ndarray:
        """Read the whole image."""
        return self.take(self.data(), (slice(None),) * len(self.image.shape))

    def dtype(self) -> np.dtype[Any]:
        """Give the dtype of the scaled values; one of them is read to learn it."""
        return self.take(self.data(), (slice(0, 1),) * len(self.image.shape)).dtype.newbyteorder("=")


def label(source: Any) -> str:
    """Give the name of a source in messages: its path, or its type."""
    if isinstance(source, str | os.PathLike):
        return str(Path(source))
    name = source.get_filename() if hasattr(source, "get_filename") else None
    return str(name) if name else type(source).__name__


def stem(path: Path) -> str:
    """Give the name of a file without its ending (`sub-01_bold` of `sub-01_bold.dtseries.nii`)."""
    ending = next((end for end in ENDINGS if path.name.lower().endswith(end)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def opened(source: Any, what: str = "NIfTI") -> Source:
    """Open a file with nibabel, or take its image; nothing but the header is read."""
    nibabel = files.library("nibabel", "fmri")
    if not isinstance(source, str | os.PathLike):
        return Source(source, label(source))
    path = files.existing(source)
    for ending, told in NO_IMAGES.items():
        if path.name.lower().endswith(ending):
            raise LoaderError(f"{path}: {told}")
    with files.reading(path, what):
        image = nibabel.load(path)
    found = Source(image, str(path), path)
    _check_size(found)
    return found


def truncated(source: Source, error: Exception) -> LoaderError:
    """Say how many bytes a file lacks, where that is why it could not be read."""
    need, file = _promised(source)
    if file is None or file.suffix.lower() not in (".gz", ".mgz"):
        return LoaderError(f"{source.label}: cannot be read ({type(error).__name__}: {files.one_line(error)})")
    there = _unpacked(file)
    if there >= need:
        return LoaderError(f"{file}: the compressed stream is damaged ({type(error).__name__}: {error}); copy it again")
    return LoaderError(
        f"{file}: is truncated: its header promises {need} bytes, {there} are there after unpacking, "
        f"{need - there} are missing; copy the file again"
    )


def _check_size(source: Source) -> None:
    """Compare what the header promises with the size of the file, before anything is allocated."""
    need, file = _promised(source)
    if file is None or not file.is_file():
        return
    there, shape = file.stat().st_size, tuple(int(n) for n in source.image.shape)
    if file.suffix.lower() not in COMPRESSED and there < need:
        raise LoaderError(
            f"{file}: is truncated: its header (shape {shape}) promises {need} bytes, {there} are there, "
            f"{need - there} are missing; copy the file again"
        )
    if file.suffix.lower() in (".gz", ".mgz") and need > there * DEFLATE_RATIO:
        raise LoaderError(
            f"{file}: its header (shape {shape}) promises {need} bytes, which {there} compressed bytes "
            "cannot hold; the header is wrong or the file truncated"
        )


def _promised(source: Source) -> tuple[int, Path | None]:
    """Give the bytes a header promises, and the file that has to hold them."""
    proxy: Any = getattr(source.image, "dataobj", None)
    holder = getattr(source.image, "file_map", {}).get("image")
    if source.path is None or not hasattr(proxy, "offset") or holder is None or holder.filename is None:
        return 0, None
    shape = [int(n) for n in proxy.shape]
    return int(proxy.offset) + math.prod(shape) * np.dtype(proxy.dtype).itemsize, Path(holder.filename)


def _unpacked(path: Path, block: int = 1 << 20) -> int:
    """Count the bytes that can be unpacked from a gzip file."""
    engine, total = zlib.decompressobj(wbits=31), 0
    with path.open("rb") as file:
        while chunk := file.read(block):
            try:
                total += len(engine.decompress(chunk))
            except zlib.error:
                break
    return total
