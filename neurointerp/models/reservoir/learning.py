"""Readouts of the reservoir: learnt by a local rule, by recursive least squares, or fitted at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError
from neurointerp.models.reservoir.circuit import CUE, EVERY, LENGTH, check_rate
from neurointerp.result import result

CONSTANT = 0.05
"""What every readout also sees."""
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
                f"a block needs a trial and a latency within {LENGTH - CUE:g} s; found {self.trials} trials and "
                f"{self.latency!r} s"
            )
        if not all(0 <= p <= 1 for p in np.atleast_1d(self.probability)):
            raise RecordingError(f"probability must lie in 0 to 1; found {self.probability!r}")


def learn(
    rate: xr.DataArray,
    blocks: Sequence[Block],
    *,
    readouts: Mapping[str, tuple[float, float]] | None = None,
    eta: float = 0.0075,
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
    reservoir spiking networks, arXiv:2510.14382, abstract alone: rule, constants and consolidation are not verified.
    :math:`\Xi` is here the mean of :math:`|x|^2` over samples and trials, and the believed latency a running mean that
    forgets, since a plain one would take as long to leave a latency as it was held.

    Examples
    --------
    >>> from neurointerp.models.reservoir import record
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
        attention = np.broadcast_to(gate, time.shape) * (eta * EVERY / scale)
        _pass(weights, x[trial], target[:, None] * heights[outcome], attention)
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
    >>> from neurointerp.models.reservoir import record
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
            rows = x[seen > 0].reshape(-1, flat.shape[1])
            gram += (rows * np.repeat(seen[seen > 0], time.size)[:, None]).T @ rows
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
    >>> from neurointerp.models.reservoir import record
    >>> oracle(record(4, size=50)["recordings/rate/recording"], Block(1, 0.3, 0.8))["weight"].shape
    (1, 51, 2)
    """
    x, offset, time = _features(rate)
    flat, p = x.reshape(-1, x.shape[-1]), float(np.mean(block.probability))
    target = np.tile(_bump(time, block.latency, BUMP), len(x))
    fitted = np.linalg.solve(flat.T @ flat + alpha * np.eye(flat.shape[1]), flat.T @ target)
    kept = [(len(x), np.outer([p, 1 - p], fitted), block.latency, np.nan)]
    return _result("oracle", rate, kept, offset, list(OUTCOMES), [block], {"alpha": alpha}, 0)


def _features(rate: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the training trials less their mean, with the constant; what was taken off; and the time."""
    check_rate(rate)
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


def _pass(weights: np.ndarray, x: np.ndarray, target: np.ndarray, rate: np.ndarray) -> None:
    """Run one trial, changing the weights at each sample by what is known there and then."""
    for now, wanted, pace in zip(x, target, rate, strict=True):
        weights += np.outer(pace * (wanted - weights @ now), now)


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
