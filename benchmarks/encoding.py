"""Ridge and banded ridge beside himalaya: a penalty per target by 5-fold cross-validation, float32.

Both solve the same problem (intercept, squared error averaged over folds, the same folds, penalties and band weights)
in one process and on one thread; processor time is taken. What is compared are the penalties and, for the bands, the
best cross-validated error.

    python benchmarks/encoding.py --only ridge
    python benchmarks/encoding.py --only banded --targets 2000 --features 600
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

TARGETS = {"ridge": 4.0, "banded": 5.0}
"""How many times sooner than himalaya, at 3,000 x 2,000 x 20,000."""


def data(samples: int, features: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Give correlated features of unequal variance, and targets with a wide spread of signal to noise."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((samples, 200), dtype=np.float32) / np.float32(14)
    X = latent @ rng.standard_normal((200, features), dtype=np.float32)
    X += np.float32(0.5) * rng.standard_normal((samples, features), dtype=np.float32)
    X *= np.exp(rng.normal(0, 0.5, features)).astype(np.float32)
    Y = X @ (rng.standard_normal((features, targets), dtype=np.float32) / np.float32(np.sqrt(features)))
    Y *= np.exp(rng.normal(-1, 1.5, targets)).astype(np.float32) / Y.std(axis=0)
    Y += rng.standard_normal((samples, targets), dtype=np.float32)
    return X, Y


def timed(call: Any) -> tuple[float, Any]:
    """Give processor seconds and what came back."""
    begun = time.process_time()
    found = call()
    return time.process_time() - begun, found


def product_rate(X: np.ndarray) -> float:
    """Give the GFLOP/s of a product of the shape that predictions need."""
    A, B = X[: len(X) // 5], np.ones((X.shape[1], 2000), np.float32)
    seconds = sorted(timed(lambda: A @ B)[0] for _ in range(3))[1]
    return 2e-9 * len(A) * X.shape[1] * 2000 / seconds


def ridge(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray) -> None:
    """Compare `RidgeCV` with himalaya's."""
    from himalaya.ridge import RidgeCV as Theirs

    from neurointerp.analyses.encoding import RidgeCV

    RidgeCV(alphas).fit(X[:200, :50], Y[:200, :50])
    mine, model = timed(lambda: RidgeCV(alphas).fit(X, Y))
    print(f"  ours: {mine:.1f} s", flush=True)
    options = {"n_targets_batch": 2000}
    theirs, peer = timed(lambda: Theirs(alphas=alphas, cv=5, fit_intercept=True, solver_params=options).fit(X, Y))
    same = np.isclose(model.alpha_, peer.best_alphas_, rtol=1e-4)
    off = np.linalg.norm(model.coef_.T[:, same] - peer.coef_[:, same]) / np.linalg.norm(peer.coef_[:, same])
    work = 2e-9 * X.size * Y.shape[1] * alphas.size
    print(f"ridge {X.shape} x {Y.shape[1]}, {alphas.size} alphas, 5 folds: himalaya {theirs:.1f} s, ours {mine:.1f} s")
    print(f"  {theirs / mine:.1f}x; to reach: {TARGETS['ridge']:.0f}x at 3,000 x 2,000 x 20,000")
    print(f"  same alpha: {same.mean():.2%} of targets; weights there differ by {off:.1e}")
    print(f"  {work / mine:.0f} nominal GFLOP/s (every alpha predicted); a product runs at {product_rate(X):.0f}")


def banded(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, draws: int) -> None:
    """Compare `banded_ridge`'s search with himalaya's on the same band weights."""
    from himalaya.ridge import GroupRidgeCV

    from neurointerp.analyses.encoding._bands import search
    from neurointerp.least_squares import moments

    groups = np.arange(X.shape[1]) * 3 // X.shape[1]
    gammas = np.random.default_rng(0).dirichlet(np.ones(3), draws).astype(np.float32)
    samples = np.arange(len(X))
    folds = [(np.setdiff1d(samples, test), test) for test in np.array_split(samples, 5)]
    mine, found = timed(lambda: search(X, Y, moments(X, Y, samples), folds, alphas, False, groups, gammas))
    print(f"  ours: {mine:.1f} s", flush=True)
    options = {"n_iter": gammas, "alphas": alphas, "progress_bar": False, "warn": False, "n_targets_batch": 2000}
    peer = GroupRidgeCV(groups=groups, cv=5, fit_intercept=True, random_state=0, solver_params=options)
    theirs, _ = timed(lambda: peer.fit(X, Y))
    error = found.error / len(X), -peer.cv_scores_.max(axis=0)
    print(f"banded {X.shape} x {Y.shape[1]}, {draws} draws: himalaya {theirs:.1f} s, ours {mine:.1f} s")
    print(f"  {theirs / mine:.1f}x; to reach: {TARGETS['banded']:.0f}x at 3,000 x 2,000 x 20,000")
    print(f"  best mean squared error: ours {error[0].mean():.6f}, himalaya {error[1].mean():.6f}")
    print(f"  at most {(error[0] / error[1] - 1).max():.1e} above it for a target", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--features", type=int, default=2000)
    parser.add_argument("--targets", type=int, default=20000)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--only", choices=["ridge", "banded"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    X, Y = data(options.samples, options.features, options.targets)
    with threadpool_limits(1):
        if options.only != "banded":
            ridge(X, Y, np.logspace(0, 6, 20).astype(np.float32))
        if options.only != "ridge":
            banded(X, Y, np.logspace(0, 6, 10).astype(np.float32), options.draws)


if __name__ == "__main__":
    main()
