"""One method per family beside its peer: median time of each and the ratio, on one thread."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import neurointerp as ni
from neurointerp.analyses import connectivity, encoding, factorization, tensor


def medians(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Time each call in turn, A B A B ..., after one uncounted run each; give the median seconds."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seen) for name, seen in times.items()}


def published_update(X: np.ndarray, rank: int, target: float, seed: int) -> int:
    """Run semi-NMF by the update of Ding, Li and Jordan (2010), eq. 10 and 11, down to a relative error."""
    G = np.random.default_rng(seed).random((len(X), rank)) + 0.01
    power = np.linalg.norm(X)
    for iteration in range(20_000):
        F = np.linalg.solve(G.T @ G, G.T @ X)
        P, Q = X @ F.T, F @ F.T
        up = np.maximum(P, 0) + G @ np.maximum(-Q, 0)
        G = G * np.sqrt(up / (np.maximum(-P, 0) + G @ np.maximum(Q, 0) + 1e-12))
        if iteration % 10 == 9 and np.linalg.norm(X - G @ F) <= target * power:
            return iteration
    return -1


def semi_nmf(scale: int) -> dict[str, Callable[[], Any]]:
    """Time to the error that 60 of our iterations reach, from a random start."""
    rec = _recording(np.random.default_rng(0).standard_normal((1000 * scale, 8)) @ _loadings(8, 200), noise=0.5)
    ours = partial(factorization.semi_nmf, rec, 10, max_iter=60, tolerance=0)
    target = float(ours()["relative_error"])
    return {"neurointerp": ours, "Ding-Li-Jordan": lambda: published_update(rec.values, 10, target * 1.001, 0)}


def nonnegative_cp(scale: int) -> dict[str, Callable[[], Any]]:
    """100 sweeps of HALS from random starts."""
    import tensorly.decomposition as td

    tree = ni.synthetic.tensor_trials(n_trials=60, n_samples=60 * scale, n_units=100, rank=4)
    rec = tree["recordings/tensor_trials/recording"]
    values = np.asarray(rec.values, dtype=np.float64)
    return {
        "neurointerp": lambda: tensor.nonnegative_cp(rec, 4, max_iter=100, tolerance=0),
        "tensorly": lambda: td.non_negative_parafac_hals(
            values, 4, n_iter_max=100, init="random", tol=0, random_state=0, exact=False
        ),
    }


def correlation(scale: int) -> dict[str, Callable[[], Any]]:
    """Pearson correlation of all pairs, float32."""
    rec = _recording(np.random.default_rng(0).standard_normal((5000 * scale, 400)).astype(np.float32))
    return {
        "neurointerp": lambda: connectivity.correlation(rec),
        "numpy.corrcoef": lambda: np.corrcoef(rec.values, rowvar=False),
    }


def ridge(scale: int) -> dict[str, Callable[[], Any]]:
    """Nested 5 x 5 fold ridge, 17 penalties, one per target."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((1000 * scale, 100)), rng.standard_normal((1000 * scale, 50))
    features, responses = _recording(X), _recording(Y)
    alphas = np.logspace(-3, 5, 17)

    def peer() -> None:
        for train, test in KFold(5).split(X):
            for target in range(Y.shape[1]):
                RidgeCV(alphas, cv=5).fit(X[train], Y[train, target]).predict(X[test])

    return {"neurointerp": lambda: encoding.ridge(features, responses, alphas=alphas), "RidgeCV per target": peer}


def _recording(values: np.ndarray, noise: float = 0.0) -> Any:
    if noise:
        values = values + noise * np.random.default_rng(1).standard_normal(values.shape)
    return ni.recording(values, modality="activations", units="1", time=np.arange(len(values)))


def _loadings(rank: int, units: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((rank, units))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=1, help="multiplies the number of samples")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with threadpool_limits(1):
        for workload in (semi_nmf, nonnegative_cp, correlation, ridge):
            repeats = 1 if workload is ridge else options.repeats
            ours, theirs = medians(workload(options.scale), repeats).items()
            print(
                f"{workload.__name__:15s} {ours[1] * 1e3:9.1f} ms   {theirs[0]} {theirs[1] * 1e3:9.1f} ms   "
                f"{theirs[1] / ours[1]:6.1f}x   {workload.__doc__}"
            )


if __name__ == "__main__":
    main()
