"""EEG while fists and feet move or are imagined to move: PhysioNet's eegmmidb (Schalk et al. 2004), `S###R##.edf`.

109 people, 14 runs each, come to one order of channels and one clock; see `docs/add-a-dataset.md` for how.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.align import resample
from neurointerp.errors import LoaderError
from neurointerp.loaders import eeg, files
from neurointerp.recordings import add_history, session

ORDER = (
    "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "CP5", "CP3", "CP1",
    "CPz", "CP2", "CP4", "CP6", "Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8", "F7", "F5", "F3", "F1",
    "Fz", "F2", "F4", "F6", "F8", "FT7", "FT8", "T7", "T8", "T9", "T10", "TP7", "TP8", "P7", "P5", "P3", "P1", "Pz",
    "P2", "P4", "P6", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2", "Iz",
)  # fmt: skip
"""The common order: the 64 places of the 10-10 system, numbered as in the database's own montage."""
RATE = 160.0
"""Hz that the database states; a recording at another rate is resampled."""
REST = "rest"
FISTS, BOTH = {"T0": REST, "T1": "left_fist", "T2": "right_fist"}, {"T0": REST, "T1": "both_fists", "T2": "both_feet"}
BASELINE = {1: "eyes_open", 2: "eyes_closed"}
ABOUT = {
    "system": "Homo sapiens",
    "license": "ODC-By-1.0",
    "citation": "Schalk G, McFarland DJ, Hinterberger T, Birbaumer N, Wolpaw JR (2004) IEEE Trans Biomed Eng 51:1034; "
    "Goldberger AL, et al. (2000) Circulation 101:e215",
}


def load(path: files.PathLike, *, run: int | None = None, subject: str | None = None) -> xr.DataArray:
    """Read one run on the common order of channels and the common clock.

    Parameters
    ----------
    path
        An EDF+ file of the database.
    run, subject
        Run (1 to 14) and person, such as `"S001"`; default: those of the file's name, `S###R##`.

    Returns
    -------
    xarray.DataArray
        (time, unit): 64 channels in `ORDER`, float64 V, 160 Hz. Names are spelled as the 10-10 system does (`Fc5.`
        is FC5); a channel that the file lacks is NaN. Recordings of another rate are resampled. Zeros on all
        channels at the end, which fill the last record of a file, are left out. Along `time`: `condition`, what was
        asked for (`rest`, `left_fist`, `right_fist`, `both_fists`, `both_feet`, `eyes_open`, `eyes_closed`), empty
        outside of any event. Along `unit`: `hemisphere` (`L`, `R`, or empty on the midline). The attr `imagined`
        says whether movements were imagined. All steps are in `history`.

    Raises
    ------
    LoaderError
        When the file cannot be read, the run is not known, a channel is none of the 64 or stands twice, or
        there are no annotations.

    References
    ----------
    Meaning of the runs and of T0, T1, T2: https://physionet.org/content/eegmmidb/1.0.0/. Which hand moved is what the
    screen asked for, not a measurement.
    """
    number, person = _run(path, run, subject)
    return _homogenised(eeg.load(path, modality="eeg", strip="."), number, person)


def load_session(path: files.PathLike, *, run: int | None = None, subject: str | None = None) -> xr.DataTree:
    """Read one run with its events and, beside it, the recording as it was stored.

    Parameters
    ----------
    path, run, subject
        As for `load`.

    Returns
    -------
    xarray.DataTree
        Recordings `eeg` and `original` (channels, rate and length of the file); events: `onset` and `duration` (s),
        `trial_type`, `imagined`, and `annotation`, the file's own T0, T1, T2.

    Raises
    ------
    LoaderError
        As for `load`.
    """
    number, person = _run(path, run, subject)
    original = eeg.load(path, modality="eeg", strip=".")
    rec = _homogenised(original, number, person)
    return session(
        {"eeg": rec, "original": original},
        events=_events(original, number),
        attrs={**ABOUT, "source": rec.attrs["source"], "run": number, "subject": person},
    )


def _run(path: files.PathLike, run: int | None, subject: str | None) -> tuple[int, str]:
    if run is None or subject is None:
        named = re.match(r"(S\d{3})R(\d{2})", Path(path).name)
        if named is None:
            raise LoaderError(f"{path}: the name does not say person and run (S###R##); pass subject= and run=")
        run, subject = int(named[2]) if run is None else run, named[1] if subject is None else subject
    if run not in range(1, 15):
        raise LoaderError(f"{path}: run is {run!r}: the database has runs 1 to 14")
    return run, subject


def _homogenised(original: xr.DataArray, run: int, subject: str) -> xr.DataArray:
    """Take the three steps: names to the common order, samples to the common clock, labels onto it."""
    values = np.asarray(original.values)
    padding = len(values) - 1 - int(np.flatnonzero((values != 0).any(axis=1)).max(initial=-1))
    rec = original.isel(time=slice(0, len(values) - padding))
    rec = rec if rec.attrs["sampling_rate"] == RATE else resample(rec, RATE)
    names = [_canonical(str(unit), rec) for unit in rec["unit"].values]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LoaderError(f"{rec.attrs['source']}: two channels are the place {twice[0]}: leave one out of the file")
    rec = rec.drop_vars([str(name) for name in rec.coords if name != "time"]).assign_coords(
        unit=np.array(names, dtype=object)
    )
    attrs, clock = rec.attrs, rec["time"].attrs
    rec = rec.reindex(unit=np.array(ORDER, dtype=object))
    rec = rec.assign_coords(hemisphere=("unit", np.array([_side(name) for name in ORDER], dtype=object)))
    events = _events(original, run)
    rec = rec.assign_coords(condition=("time", _conditions(rec["time"].values, events)))
    rec["time"].attrs = clock
    rec.attrs = {name: value for name, value in attrs.items() if name != "annotations"}
    rec.attrs |= ABOUT | {"subject": subject, "run": run, "imagined": _imagined(run)}
    lacking = [name for name in ORDER if name not in names]
    return add_history(
        rec.rename("eeg"),
        "loaders.datasets.schalk2004.load",
        order="10-10",
        lacking=lacking,
        padding_left_out=padding,
        rate_of_file=original.attrs["sampling_rate"],
    )


def _canonical(name: str, rec: xr.DataArray) -> str:
    spelled = {place.lower(): place for place in ORDER}
    if name.lower() not in spelled:
        raise LoaderError(f"{rec.attrs['source']}: channel {name!r} is none of the 64 places of this database")
    return spelled[name.lower()]


def _side(name: str) -> str:
    number = re.search(r"\d+$", name)
    return "" if number is None else "RL"[int(number[0]) % 2]


def _imagined(run: int) -> bool:
    return run > 2 and run % 2 == 0


def _events(original: xr.DataArray, run: int) -> dict[str, Any]:
    held = original.attrs.get("annotations", [])
    if not held:
        raise LoaderError(f"{original.attrs['source']}: has no annotations; a run of this database marks T0, T1, T2")
    names = [str(entry["description"]) for entry in held]
    meaning = {"T0": BASELINE[run]} if run in BASELINE else FISTS if run % 4 in (3, 0) else BOTH
    strange = sorted(set(names) - set(meaning))
    if strange:
        known = ", ".join(meaning)
        raise LoaderError(f"{original.attrs['source']}: annotation {strange[0]!r} in run {run}, which has {known}")
    return {
        "onset": np.array([entry["onset"] for entry in held], dtype=np.float64),
        "duration": np.array([entry["duration"] for entry in held], dtype=np.float64),
        "trial_type": [meaning[name] for name in names],
        "imagined": [_imagined(run) and meaning[name] != REST for name in names],
        "annotation": names,
    }


def _conditions(time: np.ndarray, events: dict[str, Any]) -> np.ndarray:
    """Give what was asked for at each sample; an event holds its onset and not its end."""
    out = np.full(time.size, "", dtype=object)
    for onset, duration, kind in zip(events["onset"], events["duration"], events["trial_type"], strict=True):
        begin, end = np.searchsorted(time, [onset - 1e-6, onset + duration - 1e-6])
        out[begin:end] = kind
    return out
