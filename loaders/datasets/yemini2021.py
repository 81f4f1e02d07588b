"""Whole-brain calcium of NeuroPAL worms meeting odours and salt: Yemini et al. 2021 (`*_Activity_*.mat`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import _worms, worm_traces

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Yemini E, Lin A, Nejatbakhsh A, et al. (2021) Cell 184:272. doi:10.1016/j.cell.2020.12.012",
}
ADDRESS = "https://zenodo.org/records/3906530"
"""Where the authors keep the files."""
SIGNALS = ("norm_traces", "traces")
NEEDED = ("fps", "files", "neurons", "is_L")
LAYOUT = "Head_Activity_OH15500.mat, Head_Activity_OH16230.mat or Tail_Activity_OH16230.mat"


def load(
    path: files.PathLike,
    *,
    worm: str | None = None,
    signal: str = "norm_traces",
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the activity of one worm.

    Parameters
    ----------
    path
        `Head_Activity_OH15500.mat`, `Head_Activity_OH16230.mat` or `Tail_Activity_OH16230.mat`. Per neuron class
        (`neurons`) the cells of `norm_traces` are the worms of `files`, for a class with two sides first those of one
        side, then those of the other; `is_L` says which (1 left, 0 right, NaN no side); `fps` is in Hz.
    worm
        Name of the worm (its entry in `files`), where the file holds several.
    signal
        `"norm_traces"` (scaled so that neurons compare) or `"traces"`, where the file has it.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`).
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit) as stored, units `"1"`, on a clock of `fps` from 0 s. Units are class and side (`ASEL`); a neuron
        that was not seen in this worm (an empty trace) has no unit. Along `unit`: `is_labeled`, `label`, `candidates`.

    Raises
    ------
    LoaderError
        When the file is not of this layout, its parts do not fit together, or the worm is not named.

    Notes
    -----
    Unverified: the files were not at hand. The layout is that of the readers of Simeon et al. 2024
    (worm-data-preprocess) and Sprague et al. 2024 (NWBelegans), tried on files made in its image; which of
    the files' other variables exist is not known. Simeon et al. drop the first four frames, in which they saw zeros,
    impute what is missing and put zeros for a neuron that was not seen; here nothing is dropped
    (`align.crop(rec, start=1.0)` does it, before `worm_traces.homogenise`), imputed or invented.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, scipy.io
    >>> traces = np.empty((1, 2), dtype=object)
    >>> traces[0, 0], traces[0, 1] = np.ones((1, 5)), np.zeros((1, 5))
    >>> held = {"fps": 4.0, "files": np.array([["w1"]], dtype=object), "neurons": np.array([["ASE"]], dtype=object)}
    >>> for name, value in (("is_L", np.array([[1.0, 0.0]])), ("norm_traces", traces)):
    ...     held[name] = np.empty((1, 1), dtype=object)
    ...     held[name][0, 0] = value
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scipy.io.savemat(pathlib.Path(folder) / "Head.mat", held)
    ...     rec = load(pathlib.Path(folder) / "Head.mat")
    >>> list(rec.unit.values), rec.time.values[-1]
    (['ASEL', 'ASER'], np.float64(1.0))
    """
    worms = _worms_of(files.existing(path), signal)
    return _worms.on_request(_worms.chosen(worms, path, worm), homogenised, target_dt)


def load_all(
    path: files.PathLike,
    *,
    signal: str = "norm_traces",
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> dict[str, xr.DataArray]:
    """Read every worm of a file, by its name; parameters and errors as for `load`."""
    worms = _worms_of(files.existing(path), signal)
    return {name: _worms.on_request(rec, homogenised, target_dt) for name, rec in worms.items()}


def load_session(
    path: files.PathLike,
    *,
    worm: str | None = None,
    signal: str = "norm_traces",
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one worm with the stimuli it met; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; homogenised also `residual`, the smoothed copies and `original`. Events: a row per
        stimulus, from `stim_times` (s, start and stop), `stims` (per worm the 1-based order of `stim_names`), where
        the file has the three and they fit together; otherwise `left_out` names them.
    """
    found = files.existing(path)
    worms = _worms_of(found, signal)
    rec = _worms.chosen(worms, path, worm)
    held = _worms.matlab(found, NEEDED, LAYOUT)
    events = _events(held, list(worms).index(str(rec.attrs["session"])), len(worms))
    there = [name for name in ("stim_names", "stim_times", "stims") if name in held]
    left_out = [] if events else there
    return _worms.as_session(rec, homogenised, target_dt, events, left_out=left_out)


def _worms_of(path: Path, signal: str) -> dict[str, xr.DataArray]:
    if signal not in SIGNALS:
        raise LoaderError(f"{path}: no signal {signal!r}; signals are {', '.join(SIGNALS)}")
    held = _worms.matlab(path, (*NEEDED, signal), LAYOUT)
    names = _worms.unique(_worms.text(cell) for cell in _worms.cells(held["files"]))
    neurons = [_worms.text(cell) for cell in _worms.cells(held["neurons"])]
    sides = [cell.astype(np.float64).ravel(order="F") for cell in _worms.cells(held["is_L"])]
    traces = [_worms.cells(cell) for cell in _worms.cells(held[signal])]
    if not len(neurons) == len(sides) == len(traces):
        raise LoaderError(f"{path}: {len(neurons)} neurons, {len(sides)} entries of is_L, {len(traces)} of {signal}")
    for neuron, side, held_by in zip(neurons, sides, traces, strict=True):
        if len(side) != len(held_by) or len(held_by) not in (len(names), 2 * len(names)):
            raise LoaderError(
                f"{path}: neuron {neuron!r} has {len(held_by)} traces and {len(side)} sides for {len(names)} worms; "
                "one or two of each per worm are needed"
            )
    rate = float(np.asarray(held["fps"]).ravel()[0])
    return {
        name: _worm(path, name, place, len(names), (neurons, sides, traces), rate) for place, name in enumerate(names)
    }


def _worm(path: Path, name: str, place: int, worms: int, parts: tuple[Any, Any, Any], rate: float) -> xr.DataArray:
    """Put together what one worm's place in every class holds."""
    labels: list[str] = []
    columns: list[np.ndarray] = []
    for neuron, sides, traces in zip(*parts, strict=True):
        for entry in range(place, len(traces), worms):
            if traces[entry].size:
                side = {1.0: "L", 0.0: "R"}.get(float(sides[entry]), "")
                labels.append(f"{neuron}{side}")
                columns.append(traces[entry].astype(np.float64).ravel())
    lengths = {len(column): label for label, column in zip(labels, columns, strict=True)}
    if len(lengths) != 1:
        told = ", ".join(f"{label} {frames}" for frames, label in sorted(lengths.items())) or "no neuron was seen"
        raise LoaderError(f"{path}: worm {name!r} has traces of unequal length (frames): {told}")
    with files.reading(path, "a worm of Yemini 2021"):
        return worm_traces.worm(
            np.stack(columns, axis=1), np.arange(len(columns[0])) / rate, labels,
            function="loaders.datasets.yemini2021.load", attrs={**ABOUT, "source": path.name, "session": name},
        )  # fmt: skip


def _events(held: dict[str, Any], place: int, worms: int) -> dict[str, Any] | None:
    """Give the stimuli in this worm's order, where the file's three variables fit together."""
    if any(name not in held for name in ("stim_names", "stim_times", "stims")):
        return None
    names = [_worms.text(cell) for cell in _worms.cells(held["stim_names"])]
    times, order = np.asarray(held["stim_times"], np.float64), np.asarray(held["stims"])
    if times.ndim != 2 or times.shape[1] != 2 or order.shape != (worms, len(times)):
        return None
    if not ((order >= 1) & (order <= len(names))).all():
        return None
    called = [names[int(number) - 1] for number in order[place]]
    return {"onset": times[:, 0], "duration": times[:, 1] - times[:, 0], "trial_type": called}
