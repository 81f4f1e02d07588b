"""Whole-brain calcium of NeuroPAL worms meeting a panel of chemicals: the Venkatachalam lab's tables (2024)."""

from __future__ import annotations

import ast
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import _worms, worm_traces
from neurointerp.recordings import add_history

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Seyedolmohadesin M, Brain-wide neural activity data in C. elegans (2024, unpublished)",
}
ADDRESS = "https://chemosensory-data.worm.world"
"""Where the files are kept."""
FRAME = 0.375
"""Seconds between two frame numbers: what Simeon et al. 2024 take; the tables state none."""
LARGEST = 2**30
"""Bytes of a table inside an archive, before it is read."""


def load(
    path: files.PathLike,
    *,
    frame: float = FRAME,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the activity of one worm.

    Parameters
    ----------
    path
        A `.csv`, or the `.zip` around it: a row per neuron; the column `neuron`; further columns that describe it
        (`neuron_group`, `conf`, `stimulus`, ...); a column per frame, named by the frame's number.
    frame
        Seconds from one frame number to the next.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`).
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit) as stored, units `"1"`, NaN kept, on a clock counted from the first frame in which any neuron has a
        value (s). Neurons without any value are left out. Units are the labels, or `u<place>`. Along `unit`:
        `is_labeled`, `label`, `candidates`, and `confidence` (`conf`) where the table has it.

    Raises
    ------
    LoaderError
        When the table is not of this layout, or holds no value.

    Notes
    -----
    Unverified: unpublished data, the tables were not at hand. The layout is that of the readers of Simeon et al. 2024
    (worm-data-preprocess) and of maierav/iit4-celegans-phi-structure (4979 frames, 189 neurons), tried on tables made
    in their image. Simeon et al. drop 98 blank frames by their number and impute what is missing; here blank frames at
    either end are found, dropped and counted in `history`, and nothing is imputed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "herm.csv"
    ...     _ = path.write_text("neuron,conf,0,1,2\\nASEL,1,,0.5,0.25\\nAVA?,1,,,1.5\\n")
    ...     rec = load(path)
    >>> list(rec.unit.values), rec.time.values, list(rec.candidates.values)
    (['ASEL', 'AVA?'], array([0.   , 0.375]), ['ASEL', 'AVAL,AVAR'])
    """
    found = files.existing(path)
    return _worms.on_request(_worm(found, _table(found), frame), homogenised, target_dt)


def load_all(
    folder: files.PathLike, *, homogenised: bool = False, target_dt: float = worm_traces.TARGET_DT
) -> dict[str, xr.DataArray]:
    """Read every `.zip` and `.csv` of a folder, by its file's name; parameters and errors as for `load`."""
    return _worms.from_folder(
        folder, ("*.zip", "*.csv"), lambda path: load(path, homogenised=homogenised, target_dt=target_dt)
    )


def load_session(
    path: files.PathLike,
    *,
    frame: float = FRAME,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one worm with the stimuli it met; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; homogenised also `residual`, the smoothed copies and `original`. Events: the onsets of the
        column `stimulus` (`[(frame, name), ...]` as text, counted from the table's first frame), on the recording's
        clock; durations are NaN, the table states none.
    """
    found = files.existing(path)
    table = _table(found)
    rec = _worm(found, table, frame)
    first_stamp = float(rec.attrs["history"][-2]["parameters"]["first_stamp"])
    return _worms.as_session(rec, homogenised, target_dt, _events(table, first_stamp, frame, found))


def _table(path: Path) -> Any:
    import pandas as pd

    with files.reading(path, "a table"):
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if member.filename.lower().endswith(".csv")]
                if len(members) != 1 or members[0].file_size > LARGEST:
                    told = ", ".join(f"{member.filename} ({member.file_size} bytes)" for member in members) or "none"
                    raise LoaderError(f"{path}: one .csv of at most {LARGEST} bytes is needed, found {told}")
                with archive.open(members[0]) as stream:
                    table = pd.read_csv(stream)
        else:
            table = pd.read_csv(path)
    if "neuron" not in table.columns:
        shown = ", ".join(map(str, table.columns[:8]))
        raise LoaderError(f"{path}: no column neuron; a table of the Venkatachalam lab is needed, this has {shown}")
    return table


def _frames(table: Any, path: Path) -> tuple[list[Any], np.ndarray]:
    """Give the columns that are frames, and their numbers."""
    columns = [name for name in table.columns if _is_number(name)]
    numbers = np.array([float(name) for name in columns])
    if len(columns) < 2 or not (np.diff(numbers) > 0).all() or (numbers % 1).any():
        raise LoaderError(
            f"{path}: {len(columns)} columns are named by a frame number; whole ones that increase are needed"
        )
    return columns, numbers


def _is_number(name: Any) -> bool:
    try:
        return bool(np.isfinite(float(name)))
    except ValueError:
        return False


def _worm(path: Path, table: Any, frame: float) -> xr.DataArray:
    if not frame > 0:
        raise LoaderError(f"{path}: frame is {frame!r}: a positive number of seconds is needed")
    columns, numbers = _frames(table, path)
    with files.reading(path, "numbers"):
        values = table[columns].to_numpy(dtype=np.float64).T
    seen = np.isfinite(values)
    if not seen.any():
        raise LoaderError(f"{path}: no neuron has a value in any of {len(columns)} frames")
    rows = np.flatnonzero(seen.any(axis=1))
    span, kept = slice(rows[0], rows[-1] + 1), np.flatnonzero(seen.any(axis=0))
    labels = ["" if name != name else str(name) for name in table["neuron"]]
    with files.reading(path, "a worm of the Venkatachalam lab"):
        coords = {"confidence": table["conf"].to_numpy(dtype=np.float64)[kept]} if "conf" in table.columns else {}
        rec = worm_traces.worm(
            values[span][:, kept], numbers[span] * frame, [labels[place] for place in kept],
            function="loaders.datasets.venkatachalam2024.load", **coords,
            attrs={**ABOUT, "source": path.name, "session": path.stem},
        )  # fmt: skip
    return add_history(
        rec, "loaders.datasets.venkatachalam2024.load", seconds_per_frame=frame,
        blank_frames=[int(span.start), int(len(values) - span.stop)],
        empty_neurons=[labels[place] for place in range(len(labels)) if place not in kept],
    )  # fmt: skip


def _events(table: Any, first_stamp: float, frame: float, path: Path) -> dict[str, Any] | None:
    if "stimulus" not in table.columns or not isinstance(table["stimulus"].iloc[0], str):
        return None
    with files.reading(path, "stimuli [(frame, name), ...]"):
        rows = [(float(onset), str(name)) for onset, name in ast.literal_eval(table["stimulus"].iloc[0])]
    _, numbers = _frames(table, path)
    beyond = [name for onset, name in rows if not 0 <= onset <= len(numbers) - 1]
    if beyond:
        raise LoaderError(f"{path}: stimulus {beyond[0]!r} is outside of the table's {len(numbers)} frames")
    onsets = np.interp([onset for onset, _ in rows], np.arange(len(numbers)), numbers) * frame - first_stamp
    return {"onset": onsets, "duration": np.full(len(rows), np.nan), "trial_type": [name for _, name in rows]}
