"""Synapses between populations, their plasticity, and random wiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurointerp.errors import RecordingError
from neurointerp.models.spiking import _checks


@dataclass(frozen=True, eq=False)
class STDP:
    r"""Pair-based plasticity that depends on the timing of spikes, all pairs.

    A presynaptic spike that arrives raises a trace by `potentiation` and adds the postsynaptic trace to the weight;
    a postsynaptic spike raises its trace by `-depression` and adds the presynaptic one. Traces decay with
    `tau_pre`, `tau_post`; weights stay in `[least, most]`. Of two at one step the presynaptic one comes first.

    Parameters
    ----------
    potentiation, depression
        Change of the weight by a pair of no interval, in units of the weight; both at least 0.
    tau_pre, tau_post
        Time constants of the traces (s).
    least, most
        Bounds of the weight.

    References
    ----------
    Song, Miller and Abbott (2000), Nat Neurosci 3:919-926, with additive changes and hard bounds.

    Examples
    --------
    >>> STDP(potentiation=0.01, depression=0.0105, most=1.0).tau_pre
    0.02
    """

    potentiation: float
    depression: float
    most: float
    least: float = 0.0
    tau_pre: float = 0.02
    tau_post: float = 0.02

    def __post_init__(self) -> None:
        for name in ("potentiation", "depression"):
            _checks.not_negative(getattr(self, name), 1, name)
        for name in ("tau_pre", "tau_post"):
            _checks.positive(getattr(self, name), 1, name)
        if not self.least < self.most:
            raise RecordingError(f"least must lie below most; found {self.least!r} and {self.most!r}")


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses from one population to another.

    What a spike does follows from what is given: nothing but weights, and the potential jumps by the weight; `tau`,
    and a current grows by the weight and decays; `tau` and `reversal`, and a conductance does.

    Parameters
    ----------
    source, target
        Names of the populations.
    weights
        (source, target), an array or a scipy sparse matrix; zero where there is no synapse. In units of the
        potential, or relative to the leak for a conductance (per ms for Izhikevich neurons). A synapse of weight
        zero that shall be plastic is kept by a sparse matrix that stores it.
    tau
        Time constant of the current or conductance (s), one number or one per target neuron.
    reversal
        Reversal potential of a conductance.
    delay
        Seconds, whole steps; one number, or an array (source, target) read where there is a synapse. A spike with
        no delay acts from the next step on.
    plasticity
        How the weights change.

    Examples
    --------
    >>> import numpy as np
    >>> Synapses("e", "i", np.full((2, 3), 0.5), tau=0.005, delay=0.001).kind
    'current'
    """

    source: str
    target: str
    weights: Any
    tau: Any = None
    reversal: float | None = None
    delay: Any = 0.0
    plasticity: STDP | None = None

    def __post_init__(self) -> None:
        if np.ndim(self.weights) != 2:
            raise RecordingError(f"weights of {self.name} must be (source, target); found {np.ndim(self.weights)} dims")
        if self.reversal is not None and self.tau is None:
            raise RecordingError(f"{self.name} has a reversal potential but no tau: a conductance needs both")
        values = self.weights.data if hasattr(self.weights, "tocsr") else np.asarray(self.weights)
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise RecordingError(f"weights of {self.name} must be finite numbers")
        if np.shape(self.delay) not in ((), np.shape(self.weights)):
            raise RecordingError(
                f"delay of {self.name} must be one number or {np.shape(self.weights)}, one per pair; found shape "
                f"{np.shape(self.delay)}"
            )
        if self.kind == "conductance" and values.size and values.min() < 0:
            raise RecordingError(
                f"conductances of {self.name} must not be negative; the reversal potential gives the sign"
            )

    @property
    def name(self) -> str:
        """Give `source_target`."""
        return f"{self.source}_{self.target}"

    @property
    def kind(self) -> str:
        """Tell what a spike changes: `potential`, `current` or `conductance`."""
        return effect(self.tau, self.reversal)


def effect(tau: Any, reversal: float | None) -> str:
    """Tell what an event with this time constant and reversal potential changes."""
    if tau is None:
        return "potential"
    return "current" if reversal is None else "conductance"


def connect(sources: int, targets: int, *, probability: float, weight: Any, loops: bool = False, seed: int = 0) -> Any:
    """Draw random wiring: each pair is connected with the same probability, independently.

    Parameters
    ----------
    sources, targets
        Sizes of the two populations.
    probability
        Of a synapse.
    weight
        Weight of a synapse, or one per source.
    loops
        Whether a neuron may reach itself; only asked where both sizes are the same.
    seed
        Seed of the wiring.

    Returns
    -------
    scipy.sparse.csr_array
        (source, target), for `Synapses(weights=...)`.

    Raises
    ------
    RecordingError
        When a size or the probability is out of range.

    Examples
    --------
    >>> connect(100, 50, probability=0.1, weight=0.2, seed=1).shape
    (100, 50)
    """
    from scipy import sparse

    rows, columns = _checks.whole(sources, "sources"), _checks.whole(targets, "targets")
    if not 0 <= probability <= 1:
        raise RecordingError(f"probability must lie in 0 to 1; found {probability!r}")
    values = _checks.per_unit(weight, rows, "weight")
    rng = np.random.default_rng(_checks.whole(seed, "seed", least=0))
    found = [np.flatnonzero(rng.random(columns) < probability) for _ in range(rows)]
    if not loops and rows == columns:
        found = [row[row != source] for source, row in enumerate(found)]
    counts = np.array([row.size for row in found])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_array((np.repeat(values, counts), np.concatenate(found), indptr), shape=(rows, columns))
