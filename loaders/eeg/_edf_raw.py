"""MNE's readers of EDF and BDF, sparing with what they read on opening: the one module that imports MNE at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mne.io.edf.edf import RawBDF, RawEDF

from neurointerp.loaders.eeg import _edf

# MNE reads the whole file for its annotations, 2 GB of a 2 GB file: it asks for them as for a block of data
# without channels. That one request is answered here from the bytes of the annotations; all else stays MNE's.


class SparingEDF(RawEDF):  # type: ignore[misc]
    """An `mne.io.edf.RawEDF` that opens a large EDF+ file quickly."""

    def _read_segment_file(self, data: np.ndarray, *where: Any) -> Any:
        if data.shape[0]:  # not by super(): MNE calls this with a stand-in for self
            return RawEDF._read_segment_file(self, data, *where)
        return _annotations(Path(self.filenames[0]))


class SparingBDF(RawBDF):  # type: ignore[misc]
    """An `mne.io.edf.RawBDF` that opens a large BDF+ file quickly."""

    def _read_segment_file(self, data: np.ndarray, *where: Any) -> Any:
        if data.shape[0]:
            return RawBDF._read_segment_file(self, data, *where)
        return _annotations(Path(self.filenames[0]))


def _annotations(path: Path) -> np.ndarray:
    """Give the annotation signals as MNE holds samples: (1, sample) int16, or int32 with three bytes used."""
    head = _edf.header(path)
    found = b"".join(_edf.annotation_bytes(path, head, head.records))
    if head.width == 2:
        return np.frombuffer(found, dtype="<i2")[None]
    wide = np.zeros((len(found) // 3, 4), dtype=np.uint8)
    wide[:, :3] = np.frombuffer(found, dtype=np.uint8).reshape(-1, 3)
    return wide.view("<i4").reshape(1, -1)
