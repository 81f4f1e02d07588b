"""Search for the partition of least description length: merges from singletons, moves, and the levels above."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from neurointerp.analyses.graphs import _blocks

Labels = NDArray[np.int64]
SWEEPS = 12
"""Most sweeps over the vertices at each number of blocks."""
ALL_PAIRS = 64
"""Up to this many blocks every pair is a candidate to merge; beyond, DRAWS per block are drawn."""
DRAWS = 12
PROPOSALS = 10
"""Merges, splits and both that are tried in one sweep of merge-split."""
PATIENCE = 2


@dataclass(frozen=True)
class Graph:
    """An undirected graph: edges given once (`source <= target`, loops among them), and what moves need of it."""

    size: int
    source: Labels
    target: Labels
    multiple: Labels
    weight: NDArray[np.float64]
    pointer: Labels = field(repr=False)
    neighbour: Labels = field(repr=False)
    place: Labels = field(repr=False)
    loops: Labels
    degree: Labels

    @property
    def edges(self) -> int:
        return int(self.multiple.sum())


@dataclass(frozen=True)
class Model:
    """How edges are described (`kind`), whether weights are, and the table of ln n!."""

    kind: int
    weighted: bool
    table: NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A hierarchy: `levels[0]` labels vertices, `levels[l]` the blocks of the level below; `length` in nats."""

    length: float
    levels: list[Labels]


def graph(counts: NDArray[np.int64], weights: NDArray[np.float64] | None = None) -> Graph:
    """Make a graph of symmetric counts (vertex, vertex); the diagonal counts loops, each once."""
    source, target = np.nonzero(np.triu(counts))
    multiple = counts[source, target].astype(np.int64)
    weight = np.zeros(len(source)) if weights is None else weights[source, target].astype(np.float64)
    loop = source == target
    loops = np.zeros(len(counts), np.int64)
    loops[source[loop]] = multiple[loop]
    place = np.concatenate([np.flatnonzero(~loop)] * 2)
    end = np.concatenate([source[~loop], target[~loop]])
    order = np.argsort(end, kind="stable")
    neighbour = np.concatenate([target[~loop], source[~loop]])[order]
    pointer = np.concatenate([[0], np.bincount(end, minlength=len(counts)).cumsum()])
    degree = counts.sum(axis=1) + loops
    ints = (np.ascontiguousarray(a, dtype=np.int64) for a in (pointer, neighbour, place[order], loops, degree))
    return Graph(len(counts), source, target, multiple, weight, *ints)


def table(g: Graph) -> NDArray[np.float64]:
    """Tabulate ln n! as far as a description of `g` or of the levels above it may need."""
    most = max(g.size * (g.size + 1), 2) + 2 * g.edges + 2
    return np.asarray(gammaln(np.arange(most + 1) + 1.0))


def fit(g: Graph, model: Model, starts: int, merge_split: int, rng: np.random.Generator) -> Fit:
    """Give the best hierarchy over several starts: their paths compared flat, the best three with levels above.

    `merge_split` is how many sweeps of random merges and splits follow.
    """
    paths = [list(_path(g, model, rng)) for _ in range(starts)]
    flat = [[cost + _flat(len_of(label), g.edges, model.table) for label, cost in path] for path in paths]
    ranking = sorted(range(starts), key=lambda i: min(flat[i]))
    found: dict[bytes, Fit] = {}
    for i in ranking[:3]:
        best = int(np.argmin(flat[i]))
        for direction in (-1, 1):
            _climb(g, model, paths[i], best, direction, found, rng)
    best_fit = min(found.values(), key=lambda f: f.length)
    return merge_split_sweeps(g, model, _settled(g, model, best_fit, rng), merge_split, rng)


def len_of(label: Labels) -> int:
    return int(label.max()) + 1


def _climb(
    g: Graph, model: Model, path: list[tuple[Labels, float]], start: int, direction: int, found: dict[bytes, Fit],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Follow a path from its best flat stage while the levels above make the whole shorter."""
    best, worse, i = math.inf, 0, start
    while 0 <= i < len(path) and worse <= PATIENCE:
        label, cost = path[i]
        key = label.tobytes()
        if key not in found:
            found[key] = _with_levels(g, label, cost, model.table, rng)
        length = found[key].length
        best, worse = (length, 0) if length < best - 1e-9 else (best, worse + 1)
        i += direction


def _settled(g: Graph, model: Model, best: Fit, rng: np.random.Generator) -> Fit:
    """Merge, split and move until none of them makes the whole shorter."""
    improved = True
    while improved:
        improved = False
        for label in _neighbours(g, model, best.levels[0], rng):
            cost = level_cost(g, label, model)
            if cost >= best.length:
                continue
            other = _with_levels(g, label, cost, model.table, rng)
            if other.length < best.length - 1e-6:
                best, improved = other, True
                break
    return best


def merge_split_sweeps(g: Graph, model: Model, best: Fit, sweeps: int, rng: np.random.Generator) -> Fit:
    """Propose to split a block, to merge two, or to merge two and split them anew; take what makes the whole shorter.

    That is merge-split at zero temperature: only the vertices of the blocks concerned move after a proposal.
    """
    for _ in range(sweeps * PROPOSALS):
        label = _rearranged(g, model, best.levels[0], rng)
        cost = level_cost(g, label, model)
        if cost >= best.length:
            continue
        other = _with_levels(g, label, cost, model.table, rng)
        if other.length < best.length - 1e-6:
            best = other
    return best


def _rearranged(g: Graph, model: Model, label: Labels, rng: np.random.Generator) -> Labels:
    """Split a random block, merge a random pair, or merge a pair and split it anew."""
    blocks, way = len_of(label), rng.integers(3)
    label = label.copy()
    concerned = rng.permutation(blocks)[: 1 if way == 0 or blocks == 1 else 2]
    members = np.flatnonzero(np.isin(label, concerned))
    label[members] = concerned[0]
    if way != 1 or blocks == 1:
        other = blocks if len(concerned) == 1 else concerned[1]
        label[rng.permutation(members)[: rng.integers(len(members) + 1)]] = other
    return _moved(g, model, _relabelled(label), rng, only=members)


def _neighbours(g: Graph, model: Model, label: Labels, rng: np.random.Generator) -> Iterator[Labels]:
    """Give partitions near `label`: blocks free to die, each block split in two, the best merges; moves after each."""
    yield _moved(g, model, label, rng, free=True)
    blocks = len_of(label)
    for block in range(blocks):
        members = np.flatnonzero(label == block)
        if len(members) > 3:
            split = label.copy()
            split[rng.permutation(members)[: len(members) // 2]] = blocks
            yield _moved(g, model, split, rng)
    if blocks > 1:
        first, second, changes = _merges(g, model, label, rng)
        for i in np.argsort(changes, kind="stable")[:3]:
            yield _moved(g, model, _relabelled(np.where(label == second[i], first[i], label)), rng)


def _path(g: Graph, model: Model, rng: np.random.Generator) -> Iterator[tuple[Labels, float]]:
    """Merge from one vertex per block to one block, with moves at each stage: (labels, cost without edge counts)."""
    label = np.arange(g.size, dtype=np.int64)
    yield label, level_cost(g, label, model)
    while (blocks := len_of(label)) > 1:
        label = _merged(g, model, label, _next(blocks), rng)
        label = _moved(g, model, label, rng)
        yield label, level_cost(g, label, model)


def _next(blocks: int) -> int:
    if blocks > 2 * ALL_PAIRS:
        return int(blocks / 1.7)
    return int(blocks / 1.25) if blocks > 20 else blocks - 1


def _merged(g: Graph, model: Model, label: Labels, target: int, rng: np.random.Generator) -> Labels:
    while (blocks := len_of(label)) > target:
        first, second, changes = _merges(g, model, label, rng)
        into, taken, left = np.arange(blocks), np.zeros(blocks, dtype=bool), blocks - target
        for i in np.argsort(changes, kind="stable"):
            a, b = first[i], second[i]
            if left and not taken[a] and not taken[b]:
                into[b] = a
                taken[[a, b]] = True
                left -= 1
        label = _relabelled(into[label])
    return label


def _merges(g: Graph, model: Model, label: Labels, rng: np.random.Generator) -> tuple[Labels, Labels, np.ndarray]:
    """Give pairs of blocks and what merging each would cost."""
    blocks = len_of(label)
    counts, sums, sizes, degrees = _tally(g, label)
    if blocks <= ALL_PAIRS:
        first, second = np.triu_indices(blocks, 1)
    else:
        first, second = _drawn(counts, rng)
    changes = _blocks.merge_changes(
        model.kind, first, second, counts, sums, sizes, degrees, model.weighted, model.table
    )
    return first, second, changes


def _drawn(counts: NDArray[np.int64], rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Draw partners for each block: by one step along its edges, by two, or any."""
    blocks = len(counts)
    share = counts + 1e-9
    steps = (share / share.sum(axis=1, keepdims=True)).cumsum(axis=1)
    first = np.repeat(np.arange(blocks), DRAWS)
    one = _blocks.stepped(steps, first, rng.random(len(first)))
    two = _blocks.stepped(steps, one, rng.random(len(first)))
    way = np.arange(len(first)) % 3
    second = np.select([way == 0, way == 1], [one, two], rng.integers(blocks, size=len(first)))
    keep = first != second
    return first[keep].astype(np.int64), second[keep].astype(np.int64)


def _moved(
    g: Graph, model: Model, label: Labels, rng: np.random.Generator, *, free: bool = False, only: Labels | None = None
) -> Labels:
    """Sweep over the vertices, or `only` some, until none moves.

    With `free` blocks die where the flat description says it pays.
    """
    label = label.copy()
    counts, sums, sizes, degrees = _tally(g, label)
    blocks = len(sizes)
    prior = np.where(np.arange(blocks + 1) < blocks, math.inf, 0.0)
    if free:
        each = [_flat(b, g.edges, model.table) + _choice(g.size, b, model.table) for b in range(1, blocks + 1)]
        prior = np.array([math.inf, *each])
    visited = g.size if only is None else only
    for _ in range(SWEEPS):
        _, moved = _blocks.sweep(
            model.kind, label, rng.permutation(visited), g.pointer, g.neighbour, g.multiple[g.place], g.weight[g.place],
            g.loops, g.degree, counts, sums, sizes, degrees, model.weighted, prior, model.table,
        )  # fmt: skip
        if not moved:
            break
    return _relabelled(label) if free else label


def _tally(g: Graph, label: Labels) -> tuple[NDArray[np.int64], NDArray[np.float64], Labels, Labels]:
    found: tuple[NDArray[np.int64], NDArray[np.float64], Labels, Labels] = _blocks.tally(
        label, len_of(label), g.source, g.target, g.multiple, g.weight, g.degree
    )
    return found


def level_cost(g: Graph, label: Labels, model: Model) -> float:
    """Give the nats of edges, weights and partition at one level, the counts between blocks being known."""
    cost = float(_blocks.total_cost(model.kind, *_tally(g, label), model.weighted, model.table))
    cost += math.log(g.size) + _choice(g.size, len_of(label), model.table) + float(model.table[g.size])
    if model.kind == _blocks.DEGREE_CORRECTED:
        cost -= float(model.table[g.degree].sum())
    return cost


def _with_levels(g: Graph, label: Labels, cost: float, lnfact: NDArray[np.float64], rng: np.random.Generator) -> Fit:
    above = _upper(_tally(g, label)[0], lnfact, rng)
    return Fit(cost + above.length, [label, *above.levels])


def _upper(counts: NDArray[np.int64], lnfact: NDArray[np.float64], rng: np.random.Generator) -> Fit:
    """Describe counts between blocks by a hierarchy of multigraphs, up to one block."""
    if len(counts) == 1:
        return Fit(0.0, [])
    g = graph(counts)
    model = Model(_blocks.UPPER, False, lnfact)
    stages = [(label, cost) for label, cost in _path(g, model, rng) if len_of(label) < g.size]
    stages.sort(key=lambda stage: stage[1] + _flat(len_of(stage[0]), g.edges, lnfact))
    best = Fit(math.inf, [])
    for label, cost in stages[:3]:
        if cost < best.length:
            found = _with_levels(g, label, cost, lnfact, rng)
            best = found if found.length < best.length else best
    return best


def _flat(blocks: int, edges: int, lnfact: NDArray[np.float64]) -> float:
    """Give the nats of the counts between blocks, all equally likely: ln multiset(B (B + 1) / 2, E)."""
    slots = blocks * (blocks + 1) // 2
    return float(lnfact[slots + edges - 1] - lnfact[edges] - lnfact[slots - 1])


def _choice(size: int, blocks: int, lnfact: NDArray[np.float64]) -> float:
    return float(lnfact[size - 1] - lnfact[blocks - 1] - lnfact[size - blocks])


def _relabelled(label: Labels) -> Labels:
    return np.unique(label, return_inverse=True)[1].astype(np.int64)
