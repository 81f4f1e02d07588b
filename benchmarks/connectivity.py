"""Connectivity beside its peers: median time of each, the ratio, and how far the answers are apart; on one thread.

What is timed is the public function, labels, checks and digest included (the digest is computed in a thread of its own
while the analysis runs; its processor time counts). The limit is the product of matrices of the same shape, or what
stands beside it.

    python benchmarks/connectivity.py            # a minute
    python benchmarks/connectivity.py --full     # the workloads that the targets are stated for
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from _measure import Row, contest, keep, options
from threadpoolctl import threadpool_limits

import neurointerp as ni
from neurointerp.analyses import connectivity

TARGETS = {
    ("correlation", "float32"): 5.0, ("correlation", "float64"): 1.5, ("partial_correlation", "float32"): 4.0,
    ("partial_correlation", "float64"): 2.0, ("spectral", "fourier"): 12.0, ("spectral", "multitaper"): 25.0,
}  # fmt: skip
"""Ratios to reach at the full size."""


@dataclass
class Pair:
    """Two ways to one answer; `times` is how many times the peer's work the whole job would take."""

    name: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    apart: Callable[[Any, Any], float]
    times: float = 1.0
    limit: Callable[[], Any] | None = None
    target: float | None = None
    bound: str = "matrix products of that shape"


def static(full: bool) -> Iterator[Pair]:
    """Correlation and Ledoit-Wolf partial correlation of many subjects, against nilearn."""
    from nilearn.connectome import ConnectivityMeasure
    from sklearn.covariance import EmpiricalCovariance, LedoitWolf

    subjects, samples, units = (50, 1200, 400) if full else (10, 600, 200)
    rng = np.random.default_rng(0)
    mixing = np.eye(units) + 0.1 * rng.standard_normal((units, units))
    values = [rng.standard_normal((samples, units)) @ mixing for _ in range(subjects)]
    scaled = [(v - v.mean(0)) / v.std(0) for v in values]
    whole = np.stack(scaled)
    dims = ("subject", "time", "unit")
    for dtype in (np.float32, np.float64):
        each = [v.astype(dtype) for v in scaled]
        together = _recording(whole.astype(dtype), dims=dims)
        plain = ConnectivityMeasure(
            kind="correlation", cov_estimator=EmpiricalCovariance(store_precision=False), standardize="zscore_sample"
        )
        shrunk = ConnectivityMeasure(kind="correlation", standardize=True)  # as nilearn does where nothing is said
        partial = ConnectivityMeasure(
            kind="partial correlation", cov_estimator=LedoitWolf(store_precision=False), standardize="zscore_sample"
        )
        for method, name, measure, chosen in (
            ("correlation", "correlation", plain, {}),
            ("correlation", "correlation, Ledoit-Wolf,", shrunk, {"method": "ledoit_wolf"}),
            ("partial_correlation", "partial_correlation", partial, {}),
        ):
            call = functools.partial(getattr(connectivity, method), **chosen)
            yield Pair(
                f"{name} {np.dtype(dtype).name} {subjects} x {samples} x {units}",
                "nilearn, its default" if measure is shrunk else "nilearn",
                lambda call=call, rec=together: call(rec).by_subject.values,
                lambda measure=measure: measure.fit_transform(scaled),
                _largest,
                limit=lambda each=each: [v.T @ v for v in each],
                target=TARGETS[method, np.dtype(dtype).name],
            )
    yield Pair(
        f"correlation float64 {samples} x {units}",
        "numpy.corrcoef",
        lambda: connectivity.correlation(_recording(scaled[0])).connectivity.values,
        lambda: np.corrcoef(scaled[0], rowvar=False),
        _largest,
        limit=lambda: scaled[0].T @ scaled[0],
    )


def spectra(full: bool) -> Iterator[Pair]:
    """Coherence, imaginary coherence and wPLI from one call, float32, against mne-connectivity."""
    from mne_connectivity import spectral_connectivity_epochs

    epochs, units, samples = (200, 64, 1000) if full else (40, 32, 500)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((epochs, units, samples)).cumsum(axis=-1)
    values += 3 * rng.standard_normal((epochs, 1, samples))
    rec = ni.recording(
        values.transpose(0, 2, 1).astype(np.float32),
        modality="eeg",
        units="V",
        sampling_rate=250.0,
        dims=("trial", "time", "unit"),
    )
    measures = ("coherence", "imaginary_coherence", "wpli")
    lower = np.tril_indices(units, -1)
    band = {"fmin": 4, "fmax": 100}
    for mode in ("fourier", "multitaper"):

        def ours(mode: str = mode) -> np.ndarray:
            found = connectivity.spectral(rec, measures=measures, mode=mode, **band)
            return np.stack([found[name].values[lower] for name in measures])

        def theirs(mode: str = mode) -> np.ndarray:
            found = spectral_connectivity_epochs(
                values, method=["coh", "imcoh", "wpli"], mode=mode, sfreq=250.0, verbose=False, **band
            )
            return np.stack([one.get_data("dense")[lower] for one in found])

        yield Pair(
            f"spectral {mode} {epochs} x {units} x {samples}",
            "mne-connectivity",
            ours,
            theirs,
            _largest,
            target=TARGETS["spectral", mode],
        )


def lags(full: bool) -> Iterator[Pair]:
    """Lagged correlation, float32, against scipy for a few pairs, scaled to all."""
    from scipy.signal import correlate

    samples, units, most = (10_000, 300, 50) if full else (5000, 100, 50)
    values = np.random.default_rng(0).standard_normal((samples, units))
    rec = _recording(values.astype(np.float32))
    z = (values - values.mean(0)) / values.std(0)
    middle = slice(samples - 1 - most, samples + most)
    other = rec.values.copy()

    def theirs() -> np.ndarray:
        return np.stack([correlate(z[:, i + 1], z[:, i], method="fft")[middle] / samples for i in range(20)])

    def apart(ours: Any, theirs: np.ndarray) -> float:
        mine = np.stack([ours.connectivity.values[i, i + 1] for i in range(20)])
        return _largest(mine, theirs)  # of the order of max_lag / samples: scipy's divisor is that of lag 0

    yield Pair(
        f"lagged {samples} x {units} +-{most}",
        "scipy.signal.correlate, scaled",
        lambda: connectivity.lagged(rec, max_lag=most),
        theirs,
        apart,
        times=units * (units - 1) / 2 / 20,
        limit=lambda: [rec.values.T @ other for _ in range(most + 1)],
        target=60.0,
    )


def causes(full: bool) -> Iterator[Pair]:
    """Pairwise Granger causality of order 10, against statsmodels for a few pairs, scaled to all."""
    from statsmodels.tsa.stattools import grangercausalitytests

    samples, units, order = (5000, 64, 10) if full else (2000, 32, 10)
    rng = np.random.default_rng(0)
    mixing = 0.3 * np.eye(units) + 0.05 * rng.standard_normal((units, units))
    values = rng.standard_normal((samples, units))
    for t in range(1, samples):
        values[t] += mixing @ values[t - 1]
    rec = _recording(values)
    pairs = [(source, 0) for source in range(1, 6)]
    other = values.copy()

    def theirs() -> np.ndarray:
        tests = [grangercausalitytests(values[:, [t, s]], [order])[order][0] for s, t in pairs]
        return np.array([test["ssr_ftest"][0] for test in tests])

    yield Pair(
        f"granger {samples} x {units} order {order}",
        "statsmodels, scaled",
        lambda: connectivity.granger(rec, order=order),
        theirs,
        lambda ours, theirs: _largest(np.array([ours.f_statistic.values[pair] for pair in pairs]), theirs),
        times=units * (units - 1) / len(pairs),
        limit=lambda: [values.T @ other for _ in range(order + 1)],
        target=300.0,
    )


def windows(full: bool) -> Iterator[Pair]:
    """Correlation in sliding windows, against numpy.corrcoef window by window."""
    samples, units, size, step = (10_000, 300, 200, 10) if full else (4000, 150, 200, 10)
    values = np.random.default_rng(0).standard_normal((samples, units))
    for dtype in (np.float32, np.float64):
        given = values.astype(dtype)
        rec = _recording(given)
        windowed = ((samples - size) // step + 1, units, units)

        def theirs(given: np.ndarray = given) -> np.ndarray:
            starts = range(0, samples - size + 1, step)
            return np.stack([np.corrcoef(given[start : start + size], rowvar=False) for start in starts])

        yield Pair(
            f"dynamic sliding {np.dtype(dtype).name} {samples} x {units}, {size} by {step}",
            "numpy.corrcoef per window",
            lambda rec=rec: connectivity.dynamic(rec, window=size, step=step).connectivity.values,
            theirs,
            _largest,
            limit=lambda shape=windowed, dtype=dtype: np.ones(shape, dtype),
            bound="writing the answer once",
            target=4.0,
        )


def _recording(values: np.ndarray, **options: Any) -> Any:
    return ni.recording(values, modality="fmri", units="1", sampling_rate=0.5, **options)


def _largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.nanmax(np.abs(ours - theirs)))


def measured(pair: Pair, rounds: int) -> Row:
    """Time all in turn, and see how far apart the answers are."""
    apart = pair.apart(pair.ours(), pair.theirs())
    row = Row("connectivity", pair.name, pair.peer, [], [], pair.target, f"answers differ by at most {apart:.0e}")
    row = contest(row, pair.ours, pair.theirs, rounds, limit=pair.limit, scale=pair.times)
    return replace(row, limit="" if pair.limit is None else pair.bound)


def main() -> None:
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", nargs="*", help="static, spectra, lags, causes, windows, or parts of names of rows")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        for workload in (static, spectra, lags, causes, windows):
            for pair in workload(chosen.full):
                if not chosen.only or any(part in f"{workload.__name__}: {pair.name}" for part in chosen.only):
                    keep(measured(pair, chosen.rounds), chosen.rows)


if __name__ == "__main__":
    main()
