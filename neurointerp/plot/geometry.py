"""Pictures of geometry: dissimilarities, likeness between recordings, and recordings placed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def dissimilarities(result: xr.Dataset | xr.DataArray, ax: Axes, *, recording: str | None = None) -> Axes:
    """Draw a dissimilarity matrix (stimulus, stimulus2), its distances as ranks from 0 to 1.

    Parameters
    ----------
    result
        Of `geometry.rdm` or `geometry.rsa`, or the matrix itself.
    ax
        Axes to draw into.
    recording
        Which, where there are several.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Raises
    ------
    AnalysisError
        When there is no one matrix to draw.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import geometry
    >>> found = geometry.rdm(ni.load("demo-fmri")[:20], by="time")
    >>> len(dissimilarities(found, Figure().subplots()).images)
    1
    """
    from scipy.stats import rankdata

    matrix = result["rdm"] if isinstance(result, xr.Dataset) else result
    matrix = matrix.sel(recording=recording) if recording is not None else matrix
    if matrix.dims != ("stimulus", "stimulus2"):
        raise AnalysisError(f"plot.dissimilarities: dims {matrix.dims}: name the recording to draw")
    values = np.array(matrix.values, dtype=np.float64)
    upper = np.triu_indices(len(values), 1)
    known = ~np.isnan(values[upper])
    ranks = np.full(len(upper[0]), np.nan)
    ranks[known] = (rankdata(values[upper][known]) - 1) / max(known.sum() - 1, 1)
    shown = np.zeros_like(values)
    shown[upper] = shown.T[upper] = ranks
    image = ax.imshow(shown, cmap="viridis", interpolation="nearest", vmin=0, vmax=1)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="dissimilarity (rank)")
    ax.set_xlabel(f"stimulus ({len(values)})")
    ax.set_ylabel("stimulus")
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def similarity_matrix(result: xr.Dataset, ax: Axes, *, level: float = 0.05) -> Axes:
    """Draw `similarity (recording, recording2)` with its numbers; a star where the q-value is at most `level`.

    Parameters
    ----------
    result
        Of `geometry.rsa`, `cka`, `cca` or `procrustes`.
    ax
        Axes to draw into.
    level
        Of the false discovery rate.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import geometry
    >>> rec = ni.load("demo-fmri")[:40]
    >>> found = geometry.cka({"left": rec[:, :15], "right": rec[:, 15:]}, by="time", permutations=0)
    >>> len(similarity_matrix(found, Figure().subplots()).images)
    1
    """
    values = np.asarray(result["similarity"].values)
    names = [str(name) for name in result["recording"].values]
    bound = max(1.0, float(np.nanmax(np.abs(values), initial=0.0)))
    signed = bool((values < 0).any())
    image = ax.imshow(values, cmap="RdBu_r" if signed else "viridis", vmin=-bound if signed else 0, vmax=bound)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="similarity")
    q = np.asarray(result["q_value"].values) if "q_value" in result else np.full_like(values, np.nan)
    for i in range(len(names)):
        for j in range(len(names)):
            dark = abs(values[i, j]) > 0.6 * bound if signed else values[i, j] < 0.6 * bound
            star = "*" if q[i, j] <= level else ""
            colour = "white" if dark else "black"
            ax.text(j, i, f"{values[i, j]:.2f}{star}", ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), names)
    return ax


def embedding(result: xr.Dataset, ax: Axes, *, group: dict[str, str] | None = None) -> Axes:
    """Place recordings in the plane so that their distances come out as well as they can (metric MDS).

    Parameters
    ----------
    result
        With `distance (recording, recording2)`, of `geometry.procrustes`, or `similarity`, of which 1 - s is taken.
    ax
        Axes to draw into.
    group
        Recording -> group, for colours and the legend.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, with the share of the squared distances that the plane misses below it.

    Raises
    ------
    AnalysisError
        When a distance is not defined.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import geometry
    >>> rec = ni.load("demo-fmri")[:40]
    >>> parts = {"a": rec[:, :10], "b": rec[:, 10:20], "c": rec[:, 20:]}
    >>> found = geometry.cka(parts, by="time", permutations=0)
    >>> sorted(text.get_text() for text in embedding(found, Figure().subplots()).texts)
    ['a', 'b', 'c']
    """
    distance = np.asarray(result["distance"].values if "distance" in result else 1 - result["similarity"].values)
    if np.isnan(distance).any():
        lost = str(result["recording"].values[np.isnan(distance).sum(axis=1).argmax()])
        raise AnalysisError(f"plot.embedding: distances are missing, most of {lost!r}; leave it out")
    distance = np.maximum((distance + distance.T) / 2, 0)
    np.fill_diagonal(distance, 0)
    place = _scaled(distance)
    missed = np.linalg.norm(place[:, None] - place, axis=-1) - distance
    stress = float((missed**2).sum() / max((distance**2).sum(), 1e-300))
    names = [str(name) for name in result["recording"].values]
    groups = list(dict.fromkeys((group or {}).get(name, "") for name in names))
    for number, one in enumerate(groups):
        rows = [i for i, name in enumerate(names) if (group or {}).get(name, "") == one]
        ax.scatter(place[rows, 0], place[rows, 1], color=COLOURS[number % len(COLOURS)], label=one or None, s=28)
    for name, (x, y) in zip(names, place, strict=True):
        ax.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
    if len(groups) > 1:
        ax.legend(fontsize=7, frameon=False)
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.2)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(f"{100 * stress:.0f}% of the squared distances missed", fontsize=7)
    return ax


def _scaled(distance: np.ndarray, steps: int = 300) -> np.ndarray:
    """Give (point, 2) places by SMACOF from the classical solution."""
    n = len(distance)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centre @ distance**2 @ centre)
    place: np.ndarray = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-12))
    for _ in range(steps):
        apart = np.linalg.norm(place[:, None] - place, axis=-1)
        ratio = np.divide(distance, apart, out=np.zeros_like(distance), where=apart > 1e-12)
        moved = -ratio
        np.fill_diagonal(moved, ratio.sum(axis=1))
        place = moved @ place / n
    return place
