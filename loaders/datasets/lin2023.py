"""Calcium of chemosensory neurons meeting odours: Lin et al. 2023 (`<run>_prfrd_data.mat`)."""

from __future__ import annotations

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
    "citation": "Lin A, Qin S, Casademunt H, et al. (2023) Sci Adv 9:eade1249. doi:10.1126/sciadv.ade1249",
}
ADDRESS = "https://github.com/samuellab/celegans-sensory-code"
"""The authors' code, which writes the files; where the files themselves are kept is not stated there."""
NEEDED = ("corrected_F", "proofread_neurons", "use_flag", "times")
LAYOUT = "a <run>_prfrd_data.mat of Lin et al. 2023"


def load(
    path: files.PathLike,
    *,
    proofread_only: bool = True,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the activity of one worm in one run.

    Parameters
    ----------
    path
        A `<run>_prfrd_data.mat`: `corrected_F` (neuron, time), `proofread_neurons`, `use_flag` (1 good, 0 not looked
        at, -1 not to be used), `times.times` (s), and where there `F_0`, `stimulus`, `positions`.
    proofread_only
        Keep the neurons whose `use_flag` is 1. Otherwise all are kept, and those without it name no neuron.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`).
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit), units `"1"`: fluorescence corrected for bleaching as stored, NaN kept (the authors blank the first
        and the last frame, and outliers), on the file's clock counted from its first stamp (s). Along `unit`:
        `is_labeled`, `label`, `candidates`, `use_flag`, and `baseline` (`F_0`) where the file has it:
        `(rec - rec.baseline) / rec.baseline` is dF/F.

    Raises
    ------
    LoaderError
        When the file is not of this layout, its parts do not fit together, or no neuron is left.

    Notes
    -----
    The layout is what the authors' code writes (`matlab_traces/CTX_dataset_proofreader.m`,
    `matlab_tracking/NG_generate_traces.m`); the files were not at hand, it was tried on files made in its image.
    Which AWC is ON is annotated there; AWCON and AWCOFF become AWCR and AWCL here, an assumption (`worm_neurons`).
    Simeon et al. 2024 count a file as a worm, put the baseline in place of the first frame and impute the rest.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, scipy.io
    >>> held = {"corrected_F": np.eye(2, 3), "proofread_neurons": np.array([["ASEL"], ["AWCON"]], dtype=object)}
    >>> held |= {"use_flag": [1, -1], "times": {"times": [5.0, 5.4, 5.9]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scipy.io.savemat(pathlib.Path(folder) / "run101_prfrd_data.mat", held)
    ...     rec = load(pathlib.Path(folder) / "run101_prfrd_data.mat")
    >>> rec.sizes["time"], list(rec.unit.values), rec.attrs["session"]
    (3, ['ASEL'], 'run101')
    """
    found = files.existing(path)
    return _worms.on_request(_worm(found, _read(found), proofread_only), homogenised, target_dt)


def load_all(
    folder: files.PathLike,
    *,
    proofread_only: bool = True,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> dict[str, xr.DataArray]:
    """Read every `*.mat` of a folder, by its run; parameters and errors as for `load`."""

    def one(path: Path) -> xr.DataArray:
        return load(path, proofread_only=proofread_only, homogenised=homogenised, target_dt=target_dt)

    return _worms.from_folder(folder, ("*.mat",), one)


def load_session(
    path: files.PathLike,
    *,
    proofread_only: bool = True,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one run with the odours; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; homogenised also `residual`, the smoothed copies and `original`. Events: a row per odour
        (`stimulus`: name, on, off in s), on the recording's clock. `left_out` names what is not read.
    """
    found = files.existing(path)
    held = _read(found)
    rec = _worm(found, held, proofread_only)
    events = _events(held, float(rec.attrs["history"][-2]["parameters"]["first_stamp"]), found)
    used = {*NEEDED, "F_0", "stimulus"}
    left_out = sorted(name for name in held if name not in used and not name.startswith("__"))
    return _worms.as_session(rec, homogenised, target_dt, events, left_out=left_out)


def _read(path: Path) -> dict[str, Any]:
    return _worms.matlab(path, NEEDED, LAYOUT)


def _worm(path: Path, held: dict[str, Any], proofread_only: bool) -> xr.DataArray:
    with files.reading(path, LAYOUT):
        traces = np.array(held["corrected_F"], dtype=np.float64, ndmin=2)
        names = [_worms.text(cell) for cell in _worms.cells(held["proofread_neurons"])]
        flags = np.asarray(held["use_flag"], dtype=np.float64).ravel(order="F")
        stamps = _stamps(held["times"])
    if traces.shape != (len(names), len(stamps)) or len(flags) != len(names):
        raise LoaderError(
            f"{path}: corrected_F has shape {traces.shape} (neuron, time) for {len(names)} names, {len(flags)} flags "
            f"and {len(stamps)} stamps"
        )
    kept = flags > 0 if proofread_only else np.ones(len(flags), dtype=bool)
    if not kept.any():
        raise LoaderError(f"{path}: none of {len(names)} neurons is proofread; pass proofread_only=False to see them")
    labels = [name if flag > 0 else "" for name, flag in zip(names, flags, strict=True)]
    coords: dict[str, Any] = {"use_flag": flags[kept].astype(np.int64)}
    if "F_0" in held:
        coords["baseline"] = np.asarray(held["F_0"], np.float64).reshape(len(names), -1, order="F")[kept, 0]
    with files.reading(path, "a worm of Lin 2023"):
        rec = worm_traces.worm(
            traces[kept].T, stamps, [label for label, keep in zip(labels, kept, strict=True) if keep],
            function="loaders.datasets.lin2023.load", **coords,
            attrs={**ABOUT, "source": path.name, "session": path.stem.removesuffix("_prfrd_data")},
        )  # fmt: skip
    left = [name for name, keep in zip(names, kept, strict=True) if not keep]
    return add_history(rec, "loaders.datasets.lin2023.load", not_proofread=left, proofread_only=proofread_only)


def _stamps(times: Any) -> np.ndarray:
    """Give the field `times` of the struct `times`."""
    if times.dtype.names is None or "times" not in times.dtype.names:
        raise LoaderError("times is no struct with a field times")
    stamps: np.ndarray = np.asarray(times["times"].ravel()[0], dtype=np.float64).ravel()
    return stamps


def _events(held: dict[str, Any], first_stamp: float, path: Path) -> dict[str, Any] | None:
    if "stimulus" not in held or not np.size(held["stimulus"]):
        return None
    rows = np.asarray(held["stimulus"])
    if rows.dtype != object or rows.ndim != 2 or rows.shape[1] != 3:
        raise LoaderError(f"{path}: stimulus has shape {rows.shape}, cells of (name, on, off) are needed")
    with files.reading(path, "odours (name, on, off)"):
        on, off = (np.array([float(np.ravel(cell)[0]) for cell in rows[:, column]]) for column in (1, 2))
    return {"onset": on - first_stamp, "duration": off - on, "trial_type": [_worms.text(cell) for cell in rows[:, 0]]}
