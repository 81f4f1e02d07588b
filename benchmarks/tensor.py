"""Non-negative CP beside tensorly (HALS) and tensortools (HALS): time until the error is within 0.1% of the best.

All start from the same factors, run in float32 on one thread, and their processor time is taken; ours draws a few more
where it fits the leading directions first, as the public function does, and its time counts all of them. The best is
that of whoever ends lowest in that round, and every error is computed from the residual itself at the end. The limit is
the rate of the two matrix products that a sweep needs, measured in the same run, and its share that of a sweep.

    python benchmarks/tensor.py --only affinity
    python benchmarks/tensor.py --tensortools PYTHON      # PYTHON has tensortools, numpy, scipy, numba

tensortools still calls `scipy.random`, which SciPy no longer has: the script puts it back in that process.
Targets (ratios): 10x on `affinity`, 5x on `trials`, 20x on `small`. `tucker` and `parafac2` have none: tensorly would
be the engine were it quicker.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Row, contest, keep, options
from threadpoolctl import threadpool_limits

from neurointerp.analyses.tensor._alternate import Problem, balanced, fit, khatri_rao, model
from neurointerp.analyses.tensor._compressed import compress, started
from neurointerp.analyses.tensor._rules import NONNEGATIVE
from neurointerp.analyses.tensor._starts import uniform

WORKLOADS = {  # shape, rank, sweeps of ours, sweeps of the peers, target
    "affinity": ((200, 200, 1000), 20, 100, 150, 10.0),
    "trials": ((300, 500, 200), 20, 150, 150, 5.0),
    "small": ((60, 60, 200), 8, 400, 1000, 20.0),
}

PEER = """
import sys, time, json
import numpy as np, scipy
scipy.random = np.random
sys.path[:0] = sys.argv[3:]
import tensortools as tt
X = np.load(sys.argv[1])
X, factors = X["X"], [X[f"f{i}"] for i in range(3)]
rank, sweeps = factors[0].shape[1], int(sys.argv[2])
def run(X, factors, sweeps):
    return tt.ncp_hals(X, rank, init=tt.KTensor([f.copy() for f in factors]), max_iter=sweeps, min_iter=sweeps,
                       tol=-1.0, verbose=False)
run(X[:8, :8, :8].copy(), [f[:8].copy() for f in factors], 2)
begun = time.process_time()
found = run(X, factors, sweeps)
spent = time.process_time() - begun
np.savez(sys.argv[1], *found.factors.factors)
print(json.dumps([spent, [float(np.ravel(e)[0]) for e in found.obj_hist]]))
"""


@dataclass
class Course:
    """Seconds and relative error at each sweep, and the error of the factors it ended with."""

    points: list[tuple[float, float]] = field(default_factory=list)
    final: float = float("nan")

    @classmethod
    def even(cls, seconds: float, errors: list[float], final: float) -> Course:
        """Give the course of sweeps that all took equally long."""
        each = seconds / len(errors)
        return cls([((i + 1) * each, error) for i, error in enumerate(errors)], final)

    def until(self, error: float) -> float:
        """Give the seconds until the error was reached; NaN where it never was."""
        return next((seconds for seconds, reached in self.points if reached <= error), float("nan"))


class Timed(Problem):
    """A problem whose sweeps are timed."""

    def sweep(self, factors: list[Any], power: float, passes: int) -> tuple[list[Any], float]:
        """Sweep, and note when and how well."""
        found = super().sweep(factors, power, passes)
        self.course.points.append((time.process_time() - self.begun, found[1] ** 0.5))
        return found


def planted(name: str, seed: int) -> np.ndarray:
    """Draw gamma factors with rectified noise; for trials smooth time courses and Poisson counts."""
    rng = np.random.default_rng(seed)
    shape, rank = WORKLOADS[name][:2]
    factors = [rng.gamma(0.3, 1.0, (size, rank)).astype(np.float32) for size in shape]
    if name == "trials":
        t = np.linspace(0, 1, shape[1])[:, None]
        factors[1] = np.exp(-0.5 * ((t - rng.random(rank)) / (0.02 + 0.1 * rng.random(rank))) ** 2).astype(np.float32)
    values = model(factors, shape)
    if name == "trials":
        return rng.poisson(values * (0.5 / values.mean())).astype(np.float32)
    noise = np.abs(rng.standard_normal(shape, dtype=np.float32))
    return np.asarray(values + 0.5 * values.std() * noise, dtype=np.float32)


def error_of(X: np.ndarray, factors: list[Any]) -> float:
    """Give the relative error from the residual itself, in double precision."""
    total = sum(
        float(((block - model([row[None], *factors[1:]], (1, *X.shape[1:]))[0].astype(np.float64)) ** 2).sum())
        for row, block in zip(factors[0], X, strict=True)
    )
    return float(np.sqrt(total / (X.astype(np.float64) ** 2).sum()))


def ours(X: np.ndarray, start: list[Any], sweeps: int) -> Course:
    """Run this package's kernel, from the array as the user has it."""
    problem = Timed(X[:4, :4, :4].copy(), None, NONNEGATIVE)
    object.__setattr__(problem, "course", Course())
    object.__setattr__(problem, "begun", 0.0)
    fit(problem, [factor[:4] for factor in start], 2, 0.0)  # the first run on a machine compiles
    begun = time.process_time()
    order = np.argsort(X.shape, kind="stable")
    problem = Timed(np.ascontiguousarray(X.transpose(order)), None, NONNEGATIVE)
    object.__setattr__(problem, "course", Course())
    object.__setattr__(problem, "begun", begun)
    rank, rng = start[0].shape[1], np.random.default_rng(len(X))
    others = (uniform(X, rank, rng) for _ in range(9))
    turned = ([one[place] for place in order] for one in chain([start], others))
    begin = (balanced(problem.X, one, problem.power) for one in turned)
    found = fit(problem, started(begin, compress(problem, rank, 0)), sweeps, 0.0)
    factors = [found.factors[place] for place in np.argsort(order)]
    problem.course.final = error_of(X, [factors[0] * found.weight, *factors[1:]])
    return problem.course


def tensorly(X: np.ndarray, start: list[Any], sweeps: int) -> Course:
    """Run `non_negative_parafac_hals` of tensorly."""
    from tensorly.cp_tensor import CPTensor
    from tensorly.decomposition import non_negative_parafac_hals

    rank = start[0].shape[1]
    given = CPTensor((np.ones(rank, X.dtype), [factor.copy() for factor in start]))
    begun = time.process_time()
    found, errors = non_negative_parafac_hals(X, rank, n_iter_max=sweeps, init=given, tol=1e-30, return_errors=True)
    spent = time.process_time() - begun
    factors = [found.factors[0] * found.weights, *found.factors[1:]]
    return Course.even(spent, [float(error) for error in errors], error_of(X, factors))


def tensortools(X: np.ndarray, start: list[Any], sweeps: int, python: str, path: list[str]) -> Course:
    """Run `ncp_hals` of tensortools in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "X.npz"
        np.savez(file, X=X, **{f"f{i}": factor for i, factor in enumerate(start)})
        command = [python, "-c", PEER, str(file), str(sweeps), *path]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        spent, errors = json.loads(out.stdout.splitlines()[-1])
        with np.load(file) as kept:
            factors = [kept[name] for name in kept.files]
    return Course.even(spent, errors, error_of(X, factors))


def products(X: np.ndarray, start: list[Any]) -> tuple[float, float]:
    """Give the seconds of the two products of a sweep, the largest dim last, and their GFLOP/s."""
    order = np.argsort(X.shape, kind="stable")
    flat = np.ascontiguousarray(X.transpose(order)).reshape(-1, max(X.shape))
    *outer, last = [start[place] for place in order]
    long = reduce(khatri_rao, outer)
    times = []
    for _ in range(5):
        begun = time.process_time()
        flat @ last
        long.T @ flat
        times.append(time.process_time() - begun)
    seconds = statistics.median(times)
    return seconds, 4e-9 * X.size * last.shape[1] / seconds


def tucker(rounds: int) -> Row:
    """Time the Tucker decomposition beside tensorly's, both until a sweep lowers the loss by 1e-8 or less."""
    import tensorly.decomposition

    kernel = importlib.import_module("neurointerp.analyses.tensor.tucker")
    X, ranks = planted("small", 0), [8, 8, 8]

    def mine() -> Any:
        return kernel._fit(X, None, ranks, 100, 1e-8)

    def theirs() -> Any:
        return tensorly.decomposition.tucker(X, ranks, n_iter_max=100, tol=1e-8)

    power = float((X.astype(np.float64) ** 2).sum())
    error = (1 - float((theirs()[0].astype(np.float64) ** 2).sum()) / power) ** 0.5
    quality = f"relative error {mine().losses[-1] ** 0.5:.6f} and {error:.6f}"
    return contest(Row("Tucker", f"{X.shape}, ranks {ranks}", "tensorly", [], [], None, quality), mine, theirs, rounds)


def parafac2(rounds: int) -> Row:
    """Time 100 sweeps of PARAFAC2 beside tensorly's, from starts of each one's own."""
    import tensorly.decomposition

    kernel = importlib.import_module("neurointerp.analyses.tensor.parafac2")
    rng, rank = np.random.default_rng(0), 4
    shared, gram = rng.random((40, rank)), np.linalg.cholesky(0.3 + 0.7 * np.eye(rank)).T
    slices = [
        np.linalg.qr(rng.standard_normal((int(n), rank)))[0] @ gram * rng.uniform(1, 3, rank) @ shared.T
        for n in rng.integers(100, 150, 30)
    ]
    slices = [X + 0.5 * X.std() * rng.standard_normal(X.shape) for X in slices]

    def mine() -> Any:
        return kernel._started(kernel._compressed(slices, rank)[1], rank, 0, 100, 0.0)

    def theirs() -> Any:
        return tensorly.decomposition.parafac2(
            slices, rank, n_iter_max=100, tol=1e-30, init="random", random_state=0, nn_modes=None
        )

    weights, (D, H, V), bases = theirs()
    rest = sum(
        float(((X - P @ H * (D[k] * weights) @ V.T) ** 2).sum())
        for k, (X, P) in enumerate(zip(slices, bases, strict=True))
    )
    error = (rest / sum(float((X**2).sum()) for X in slices)) ** 0.5
    quality = f"100 sweeps: relative error {mine()[0].losses[-1] ** 0.5:.6f} and {error:.6f}"
    row = Row("PARAFAC2", "30 slices of 100 to 150 x 40, rank 4", "tensorly", [], [], None, quality)
    return contest(row, mine, theirs, rounds)


OTHERS = {"tucker": tucker, "parafac2": parafac2}


def measured(name: str, rounds: int, sweep_factor: float, python: str | None, path: list[str]) -> Iterator[Row]:
    """Run everybody on one workload from each start, and note when each was within 0.1% of the best."""
    shape, rank, sweeps, theirs, target = WORKLOADS[name]
    theirs = round(theirs * sweep_factor)
    X = planted(name, 0)
    times: dict[str, list[float]] = {}
    arrived: dict[str, bool] = {}
    share, rate = 0.0, 0.0
    for seed in range(rounds):
        start = [np.asarray(f) for f in balanced(X, uniform(X, rank, np.random.default_rng(seed)))]
        took, rate = products(X, start)
        if seed == 0:
            ours(X, start, 3)  # compiles
        courses = {"ours": ours(X, start, sweeps), "tensorly": tensorly(X, start, theirs)}
        if python:
            courses["tensortools"] = tensortools(X, start, theirs, python, path)
        best = min(course.final for course in courses.values())
        (first, _), *_, (last, _) = courses["ours"].points
        share = took / ((last - first) / (len(courses["ours"].points) - 1))
        for label, course in courses.items():
            when = course.until(1.001 * best)
            arrived[label] = arrived.get(label, True) and not np.isnan(when)
            times.setdefault(label, []).append(course.points[-1][0] if np.isnan(when) else when)
            print(f"  start {seed}, {label}: {times[label][-1]:.4f} s; ends at {course.final:.6f}", flush=True)
    workload = f"{name} {' x '.join(str(size) for size in shape)}, rank {rank}"
    limit = f"two products a sweep, at {rate:.0f} GFLOP/s"
    for label in list(times)[1:]:
        yield Row("non-negative CP", workload, label, times["ours"], times[label], target,
                  "within 0.1% of the best error", limit, share, arrived=arrived[label])  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--tensortools", help="a Python that has tensortools; left out, tensorly alone is run")
    parser.add_argument("--path", nargs="*", default=[], help="folders that Python needs on its path")
    parser.add_argument("--only", choices=[*WORKLOADS, *OTHERS])
    parser.add_argument("--peers", type=float, default=1.0, help="sweeps of the peers, times the usual number")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        for name in [chosen.only] if chosen.only else [*WORKLOADS, *OTHERS]:
            if name in OTHERS:
                keep(OTHERS[name](chosen.rounds), chosen.rows)
            else:
                for row in measured(name, chosen.rounds, chosen.peers, chosen.tensortools, chosen.path):
                    keep(row, chosen.rows)


if __name__ == "__main__":
    main()
