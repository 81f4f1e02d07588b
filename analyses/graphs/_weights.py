"""What every analysis of a graph begins with: the weights of a result, of a graph or of a recording."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity.correlation import correlation
from neurointerp.graph import edge_weights, symmetric


def weights_of(graph: xr.Dataset | xr.DataArray, analysis: str) -> xr.DataArray:
    """Give (source, target) weights; of a recording, its correlations."""
    if isinstance(graph, xr.DataArray) and "unit" in graph.dims:
        graph = correlation(graph)
    return edge_weights(graph, analysis)


def positive(weights: xr.DataArray, analysis: str) -> NDArray[np.float64]:
    """Give the positive part of symmetric weights, float64, without the diagonal."""
    return np.maximum(symmetric(weights.values, analysis), 0.0)
