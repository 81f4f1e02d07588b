"""From a labelled array to its best CP decomposition of several starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import threads
from neurointerp.analyses.tensor._alternate import Fit, Problem, Rule, balanced, fit
from neurointerp.analyses.tensor._chunked import Blocks, ChunkedProblem
from neurointerp.analyses.tensor._compressed import compress, started
from neurointerp.analyses.tensor._labelled import congruence_of, course_of, factor_of, restarts_of, weight_of
from neurointerp.analyses.tensor._values import Given, count, read, require_choice, require_tolerance
from neurointerp.device import in_blocks
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result

FINE = 1e-2
"""Loss below which sweeps of float32 values are followed by some of float64: the loss is known to 1e-7 of the whole."""
WHY = "all sizes but the largest, multiplied"


@dataclass(frozen=True)
class Kind:
    """A decomposition: its name, whether factors have signs, how they are updated, and where they may start."""

    analysis: str
    signed: bool
    rule: Rule
    starts: Mapping[str, Callable[..., list[Any]]]


@dataclass(frozen=True)
class Search:
    """How long to look for the best factors, and from where."""

    max_iter: int
    tolerance: float
    init: str
    restarts: int
    device: str | None
    precision: str | None
    seed: int


def decompose(given: Given, rank: int, kind: Kind, search: Search) -> xr.Dataset:
    """Fit from several starts and give the best, with labels."""
    if search.device is not None and (search.init != "random" or not isinstance(given, xr.DataArray)):
        raise AnalysisError(
            f"{kind.analysis}: device {search.device!r} is for one recording and init='random'; found "
            f"{type(given).__name__} and init={search.init!r}"
        )
    for name in ("max_iter", "restarts"):
        count(getattr(search, name), name, kind.analysis)
    require_choice(search.init, "init", kind.starts, kind.analysis)
    require_tolerance(search.tolerance, kind.analysis)
    if isinstance(given, xr.DataArray):
        given = in_blocks(given, search.device, search.precision, kind.analysis)
    tensor = read(given, kind.analysis, signed=kind.signed, lazy=search.init == "random")
    rank = count(rank, "rank", kind.analysis, high=tensor.most, why=WHY)
    source = pending(tensor.source) if isinstance(tensor.source, xr.DataArray) else tensor.source
    fits = _fits(*tensor.turned, rank, kind, search)
    errors = np.array([found.losses[-1] ** 0.5 for found in fits])
    ranking = np.argsort(errors, kind="stable")
    best = fits[ranking[0]]
    factors = [best.factors[place] for place in np.argsort(tensor.order)]
    if kind.signed:
        factors = _signs_fixed(factors)
    named = zip(map(str, tensor.array.dims), factors, strict=True)
    variables = {f"factor_{dim}": factor_of(tensor.array, dim, factor) for dim, factor in named}
    variables["weight"] = weight_of(tensor, best.weight)
    variables |= course_of(tensor, best.losses, best.stop_reason)
    variables["restart_error"] = restarts_of(errors, ranking, search.seed)
    if kind.signed:
        variables["congruence"] = congruence_of(factors)
    parameters = {"rank": rank} | {name: value for name, value in vars(search).items() if name != "seed"}
    return result(variables, analysis=kind.analysis, recording=source, parameters=parameters, seed=search.seed)


def _fits(X: Any, seen: Any, rank: int, kind: Kind, search: Search) -> list[Fit]:
    with threads.for_work(4 * X.size * rank):
        problem = (
            ChunkedProblem(X, None, kind.rule, bool(seen), search.device, search.precision)
            if isinstance(X, Blocks)
            else Problem(X, seen, kind.rule)
        )
        like = np.broadcast_to(X.dtype.type(0), X.shape) if isinstance(X, Blocks) else X  # of its shape and type
        small = compress(problem, rank, search.seed)

        def run(seed: int) -> Fit:
            rng, draw = np.random.default_rng(seed), kind.starts[search.init]
            drawn = (draw(like, rank, rng) for _ in range(small.starts if small and search.init == "random" else 1))
            return _fit(problem, started((balanced(X, start, power) for start in drawn), small), search)

        power = problem.power
        return [run(search.seed + restart) for restart in range(search.restarts)]


def _fit(problem: Problem, start: list[np.ndarray], search: Search) -> Fit:
    """Fit, and where float32 cannot tell one small loss from the next, go on in float64."""
    found = fit(problem, start, search.max_iter, search.tolerance)
    left = search.max_iter - len(found.losses)
    if problem.X.dtype != np.float32 or found.losses[-1] > FINE or not left:
        return found
    wide = replace(problem, X=problem.X.astype(np.float64))
    factors = [factor.astype(np.float64) for factor in found.factors]
    more = fit(wide, [*factors[:-1], factors[-1] * found.weight], left, search.tolerance)
    losses = [max(loss, more.losses[0]) for loss in found.losses] + more.losses
    narrow = [factor.astype(np.float32) for factor in more.factors]
    return Fit(narrow, more.weight.astype(np.float32), losses, more.stop_reason)


def _signs_fixed(factors: list[np.ndarray]) -> list[np.ndarray]:
    """Turn columns so that the larger half of each is positive in every dim but the last, which takes the rest."""
    *outer, last = factors
    signs = [np.where((factor * np.abs(factor)).sum(axis=0) < 0, -1, 1).astype(factor.dtype) for factor in outer]
    turned = [factor * sign for factor, sign in zip(outer, signs, strict=True)]
    return [*turned, last * np.prod(signs, axis=0, dtype=last.dtype)]
