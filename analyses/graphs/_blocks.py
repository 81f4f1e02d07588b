"""Moves and merges of a stochastic block model. Compiled: imported where it is first used.

A state is `label` (vertex), `counts` and `sums` (block, block): how many edges and how much weight lie between two
blocks, each edge once; `sizes` and `degrees` (block). `kind` says how the edges of two blocks are described:
0 degree-corrected, 1 without degrees, 2 all multigraphs of blocks equally likely (an upper level). `table[n]` is ln n!.
"""

from __future__ import annotations

import math

import numba
import numpy as np

DEGREE_CORRECTED, PLAIN, UPPER = 0, 1, 2
LN2 = math.log(2)
MANY = 32
"""While there are more blocks than this, a vertex looks at the blocks of its neighbours alone."""


@numba.njit(cache=True, nogil=True, inline="always")
def pair_cost(kind, same, count, total, a, b, weighted, table):  # type: ignore[no-untyped-def]
    """Give the nats that the edges and weights between blocks of a and b vertices cost."""
    if kind < 2:
        cost = -table[count] - (count * LN2 if same else 0.0)
    else:
        slots = a * (a + 1) // 2 if same else a * b
        cost = table[slots + count - 1] - table[count] - table[slots - 1] if slots > 0 else 0.0
    if weighted and count > 0:
        cost += (count + 1) * math.log(1.0 + total) - table[count]
    return cost


@numba.njit(cache=True, nogil=True, inline="always")
def block_cost(kind, size, degree, table):  # type: ignore[no-untyped-def]
    """Give what a block costs by itself: its share of the partition and, where corrected, of its degrees."""
    if size == 0:
        return 0.0
    cost = -table[size]
    if kind == 0:
        cost += table[size + degree - 1] - table[size - 1]
    elif kind == 1:
        cost += degree * math.log(size)
    return cost


@numba.njit(cache=True, nogil=True)
def tally(label, blocks, source, target, multiple, weight, degree):  # type: ignore[no-untyped-def]
    """Count the edges, each given once (loops with source equal to target), and the weight between blocks."""
    counts = np.zeros((blocks, blocks), np.int64)
    sums = np.zeros((blocks, blocks))
    sizes = np.zeros(blocks, np.int64)
    degrees = np.zeros(blocks, np.int64)
    for i in range(len(label)):
        sizes[label[i]] += 1
        degrees[label[i]] += degree[i]
    for e in range(len(source)):
        r, s = label[source[e]], label[target[e]]
        counts[r, s] += multiple[e]
        sums[r, s] += weight[e]
        if r != s:
            counts[s, r] += multiple[e]
            sums[s, r] += weight[e]
    return counts, sums, sizes, degrees


@numba.njit(cache=True, nogil=True)
def total_cost(kind, counts, sums, sizes, degrees, weighted, table):  # type: ignore[no-untyped-def]
    """Sum the costs of all pairs of blocks and of all blocks."""
    cost = 0.0
    for r in range(len(sizes)):
        cost += block_cost(kind, sizes[r], degrees[r], table)
        for s in range(r, len(sizes)):
            cost += pair_cost(kind, r == s, counts[r, s], sums[r, s], sizes[r], sizes[s], weighted, table)
    return cost


@numba.njit(cache=True, nogil=True)
def move_change(kind, r, s, out, weights, loops, degree, counts, sums, sizes, degrees, weighted, table):  # type: ignore[no-untyped-def]
    """Give the change in cost when a vertex with `out[t]` edges to each block t moves from block r to s."""
    a, b = sizes[r], sizes[s]
    before = block_cost(kind, a, degrees[r], table) + block_cost(kind, b, degrees[s], table)
    after = block_cost(kind, a - 1, degrees[r] - degree, table) + block_cost(kind, b + 1, degrees[s] + degree, table)
    for t in range(len(sizes)):
        if t in (r, s) or (counts[r, t] == 0 and counts[s, t] == 0 and out[t] == 0):
            continue
        c, k, w = sizes[t], out[t], weights[t]
        if kind < 2 and k == 0:
            continue
        before += pair_cost(kind, False, counts[r, t], sums[r, t], a, c, weighted, table)
        before += pair_cost(kind, False, counts[s, t], sums[s, t], b, c, weighted, table)
        after += pair_cost(kind, False, counts[r, t] - k, sums[r, t] - w, a - 1, c, weighted, table)
        after += pair_cost(kind, False, counts[s, t] + k, sums[s, t] + w, b + 1, c, weighted, table)
    before += pair_cost(kind, True, counts[r, r], sums[r, r], a, a, weighted, table)
    before += pair_cost(kind, True, counts[s, s], sums[s, s], b, b, weighted, table)
    before += pair_cost(kind, False, counts[r, s], sums[r, s], a, b, weighted, table)
    after += pair_cost(
        kind, True, counts[r, r] - out[r] - loops, sums[r, r] - weights[r], a - 1, a - 1, weighted, table
    )
    after += pair_cost(
        kind, True, counts[s, s] + out[s] + loops, sums[s, s] + weights[s], b + 1, b + 1, weighted, table
    )
    after += pair_cost(
        kind, False, counts[r, s] + out[r] - out[s], sums[r, s] + weights[r] - weights[s], a - 1, b + 1, weighted, table
    )
    return after - before


@numba.njit(cache=True, nogil=True)
def sweep(  # type: ignore[no-untyped-def]
    kind, label, order, pointer, neighbour, multiple, weight, loops, degree, counts, sums, sizes, degrees, weighted,
    prior, table,
):  # fmt: skip
    """Move each vertex in turn to the block that costs least, in place; give the total change and the moves.

    `prior[B]` is what B blocks cost. A block may die where `prior` says that it pays; none is born. Below the upper
    levels what two blocks cost does not depend on their sizes: it is kept in `costs`, and what a vertex saves by
    leaving its block is found once for all that it could go to.
    """
    blocks = len(sizes)
    alive = 0
    for r in range(blocks):
        alive += sizes[r] > 0
    out, weights = np.zeros(blocks, np.int64), np.zeros(blocks)
    near, left = np.zeros(blocks, np.int64), np.zeros(blocks)
    costs = all_costs(kind, counts, sums, weighted, table) if kind < 2 else np.zeros((0, 0))
    change, moved = 0.0, 0
    for i in order:
        out[:] = 0
        weights[:] = 0.0
        left[:] = 0.0
        count = 0
        for e in range(pointer[i], pointer[i + 1]):
            t = label[neighbour[e]]
            if out[t] == 0:
                near[count] = t
                count += 1
            out[t] += multiple[e]
            weights[t] += weight[e]
        r = label[i]
        gone = leaving(kind, r, out, weights, near[:count], loops[i], counts, sums, costs, left, weighted, table)
        best, where = -1e-9, -1
        for s in range(blocks):
            if s == r or sizes[s] == 0 or (alive > MANY and out[s] == 0):
                continue
            if kind < 2:
                delta = (
                    gone
                    - left[s]
                    + joining(kind, r, s, out, weights, near[:count], loops[i], counts, sums, costs, weighted, table)
                )
                delta += block_cost(kind, sizes[r] - 1, degrees[r] - degree[i], table)
                delta += block_cost(kind, sizes[s] + 1, degrees[s] + degree[i], table)
                delta -= block_cost(kind, sizes[r], degrees[r], table) + block_cost(kind, sizes[s], degrees[s], table)
            else:
                delta = move_change(
                    kind, r, s, out, weights, loops[i], degree[i], counts, sums, sizes, degrees, weighted, table
                )
            if sizes[r] == 1:
                delta += prior[alive - 1] - prior[alive]
            if delta < best:
                best, where = delta, s
        if where < 0:
            continue
        apply_move(i, r, where, out, weights, loops, degree, label, counts, sums, sizes, degrees)
        if kind < 2:
            for n in range(count):
                for block in (r, where):
                    renew(kind, block, near[n], counts, sums, costs, weighted, table)
            for block in (r, where):
                renew(kind, r, block, counts, sums, costs, weighted, table)
                renew(kind, where, block, counts, sums, costs, weighted, table)
        alive -= sizes[r] == 0
        change += best
        moved += 1
    return change, moved


@numba.njit(cache=True, nogil=True)
def all_costs(kind, counts, sums, weighted, table):  # type: ignore[no-untyped-def]
    """Give what each pair of blocks costs (block, block), of a kind for which sizes do not matter."""
    out = np.empty(sums.shape)
    for r in range(len(counts)):
        for s in range(r + 1):
            renew(kind, r, s, counts, sums, out, weighted, table)
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def renew(kind, r, s, counts, sums, costs, weighted, table):  # type: ignore[no-untyped-def]
    costs[r, s] = costs[s, r] = pair_cost(kind, r == s, counts[r, s], sums[r, s], 0, 0, weighted, table)


@numba.njit(cache=True, nogil=True, inline="always")
def leaving(kind, r, out, weights, near, loops, counts, sums, costs, left, weighted, table):  # type: ignore[no-untyped-def]
    """Give the change in cost of the pairs of block r when a vertex leaves it, and in `left` that of each pair."""
    if kind == 2:
        return 0.0
    inside = pair_cost(kind, True, counts[r, r] - out[r] - loops, sums[r, r] - weights[r], 0, 0, weighted, table)
    total = inside - costs[r, r]
    for t in near:
        if t != r:
            rest = pair_cost(kind, False, counts[r, t] - out[t], sums[r, t] - weights[t], 0, 0, weighted, table)
            left[t] = rest - costs[r, t]
            total += left[t]
    return total


@numba.njit(cache=True, nogil=True, inline="always")
def joining(kind, r, s, out, weights, near, loops, counts, sums, costs, weighted, table):  # type: ignore[no-untyped-def]
    """Give the change in cost of the pairs of block s, that with r among them, when a vertex of r joins it."""
    inside = pair_cost(kind, True, counts[s, s] + out[s] + loops, sums[s, s] + weights[s], 0, 0, weighted, table)
    between = pair_cost(
        kind, False, counts[r, s] + out[r] - out[s], sums[r, s] + weights[r] - weights[s], 0, 0, weighted, table
    )
    total = inside - costs[s, s] + between - costs[r, s]
    for t in near:
        if t not in (r, s):
            more = pair_cost(kind, False, counts[s, t] + out[t], sums[s, t] + weights[t], 0, 0, weighted, table)
            total += more - costs[s, t]
    return total


@numba.njit(cache=True, nogil=True)
def stepped(steps, start, draw):  # type: ignore[no-untyped-def]
    """Give where a step from each start leads, `steps` being cumulative shares of its row."""
    out = np.empty(len(start), np.int64)
    last = steps.shape[1] - 1
    for k in range(len(start)):
        out[k] = min(np.searchsorted(steps[start[k]], draw[k]), last)
    return out


@numba.njit(cache=True, nogil=True)
def apply_move(i, r, s, out, weights, loops, degree, label, counts, sums, sizes, degrees):  # type: ignore[no-untyped-def]
    for t in range(len(sizes)):
        if t != r and t != s and out[t] > 0:
            counts[r, t] -= out[t]
            counts[s, t] += out[t]
            sums[r, t] -= weights[t]
            sums[s, t] += weights[t]
            counts[t, r], counts[t, s] = counts[r, t], counts[s, t]
            sums[t, r], sums[t, s] = sums[r, t], sums[s, t]
    counts[r, r] -= out[r] + loops[i]
    sums[r, r] -= weights[r]
    counts[s, s] += out[s] + loops[i]
    sums[s, s] += weights[s]
    counts[r, s] += out[r] - out[s]
    sums[r, s] += weights[r] - weights[s]
    counts[s, r], sums[s, r] = counts[r, s], sums[r, s]
    sizes[r] -= 1
    sizes[s] += 1
    degrees[r] -= degree[i]
    degrees[s] += degree[i]
    label[i] = s


@numba.njit(cache=True, nogil=True)
def merge_change(kind, r, s, counts, sums, sizes, degrees, weighted, table):  # type: ignore[no-untyped-def]
    """Give the change in cost when blocks r and s become one."""
    a, b = sizes[r], sizes[s]
    before = block_cost(kind, a, degrees[r], table) + block_cost(kind, b, degrees[s], table)
    after = block_cost(kind, a + b, degrees[r] + degrees[s], table)
    for t in range(len(sizes)):
        neither, one = counts[r, t] == 0 and counts[s, t] == 0, counts[r, t] == 0 or counts[s, t] == 0
        if t in (r, s) or neither or (kind < 2 and one):
            continue
        c = sizes[t]
        before += pair_cost(kind, False, counts[r, t], sums[r, t], a, c, weighted, table)
        before += pair_cost(kind, False, counts[s, t], sums[s, t], b, c, weighted, table)
        after += pair_cost(kind, False, counts[r, t] + counts[s, t], sums[r, t] + sums[s, t], a + b, c, weighted, table)
    before += pair_cost(kind, True, counts[r, r], sums[r, r], a, a, weighted, table)
    before += pair_cost(kind, True, counts[s, s], sums[s, s], b, b, weighted, table)
    before += pair_cost(kind, False, counts[r, s], sums[r, s], a, b, weighted, table)
    inside = counts[r, r] + counts[s, s] + counts[r, s]
    mass = sums[r, r] + sums[s, s] + sums[r, s]
    return after + pair_cost(kind, True, inside, mass, a + b, a + b, weighted, table) - before


@numba.njit(cache=True, nogil=True)
def merge_changes(kind, first, second, counts, sums, sizes, degrees, weighted, table):  # type: ignore[no-untyped-def]
    """Give `merge_change` of several pairs of blocks."""
    out = np.empty(len(first))
    for i in range(len(first)):
        out[i] = merge_change(kind, first[i], second[i], counts, sums, sizes, degrees, weighted, table)
    return out
