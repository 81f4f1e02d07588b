"""Predicting what comes and when, from a reservoir of spiking neurons, by a local rule that follows the error.

A construction from the abstracts of Yamada and Chao (2025): of the paper, its method section was not at hand. Size,
constants, the form of the rule and the offline consolidation are this module's own; no number here is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError
from neurointerp.models import spiking
from neurointerp.recordings import add_history, recording, session
from neurointerp.result import result

CUE, LENGTH, STEP, EVERY = 0.1, 0.9, 1e-3, 5
"""When the cue begins and how long a trial and a step are (s); steps per sample of the rates."""
TAU, CONSTANT = 0.05, 0.05
"""Time constant of the rates (s), and the constant that every readout also sees."""
BUMP, GATE = 0.04, 0.12
"""Widths (s) of the target and of the gate."""
OUTCOMES = {"A": (1.0, 0.0), "B": (0.0, 1.0)}
"""The readouts that are learnt, and the height of their target when A, and when B, comes."""


@dataclass(frozen=True)
class Block:
    """Trials of one regime.

    Parameters
    ----------
    trials
        Their number.
    latency
        From the cue to the outcome (s).
    probability
        Of outcome A (else B comes): one number, or one per cue.

    Examples
    --------
    >>> Block(600, 0.3, 0.8).latency
    0.3
    """

    trials: int
    latency: float
    probability: float | tuple[float, ...]

    def __post_init__(self) -> None:
        if self.trials < 1 or not 0 < self.latency < LENGTH - CUE:
            raise RecordingError(
                f"a block needs a trial and a latency within {LENGTH - CUE:g} s; found {self.trials} and {self.latency!r}"
            )
        if not all(0 <= p <= 1 for p in np.atleast_1d(self.probability)):
            raise RecordingError(f"probability must lie in 0 to 1; found {self.probability!r}")


def network(size: int = 1000, *, cue: int = 0, seed: int = 0) -> spiking.Network:
    """Describe the reservoir and one cue.

    Parameters
    ----------
    size
        Number of Izhikevich neurons; four fifths are excitatory.
    cue
        Which cue is presented; each reaches its own random 60% of the neurons.
    seed
        Seed of neurons, wiring and cues.

    Returns
    -------
    neurointerp.models.spiking.Network
        Heterogeneous neurons, a tenth of all pairs connected by currents of 5 to 80 ms, and the cue: 50 ms of spikes
        from 0.1 s on, through currents of 50 to 1500 ms that carry the time.

    Raises
    ------
    RecordingError
        When the size is too small.

    Examples
    --------
    >>> network(100).size
    101
    """
    if size < 10:
        raise RecordingError(f"a reservoir needs at least 10 neurons; found {size!r}")
    rng = np.random.default_rng([seed, 0])
    excites, r = np.arange(size) < round(0.8 * size), rng.random(size)
    cells = spiking.Izhikevich(
        size,
        a=np.where(excites, 0.02, 0.02 + 0.08 * r),
        b=np.where(excites, 0.2, 0.25 - 0.05 * r),
        c=np.where(excites, -65 + 15 * r**2, -65.0),
        d=np.where(excites, 8 - 6 * r**2, 2.0),
    )
    strength = np.where(excites, 0.2, -0.8)[:, None] * np.sqrt(400 / size)
    weights = np.where(rng.random((size, size)) < 0.1, rng.random((size, size)) * strength, 0.0)
    np.fill_diagonal(weights, 0.0)
    fast, bias = np.exp(rng.uniform(np.log(0.005), np.log(0.08), size)), rng.uniform(2, 5, size)
    slow = np.exp(rng.uniform(np.log(0.05), np.log(1.5), size))
    own = np.random.default_rng([seed, 1, cue])
    reached = np.where(own.random(size) < 0.6, own.random(size), 0.0) * 20.0 / 50
    pulse = spiking.SpikeSource(1, CUE + np.arange(50) * STEP, np.zeros(50, dtype=int))
    wires = [
        spiking.Synapses("n", "n", weights, tau=fast),
        spiking.Synapses("cue", "n", reached[None], tau=slow),
    ]
    return spiking.Network({"n": cells, "cue": pulse}, wires, [spiking.Current("n", bias), spiking.Noise("n", 1.0)])


def record(count: int = 72, *, size: int = 1000, cues: int = 1, test_fraction: float = 1 / 6, seed: int = 0) -> xr.DataTree:
    """Record realisations of the reservoir after its cues, with no outcome ever presented to it.

    Parameters
    ----------
    count
        Realisations of each cue, which differ by their noise.
    size
        Number of neurons.
    cues
        Number of cues.
    test_fraction
        Fraction of the realisations, at least one, that no readout is trained on.
    seed
        Seed of the network and the noise.

    Returns
    -------
    xarray.DataTree
        `recordings/rate` (trial, time, unit): spikes filtered with an exponential of 50 ms, at 200 Hz (each spike
        adds 1), with `cue` and `split` (train, test) on `trial` and `cell_type` on `unit`. `truth`: the synapses and
        inputs of the last cue's network.

    Raises
    ------
    RecordingError
        When a number is out of range.

    Examples
    --------
    >>> tree = record(3, size=50)
    >>> dict(tree["recordings/rate/recording"].sizes)
    {'trial': 3, 'time': 180, 'unit': 50}
    """
    if count < 2 or cues < 1 or not 0 < test_fraction < 1:
        raise RecordingError(
            f"two realisations, a cue and a test_fraction within 0 to 1 are needed; found {count!r}, {cues!r}, "
            f"{test_fraction!r}"
        )
    trees = [
        spiking.simulate_trials(
            network(size, cue=cue, seed=seed), LENGTH, count, step=STEP, seed=seed + 7919 * cue, bin_width=EVERY * STEP
        )
        for cue in range(cues)
    ]
    counts = [tree["recordings/spikes/recording"] for tree in trees]
    first, tests = counts[0], max(1, round(count * test_fraction))
    rec = recording(
        np.concatenate([_filtered(one.values) for one in counts]),
        modality="spikes",
        units="1",
        time=first["time"],
        unit=first["unit"].values,
        dims=("trial", "time", "unit"),
        coords={
            "cue": ("trial", np.repeat(np.arange(cues), count)),
            "split": ("trial", np.tile(np.repeat(["train", "test"], [count - tests, tests]), cues)),
            "cell_type": ("unit", np.where(np.arange(size) < round(0.8 * size), "excitatory", "inhibitory")),
        },
        attrs={"system": "simulated", "source": "neurointerp.models.reservoir", "citation": CITATION},
    )
    rec = add_history(rec, "models.reservoir.record", count=count, size=size, cues=cues, seed=seed)
    truth = {str(name): array for name, array in trees[-1]["truth"].data_vars.items()}
    return session({"rate": rec}, truth=truth, attrs={"source": "neurointerp.models.reservoir", "system": "simulated"})


CITATION = "Yamada & Chao (2025) arXiv:2510.14382 (a construction from the abstract)"


def learn(
    rate: xr.DataArray,
    blocks: Sequence[Block],
    *,
    readouts: Mapping[str, tuple[float, float]] | None = None,
    eta: float = 0.005,
    belief: float = 0.1,
    consolidate: bool = True,
    every: int = 20,
    seed: int = 0,
) -> xr.Dataset:
    r"""Learn readouts by presynaptic activity times signed error times an attention gate.

    Within a trial, at each sample, :math:`w_k \leftarrow w_k + \eta\, g(t) (y_k - w_k x) x / \Xi`, with
    :math:`y_k(t)` a bump of 40 ms about the outcome if it is k that came, and the gate
    :math:`g = 0.3 + 0.7 \exp(-(t - \hat t)^2 / 2 \sigma_g^2)` about the time at which the outcome is *believed* to
    come. After each `every` trials, the eligibilities :math:`\sum_t g (y_k - z_k) x` of these are replayed with half
    of eta, on what is orthogonal to their mean over the readouts.

    Parameters
    ----------
    rate
        What `record` gives; trials of the split train are drawn at random.
    blocks
        The regimes, one after the other.
    readouts
        Name -> height of its target when A, and when B, comes; A and B by default.
    eta
        Rate of learning per ms.
    belief
        How far each outcome moves the believed latency towards the observed one. Before the first outcome there is
        no belief and the gate is 0.3 throughout.
    consolidate
        Whether eligibilities are replayed offline.
    every
        Trials between replays, and between the weights that are kept.
    seed
        Seed of cues, outcomes and realisations.

    Returns
    -------
    xarray.Dataset
        `weight` (trial, feature, readout): after so many trials; the last feature is the constant. `latency`,
        `believed` (trial): the latency (s) of the block and the one believed. `offset` (feature): what is taken from
        the rates.

    Raises
    ------
    RecordingError
        When the recording has no split, or a cue no probability.

    References
    ----------
    Yamada Y, Chao ZC (2025), Joint encoding of "what" and "when" predictions through error-modulated plasticity in
    reservoir spiking networks, arXiv:2510.14382, abstract alone. :math:`\Xi` is here the mean of :math:`|x|^2` over
    samples and trials, and the believed latency a running mean that forgets, since a plain one would take as long to
    leave a latency as it was held.

    Examples
    --------
    >>> found = learn(record(4, size=50)["recordings/rate/recording"], [Block(40, 0.3, 0.8)])
    >>> dict(found.sizes)
    {'trial': 2, 'feature': 51, 'readout': 2}
    """
    heights = np.array(list((readouts or OUTCOMES).values())).T
    x, offset, time = _features(rate)
    weights, scale = np.zeros((heights.shape[1], x.shape[-1])), float((x**2).sum(-1).mean())
    believed, kept, eligible = None, [], np.zeros_like(weights)
    for number, (trial, block, outcome) in enumerate(_sequence(rate, blocks, seed), start=1):
        target = _bump(time, block.latency, BUMP)
        gate = 0.3 if believed is None else 0.3 + 0.7 * _bump(time, believed, GATE)
        before = weights.copy()
        _pass(weights, x[trial], target[:, None] * heights[outcome], np.broadcast_to(gate, time.shape), eta * EVERY / scale)
        eligible += weights - before
        believed = block.latency if believed is None else believed + belief * (block.latency - believed)
        if number % every == 0:
            weights += 0.5 * _apart(eligible) if consolidate else 0.0
            eligible[:] = 0.0
            kept.append((number, weights.copy(), block.latency, believed))
    options = {"eta": eta, "belief": belief, "consolidate": consolidate, "every": every}
    return _result("learn", rate, kept, offset, list(readouts or OUTCOMES), blocks, options, seed)


def force(
    rate: xr.DataArray, blocks: Sequence[Block], *, reset: bool = False, every: int = 20, seed: int = 0
) -> xr.Dataset:
    """Learn the same readouts by recursive least squares, as FORCE does: the first baseline of `learn`.

    Parameters
    ----------
    rate, blocks, every, seed
        As in `learn`; equal seeds give the same trials.
    reset
        Whether all is forgotten at the start of each block, which takes being told of it: the second baseline.

    Returns
    -------
    xarray.Dataset
        As `learn`; `believed` is NaN.

    Raises
    ------
    RecordingError
        As `learn`.

    References
    ----------
    Sussillo D, Abbott LF (2009), Neuron 63:544-557: P starts at the identity, nothing is forgotten; without
    feedback, since `learn` has none. Least squares of all samples so far, which is where the recursion stands after
    each, whatever their order.

    Examples
    --------
    >>> found = force(record(4, size=50)["recordings/rate/recording"], [Block(40, 0.3, 0.8)])
    >>> found["weight"].shape
    (2, 51, 2)
    """
    heights = np.array(list(OUTCOMES.values())).T
    x, offset, time = _features(rate)
    flat = x.reshape(-1, x.shape[-1])
    gram, cross, seen, current, kept = np.eye(flat.shape[1]), np.zeros((flat.shape[1], 2)), np.zeros(len(x)), None, []
    for number, (trial, block, outcome) in enumerate(_sequence(rate, blocks, seed), start=1):
        if reset and current is not None and block is not current:
            gram, cross, seen = np.eye(flat.shape[1]), np.zeros_like(cross), np.zeros(len(x))
        current = block
        seen[trial] += 1
        cross += np.outer(_bump(time, block.latency, BUMP) @ x[trial], heights[outcome])
        if number % every == 0:
            gram += (flat * np.repeat(seen, time.size)[:, None]).T @ flat
            seen[:] = 0.0
            kept.append((number, np.linalg.solve(gram, cross).T, block.latency, np.nan))
    return _result("force", rate, kept, offset, list(OUTCOMES), blocks, {"reset": reset, "every": every}, seed)


def oracle(rate: xr.DataArray, block: Block, *, alpha: float = 1000.0) -> xr.Dataset:
    """Fit the readouts in closed form to all training trials at once: what the reservoir can give at best.

    Parameters
    ----------
    rate
        As in `learn`.
    block
        The regime; its probability of A must be one number, and scales the targets as averaging over trials does.
    alpha
        Penalty of the ridge regression.

    Returns
    -------
    xarray.Dataset
        As `learn`, with one trial: the number of training realisations.

    Raises
    ------
    RecordingError
        As `learn`.

    Examples
    --------
    >>> oracle(record(4, size=50)["recordings/rate/recording"], Block(1, 0.3, 0.8))["weight"].shape
    (1, 51, 2)
    """
    x, offset, time = _features(rate)
    flat, p = x.reshape(-1, x.shape[-1]), float(np.mean(block.probability))
    target = np.tile(_bump(time, block.latency, BUMP), len(x))
    fitted = np.linalg.solve(flat.T @ flat + alpha * np.eye(flat.shape[1]), flat.T @ target)
    kept = [(len(x), np.outer([p, 1 - p], fitted), block.latency, np.nan)]
    return _result("oracle", rate, kept, offset, list(OUTCOMES), [block], {"alpha": alpha}, 0)


def readout(found: xr.Dataset, rate: xr.DataArray) -> xr.DataArray:
    """Read realisations out that were not trained on.

    Parameters
    ----------
    found
        What `learn`, `force` or `oracle` gave.
    rate
        The recording; its trials of the split test are read.

    Returns
    -------
    xarray.DataArray
        (trial, realisation, time, readout): trial counts what had been learnt from.

    Raises
    ------
    RecordingError
        When the recording has no split.

    Examples
    --------
    >>> rate = record(4, size=50)["recordings/rate/recording"]
    >>> readout(learn(rate, [Block(40, 0.3, 0.8)]), rate).sizes["realisation"]
    1
    """
    _split(rate)
    tests = rate.values[rate["split"].values == "test"]
    x = np.concatenate([tests - found["offset"].values[:-1], np.full((*tests.shape[:2], 1), CONSTANT)], axis=-1)
    values = np.einsum("rtf,nfk->nrtk", x, found["weight"].values, optimize=True)
    coords = {"trial": found["trial"].values, "time": rate["time"].variable, "readout": found["readout"].values}
    return xr.DataArray(values, dims=("trial", "realisation", "time", "readout"), coords=coords)


def timing_error(read: xr.DataArray, latency: float) -> xr.DataArray:
    """Give how much later than the outcome the sum of the readouts peaks (s).

    Parameters
    ----------
    read
        What `readout` gives, or its mean over realisations.
    latency
        From the cue to the outcome (s).

    Returns
    -------
    xarray.DataArray
        Without the dims time and readout; negative where the peak comes early.

    Examples
    --------
    >>> rate = record(4, size=50)["recordings/rate/recording"]
    >>> timing_error(readout(learn(rate, [Block(40, 0.3, 0.8)]), rate), 0.3).dims
    ('trial', 'realisation')
    """
    return read.sum("readout").idxmax("time") - (CUE + latency)


def probability(read: xr.DataArray, latency: float) -> xr.DataArray:
    """Give the probability of A that the readouts hold: A over A plus B, within 15 ms of the outcome.

    Parameters
    ----------
    read
        What `readout` gives, with the readouts A and B, or its mean over realisations.
    latency
        From the cue to the outcome (s).

    Returns
    -------
    xarray.DataArray
        Without the dims time and readout.

    Examples
    --------
    >>> rate = record(4, size=50)["recordings/rate/recording"]
    >>> probability(readout(learn(rate, [Block(40, 0.3, 0.8)]), rate).mean("realisation"), 0.3).dims
    ('trial',)
    """
    near = read.where(abs(read["time"] - CUE - latency) <= 0.015 + 1e-9, drop=True).mean("time")
    return near.sel(readout="A", drop=True) / near.sum("readout")


def _filtered(counts: np.ndarray) -> np.ndarray:
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -np.exp(-EVERY * STEP / TAU)], counts, axis=1).astype(np.float32)


def _split(rate: xr.DataArray) -> None:
    if rate.dims != ("trial", "time", "unit") or "split" not in rate.coords or "cue" not in rate.coords:
        raise RecordingError(
            f"rates (trial, time, unit) with split and cue on trial are needed, as record gives; found {rate.dims}"
        )


def _features(rate: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the training trials less their mean, with the constant; what was taken off; and the time."""
    _split(rate)
    train = rate.values[rate["split"].values == "train"].astype(np.float64)
    offset = train.mean(axis=(0, 1))
    x = np.concatenate([train - offset, np.full((*train.shape[:2], 1), CONSTANT)], axis=-1)
    return x, np.append(offset, 0.0), rate["time"].values


def _bump(time: np.ndarray, latency: float, width: float) -> np.ndarray:
    out: np.ndarray = np.exp(-((time - CUE - latency) ** 2) / (2 * width**2))
    return out


def _sequence(rate: xr.DataArray, blocks: Sequence[Block], seed: int) -> list[tuple[int, Block, int]]:
    """Draw every trial: the training realisation, the block, and the outcome (0 for A)."""
    cue = rate["cue"].values[rate["split"].values == "train"]
    rng, drawn = np.random.default_rng(seed), []
    for block in blocks:
        chance = np.atleast_1d(block.probability)
        if chance.size not in (1, cue.max() + 1):
            raise RecordingError(f"{chance.size} probabilities for {cue.max() + 1} cues: give one, or one per cue")
        for _ in range(block.trials):
            trial = int(rng.integers(cue.size))
            p = chance[cue[trial]] if chance.size > 1 else chance[0]
            drawn.append((trial, block, int(rng.random() >= p)))
    return drawn


def _pass(weights: np.ndarray, x: np.ndarray, target: np.ndarray, gate: np.ndarray, rate: float) -> None:
    """Run one trial, changing the weights at each sample by what is known there and then."""
    for now, wanted, attention in zip(x, target, gate, strict=True):
        weights += np.outer(rate * attention * (wanted - weights @ now), now)


def _apart(eligible: np.ndarray) -> np.ndarray:
    """Give what of each eligibility is orthogonal to their mean over the readouts."""
    mean = eligible.mean(axis=0)
    size = float(mean @ mean)
    return eligible - np.outer(eligible @ mean, mean) / size if size else eligible


def _result(
    name: str, rate: xr.DataArray, kept: list[Any], offset: np.ndarray, readouts: list[str],
    blocks: Sequence[Block], options: dict[str, Any], seed: int,
) -> xr.Dataset:  # fmt: skip
    if not kept:
        raise RecordingError("no weights were kept: the blocks hold fewer trials than every")
    number, weights, latency, believed = zip(*kept, strict=True)
    features = np.array([*rate["unit"].values, "constant"], dtype=object)
    parameters = {**options, "blocks": [[one.trials, one.latency, one.probability] for one in blocks]}
    return result(
        {
            "weight": (("trial", "feature", "readout"), np.stack(weights).transpose(0, 2, 1)),
            "latency": ("trial", np.array(latency), {"units": "s"}),
            "believed": ("trial", np.array(believed), {"units": "s"}),
            "offset": ("feature", offset),
            "trial": ("trial", np.array(number)),
            "feature": ("feature", features),
            "readout": ("readout", np.array(readouts, dtype=object)),
        },
        recording=rate,
        analysis=f"models.reservoir.{name}",
        parameters=parameters,
        seed=seed,
    )
