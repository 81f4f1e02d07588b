"""Ridge and banded ridge beside himalaya: a penalty per target by 5-fold cross-validation, float32.

Both solve the same problem (intercept, squared error averaged over folds, the same folds, penalties and band weights)
in one process and on one thread; processor time is taken. What is compared are the penalties and, for the bands, the
best cross-validated error.

    python benchmarks/encoding.py --only ridge
    python benchmarks/encoding.py --only banded --targets 2000 --features 600
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from _measure import Call, Row, keep, peak, product_rate, seconds
from _measure import options as shared
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


def measured(call: Call) -> tuple[float, float | None, Any]:
    """Give processor seconds, the GB that resident memory rose by at its peak, and what came back."""
    kept: list[Any] = []
    rose = peak(lambda: kept.append(seconds(call)))
    return kept[0][0], rose, kept[0][1]


def contest(
    name: str, workload: str, work: float, ours: Call, theirs: Call, rounds: int, X: np.ndarray
) -> tuple[Row, Any, Any]:
    """Run both in turn; `work` is what predictions at every penalty take, in GFLOP."""
    rows, rates, answers = [], [], (None, None)
    for _ in range(rounds):
        mine, memory, one = measured(ours)
        print(f"  ours: {mine:.1f} s", flush=True)
        rates.append(product_rate(X[: len(X) // 5], np.ones((X.shape[1], 2000), np.float32)))
        other, peer_memory, two = measured(theirs)
        rows.append((mine, other, memory, peer_memory))
        answers = (one, two)
    took, other_took, memories, peer_memories = zip(*rows, strict=True)
    row = Row(
        name, workload, "himalaya", list(took), list(other_took), TARGETS[name],
        limit="predictions at every penalty and draw, at the rate of a product measured between",
        share=work / statistics.median(took) / statistics.median(rates), ours_gb=memories[0],
        theirs_gb=peer_memories[0],
    )  # fmt: skip
    return row, *answers


def ridge(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, rounds: int) -> Row:
    """Compare `RidgeCV` with himalaya's."""
    from himalaya.ridge import RidgeCV as Theirs

    from neurointerp.analyses.encoding import RidgeCV

    RidgeCV(alphas).fit(X[:200, :50], Y[:200, :50])
    options = {"n_targets_batch": 2000}
    row, model, peer = contest(
        "ridge", f"{X.shape} x {Y.shape[1]}, {alphas.size} alphas, 5 folds",
        2e-9 * X.size * Y.shape[1] * alphas.size, lambda: RidgeCV(alphas).fit(X, Y),
        lambda: Theirs(alphas=alphas, cv=5, fit_intercept=True, solver_params=options).fit(X, Y), rounds, X,
    )  # fmt: skip
    same = np.isclose(model.alpha_, peer.best_alphas_, rtol=1e-4)
    off = np.linalg.norm(model.coef_.T[:, same] - peer.coef_[:, same]) / np.linalg.norm(peer.coef_[:, same])
    return replace(row, quality=f"same alpha on {same.mean():.2%} of targets; weights there differ by {off:.1e}")


def banded(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray, draws: int, rounds: int) -> Row:
    """Compare `banded_ridge`'s search with himalaya's on the same band weights."""
    from himalaya.ridge import GroupRidgeCV

    from neurointerp.analyses.encoding._bands import search
    from neurointerp.least_squares import moments

    groups = np.arange(X.shape[1]) * 3 // X.shape[1]
    gammas = np.random.default_rng(0).dirichlet(np.ones(3), draws).astype(np.float32)
    samples = np.arange(len(X))
    folds = [(np.setdiff1d(samples, test), test) for test in np.array_split(samples, 5)]
    options = {"n_iter": gammas, "alphas": alphas, "progress_bar": False, "warn": False, "n_targets_batch": 2000}
    peer = GroupRidgeCV(groups=groups, cv=5, fit_intercept=True, random_state=0, solver_params=options)
    row, found, peer = contest(
        "banded", f"{X.shape} x {Y.shape[1]}, 3 bands, {draws} draws, {alphas.size} alphas, 5 folds",
        2e-9 * X.size * Y.shape[1] * alphas.size * draws,
        lambda: search(X, Y, moments(X, Y, samples), folds, alphas, False, groups, gammas), lambda: peer.fit(X, Y),
        rounds, X,
    )  # fmt: skip
    error = found.error / len(X), -peer.cv_scores_.max(axis=0)
    above = (error[0] / error[1] - 1).max()
    return replace(
        row,
        quality=f"best mean squared error {error[0].mean():.6f}, himalaya {error[1].mean():.6f}, at most {above:.1e} "
        "above it for a target",
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--features", type=int, default=2000)
    parser.add_argument("--targets", type=int, default=20000)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--only", choices=["ridge", "banded"])
    options = shared(parser, rounds=1).parse_args()
    warnings.simplefilter("ignore")
    X, Y = data(options.samples, options.features, options.targets)
    with threadpool_limits(1):
        if options.only != "banded":
            row = ridge(X, Y, np.logspace(0, 6, 20).astype(np.float32), options.rounds)
            keep(row, options.rows)
            print(f"  {row.quality}", flush=True)
        if options.only != "ridge":
            row = banded(X, Y, np.logspace(0, 6, 10).astype(np.float32), options.draws, options.rounds)
            keep(row, options.rows)
            print(f"  {row.quality}", flush=True)


if __name__ == "__main__":
    main()
