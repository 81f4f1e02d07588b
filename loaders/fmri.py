"""Functional MRI as recordings: 4-D NIfTI images with a mask, or tables of regional series."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

TABLES = {".csv": ",", ".tsv": "\t", ".txt": None}
"""Suffix of a table -> what separates its cells (None: any white space)."""
MISSING = ("", "n/a", "N/A", "NA", "NaN", "nan")
SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
METRES = {"meter": 1.0, "mm": 1e-3, "micron": 1e-6}
SHORTEST_TR, LONGEST_TR = 0.05, 30.0
"""What a repetition time may be (s): a header that says otherwise has a wrong time unit."""
FRAMES = {0: "unknown", 1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}


def load(source: Any, *, mask: Any = None, tr: float | None = None, runs: Sequence[int] | None = None) -> xr.DataArray:
    """Read an fMRI recording: the voxels of a 4-D NIfTI image, or the columns of a table.

    Parameters
    ----------
    source
        A 4-D NIfTI file or nibabel image; or a table (`.csv`, `.tsv`, `.txt`) with one row per volume and one
        column per region. A list of these is a list of runs, joined in order.
    mask
        Image, path or array of the same grid: voxels that are not zero are kept. Default: voxels whose series
        varies (in every run).
    tr
        Repetition time (s). Default: the header's, where its time unit is stated and the value is plausible
        (0.05 to 30 s). A table always needs it.
    runs
        Run number of each volume, where one image or table holds several runs.

    Returns
    -------
    xarray.DataArray
        (time, unit). `unit` is `v{i}_{j}_{k}` (voxel indices) with `x`, `y`, `z` in metres through the image's
        affine, or the column names. Units are `"1"`: scanner units are arbitrary and NIfTI states none. Small
        integers become float32, everything else keeps its precision. With several runs `segment` numbers
        them; the clock counts volumes x TR straight through, for the pauses between are not in the files.

    Raises
    ------
    LoaderError
        When a file is not what it is called, an image is not 4-D, grids or TR differ, or the TR is unknown.

    Notes
    -----
    The format is nibabel's work; nothing is resampled, scaled or detrended.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(2, 2, 1, 5)), np.diag([3, 3, 4, 1]))
    >>> image.header.set_xyzt_units("mm", "sec")
    >>> image.header.set_zooms((3, 3, 4, 2.5))
    >>> rec = load(image)
    >>> rec.sizes["time"], list(rec.unit.values), rec.attrs["sampling_rate"]
    (5, ['v0_0_0', 'v0_1_0', 'v1_0_0', 'v1_1_0'], 0.4)
    """
    sources = list(source) if isinstance(source, list | tuple) else [source]
    if not sources:
        raise LoaderError("no image and no table to read: the list of runs is empty")
    tables = [isinstance(one, str | os.PathLike) and Path(one).suffix.lower() in TABLES for one in sources]
    if any(tables) and (not all(tables) or mask is not None):
        raise LoaderError(f"{sources[0]}: a table is joined with tables only and takes no mask")
    if len(sources) > 1 and runs is not None:
        raise LoaderError(f"{_label(sources[0])}: runs= is for one file of several runs; a list numbers its own")
    read = _from_tables if all(tables) else _from_images
    return read(sources, mask, tr, runs)


def load_session(
    source: Any,
    *,
    mask: Any = None,
    tr: float | None = None,
    runs: Sequence[int] | None = None,
    events: Any = None,
) -> xr.DataTree:
    """Read an fMRI recording with its events.

    Parameters
    ----------
    source, mask, tr, runs
        As for `load`.
    events
        BIDS event table (`events.tsv`: `onset` and `duration` in s from the run's first volume, `trial_type`)
        or a DataFrame; with a list of runs, a list of as many.

    Returns
    -------
    xarray.DataTree
        Recording `fmri`; events on the recording's clock, with `segment` where there are several runs.

    Raises
    ------
    LoaderError
        As for `load`, and when the event tables do not fit the runs.

    Examples
    --------
    >>> import nibabel, numpy as np, pandas as pd
    >>> image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(2, 2, 1, 5)), np.eye(4))
    >>> tree = load_session(image, tr=2.0, events=pd.DataFrame({"onset": [4.0], "trial_type": ["face"]}))
    >>> tree["events/trial_type"].values
    array(['face'], dtype=object)
    """
    rec = load(source, mask=mask, tr=tr, runs=runs)
    table = None if events is None else _events(events, rec, isinstance(source, list | tuple))
    return session({"fmri": rec}, events=table, attrs={"source": rec.attrs["source"]})


def _from_images(sources: list[Any], mask: Any, tr: float | None, runs: Sequence[int] | None) -> xr.DataArray:
    images = [_image(one, 4) for one in sources]
    labels = [_label(one) for one in sources]
    step = _agreed(labels, [_tr(image, label, tr) for image, label in zip(images, labels, strict=True)])
    for image, label in zip(images[1:], labels[1:], strict=True):
        _same_grid(image, label, images[0], labels[0])
    volumes = [_values(image, label) for image, label in zip(images, labels, strict=True)]
    inside, how = _inside(mask, images[0], volumes, labels[0])
    values = np.concatenate([volume[inside].T for volume in volumes])
    voxels = np.argwhere(inside)
    return _recording(
        values.astype(np.result_type(values.dtype, np.float32), copy=False), labels, step,
        [len(volume[0, 0, 0]) for volume in volumes], runs,
        unit=[f"v{i}_{j}_{k}" for i, j, k in voxels.tolist()], coords=_positions(images[0], voxels),
        history={"mask": how, "voxels_left_out": int(inside.size - inside.sum())},
    )  # fmt: skip


def _from_tables(sources: list[Any], mask: Any, tr: float | None, runs: Sequence[int] | None) -> xr.DataArray:
    labels = [_label(one) for one in sources]
    if tr is None:
        raise LoaderError(f"{labels[0]}: a table states no repetition time; pass tr= in seconds")
    tables = [_table(files.existing(one)) for one in sources]
    for (names, _), label in zip(tables, labels, strict=True):
        if names != tables[0][0]:
            raise LoaderError(f"{label}: its columns differ from those of {labels[0]}")
    names = tables[0][0]
    return _recording(
        np.concatenate([values for _, values in tables]), labels, _checked_tr(labels[0], tr),
        [len(values) for _, values in tables], runs, unit=names, coords={}, history={},
    )  # fmt: skip


def _recording(
    values: np.ndarray, labels: list[str], tr: float, lengths: list[int], runs: Sequence[int] | None, *,
    unit: Sequence[str] | None, coords: dict[str, Any], history: dict[str, Any],
) -> xr.DataArray:  # fmt: skip
    if runs is not None and len(runs) != len(values):
        raise LoaderError(f"{labels[0]}: runs has {len(runs)} numbers for {len(values)} volumes")
    segment = np.repeat(np.arange(len(lengths)), lengths) if runs is None else np.asarray(runs, dtype=np.int64)
    if len(lengths) > 1 or runs is not None:
        coords = coords | {"segment": ("time", segment)}
    with files.reading(labels[0], "fMRI"):
        rec = recording(
            values, modality="fmri", units="1", time=np.arange(len(values)) * tr, sampling_rate=1 / tr, name="fmri",
            unit=unit, coords=coords, attrs={"source": [Path(label).name for label in labels]},
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.load", tr=tr, **history)


def _image(source: Any, ndim: int) -> Any:
    nibabel = files.library("nibabel", "fmri")
    image = source
    if isinstance(source, str | os.PathLike):
        path = files.existing(source)
        with files.reading(path, "NIfTI"):
            image = nibabel.load(path)
    label = _label(source)
    if not isinstance(image, nibabel.Nifti1Pair):
        raise LoaderError(f"{label}: a {ndim}-D NIfTI image is needed, found {type(image).__name__}")
    if len(image.shape) != ndim:
        kind = {3: "one volume without a time axis", 4: "a series"}.get(len(image.shape), "no such image")
        raise LoaderError(f"{label}: {ndim} axes are needed, found shape {image.shape}: {kind}")
    return image


def _values(image: Any, label: str) -> np.ndarray:
    with files.reading(label, "NIfTI"):
        values = np.asarray(image.dataobj)
    if values.dtype.kind not in "iuf":
        raise LoaderError(f"{label}: real numbers are needed, found dtype {values.dtype}")
    return values


def _tr(image: Any, label: str, tr: float | None) -> float:
    if tr is not None:
        return _checked_tr(label, tr)
    stated, unit = image.header.get_zooms()[3], image.header.get_xyzt_units()[1]
    if unit not in SECONDS:
        raise LoaderError(f"{label}: the header states no time unit (it says {stated:g}); pass tr= in seconds")
    # the header holds a float32: its shortest decimal is the number that was meant (1.35, not 1.35000002)
    return _checked_tr(label, round(float(str(np.float32(stated))) * SECONDS[unit], 9))


def _checked_tr(label: str, tr: float) -> float:
    if not (math.isfinite(tr) and SHORTEST_TR <= tr <= LONGEST_TR):
        raise LoaderError(
            f"{label}: a repetition time of {tr:g} s is not plausible ({SHORTEST_TR:g} to {LONGEST_TR:g} s); "
            "pass tr= in seconds"
        )
    return float(tr)


def _agreed(labels: list[str], steps: list[float]) -> float:
    for label, step in zip(labels, steps, strict=True):
        if step != steps[0]:
            raise LoaderError(f"{label}: TR is {step:g} s, that of {labels[0]} is {steps[0]:g} s; load them apart")
    return steps[0]


def _inside(mask: Any, image: Any, volumes: list[np.ndarray], label: str) -> tuple[np.ndarray, str]:
    if mask is None:
        # fmin and fmax pass over NaN, so that a voxel outside the scanned brain does not count as varying
        varies = [np.fmin.reduce(v, axis=-1) < np.fmax.reduce(v, axis=-1) for v in volumes]
        inside, how = np.logical_and.reduce(varies), "voxels whose series varies"
    elif isinstance(mask, np.ndarray):
        inside, how = mask != 0, "array"
        if inside.shape != image.shape[:3]:
            raise LoaderError(f"{label}: the mask has shape {inside.shape}, the image {image.shape[:3]}")
    else:
        how = _label(mask)
        chosen = _image(mask, 3)
        _same_grid(chosen, how, image, label)
        inside = np.nan_to_num(_values(chosen, how)) != 0
    if not inside.any():
        raise LoaderError(f"{label}: no voxel is left inside the mask ({how})")
    return inside, Path(how).name


def _same_grid(image: Any, label: str, reference: Any, reference_label: str) -> None:
    if image.shape[:3] != reference.shape[:3] or not np.allclose(image.affine, reference.affine, atol=1e-3):
        raise LoaderError(
            f"{label}: its grid {image.shape[:3]} or affine differs from that of {reference_label} "
            f"{reference.shape[:3]}; resample one onto the other first"
        )


def _positions(image: Any, voxels: np.ndarray) -> dict[str, Any]:
    """Give x, y, z in metres, where the header states the unit of space."""
    unit = image.header.get_xyzt_units()[0]
    if unit not in METRES:
        return {}
    places = (voxels @ image.affine[:3, :3].T + image.affine[:3, 3]) * METRES[unit]
    header = image.header
    code = int(header["sform_code"]) or int(header["qform_code"])
    about = {"units": "m", "frame": FRAMES.get(code, "unknown")}
    return {axis: ("unit", places[:, i], about) for i, axis in enumerate("xyz")}


def _table(path: Path) -> tuple[list[str] | None, np.ndarray]:
    """Read a table of numbers; a first row that is not all numbers names the columns."""
    separator = TABLES[path.suffix.lower()]
    with files.reading(path, "a table"), path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=separator) if separator else (line.split() for line in file)
        rows = [row for row in lines if row]
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise LoaderError(f"{path}: row {number + 1} has {len(row)} cells, the first has {len(rows[0])}")
    names = rows.pop(0) if rows and any(_number(cell) is None for cell in rows[0]) else None
    if not rows:
        raise LoaderError(f"{path}: holds no row of numbers")
    values = [[_number(cell) for cell in row] for row in rows]
    for cells, numbers in zip(rows, values, strict=True):
        if None in numbers:
            text = cells[numbers.index(None)]
            raise LoaderError(f"{path}: {text!r} is not a number; keep the columns of the regions alone")
    return names, np.array(values, dtype=np.float64)


def _number(cell: str) -> float | None:
    """Give the number in a cell, NaN where it says that it is missing, None where it is text."""
    if cell.strip() in MISSING:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return None


def _events(events: Any, rec: xr.DataArray, several: bool) -> dict[str, Any]:
    import pandas as pd

    tables = list(events) if several and isinstance(events, list | tuple) else [events]
    starts = [0]
    if several:
        starts = np.unique(rec["segment"].values, return_index=True)[1].tolist() if "segment" in rec.coords else [0]
    if len(tables) != len(starts):
        raise LoaderError(f"{len(tables)} event tables for {len(starts)} runs: give one for each")
    frames = []
    for number, (one, start) in enumerate(zip(tables, starts, strict=True)):
        frame = one.copy() if isinstance(one, pd.DataFrame) else _event_table(files.existing(one))
        if "onset" not in frame or frame["onset"].dtype.kind not in "iuf":
            raise LoaderError(f"{_label(one)}: events need a column 'onset' of numbers (s)")
        frame["onset"] = frame["onset"] + float(rec["time"].values[start])
        frames.append(frame.assign(segment=number) if len(starts) > 1 else frame)
    table = pd.concat(frames, ignore_index=True)
    return {str(name): _column(table[name]) for name in table}


def _event_table(path: Path) -> Any:
    import pandas as pd

    with files.reading(path, "a BIDS event table"):
        return pd.read_csv(path, sep="\t")


def _column(series: Any) -> np.ndarray:
    if series.dtype.kind in "biuf":
        return np.asarray(series)
    return np.array(["n/a" if value != value else str(value) for value in series], dtype=object)


def _label(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return str(Path(source))
    name = source.get_filename() if hasattr(source, "get_filename") else None
    return str(name) if name else type(source).__name__
