"""Exchange of edges that keeps every degree, compiled, and of weights that nearly keeps every strength."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

PASSES = 20
"""In how many portions weights are given out; strengths still wanted are taken anew before each."""


@numba.njit(cache=True, nogil=True)
def exchange(adjacency: np.ndarray, source: np.ndarray, target: np.ndarray, draws: np.ndarray) -> int:
    """Try to turn a-b, c-d into a-d, c-b for each row (edge, edge, flip) of `draws`, in place; count what worked."""
    done = 0
    for k in range(len(draws)):
        e, f = draws[k, 0], draws[k, 1]
        a, b, c, d = source[e], target[e], source[f], target[f]
        if draws[k, 2]:
            c, d = d, c
        if a in (c, d) or b in (c, d) or adjacency[a, d] or adjacency[c, b]:
            continue
        adjacency[a, b] = adjacency[b, a] = adjacency[c, d] = adjacency[d, c] = False
        adjacency[a, d] = adjacency[d, a] = adjacency[c, b] = adjacency[b, c] = True
        source[e], target[e], source[f], target[f] = a, d, c, b
        done += 1
    return done


def null_graph(weights: NDArray[np.float64], swaps: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give a random graph with the degrees and the weights of symmetric `weights`, and nearly its strengths."""
    adjacency = weights > 0
    source, target = (np.ascontiguousarray(ends) for ends in np.nonzero(np.triu(adjacency, 1)))
    edges = len(source)
    draws = np.stack([*rng.integers(edges, size=(2, swaps * edges)), rng.integers(2, size=swaps * edges)], axis=1)
    exchange(adjacency, source, target, draws)
    given = np.sort(weights[np.triu(weights, 1) > 0])[::-1]
    out = np.zeros_like(weights)
    if given[0] == given[-1]:
        out[adjacency] = given[0]
        return out
    wanted, open_edges, left = weights.sum(axis=1), rng.permutation(edges), given
    for portion in range(PASSES, 0, -1):
        expected = wanted[source[open_edges]] * wanted[target[open_edges]]
        rank = np.argsort(np.argsort(-expected, kind="stable"), kind="stable")
        take = rng.permutation(len(open_edges))[: -(-len(open_edges) // portion)]
        i, j, w = source[open_edges[take]], target[open_edges[take]], left[rank[take]]
        out[i, j] = out[j, i] = w
        np.subtract.at(wanted, i, w)
        np.subtract.at(wanted, j, w)
        wanted = np.maximum(wanted, 0)
        open_edges, left = np.delete(open_edges, take), np.delete(left, rank[take])
    return out
