"""Random signals that more than one simulator is driven by."""

import numpy as np
from numpy.typing import NDArray


def autoregressive(rng: np.random.Generator, n_samples: int, n_signals: int, correlation: float) -> NDArray[np.float64]:
    """Draw stationary first-order autoregressive signals (time, signal) of unit variance.

    Sampled at step h, an Ornstein-Uhlenbeck process of time constant tau is the one with correlation
    exp(-h / tau).
    """
    signals = rng.standard_normal((n_samples, n_signals))
    signals[1:] *= np.sqrt(1 - correlation**2)
    for index in range(1, n_samples):
        signals[index] += correlation * signals[index - 1]
    return signals
