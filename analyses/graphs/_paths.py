"""Clustering, paths and efficiency of symmetric weights (unit, unit): kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def clustering(weights: Floats) -> Floats:
    """Give Onnela's weighted clustering of each unit, weights over the largest; 0 below two neighbours."""
    largest = weights.max(initial=0.0)
    root = np.cbrt(weights / largest) if largest > 0 else weights
    degree = (weights > 0).sum(axis=1)
    triangles = np.einsum("ij,ji->i", root @ root, root)
    pairs = degree * (degree - 1)
    return np.asarray(np.divide(triangles, pairs, out=np.zeros_like(triangles), where=pairs > 0))


def distances(weights: Floats) -> Floats:
    """Give the length of the shortest path between every two units, an edge of weight w having length 1 / w."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    edge = weights > 0
    length = np.divide(1.0, weights, out=np.zeros_like(weights), where=edge)
    return np.asarray(shortest_path(csr_array(length), directed=False))


def efficiency(weights: Floats) -> float:
    """Give the mean over pairs of 1 / distance, 0 where there is no path."""
    n = len(weights)
    if n < 2:
        return 0.0
    away = ~np.eye(n, dtype=bool)
    return float((1 / distances(weights)[away]).mean())


def local_efficiency(weights: Floats) -> Floats:
    """Give the efficiency of the graph of each unit's neighbours, without the unit."""
    return np.array([efficiency(weights[np.ix_(near, near)]) for near in (row > 0 for row in weights)])


def path_length(weights: Floats) -> float:
    """Give the mean distance over pairs that have a path; NaN where no pair has one."""
    d = distances(weights)[~np.eye(len(weights), dtype=bool)]
    d = d[np.isfinite(d)]
    return float(d.mean()) if d.size else float("nan")
