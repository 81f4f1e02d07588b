"""Training of a readout, alone or with its core: early stopping on validation, missing responses masked."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from neurointerp.errors import ModelError


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
    """

    epochs: int = 100
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    patience: int = 10
    concordance: float = 1.0
    sparsity: float = 0.0
    clip: float = 1.0


@dataclass
class History:
    """What a fit went through: mean validation correlation after each epoch, and the epoch that was kept."""

    validation: list[float] = field(default_factory=list)
    kept: int = 0


def fit(
    readout: nn.Module, maps: np.ndarray, responses: np.ndarray, *, validation: np.ndarray,
    condition: np.ndarray | None = None, core: nn.Module | None = None, training: Training | None = None,
    device: str = "cpu", seed: int = 0,
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
        Int positions of the samples that decide when to stop, and penalties; the others are trained on.
    condition
        Second maps, for a readout that looks at them.
    core
        Module before the readout, trained with it.
    training
        How; see `Training`.
    device
        Of torch; both modules are moved there.
    seed
        Of the order of batches, dropout and drawn points.

    Returns
    -------
    History
        Empty for a `LinearReadout` without a core, which is solved.

    Raises
    ------
    ModelError
        When there are no samples to train or validate on, or maps hold missing values.
    """
    how = training or Training()
    if np.isnan(maps).any() or (condition is not None and np.isnan(condition).any()):
        raise ModelError("the maps hold missing values; a readout cannot look away from them: fill or drop them first")
    chosen = np.zeros(len(maps), dtype=bool)
    chosen[validation] = True
    if chosen.all() or not chosen.any():
        raise ModelError(f"{int(chosen.sum())} of {len(maps)} samples are for validation; some and not all must be")
    data = [torch.as_tensor(np.ascontiguousarray(a), dtype=torch.float32, device=device) for a in (maps, responses)]
    second = None if condition is None else torch.as_tensor(condition, dtype=torch.float32, device=device)
    train, held = (torch.as_tensor(np.flatnonzero(side), device=device) for side in (~chosen, chosen))
    readout.to(device)
    if core is None and hasattr(readout, "solve"):
        readout.solve(data[0][train], data[1][train], (data[0][held], data[1][held]))  # type: ignore[operator]
        return History()
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        return _descended(readout, core, data[0], data[1], second, train, held, how)


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
    device = next(readout.parameters()).device
    out = []
    with torch.no_grad(), _Evaluating(readout, core):
        for start in range(0, len(maps), batch):
            rows = slice(start, start + batch)
            x = torch.as_tensor(np.ascontiguousarray(maps[rows]), dtype=torch.float32, device=device)
            second = None
            if condition is not None:
                second = torch.as_tensor(np.ascontiguousarray(condition[rows]), dtype=torch.float32, device=device)
            out.append(readout(x if core is None else core(x), second).cpu().numpy())
    return np.concatenate(out)


class _Evaluating:
    """Put modules into eval mode, and back as they were."""

    def __init__(self, *modules: nn.Module | None) -> None:
        self.modules = [(module, module.training) for module in modules if module is not None]

    def __enter__(self) -> None:
        for module, _ in self.modules:
            module.eval()

    def __exit__(self, *error: object) -> None:
        for module, mode in self.modules:
            module.train(mode)


def _descended(
    readout: nn.Module, core: nn.Module | None, x: Tensor, y: Tensor, second: Tensor | None, train: Tensor,
    held: Tensor, how: Training,
) -> History:  # fmt: skip
    both = nn.ModuleList([readout] if core is None else [readout, core.to(x.device)])
    optimiser = torch.optim.AdamW(both.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay)
    history, best, since = History(), copy.deepcopy(both.state_dict()), 0

    def answer(rows: Tensor) -> Tensor:
        given = x[rows] if core is None else core(x[rows])
        out: Tensor = readout(given, None if second is None else second[rows])
        return out

    for epoch in range(how.epochs):
        both.train()
        for rows in torch.split(train[torch.randperm(len(train)).to(train.device)], how.batch):
            if not bool((~torch.isnan(y[rows])).any()):
                continue  # nothing was seen: there is nothing to descend to
            loss = _loss(answer(rows), y[rows], how.concordance)
            if how.sparsity and hasattr(readout, "penalty"):
                loss = loss + how.sparsity * readout.penalty()  # type: ignore[operator]
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(both.parameters(), how.clip)
            optimiser.step()
        both.eval()
        with torch.no_grad():
            found = _correlation(torch.cat([answer(rows) for rows in torch.split(held, 256)]), y[held])
        history.validation.append(found)
        if found > max([-2.0, *history.validation[:-1]]):
            best, history.kept, since = copy.deepcopy(both.state_dict()), epoch, 0
        else:
            since += 1
        if since >= how.patience:
            break
    both.load_state_dict(best)
    both.eval()
    return history


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
