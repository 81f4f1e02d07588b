"""Pictures of results, one per family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colour-blind safe palette."""


def features(result: xr.Dataset, ax: Axes) -> Axes:
    """Draw the features of a factorization, `features(component, unit)`, as an image.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import factorization
    >>> found = factorization.pca(ni.load("demo-calcium"), 3)
    >>> len(features(found, Figure().subplots()).images)
    1
    """
    values = np.asarray(result["features"].values)
    bound = float(np.abs(values).max()) or 1.0
    ax.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    ax.set_yticks(range(values.shape[0]), [str(label) for label in result["component"].values])
    ax.set_xlabel(f"unit ({values.shape[1]})")
    ax.set_ylabel("component")
    ax.set_xticks([])
    return ax


def tensor_factors(result: xr.Dataset, ax: Axes, *, dim: str = "time") -> Axes:
    """Draw the factors of a tensor factorization along one dim, a line per component.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import tensor
    >>> tree = ni.synthetic.tensor_trials(rank=2, n_trials=10, n_samples=20, n_units=8)
    >>> found = tensor.nonnegative_cp(tree["recordings/tensor_trials/recording"], 2)
    >>> len(tensor_factors(found, Figure().subplots()).lines)
    2
    """
    factor = result[f"factor_{dim}"]
    x = np.asarray(factor[dim].values) if dim in factor.coords else np.arange(factor.sizes[dim])
    for k in range(factor.sizes["component"]):
        ax.plot(range(len(x)), factor.isel(component=k).values, color=COLOURS[k % len(COLOURS)], label=f"{k}")
    ax.set_xlabel("window" if dim == "trial" else dim)
    ax.set_ylabel("factor (unit norm)")
    ax.legend(title="component", fontsize=6, title_fontsize=6, frameon=False, ncols=2)
    return ax


def connectivity_matrix(result: xr.Dataset, ax: Axes, *, community: xr.DataArray | None = None) -> Axes:
    """Draw `connectivity(source, target)`, units ordered by community where `community(unit)` is given.

    Correlations get their full scale of -1 to 1; what goes beyond it, or has no negative value, its own.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import connectivity
    >>> graph = connectivity.correlation(ni.load("demo-eeg"))
    >>> len(connectivity_matrix(graph, Figure().subplots()).images)
    1
    """
    values = np.asarray(result["connectivity"].values)
    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    signed = bool((values < 0).any()) or bool(np.allclose(np.diag(values), 1))
    bound = 1.0 if signed and largest <= 1 else largest
    order = np.arange(len(values)) if community is None else np.argsort(community.values, kind="stable")
    image = ax.imshow(values[np.ix_(order, order)], cmap="RdBu_r" if signed else "viridis", interpolation="nearest",
                      vmin=-bound if signed else 0, vmax=bound)  # fmt: skip
    if community is not None:
        for edge in np.flatnonzero(np.diff(community.values[order])) + 0.5:
            ax.axhline(edge, color="black", linewidth=0.6)
            ax.axvline(edge, color="black", linewidth=0.6)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="r" if bound == 1.0 else "weight")
    ax.set_xlabel("unit, by community" if community is not None else "unit")
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def scores(result: xr.Dataset, ax: Axes) -> Axes:
    """Draw the held-out r2 of an encoding model, `score(fold, unit)`: the mean over folds, units sorted.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from matplotlib.figure import Figure
    >>> from neurointerp.analyses import encoding
    >>> rec = ni.load("demo-fmri")
    >>> found = encoding.ridge(rec[:, :20], rec[:, 20:])
    >>> scores(found, Figure().subplots()).get_xlabel()
    'unit, sorted'
    """
    mean = np.sort(np.asarray(result["score"].mean("fold").values))[::-1]
    ax.bar(range(len(mean)), np.maximum(mean, -1), color=COLOURS[0], width=0.9)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xlabel("unit, sorted")
    ax.set_ylabel("held-out r2")
    ax.set_ylim(max(min(float(mean.min()) * 1.1, -0.1), -1.0), max(float(mean.max()) * 1.1, 0.1))
    return ax
