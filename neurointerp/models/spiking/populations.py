"""Populations: neurons that integrate, and sources that only fire. Plain descriptions; `simulate` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurointerp.errors import RecordingError
from neurointerp.models.spiking import _checks


@dataclass(frozen=True, eq=False)
class LIF:
    r"""Leaky integrate-and-fire neurons.

    :math:`\tau \dot v = E - v + I + \sum_k g_k (E_k - v)`; at :math:`v \ge \theta` a spike, `v = reset`, and `v` is
    held there for `refractory`. :math:`I` sums the currents (in units of the potential: resistance times current),
    :math:`g_k` are conductances relative to the leak.

    Parameters
    ----------
    size
        Number of neurons.
    tau
        Membrane time constant (s).
    rest, threshold, reset
        :math:`E`, :math:`\theta` and the potential after a spike, in the units of the network (mV).
    refractory
        How long the potential is held after a spike (s, whole steps); currents and conductances go on.
    initial
        Potential at time 0; `rest` where it is left out.

    Notes
    -----
    Every number but `size` may be one per neuron. Without conductances a step is the exact solution for currents
    that are constant or decay exponentially (Rotter and Diesmann 1999, Biol Cybern 81:381-402); with them it is
    exponential Euler: conductances are held over the step.

    Examples
    --------
    >>> LIF(2, tau=0.02, threshold=[-50.0, -49.0]).size
    2
    """

    size: int
    tau: Any = 0.02
    rest: Any = -70.0
    threshold: Any = -50.0
    reset: Any = -60.0
    refractory: Any = 0.0
    initial: Any = None

    def __post_init__(self) -> None:
        size = _checks.whole(self.size, "size")
        _checks.positive(self.tau, size, "tau")
        _checks.not_negative(self.refractory, size, "refractory")
        _checks.per_unit(self.rest if self.initial is None else self.initial, size, "initial")
        gap = _checks.per_unit(self.threshold, size, "threshold") - _checks.per_unit(self.reset, size, "reset")
        if not (gap > 0).all():
            raise RecordingError("reset must lie below threshold, or the neuron would fire at every step")


@dataclass(frozen=True, eq=False)
class AdaptiveLIF(LIF):
    r"""Leaky integrate-and-fire neurons with an adaptation current.

    As `LIF`, with :math:`-w` among the currents: :math:`\tau_w \dot w = a (v - E) - w`, and `w` grows by `kick` at
    each spike.

    Parameters
    ----------
    size, tau, rest, threshold, reset, refractory, initial
        As in `LIF`. `w` starts at 0.
    tau_w
        Time constant of the adaptation (s).
    coupling
        :math:`a`, dimensionless, at least 0.
    kick
        Growth of `w` at a spike, in units of the potential.

    References
    ----------
    The exponential model of Brette and Gerstner (2005), J Neurophysiol 94:3637-3642, without its exponential term.
    Both variables are advanced together by the matrix exponential; with conductances by exponential Euler, each
    with the other held.
    """

    tau_w: Any = 0.1
    coupling: Any = 0.0
    kick: Any = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.positive(self.tau_w, self.size, "tau_w")
        _checks.not_negative(self.coupling, self.size, "coupling")
        _checks.per_unit(self.kick, self.size, "kick")


@dataclass(frozen=True, eq=False)
class Izhikevich:
    r"""Neurons of Izhikevich: quadratic, with recovery.

    :math:`\dot v = 0.04 v^2 + 5 v + 140 - u + I`, :math:`\dot u = a (b v - u)` per ms; at :math:`v \ge 30` a spike,
    `v = c` and `u` grows by `d`.

    Parameters
    ----------
    size
        Number of neurons.
    a, b, c, d
        Parameters of the model; each may be one per neuron. The defaults are the regular spiking cell.
    initial
        `v` at time 0 (mV); `u` starts at `b * v`.

    References
    ----------
    Izhikevich (2003), Simple model of spiking neurons, IEEE Trans Neural Netw 14:1569-1572. A step advances `v` by
    two Euler half steps and then `u` by one, as the paper does at 1 ms; other steps are taken the same way, and the
    firing depends on them.

    Examples
    --------
    >>> Izhikevich(100, a=0.1).d
    8.0
    """

    size: int
    a: Any = 0.02
    b: Any = 0.2
    c: Any = -65.0
    d: Any = 8.0
    initial: Any = -65.0

    def __post_init__(self) -> None:
        size = _checks.whole(self.size, "size")
        for name in ("a", "b", "c", "d", "initial"):
            _checks.per_unit(getattr(self, name), size, name)
        if not (_checks.per_unit(self.c, size, "c") < 30.0).all():
            raise RecordingError("c must lie below 30 mV, or the neuron would fire at every step")


@dataclass(frozen=True, eq=False)
class PoissonSource:
    """Sources that fire as independent Poisson processes (at most one spike a step).

    Parameters
    ----------
    size
        Number of sources.
    rate
        Spikes per second; may be one per source.

    Examples
    --------
    >>> PoissonSource(50, 10.0).size
    50
    """

    size: int
    rate: Any = 10.0

    def __post_init__(self) -> None:
        _checks.not_negative(self.rate, _checks.whole(self.size, "size"), "rate")


@dataclass(frozen=True, eq=False)
class SpikeSource:
    """Sources that fire at given times.

    Parameters
    ----------
    size
        Number of sources.
    times
        Spike times (s, whole steps), in any order.
    index
        Which source fires at each of them.

    Examples
    --------
    >>> SpikeSource(2, times=[0.001, 0.004], index=[0, 1]).size
    2
    """

    size: int
    times: Any
    index: Any

    def __post_init__(self) -> None:
        size = _checks.whole(self.size, "size")
        times, index = np.asarray(self.times, dtype=np.float64), np.asarray(self.index)
        if times.ndim != 1 or times.shape != index.shape or (index.size and index.dtype.kind not in "iu"):
            raise RecordingError(
                f"one whole number of a source per time is needed; found times {times.shape} and index "
                f"{index.shape} of dtype {index.dtype}"
            )
        if times.size and (not np.isfinite(times).all() or times.min() < 0):
            raise RecordingError("times must be finite and not before 0 s")
        if index.size and not 0 <= index.min() <= index.max() < size:
            raise RecordingError(f"index must lie in 0 to {size - 1}; found {index.min()} to {index.max()}")


Neurons = LIF | Izhikevich
Sources = PoissonSource | SpikeSource
Population = Neurons | Sources
