"""Training of a readout, alone or with its core: early stopping on validation, missing responses masked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurointerp.errors import ModelError
from neurointerp.models.running import evaluating, usable_device


@dataclass(frozen=True)
class Training:
    """How `fit` trains.

    Attributes
    ----------
    epochs, batch, learning_rate, weight_decay
        At most so many passes, in batches of so many samples, with AdamW.
    patience
        Stop after so many epochs without a better mean validation correlation; the best epoch is kept.
    concordance
        Weight of 1 - CCC beside the mean squared error.
    sparsity
        Weight of the readout's own `penalty()`, where it has one.
    clip
        Largest norm of the gradient.
    halve
        Halve the learning rate after each so many epochs; 0: never.
    average
        Share of the past in a mean over steps of the parameters, which is validated and kept in their place, such as
        0.99 (about a hundred steps; fewer at first, (1 + t) / (10 + t) after t): at a constant rate it has what halving
        the rate gives, and goes on learning. 0: none, the parameters of the last step. Running statistics of a core
        are its last ones.
    """

    epochs: int = 100
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    patience: int = 10
    concordance: float = 1.0
    sparsity: float = 0.0
    clip: float = 1.0
    halve: int = 0
    average: float = 0.0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.patience) < 1 or self.halve < 0:
            raise ModelError(f"epochs, batch and patience must be at least 1, halve at least 0; found {self}")
        weights = self.weight_decay, self.concordance, self.sparsity
        if not (self.learning_rate > 0 and self.clip > 0 and all(weight >= 0 for weight in weights)):
            raise ModelError(f"rates, clip and weights must be positive numbers (the last also 0); found {self}")
        if not 0 <= self.average < 1:
            raise ModelError(f"average must be from 0 to below 1; found {self}")


@dataclass
class History:
    """What a fit went through: mean validation correlation after each epoch, and the epoch that was kept."""

    validation: list[float] = field(default_factory=list)
    kept: int = 0


def fit(
    readout: nn.Module, maps: np.ndarray, responses: np.ndarray, *, validation: np.ndarray | None = None,
    groups: np.ndarray | None = None, condition: np.ndarray | None = None, core: nn.Module | None = None,
    training: Training | None = None, device: str = "cpu", seed: int = 0,
) -> History:  # fmt: skip
    """Train a readout, and its core if there is one, in place.

    Parameters
    ----------
    readout
        Any readout of this package.
    maps
        (sample, channel, row, col), or what the core or the readout takes.
    responses
        (sample, unit); NaN where a unit was not seen.
    validation
        Int positions of the samples that decide when to stop; the others are trained on. A `LinearReadout` without a
        core needs none: it is solved on all samples.
    groups
        (sample) int: samples of one stimulus share a number. A `LinearReadout` chooses its penalties by leaving out one
        of them at a time; by default each sample stands alone.
    condition
        Second maps, for a readout that looks at them.
    core
        Module before the readout, trained with it.
    training
        How; see `Training`.
    device
        Of torch; both modules are moved there. Samples stay where they are and go there batch by batch, through pinned
        memory where that is a GPU, so that maps may be larger than its memory. A solved readout goes as a whole.
    seed
        Of the order of batches, dropout and drawn points.

    Returns
    -------
    History
        Empty for a `LinearReadout` without a core, which is solved.

    Raises
    ------
    ModelError
        When there are no samples to train or validate on, maps hold missing values, or the device is not there.
    """
    how = training or Training()
    place = usable_device(device)
    if np.isnan(maps).any() or (condition is not None and np.isnan(condition).any()):
        raise ModelError("the maps hold missing values; a readout cannot look away from them: fill or drop them first")
    readout.to(place)
    data = [_host(maps), _host(responses)]
    if core is None and hasattr(readout, "solve"):
        readout.solve(*(_sent(one, place) for one in data), groups)  # type: ignore[operator]
        return History()
    chosen = np.zeros(len(maps), dtype=bool)
    if validation is not None:
        chosen[validation] = True
    if chosen.all() or not chosen.any():
        raise ModelError(f"{int(chosen.sum())} of {len(maps)} samples are for validation; some and not all must be")
    second = None if condition is None else _host(condition)
    train, held = (torch.as_tensor(np.flatnonzero(side)) for side in (~chosen, chosen))
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(seed)
        return _descended(readout, core, data[0], data[1], second, train, held, how, place)


def _host(values: np.ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)


def _sent(part: Tensor, place: torch.device) -> Tensor:
    """Give samples on the device; through pinned memory, a copy to a GPU does not wait."""
    return part.pin_memory().to(place, non_blocking=True) if place.type == "cuda" else part.to(place)


def predict(
    readout: nn.Module, maps: np.ndarray, *, condition: np.ndarray | None = None, core: nn.Module | None = None,
    batch: int = 256,
) -> np.ndarray:  # fmt: skip
    """Give the responses (sample, unit) that a readout predicts, in eval mode.

    Parameters
    ----------
    readout, maps, condition, core
        As in `fit`.
    batch
        Samples at a time.

    Returns
    -------
    numpy.ndarray
        (sample, unit), float32.
    """
    place = next(readout.parameters()).device
    out = []
    with torch.no_grad(), evaluating(nn.ModuleList([readout] if core is None else [readout, core])):
        for start in range(0, len(maps), batch):
            rows = slice(start, start + batch)
            x = _sent(_host(maps[rows]), place)
            second = None if condition is None else _sent(_host(condition[rows]), place)
            out.append(readout(x if core is None else core(x), second).cpu().numpy())
    return np.concatenate(out)


def _descended(
    readout: nn.Module, core: nn.Module | None, x: Tensor, y: Tensor, second: Tensor | None, train: Tensor,
    held: Tensor, how: Training, place: torch.device,
) -> History:  # fmt: skip
    both = nn.ModuleList([readout] if core is None else [readout, core.to(place)])
    optimiser = torch.optim.AdamW(_rates(readout, both, how.learning_rate), weight_decay=how.weight_decay)
    slower = torch.optim.lr_scheduler.StepLR(optimiser, how.halve or how.epochs + 1, 0.5)
    mean = torch.optim.swa_utils.AveragedModel(both, avg_fn=_averaging(how.average)) if how.average else None
    kept: Any = both if mean is None else mean.module
    history, best, since = History(), copy.deepcopy(both.state_dict()), 0

    def answer(modules: Any, rows: Tensor) -> Tensor:
        given = _sent(x[rows], place)
        out: Tensor = modules[0](
            given if core is None else modules[1](given), None if second is None else _sent(second[rows], place)
        )
        return out

    for epoch in range(how.epochs):
        both.train()
        for rows in torch.split(train[torch.randperm(len(train))], how.batch):
            if not bool((~torch.isnan(y[rows])).any()):
                continue  # nothing was seen: there is nothing to descend to
            loss = _loss(answer(both, rows), _sent(y[rows], place), how.concordance)
            if how.sparsity and hasattr(readout, "penalty"):
                loss = loss + how.sparsity * readout.penalty()  # type: ignore[operator]
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(both.parameters(), how.clip)
            optimiser.step()
            if mean is not None:
                mean.update_parameters(both)
        slower.step()
        kept.eval()
        with torch.no_grad():
            found = _correlation(torch.cat([answer(kept, rows).cpu() for rows in torch.split(held, 256)]), y[held])
        history.validation.append(found)
        if found > max([-2.0, *history.validation[:-1]]):
            best, history.kept, since = copy.deepcopy(kept.state_dict()), epoch, 0
        else:
            since += 1
        if since >= how.patience:
            break
    both.load_state_dict(best)
    both.eval()
    return history


def _averaging(share: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Give how a mean takes up the parameters of a step; what comes before there is much of a past counts less."""
    return lambda past, now, steps: torch.lerp(past, now, 1 - min(share, (1 + int(steps)) / (10 + int(steps))))


def _rates(readout: nn.Module, both: nn.Module, rate: float) -> list[dict[str, Any]]:
    """Group parameters by the share of the learning rate that a readout's own `rates()` gives them."""
    share = {id(p): part for p, part in readout.rates()} if hasattr(readout, "rates") else {}  # type: ignore[operator]
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in both.parameters():
        groups.setdefault(share.get(id(parameter), 1.0), []).append(parameter)
    return [{"params": members, "lr": rate * part} for part, members in groups.items()]


def _loss(predicted: Tensor, observed: Tensor, concordance: float) -> Tensor:
    """Give the mean squared error, and `concordance` times 1 - CCC, over all observed entries."""
    seen = ~torch.isnan(observed)
    a, b = predicted[seen], observed[seen]
    error = (a - b).pow(2).mean()
    if not concordance or len(a) < 2:
        return error
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    ccc = 2 * covariance / (a.var(correction=0) + b.var(correction=0) + (a.mean() - b.mean()).pow(2) + 1e-12)
    return error + concordance * (1 - ccc)


def _correlation(predicted: Tensor, observed: Tensor) -> float:
    """Give the mean over units of the correlation on observed samples; units that do not vary count as 0."""
    seen = ~torch.isnan(observed)
    count = seen.sum(0).clamp(min=1)
    a, b = (torch.where(seen, v, 0.0) for v in (predicted, observed))
    a, b = (torch.where(seen, v - v.sum(0) / count, 0.0) for v in (a, b))
    length = (a.pow(2).sum(0) * b.pow(2).sum(0)).sqrt()
    return float(torch.where(length > 1e-12, (a * b).sum(0) / length.clamp(min=1e-12), 0.0).mean())
