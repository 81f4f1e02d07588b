"""What reaches a population from outside the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurointerp.errors import RecordingError


@dataclass(frozen=True, eq=False)
class Current:
    """A current, constant or following a waveform.

    Parameters
    ----------
    target
        Name of the population.
    amplitude
        In units of the potential (resistance times current); for Izhikevich neurons their `I`. One number or one
        per neuron.
    waveform
        Numbers that the amplitude is multiplied by, each held for `hold`; zero after the last. Left out: constant.
    hold
        How long each number of the waveform lasts (s, whole steps).

    Examples
    --------
    >>> Current("e", 5.0, waveform=[0.0, 1.0], hold=0.1).target
    'e'
    """

    target: str
    amplitude: Any
    waveform: Any = None
    hold: float | None = None

    def __post_init__(self) -> None:
        if (self.waveform is None) != (self.hold is None):
            raise RecordingError("a waveform needs hold (s), and only a waveform does")
        if self.waveform is not None:
            values = np.asarray(self.waveform, dtype=np.float64)
            if values.ndim != 1 or not values.size or not np.isfinite(values).all():
                raise RecordingError(f"waveform must be a row of finite numbers; found shape {values.shape}")


@dataclass(frozen=True, eq=False)
class Noise:
    """A current drawn anew from a normal distribution, for each neuron and each `hold`.

    Parameters
    ----------
    target
        Name of the population.
    deviation
        Standard deviation of the current, in its units; one number or one per neuron.
    hold
        How long each draw is held (s, whole steps), so that the process does not change with the step.

    Examples
    --------
    >>> Noise("e", 1.0).hold
    0.001
    """

    target: str
    deviation: Any
    hold: float = 1e-3


@dataclass(frozen=True, eq=False)
class PoissonInput:
    """Independent Poisson trains for each neuron, without sources of their own.

    Parameters
    ----------
    target
        Name of the population.
    rate
        Spikes per second that reach a neuron: the number of its sources times their rate. One number or one per
        neuron.
    weight
        What a spike does, as in `Synapses`; one number or one per neuron.
    tau, reversal
        As in `Synapses`.

    Examples
    --------
    >>> PoissonInput("e", rate=2000.0, weight=0.1).tau is None
    True
    """

    target: str
    rate: Any
    weight: Any
    tau: Any = None
    reversal: float | None = None

    def __post_init__(self) -> None:
        if self.reversal is not None and self.tau is None:
            raise RecordingError(f"the Poisson input of {self.target!r} has a reversal potential but no tau")


Input = Current | Noise | PoissonInput
