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
    return add_history(rec, "loaders.datasets.brennan2016.load", tr=TR, volumes_discarded_by_authors=10)


def load_session(
    path: files.PathLike, *, textgrid: files.PathLike | None = None, first_volume: float = FIRST_VOLUME
) -> xr.DataTree:
    """Read one listener with the words heard.

    Parameters
    ----------
    path
        As for `load`.
    textgrid
        The Praat TextGrid of the stimulus (`DownTheRabbitHoleFinal_exp120_pad_1.TextGrid`).
    first_volume
        Time of the file's first volume on the TextGrid's clock (s).

    Returns
    -------
    xarray.DataTree
        Recording `fmri`; with a TextGrid, events: `onset` (s on the recording's clock) and `duration` of each
        word, `trial_type` `"word"`, `word`, and `textgrid_onset` (s, as in the file). Silences are left out.

    Raises
    ------
    LoaderError
        As for `load`, and when the TextGrid holds no words.

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
    return session({"fmri": rec}, events=events, attrs=attrs)


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
