"""Synapses as flat arrays, visited from the neuron that fired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from neurointerp.models.spiking import _checks
from neurointerp.models.spiking.connections import STDP, Synapses
from neurointerp.models.spiking.network import Network


class Wires(NamedTuple):
    """Groups of synapses of one delay: population they come from, delay, plasticity (-1: none).

    `pointer[first + j]` to `pointer[first + j + 1]` bound the synapses of the j-th source; `target` is the place in
    `x` that each adds to, `origin` and `end` the units it joins, `member` the Synapses it belongs to.
    """

    source: np.ndarray
    delay: np.ndarray
    first: np.ndarray
    plastic: np.ndarray
    pointer: np.ndarray
    target: np.ndarray
    origin: np.ndarray
    end: np.ndarray
    member: np.ndarray


class Plastic(NamedTuple):
    """Plastic groups: population and bounds of the targets, places of their traces, numbers of the rule.

    `back_pointer` bounds, per target neuron, the synapses (`back_edge`) that reach it.
    """

    group: np.ndarray
    target: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    rule: np.ndarray
    back_first: np.ndarray
    back_pointer: np.ndarray
    back_edge: np.ndarray


class _Group(NamedTuple):
    """Synapses of one delay, by source."""

    source: int
    target: int
    delay: int
    place: int
    member: int
    pointer: np.ndarray
    column: np.ndarray
    weight: np.ndarray
    plasticity: STDP | None


def wire(
    network: Network, low: np.ndarray, place: Callable[[str, Any, float | None], int], step: float
) -> tuple[Wires, Plastic, np.ndarray]:
    """Lay the synapses out; give also the weight of each."""
    names = list(network.populations)
    groups: list[_Group] = []
    for number, wires in enumerate(network.synapses):
        at = (names.index(wires.source), names.index(wires.target), place(wires.target, wires.tau, wires.reversal))
        groups += _by_delay(wires, number, at, step)
    starts = np.cumsum([0, *(group.column.size for group in groups)])
    firsts = np.cumsum([0, *(group.pointer.size for group in groups)])
    plastic = _plastic([g for g in enumerate(groups) if g[1].plasticity is not None], starts, low, step)
    which = np.full(len(groups), -1)
    which[plastic.group] = np.arange(plastic.group.size)
    columns = [
        (
            group.pointer + start,
            group.place + group.column,
            low[group.source] + np.repeat(np.arange(group.pointer.size - 1), np.diff(group.pointer)),
            low[group.target] + group.column,
            np.full(group.column.size, group.member),
        )
        for group, start in zip(groups, starts, strict=False)
    ]
    pointer, target, origin, end, member = (_joined([row[k] for row in columns]) for k in range(5))
    wires_ = Wires(
        np.array([group.source for group in groups], dtype=np.int64),
        np.array([group.delay for group in groups], dtype=np.int64),
        firsts[:-1],
        which,
        pointer,
        target.astype(np.uint32),
        origin.astype(np.int32),
        end.astype(np.int32),
        member.astype(np.int32),
    )
    return wires_, plastic, np.concatenate([np.zeros(0), *(group.weight for group in groups)])


def _by_delay(wires: Synapses, number: int, at: tuple[int, int, int], step: float) -> Iterator[_Group]:
    """Split the synapses of a pair by their delay, in steps."""
    source, target, place = at
    pointer, column, weight = _rows(wires.weights)
    delays = wires.delay.toarray() if hasattr(wires.delay, "toarray") else np.asarray(wires.delay)
    if not column.size:
        return
    if delays.ndim == 0:
        delay = _checks.steps(delays[()], step, f"delay of {wires.name}")
        yield _Group(source, target, delay, place, number, pointer, column, weight, wires.plasticity)
        return
    sources = pointer.size - 1
    row = np.repeat(np.arange(sources), np.diff(pointer))
    known, inverse = np.unique(np.broadcast_to(delays, np.shape(wires.weights))[row, column], return_inverse=True)
    count = np.array([_checks.steps(value, step, f"delay of {wires.name}") for value in known], dtype=np.int64)
    of_edge = count[inverse]
    for delay in np.unique(of_edge):
        kept = np.flatnonzero(of_edge == delay)
        bounds = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=sources))])
        yield _Group(source, target, int(delay), place, number, bounds, column[kept], weight[kept], wires.plasticity)


def _rows(weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the synapses row by row: bounds of each source, targets, weights. What a sparse matrix stores is kept."""
    if hasattr(weights, "tocsr"):
        from scipy import sparse

        matrix = sparse.csr_array(weights, copy=True)
        matrix.sum_duplicates()
        return matrix.indptr.astype(np.int64), matrix.indices, matrix.data.astype(np.float64)
    dense = np.asarray(weights)
    there = dense != 0
    column = np.nonzero(there)[1]
    counts = np.count_nonzero(there, axis=1)
    return np.concatenate([[0], np.cumsum(counts)]), column, dense[there].astype(np.float64)


def _plastic(groups: list[tuple[int, _Group]], starts: np.ndarray, low: np.ndarray, step: float) -> Plastic:
    rows: list[tuple[int, ...]] = []
    rules: list[tuple[float, ...]] = []
    pointers: list[np.ndarray] = []
    edges: list[np.ndarray] = []
    at = back = 0
    for number, group in groups:
        rule = group.plasticity
        assert rule is not None
        sources, targets = group.pointer.size - 1, int(low[group.target + 1] - low[group.target])
        bounds = int(low[group.target]), int(low[group.target + 1])
        rows.append((number, group.target, *bounds, at, at + sources, back))
        at += sources + targets
        order = np.argsort(group.column, kind="stable")
        pointers.append(
            np.concatenate([[0], np.cumsum(np.bincount(group.column, minlength=targets))])
            + sum(edge.size for edge in edges)
        )
        edges.append(order + starts[number])
        back += targets + 1
        fades = np.exp(-step / rule.tau_pre), np.exp(-step / rule.tau_post)
        rules.append((rule.potentiation, rule.depression, *fades, rule.least, rule.most))
    table = np.array(rows, dtype=np.int64).reshape(-1, 7)
    number, target, first, last, pre, post, back_first = np.ascontiguousarray(table.T)
    rule_rows = np.array(rules, dtype=np.float64).reshape(-1, 6)
    return Plastic(number, target, first, last, pre, post, rule_rows, back_first, _joined(pointers), _joined(edges))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
