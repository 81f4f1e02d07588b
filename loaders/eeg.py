"""EEG, MEG and intracranial EEG as recordings: whatever MNE reads, or an MNE Raw object."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError, RecordingError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session
from neurointerp.units import factor, is_known

GROUPS = {
    "eeg": ("eeg", "V", ("eeg",)),
    "meg": ("meg", "T", ("mag",)),
    "meg_grad": ("meg", "T/m", ("grad",)),
    "ieeg": ("ieeg", "V", ("seeg", "ecog", "dbs")),
    "eog": ("behavior", "V", ("eog",)),
    "ecg": ("behavior", "V", ("ecg",)),
    "emg": ("behavior", "V", ("emg",)),
    "stim": ("stimulus", "1", ("stim",)),
}
"""Recording name -> modality, units and the MNE channel types it takes: one unit of measure per recording."""
PREFERRED = ("eeg", "meg", "meg_grad", "ieeg")
FRAMES = {0: "unknown", 1: "device", 2: "isotrak", 4: "head", 5: "mri", 6: "mri_slice", 8: "digitizer"}
SCALED_BY_MNE = ("uV", "\u00b5V", "\u03bcV", "\x83\xcaV", "mV")
"""Unit fields of an EDF or BDF header that MNE turns into volts; it takes any other number as it stands."""
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
BOUNDARIES = ("boundary", "BAD boundary", "EDGE boundary", "New Segment/")
"""How EEGLAB, MNE and BrainVision mark a place where the recording was interrupted."""


@dataclass(frozen=True)
class _Opened:
    raw: Any
    label: str
    scale: Mapping[str, float] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()


def load(source: Any, *, modality: str | None = None, units: str | None = None, strip: str = "") -> xr.DataArray:
    """Read an EEG, MEG or intracranial EEG recording.

    Parameters
    ----------
    source
        A file that `mne.io.read_raw` reads (EDF, BDF, BrainVision, EEGLAB, FIF, ...) or an `mne.io.Raw`.
    modality
        `"eeg"`, `"meg"` or `"ieeg"`, or any recording that `load_session` gives (`"meg_grad"`, `"eog"`, ...).
        Default: the first of eeg, meg, ieeg that the file holds. `"meg"` means magnetometers where there are
        any: gradiometers have another unit and are a recording of their own.
    units
        Unit of the channels whose unit the file does not state, such as `"uV"`; the others keep their own.
    strip
        Characters to take off the end of every channel name: `"."` turns PhysioNet's `Oz..` into `Oz`.

    Returns
    -------
    xarray.DataArray
        (time, unit), float64 in V, T or T/m; the clock starts at 0 s at the first sample. Along `unit`:
        `channel_type`, `is_bad`, and `x`, `y`, `z` (m) where positions are known. `segment` counts the
        stretches between interruptions that the file marks; samples that a FIF file skipped are NaN.
        Channels left out, and what MNE warned of, are in `history`.

    Raises
    ------
    LoaderError
        When the file cannot be read or is shorter than its header says, holds nothing of the modality, or
        states no usable unit. An EDF+D file (gaps between its records) is refused: MNE would close the gaps.

    Notes
    -----
    The format is MNE's work [1]_. EDF and BDF headers are read here too, for the two things MNE passes over:
    a missing tail, and channels whose unit it does not know and takes for volts.

    References
    ----------
    .. [1] Gramfort A, et al. (2013). MEG and EEG data analysis with MNE-Python. Front Neurosci 7:267.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["Fz", "Oz"], sfreq=100.0, ch_types="eeg")
    >>> raw = mne.io.RawArray(np.zeros((2, 50)), info, verbose="error")
    >>> rec = load(raw)
    >>> rec.sizes["time"], rec.attrs["units"], rec.attrs["sampling_rate"]
    (50, 'V', 100.0)
    """
    opened = _open(source, units)
    groups = _groups(opened)
    name = _chosen(opened, groups, modality)
    return _recording(opened, groups, name, strip)


def load_session(source: Any, *, modality: str | None = None, units: str | None = None, strip: str = "") -> xr.DataTree:
    """Read a whole EEG or MEG file: every kind of channel as a recording, and its annotations as events.

    Parameters
    ----------
    source, units, strip
        As for `load`.
    modality
        The recording to put first; default as for `load`.

    Returns
    -------
    xarray.DataTree
        Recordings `eeg`, `meg` (magnetometers), `meg_grad`, `ieeg`, `eog`, `ecg`, `emg`, `stim` as the file
        has them. Events: `onset` (s from the first sample), `duration` (s), `trial_type`.

    Raises
    ------
    LoaderError
        As for `load`.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["Fz", "STI"], sfreq=100.0, ch_types=["eeg", "stim"])
    >>> raw = mne.io.RawArray(np.zeros((2, 50)), info, verbose="error")
    >>> _ = raw.set_annotations(mne.Annotations(0.2, 0.1, "tone"))
    >>> tree = load_session(raw)
    >>> list(tree["recordings"]), tree["events/onset"].values
    (['eeg', 'stim'], array([0.2]))
    """
    opened = _open(source, units)
    groups = _groups(opened)
    first = _chosen(opened, groups, modality)
    names = [first, *(name for name in groups if name != first)]
    recordings = {name: _recording(opened, groups, name, strip) for name in names}
    return session(recordings, events=_events(opened.raw), attrs=_about(opened))


def _open(source: Any, units: str | None) -> _Opened:
    mne = files.library("mne", "eeg")
    if isinstance(source, mne.io.BaseRaw):
        label = Path(str(source.filenames[0])).name if source.filenames and source.filenames[0] else "MNE Raw"
        return _with_units(_Opened(source, label), _unscaled_by_mne(source), units)
    if not isinstance(source, str | os.PathLike):
        raise LoaderError(f"a path or an mne.io.Raw is needed, found {type(source).__name__}")
    path = files.existing(source)
    header = _edf_header(path) if path.suffix.lower() in (".edf", ".bdf") else None
    with files.reading(path, "EEG or MEG") as said, _silent(mne.utils.logger):
        raw = mne.io.read_raw(path, preload=False, verbose="warning")
    opened = _Opened(raw, str(path), said=tuple(said))
    if header is None:
        return _with_units(opened, _unscaled_by_mne(raw), units)
    if len(header) != len(raw.ch_names):
        raise LoaderError(f"{path}: the header names {len(header)} signals, MNE reads {len(raw.ch_names)}")
    stated = zip(raw.ch_names, header, strict=True)
    return _with_units(opened, {name: unit for name, unit in stated if unit not in SCALED_BY_MNE}, units)


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep MNE from printing; its warnings still arrive as warnings."""

    def drop(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def _edf_header(path: Path) -> list[str]:
    """Give the unit field of each signal of an EDF or BDF file after checking that all its bytes are there."""
    with files.reading(path, "EDF or BDF"), path.open("rb") as file:
        head = file.read(256)
        if head[:8] not in (b"0       ", b"\xffBIOSEMI"):
            raise LoaderError(f"{path}: is not an EDF or BDF file: it begins with {head[:8]!r}")
        start, records, count = (int(head[a:b] or b"0") for a, b in ((184, 192), (236, 244), (252, 256)))
        fields = file.read(256 * count).decode("latin-1")
        if len(head) < 256 or len(fields) < 256 * count:
            raise LoaderError(f"{path}: is truncated within its header; fetch the file again")
        samples = sum(int(text) for text in _column(fields, count, 216, 8))
    kind = head[192:197].decode("latin-1")
    if kind in ("EDF+D", "BDF+D"):
        raise LoaderError(
            f"{path}: is {kind}, with gaps between its records, which MNE would close; save it as continuous "
            "pieces, or read it with MNE and pass the Raw object"
        )
    record = samples * (3 if path.suffix.lower() == ".bdf" else 2)
    expected, found = start + records * record, path.stat().st_size
    if found < expected:
        raise LoaderError(
            f"{path}: is truncated: the header says {records} records ({expected} bytes), found "
            f"{max(found - start, 0) // record} whole records ({found} bytes); fetch the file again"
        )
    names, units = _column(fields, count, 0, 16), _column(fields, count, 96, 8)
    return [unit for unit, name in zip(units, names, strict=True) if name not in ANNOTATIONS]


def _column(fields: str, count: int, offset: int, width: int) -> list[str]:
    """Give one field of every signal of an EDF header, which holds them field by field."""
    return [fields[count * offset + i * width :][:width].strip() for i in range(count)]


def _unscaled_by_mne(raw: Any) -> dict[str, str]:
    """Give the channels of formats other than EDF whose unit MNE did not know; it has scaled the others."""
    noted: Mapping[str, str] = getattr(raw, "_orig_units", None) or {}
    return {name: "n/a" for name in raw.ch_names if noted.get(name) in ("", "n/a")}


def _with_units(opened: _Opened, stated: Mapping[str, str], units: str | None) -> _Opened:
    """Sort the channels that MNE left unscaled: a voltage to scale here, something else, or nothing known."""
    volts = {kind for _, unit, kinds in GROUPS.values() if unit == "V" for kind in kinds}
    types = dict(zip(opened.raw.ch_names, opened.raw.get_channel_types(), strict=True))
    asked = {name: unit for name, unit in stated.items() if types[name] in volts}
    known = {name: unit for name, unit in asked.items() if _is_unit(unit)}
    unknown = {name: unit for name, unit in asked.items() if name not in known}
    foreign = {name: unit for name, unit in known.items() if not _is_voltage(unit)}
    if unknown and units is not None:
        if not _is_voltage(units):
            raise LoaderError(f"{opened.label}: units={units!r} is no voltage; pass units='uV', 'mV' or 'V'")
        known, unknown = known | dict.fromkeys(unknown, units), {}
    scale = {name: factor(unit, "V") for name, unit in known.items() if name not in foreign}
    return replace(opened, scale=scale, unknown=unknown, foreign=foreign)


def _is_unit(text: str) -> bool:
    """Tell whether a unit field names a unit; pint alone would take the `.V` of a mangled header for volts."""
    return is_known(text) and (text[0].isalpha() or text == "%") and text[-1] not in "./"


def _is_voltage(unit: str) -> bool:
    try:
        return bool(factor(unit, "V"))
    except RecordingError:
        return False


def _groups(opened: _Opened) -> dict[str, list[int]]:
    """Give the channel indices of each recording that the file holds."""
    kinds = opened.raw.get_channel_types()
    found = {
        name: [
            index
            for index, kind in enumerate(kinds)
            if kind in types and opened.raw.ch_names[index] not in opened.foreign
        ]
        for name, (_, _, types) in GROUPS.items()
    }
    return {name: channels for name, channels in found.items() if channels}


def _chosen(opened: _Opened, groups: Mapping[str, list[int]], modality: str | None) -> str:
    wanted = PREFERRED if modality is None else ("meg", "meg_grad") if modality == "meg" else (modality,)
    for name in wanted:
        if name in groups:
            return name
    asked = "EEG, MEG or iEEG" if modality is None else repr(modality)
    held = ", ".join(groups) or ", ".join(sorted(set(opened.raw.get_channel_types()))) or "no channels"
    raise LoaderError(f"{opened.label}: no channels of {asked}; it holds {held}")


def _recording(opened: _Opened, groups: Mapping[str, list[int]], name: str, strip: str) -> xr.DataArray:
    raw, channels = opened.raw, groups[name]
    modality, units, _ = GROUPS[name]
    names = [raw.ch_names[index] for index in channels]
    without = [channel for channel in names if channel in opened.unknown]
    if without:
        raise LoaderError(
            f"{opened.label}: {len(without)} of {len(names)} channels state no unit that is known (channel "
            f"{without[0]!r}: {opened.unknown[without[0]]!r}); pass units=, such as units='uV'"
        )
    logger = files.library("mne", "eeg").utils.logger
    with files.reading(opened.label, "EEG or MEG") as said, _silent(logger):
        values = raw.get_data(picks=channels, verbose="warning")
        values *= np.array([opened.scale.get(channel, 1.0) for channel in names])[:, None]
        skipped = _blank_skipped(raw, values)
        coords = _coords(raw, channels) | _segments(raw)
        rec = recording(
            values.T, modality=modality, units=units, sampling_rate=float(raw.info["sfreq"]), name=name,
            unit=[channel.rstrip(strip) if strip else channel for channel in names], coords=coords,
            attrs=_about(opened),
        )  # fmt: skip
    left = {other: [raw.ch_names[index] for index in groups[other]] for other in groups if other != name}
    taken = {index for indices in groups.values() for index in indices}
    rest = [channel for index, channel in enumerate(raw.ch_names) if index not in taken]
    scaled = {channel: scale for channel, scale in opened.scale.items() if channel in names and scale != 1}
    return add_history(
        rec, "loaders.eeg.load", modality=name, left_out=left | ({"other": rest} if rest else {}), strip=strip,
        samples_skipped=skipped, scaled_to_volts=scaled,
        warnings=[*opened.said, *said],
    )  # fmt: skip


def _blank_skipped(raw: Any, values: np.ndarray) -> int:
    """Put NaN where the acquisition was skipped: MNE gives zeros there."""
    skipped = np.zeros(values.shape[1], dtype=bool)
    for onset, duration, text in _annotations(raw):
        if text.upper().startswith("BAD_ACQ_SKIP"):
            first = round(onset * raw.info["sfreq"])
            skipped[max(first, 0) : max(first + round(duration * raw.info["sfreq"]), 0)] = True
    values[:, skipped] = np.nan
    return int(skipped.sum())


def _segments(raw: Any) -> dict[str, Any]:
    """Number the stretches between interruptions; nothing where there is none."""
    starts = [round(onset * raw.info["sfreq"]) for onset, _, text in _annotations(raw) if text.startswith(BOUNDARIES)]
    cuts = np.unique([start for start in starts if 0 < start < raw.n_times]).astype(np.int64)
    if not cuts.size:
        return {}
    return {"segment": ("time", np.searchsorted(cuts, np.arange(raw.n_times), side="right"))}


def _coords(raw: Any, channels: list[int]) -> dict[str, Any]:
    types = raw.get_channel_types()
    coords: dict[str, Any] = {
        "channel_type": ("unit", [types[index] for index in channels]),
        "is_bad": ("unit", np.array([raw.ch_names[index] in raw.info["bads"] for index in channels])),
    }
    described = [raw.info["chs"][index] for index in channels]
    places = np.array([channel["loc"][:3] for channel in described], dtype=np.float64)
    places[(places == 0).all(axis=1)] = np.nan  # FIF writes zeros where it knows no position
    frames = {int(channel["coord_frame"]) for channel in described}
    if np.isfinite(places).all(axis=1).any() and len(frames) == 1:
        about = {"units": "m", "frame": FRAMES.get(frames.pop(), "unknown")}
        coords |= {axis: ("unit", places[:, i], about) for i, axis in enumerate("xyz")}
    return coords


def _annotations(raw: Any) -> list[tuple[float, float, str]]:
    """Give (onset in s from the first sample, duration in s, text) of each annotation.

    MNE counts onsets from the measurement date, which lies `first_time` before the first sample.
    """
    found = raw.annotations
    return [
        (float(onset) - float(raw.first_time), float(duration), str(text))
        for onset, duration, text in zip(found.onset, found.duration, found.description, strict=True)
    ]


def _events(raw: Any) -> dict[str, list[Any]] | None:
    found = _annotations(raw)
    columns: list[list[Any]] = [list(column) for column in zip(*found, strict=True)]
    return dict(zip(("onset", "duration", "trial_type"), columns, strict=True)) if found else None


def _about(opened: _Opened) -> dict[str, Any]:
    date = opened.raw.info["meas_date"]
    about: dict[str, Any] = {"source": Path(opened.label).name}
    return about | ({"measured_at": date.isoformat()} if date is not None else {})
