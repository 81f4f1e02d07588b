"""What an opened source is to the rest of the loader, and how channels are grouped into recordings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.loaders import files

GROUPS = {
    "eeg": ("eeg", "V", ("eeg",)),
    "meg": ("meg", "T", ("mag",)),
    "meg_grad": ("meg", "T/m", ("grad",)),
    "ieeg": ("ieeg", "V", ("seeg", "ecog", "dbs")),
    "meg_ref": ("meg", "T", ("ref_meg",)),
    "meg_ref_grad": ("meg", "T/m", ("ref_meg_grad",)),
    "csd": ("eeg", "V/m^2", ("csd",)),
    "eog": ("behavior", "V", ("eog",)),
    "ecg": ("behavior", "V", ("ecg",)),
    "emg": ("behavior", "V", ("emg",)),
    "bio": ("behavior", "V", ("bio",)),
    "gsr": ("behavior", "S", ("gsr",)),
    "stim": ("stimulus", "1", ("stim",)),
}
"""Recording name -> modality, units and the MNE channel types it takes: one unit of measure per recording."""
PREFERRED = ("eeg", "meg", "meg_grad", "ieeg", "csd")
VOLTAGES = tuple(kind for _, unit, kinds in GROUPS.values() if unit == "V" for kind in kinds)
FRAMES = {0: "unknown", 1: "device", 2: "isotrak", 4: "head", 5: "mri", 6: "mri_slice", 8: "digitizer"}
FIFF_UNIT_T_M = 201


@dataclass(frozen=True)
class Marks:
    """True times of the records of a file with gaps, which MNE reads as if there were none."""

    onsets: np.ndarray
    """(record,) s, from the first sample."""
    samples: int
    """Samples of a record."""
    events: tuple[tuple[float, float, str], ...]
    """(onset s from the first sample, duration s, text)."""


@dataclass(frozen=True)
class Opened:
    """An object of MNE (lists of Evoked for `.fif` files of averages) and what its file says beyond it."""

    data: Any
    label: str
    stated: Mapping[str, str] = field(default_factory=dict)
    """Channel -> unit field of the file, where the file has such fields."""
    applied: Mapping[str, float] = field(default_factory=dict)
    """Channel -> what MNE multiplied by, on account of the unit; 1 where absent."""
    scale: Mapping[str, float] = field(default_factory=dict)
    """Channel -> what is still to multiply by."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    """Channel -> the unit that the caller gave."""
    said: tuple[str, ...] = ()
    marks: Marks | None = None
    late: float = 0.0
    """Seconds from the start time of an EDF+ header to the first sample."""
    zoned: bool = False
    """Whether the start time is known in UTC, not on a clock of an unknown zone."""
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def info(self) -> Any:
        """The `mne.Info`."""
        return self.data[0].info if isinstance(self.data, list) else self.data.info

    @property
    def names(self) -> list[str]:
        """The channel names."""
        return list(self.info["ch_names"])

    @property
    def kinds(self) -> list[str]:
        """The MNE type of each channel; one whose voltage MNE did not recognise is EEG, not `misc`."""
        kinds = self.info.get_channel_types()
        for index, (channel, kind) in enumerate(zip(self.info["chs"], kinds, strict=True)):
            if kind == "ref_meg" and channel["unit"] == FIFF_UNIT_T_M:
                kinds[index] = "ref_meg_grad"
            elif kind == "misc" and (channel["ch_name"] in self.scale or channel["ch_name"] in self.unknown):
                kinds[index] = "eeg"
        return list(kinds)

    @property
    def rate(self) -> float:
        """The sampling rate (Hz)."""
        return float(self.info["sfreq"])

    @property
    def projected(self) -> list[str]:
        """The projectors that MNE has applied, as it does to epochs and averages that carry some."""
        return [str(one["desc"]) for one in self.info["projs"] if one["active"]]

    @property
    def is_raw(self) -> bool:
        """Whether this is continuous data."""
        return hasattr(self.data, "first_samp")

    def groups(self) -> dict[str, list[int]]:
        """Give the channel indices of each recording that the source holds."""
        kinds, names = self.kinds, self.names
        found = {
            group: [i for i, kind in enumerate(kinds) if kind in types and names[i] not in self.foreign]
            for group, (_, _, types) in GROUPS.items()
        }
        return {group: channels for group, channels in found.items() if channels}

    def about(self) -> dict[str, Any]:
        """Give the attrs that all recordings of the source share."""
        date: datetime | None = self.info["meas_date"]
        about = {"source": Path(self.label).name, **self.attrs}
        if date is None:
            return about
        first = float(self.data.first_time) if self.is_raw else 0.0
        date = (date if self.zoned else date.replace(tzinfo=None)) + timedelta(seconds=first + self.late)
        return about | {"measured_at": date.isoformat()}


@contextmanager
def asking(label: object) -> Iterator[list[str]]:
    """Let MNE read: it prints nothing, its warnings go to the list, its errors become one LoaderError line."""
    logger: logging.Logger = files.library("mne", "eeg").utils.logger

    def drop(record: logging.LogRecord) -> bool:
        return False

    with files.reading(label, "EEG or MEG") as said:
        logger.addFilter(drop)
        try:
            yield said
        finally:
            logger.removeFilter(drop)
