"""fMRI of people listening to Alice in Wonderland: six regions, Brennan et al. 2016 (`s##-timecourses.txt`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

REGIONS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
"""Column labels, from the authors' README; the files have no header."""
TR = 2.0
"""Repetition time (s) of the paper; the files state none."""
FIRST_VOLUME = 20.0
"""When the first volume of the files was taken, on the clock of the TextGrid (s): see `load_session`."""
DISCARDED = 10
"""Volumes that the authors discarded from the series; the motion files still have them."""
SILENCE = ("sp", "sil", "")
ABOUT = {
    "system": "Homo sapiens",
    "license": "CC-BY-4.0",
    "citation": "Brennan JR, Stabler EP, Van Wagenen SE, Luh W-M, Hale JT (2016) Brain Lang 157-158:81",
}


def load(
    path: files.PathLike, *, textgrid: files.PathLike | None = None, first_volume: float = FIRST_VOLUME
) -> xr.DataArray:
    """Read the regional series of one listener.

    Parameters
    ----------
    path
        A `6mm/s##-timecourses.txt` file: volumes x 6 regions, no header. (10 mm files have the same layout.)
    textgrid, first_volume
        As for `load_session`; the recording alone does not need them.

    Returns
    -------
    xarray.DataArray
        (time, unit): LATL RATL LPTL LIPL LPreM LIFG, float64, units `"1"` (scanner units are arbitrary),
        TR 2 s. The clock starts at the first volume of the file, the eleventh of the scan: the authors
        discarded ten. Along `unit`: `region`, `hemisphere`.

    Raises
    ------
    LoaderError
        When the file is not a table of six columns of numbers.
    """
    found = files.existing(path)
    with files.reading(found, "a table of time courses"):
        values = np.loadtxt(found, ndmin=2)
    if values.shape[1] != len(REGIONS):
        raise LoaderError(f"{found}: {len(REGIONS)} columns are needed ({' '.join(REGIONS)}), found {values.shape[1]}")
    with files.reading(found, "a table of time courses"):
        rec = recording(
            values, modality="fmri", units="1", sampling_rate=1 / TR, unit=REGIONS, name="fmri",
            coords={
                "region": ("unit", [name[1:] for name in REGIONS]),
                "hemisphere": ("unit", [name[0] for name in REGIONS]),
            },
            attrs={**ABOUT, "source": found.name, "subject": found.name.partition("-")[0]},
        )  # fmt: skip
    return add_history(rec, "loaders.datasets.brennan2016.load", tr=TR, volumes_discarded_by_authors=DISCARDED)


def load_session(
    path: files.PathLike,
    *,
    textgrid: files.PathLike | None = None,
    first_volume: float = FIRST_VOLUME,
    rate: files.PathLike | None = None,
    sound: files.PathLike | None = None,
    motion: files.PathLike | None = None,
) -> xr.DataTree:
    """Read one listener with the words heard and what may disturb the series.

    Parameters
    ----------
    path
        As for `load`.
    textgrid
        The Praat TextGrid of the stimulus (`DownTheRabbitHoleFinal_exp120_pad_1.TextGrid`).
    first_volume
        Time of the file's first volume on the TextGrid's clock (s).
    rate, sound
        `s##-rate.txt` and `s##-sndpwr.txt`: the authors' predictors of word rate and sound power, one number a volume.
    motion
        `s##-rp_*.txt`: six movements of the head a volume, from SPM8; the ten volumes discarded are dropped here too.

    Returns
    -------
    xarray.DataTree
        Recording `fmri`; with a TextGrid, events: `onset` (s on the recording's clock) and `duration` of each
        word, `trial_type` `"word"`, `word`, and `textgrid_onset` (s, as in the file). Silences are left out.
        On the clock of `fmri`, where their files are given: `word_rate` and `sound_power` (modality stimulus, units
        `"1"`), `translation` (behavior: x, y, z in m) and `rotation` (behavior: pitch, roll, yaw in rad).

    Raises
    ------
    LoaderError
        As for `load`, when the TextGrid holds no words, and when a series does not fit the volumes.

    Notes
    -----
    Known from the authors: the stimulus begins with 20 s of silence (stimulus README), ten volumes of 2 s were
    discarded (data README). That the scan and the stimulus began together is not written there; it follows
    from their predictors: the word rate convolved with a canonical haemodynamic response, sampled every 2 s
    from t0 on the TextGrid's clock, fits their 362-row `s##-rate.txt` best at t0 = 20.0 s (r = 0.99) and their
    372-row predictors best at 0.0 s (steps of 0.5 s; a test repeats this). Hence `first_volume` = 20.
    """
    rec = load(path)
    events = None if textgrid is None else _words(files.existing(textgrid), first_volume)
    attrs = {**ABOUT, "source": rec.attrs["source"], "first_volume_on_textgrid_clock": first_volume}
    found = {"fmri": rec}
    for name, path_of in (("word_rate", rate), ("sound_power", sound)):
        if path_of is not None:
            found[name] = _beside(rec, _series(path_of, rec, 1), name, "stimulus", "1", [name])
    if motion is not None:
        moved = _series(motion, rec, 6, discarded=DISCARDED)
        found["translation"] = _beside(rec, 1e-3 * moved[:, :3], "translation", "behavior", "m", ["x", "y", "z"])
        found["rotation"] = _beside(rec, moved[:, 3:], "rotation", "behavior", "rad", ["pitch", "roll", "yaw"])
    return session(found, events=events, attrs=attrs)


def _series(path: files.PathLike, rec: xr.DataArray, columns: int, *, discarded: int = 0) -> np.ndarray:
    """Read a table of one row a volume, without the first volumes that were discarded."""
    found = files.existing(path)
    with files.reading(found, "a table of numbers"):
        values = np.loadtxt(found, ndmin=2)
    needed = (rec.sizes["time"] + discarded, columns)
    if values.shape != needed:
        raise LoaderError(f"{found}: a table of shape {values.shape}; {needed} is needed beside {rec.attrs['source']}")
    kept: np.ndarray = values[discarded:]
    return kept


def _beside(
    rec: xr.DataArray, values: np.ndarray, name: str, modality: str, units: str, unit: list[str]
) -> xr.DataArray:
    made = recording(
        values, modality=modality, units=units, time=rec["time"].values, sampling_rate=1 / TR, unit=unit, name=name,
        attrs={**ABOUT, "subject": rec.attrs["subject"]},
    )  # fmt: skip
    return add_history(made, "loaders.datasets.brennan2016.load_session", series=name)


def _words(path: Path, first_volume: float) -> dict[str, Any]:
    with files.reading(path, "a Praat TextGrid"):
        text = path.read_text("utf-8")
    found = re.findall(r'xmin = ([\d.]+)\s+xmax = ([\d.]+)\s+text = "((?:[^"]|"")*)"', text)
    words = [(float(a), float(b), word.strip().replace('""', '"')) for a, b, word in found]
    words = [interval for interval in words if interval[2] not in SILENCE]
    if not words:
        raise LoaderError(f"{path}: holds no words; a Praat TextGrid (long text format) is needed")
    start, stop = (np.array([interval[i] for interval in words]) for i in range(2))
    return {
        "onset": start - first_volume,
        "duration": stop - start,
        "trial_type": ["word"] * len(words),
        "word": [interval[2] for interval in words],
        "textgrid_onset": start,
    }
