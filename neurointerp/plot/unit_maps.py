"""A value per unit where the unit lies: on the scalp, in slices, in the brain, or by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STANDARD = ("mni", "template", "talairach")
SCALP = {"eeg": ("eeg",), "meg": ("mag", "meg", "ref_meg")}


def unit_bars(values: NDArray[Any], recording: xr.DataArray, ax: Axes, *, units: int = 10) -> Axes:
    """Draw the units of largest magnitude as bars by name, the largest on top.

    Parameters
    ----------
    values
        One per unit of the recording.
    recording
        Names the units, and the units of the values.
    ax
        Axes to draw into.
    units
        How many bars.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> rec = ni.load("demo-calcium")
    >>> len(unit_bars(rec.values.std(axis=0), rec, Figure().subplots(), units=5).patches)
    5
    """
    size = np.abs(np.nan_to_num(values))
    order = np.argsort(-size, kind="stable")[:units]
    order = order[size[order] > 0]
    names = [str(name) for name in recording["unit"].values[order]]
    ax.barh(range(order.size), values[order], color=[COLOURS[1 if v > 0 else 0] for v in values[order]], height=0.75)
    ax.set_yticks(range(order.size), names, fontsize=7)
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.6)
    units_of = str(recording.attrs.get("units", "1"))
    ax.set_xlabel("weight" if units_of == "1" else f"weight ({units_of})", fontsize=8)
    ax.tick_params(axis="x", labelsize=7)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def sensor_map(values: NDArray[Any], recording: xr.DataArray, ax: Axes) -> Axes:
    """Draw a value per sensor of EEG or MEG as a topography, seen from above; MNE does.

    Parameters
    ----------
    values
        One per unit of the recording.
    recording
        Of modality eeg or meg, with `x`, `y`, `z` in metres. Sensors without a position, and channels of another type
        (`channel_type`), are not shown; of MEG the magnetometers are.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, titled with how many sensors are shown where that is not all.

    Raises
    ------
    AnalysisError
        When MNE is missing, or fewer than four sensors can be shown.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> rec = ni.load("demo-eeg")
    >>> len(sensor_map(rec.values.std(axis=0), rec, Figure().subplots()).images)
    1
    """
    try:
        import mne
    except ImportError as error:
        raise AnalysisError("plot: a topography needs MNE: pip install 'neurointerp[eeg]'") from error
    modality = str(recording.attrs.get("modality"))
    place = np.stack([np.asarray(recording[axis].values, dtype=np.float64) for axis in "xyz"], axis=1)
    shown = np.isfinite(place).all(axis=1) & np.isfinite(values)
    if "channel_type" in recording.coords:
        kinds = recording["channel_type"].values.astype(str)
        shown &= np.isin(kinds, SCALP[modality]) if np.isin(kinds, SCALP[modality]).any() else True
    if shown.sum() < 4:
        raise AnalysisError(f"plot: {int(shown.sum())} sensors have a position and a value; at least 4 are needed")
    names = [str(name) for name in recording["unit"].values[shown]]
    info = mne.create_info(names, 1.0, "mag" if modality == "meg" else "eeg", verbose="error")
    if modality == "meg":
        for channel, where in zip(info["chs"], place[shown], strict=True):
            channel["loc"][:3] = where
    else:
        frame = str(recording["x"].attrs.get("frame", "head"))
        frame = frame if frame in ("head", "mri", "unknown") else "head"
        montage = mne.channels.make_dig_montage(dict(zip(names, place[shown], strict=True)), coord_frame=frame)
        info.set_montage(montage, verbose="error")
    bound = float(np.abs(values[shown]).max()) or 1.0
    mne.viz.plot_topomap(values[shown], info, axes=ax, show=False, cmap="RdBu_r", vlim=(-bound, bound), sensors="k.",
                         contours=4)  # fmt: skip
    if not shown.all():
        ax.set_title(f"{int(shown.sum())} of {shown.size} units", fontsize=7)
    return ax


def slices(
    values: NDArray[Any], recording: xr.DataArray, axes: Sequence[Axes], *, across: Sequence[int] = (0, 1, 2)
) -> Sequence[Axes]:
    """Draw slices through the voxel of largest magnitude.

    Parameters
    ----------
    values
        One per unit of the recording.
    recording
        With voxel indices `i`, `j`, `k` along `unit`; units without them are not shown.
    axes
        One for each slice.
    across
        Which index each slice is across: 0 for `i`, 1 for `j`, 2 for `k`. `planes` gives those that show anything.

    Returns
    -------
    sequence of matplotlib.axes.Axes
        `axes`; where no voxel lies it is grey.

    Raises
    ------
    AnalysisError
        When no unit has voxel indices.
    """
    place, known = _voxels(recording)
    low = place.min(axis=0)
    volume = np.full(place.max(axis=0) - low + 1, np.nan)
    volume[tuple((place - low).T)] = np.asarray(values, dtype=np.float64)[known]
    peak = np.unravel_index(int(np.nan_to_num(np.abs(volume)).argmax()), volume.shape)
    bound = float(np.nanmax(np.abs(volume))) or 1.0
    for axis, ax in zip(across, axes, strict=True):
        cut = np.take(volume, peak[axis], axis=axis)
        ax.set_facecolor("#eeeeee")
        ax.imshow(cut.T, origin="lower", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
        ax.set_title(f"{'ijk'[axis]} = {int(peak[axis] + low[axis])}", fontsize=7)
        ax.set_xticks([])
        ax.set_yticks([])
    return axes


def planes(recording: xr.DataArray) -> list[int]:
    """Give the indices across which a slice is more than a line: all three of a volume, one of a single slice."""
    place, _ = _voxels(recording)
    wide = np.ptp(place, axis=0) > 0
    return [axis for axis in range(3) if np.delete(wide, axis).all()] or [2]


def _voxels(recording: xr.DataArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give the indices (unit, 3) of the units that have all three, and which these are."""
    index = np.stack([np.asarray(recording[axis].values, dtype=np.float64) for axis in "ijk"], axis=1)
    known: NDArray[np.bool_] = np.asarray((np.isfinite(index) & (index >= 0)).all(axis=1))
    if not known.any():
        raise AnalysisError("plot: no unit has voxel indices 'i', 'j', 'k'; slices need them")
    return index[known].astype(np.int64), known


def positions(values: NDArray[Any], recording: xr.DataArray, ax: Axes) -> Axes:
    """Draw a value per unit as a dot where the unit lies, seen from above (x to the right, y up).

    Parameters
    ----------
    values
        One per unit of the recording.
    recording
        With `x`, `y`, `z` in metres; units without a position are not shown.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`; dots grow with magnitude, those higher up lie above.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> rec = ni.load("demo-eeg")
    >>> len(positions(rec.values.std(axis=0), rec, Figure().subplots()).collections)
    1
    """
    x, y, z = (np.asarray(recording[axis].values, dtype=np.float64) for axis in "xyz")
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & np.isfinite(values))
    order = known[np.argsort(z[known], kind="stable")]
    bound = float(np.abs(values[order]).max(initial=0.0)) or 1.0
    share = np.abs(values[order]) / bound
    ax.scatter(1e3 * x[order], 1e3 * y[order], c=values[order], s=4 + 60 * share, cmap="RdBu_r", vmin=-bound,
               vmax=bound, edgecolors="#666666", linewidths=0.3)  # fmt: skip
    ax.set_aspect("equal")
    ax.set_xlabel("x (mm)", fontsize=7)
    ax.set_ylabel("y (mm)", fontsize=7)
    ax.tick_params(labelsize=6)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def brain_map(values: NDArray[Any], recording: xr.DataArray, ax: Axes, *, views: str = "lyrz") -> Axes:
    """Draw a value per unit on a glass brain: voxels as an image of the largest magnitude, parcels and sensors as dots.

    Parameters
    ----------
    values
        One per unit of the recording, such as `result.correlation.mean("fold").values`; NaN is not shown.
    recording
        With `x`, `y`, `z` in metres and their `frame` that of a standard brain (`mni`, `template`, `talairach`). Where
        units are all voxels of a grid (`i`, `j`, `k` with its affine, as `loaders.fmri` gives them) nilearn projects
        the image; else each unit is a dot.
    ax
        Axes to draw into. nilearn puts its panels where they lie now: a layout that moves axes later (`"constrained"`)
        moves them not.
    views
        Panels: `l`, `r` (from left and right), `x` (from the side), `y` (from behind), `z` (from above).

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When nilearn is missing, no unit has a place and a value, or the places are of another frame.

    Notes
    -----
    The outline is that of a standard brain, and would be wrong in a person's own space (`scanner`, `aligned`, `head`):
    hence the refusal. `slices` and `positions` draw those.
    """
    try:
        plotting: Any = import_module("nilearn.plotting")
    except ImportError as error:
        raise AnalysisError("plot: a glass brain needs nilearn: pip install 'neurointerp[fmri]'") from error
    if any(axis not in recording.coords for axis in "xyz"):
        raise AnalysisError("plot.brain_map: units need places 'x', 'y', 'z' in metres")
    frame = str(recording["x"].attrs.get("frame", "not stated"))
    if frame not in STANDARD:
        raise AnalysisError(f"plot.brain_map: the frame is {frame!r}; one of {', '.join(STANDARD)} is needed")
    known = np.asarray(values, dtype=np.float64)
    place = np.stack([np.asarray(recording[axis].values, dtype=np.float64) for axis in "xyz"], axis=1)
    shown = np.isfinite(place).all(axis=1) & np.isfinite(known)
    if known.shape != (recording.sizes["unit"],) or not shown.any():
        raise AnalysisError(f"plot.brain_map: {int(shown.sum()) if shown.shape == known.shape else 0} of "
                            f"{recording.sizes['unit']} units have a place and a value")  # fmt: skip
    bound = float(np.abs(known[shown]).max()) or 1.0
    about = recording["i"].attrs if "i" in recording.coords else {}
    on_grid = {"affine", "shape"} <= about.keys() and all(np.isfinite(recording[a].values[shown]).all() for a in "ijk")
    if on_grid:
        plotting.plot_glass_brain(
            _volume(known, recording, shown), display_mode=views, axes=ax, cmap="RdBu_r", vmin=-bound, vmax=bound,
            plot_abs=False, colorbar=True, threshold=None, annotate=False,
        )  # fmt: skip
    else:
        plotting.plot_markers(
            known[shown], place[shown] * 1e3, node_cmap="RdBu_r", node_vmin=-bound, node_vmax=bound, display_mode=views,
            axes=ax, node_size=40, node_kwargs={"edgecolors": "#666666", "linewidths": 0.4}, annotate=False,
        )  # fmt: skip
    return ax


def _volume(values: NDArray[Any], recording: xr.DataArray, shown: NDArray[np.bool_]) -> Any:
    """Give the units that are shown as an image on their grid, in mm."""
    nibabel: Any = import_module("nibabel")
    about = recording["i"].attrs
    volume = np.zeros(tuple(about["shape"]), dtype=np.float32)
    index = tuple(recording[axis].values[shown].astype(np.int64) for axis in "ijk")
    volume[index] = values[shown]
    scale = {"mm": 1.0, "m": 1e3, "um": 1e-3, "micron": 1e-3}.get(str(about.get("affine_units", "mm")), 1.0)
    affine = np.array(about["affine"], dtype=np.float64)
    affine[:3] *= scale
    return nibabel.Nifti1Image(volume, affine)
