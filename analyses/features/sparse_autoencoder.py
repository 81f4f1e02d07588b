"""A sparse autoencoder of one hidden layer: the rival of a sparse factorization at equal capacity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.analyses.features._reading import require_whole
from neurointerp.analyses.features._sparse_codes import backward as sparse_backward
from neurointerp.errors import AnalysisError
from neurointerp.result import result as build

NAME = "features.sparse_autoencoder"
REVIVAL = 10
"""Epochs between searches for components that never fired."""


def sparse_autoencoder(
    recording: xr.DataArray,
    rank: int,
    *,
    penalty: float = 0.1,
    active: int | None = None,
    max_epochs: int = 400,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    tolerance: float = 1e-3,
    patience: int = 10,
    seed: int = 0,
) -> xr.Dataset:
    r"""Train a ReLU (or top-k) sparse autoencoder until its loss has levelled off.

    Codes `c = relu((x - b) E' + e)`, reconstruction `c F + b`, rows of `F` of norm 1; the loss is
    `|x - c F - b|^2 + penalty * sum(c)`, averaged over samples, on data scaled to a mean squared norm of 1 about their
    mean. With `active`, only that many of the largest codes of a sample are kept, and there is no penalty.

    Parameters
    ----------
    recording
        Any recording without missing values; every dim but `unit` is a sample dim.
    rank
        Number of components (the width).
    penalty
        Weight of the sum of the codes. Larger ones give sparser codes.
    active
        Codes kept for each sample, 1 to `rank`; None for ReLU with a penalty.
    max_epochs, batch_size, learning_rate
        Most passes over the samples, samples of one Adam step, its rate.
    tolerance, patience
        Stop once `patience` epochs have not lowered the best loss by the fraction `tolerance`.
    seed
        Of weights and batches.

    Returns
    -------
    xarray.Dataset
        - `features(component, unit)`: decoder, in the units of the recording (its norm the size of the component).
        - `coefficients(<sample dims>, component)`: codes, >= 0, unit L2 norm over the samples.
        - `encoder(component, unit)`, `encoder_bias(component)`, `offset(unit)`: codes of new samples, before that norm,
          are `relu((x - offset) @ encoder' + encoder_bias)` (the largest `active` of them).
        - `support(component, unit)`: where `features` is not zero, so everywhere: a decoder is dense.
        - `loss(epoch)`, `relative_error` (about zero, as the factorizations have it), `mean_active`: codes above 0
          per sample, `n_dead`: components that never fire, `stop_reason`: `"tolerance"` or `"max_epochs"`.

    Raises
    ------
    AnalysisError
        When values are missing or do not vary, torch is missing, or an argument is out of range.

    Notes
    -----
    Every 10 epochs of the first seven tenths, components that did not fire begin anew at samples that are badly
    explained. Runs on the CPU in float32. Equal seeds give equal weights on one machine with one number of threads.
    With `active`, on processors that multiply bfloat16, large products are made in it first, and those codes that can
    be among the largest, whatever the rounding, again in float32: the codes are those of float32.

    References
    ----------
    Bricken et al. (2023), Towards monosemanticity, Transformer Circuits. Gao et al. (2024), arXiv:2406.04093 (top-k).
    Deviations: the encoder starts as the decoder, its bias at 0, the offset at the mean; no auxiliary loss.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(200, 2)) @ np.array([[1.0, -2.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    >>> rec = ni.recording(values, modality="activations", units="1", time=np.arange(200))
    >>> res = sparse_autoencoder(rec, 2, batch_size=50)
    >>> res.features.shape, bool((res.coefficients >= 0).all())
    ((2, 4), True)
    """
    _require(rank, penalty, active, max_epochs, batch_size, learning_rate, tolerance, patience)
    matrix.require_complete(recording, NAME)
    stacked = matrix.stack(recording)
    try:
        import torch
    except ImportError as error:
        raise AnalysisError(f"{NAME}: training needs torch: pip install 'neurointerp[models]'") from error
    # The mean before the scale, in float64: a large offset would leave nothing of small values in float32.
    mean = stacked.values.mean(axis=0, dtype=np.float64)
    centred = stacked.values - mean
    size = float(np.sqrt((centred**2).sum(axis=1).mean()))
    if not size > 0:
        raise AnalysisError(f"{NAME}: the values do not vary over {len(centred)} samples; there is nothing to learn")
    samples = torch.as_tensor((centred / size).astype(np.float32))
    schedule = _Schedule(max_epochs, batch_size, learning_rate, tolerance, patience)
    fit = _train(samples, rank, 0.0 if active else float(penalty), active, schedule, seed)
    codes, decoder = fit.codes.astype(np.float64), fit.decoder.astype(np.float64)
    norms = np.linalg.norm(codes, axis=0)
    order = np.argsort(-norms, kind="stable")
    scaled = codes / np.where(norms > 0, norms, 1)
    F = decoder * (norms * size)[:, None]
    offset = mean + size * fit.offset
    misfit = stacked.values - scaled @ F - offset
    on = {"component": np.arange(rank), **stacked.unit_coords}
    units = {"units": recording.attrs["units"]}
    found = {
        "features": xr.DataArray(F[order], dims=("component", "unit"), coords=on, attrs=units),
        "coefficients": stacked.unstack(scaled[:, order], "component").assign_attrs(units="1"),
        "support": xr.DataArray(F[order] != 0, dims=("component", "unit"), coords=on),
        "encoder": xr.DataArray(fit.encoder[order] / size, dims=("component", "unit"), coords=on),
        "encoder_bias": xr.DataArray(fit.bias[order], dims="component", coords={"component": np.arange(rank)}),
        "offset": xr.DataArray(offset, dims="unit", coords=stacked.unit_coords, attrs=units),
        "loss": xr.DataArray(fit.losses, dims="epoch", coords={"epoch": np.arange(len(fit.losses))}),
        "relative_error": xr.DataArray(np.linalg.norm(misfit) / (np.linalg.norm(stacked.values) or 1.0)),
        "mean_active": xr.DataArray(float((codes > 0).sum(axis=1).mean())),
        "n_dead": xr.DataArray(int((norms == 0).sum())),
        "stop_reason": xr.DataArray(np.array(fit.stop_reason, dtype=object)),
    }
    parameters = {
        "rank": rank, "penalty": penalty, "active": active, "max_epochs": max_epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "tolerance": tolerance, "patience": patience,
    }  # fmt: skip
    return build(found, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


@dataclass(frozen=True)
class _Schedule:
    max_epochs: int
    batch_size: int
    learning_rate: float
    tolerance: float
    patience: int


@dataclass(frozen=True)
class _Trained:
    decoder: np.ndarray
    encoder: np.ndarray
    bias: np.ndarray
    offset: np.ndarray
    codes: np.ndarray
    losses: list[float]
    stop_reason: str


def _require(rank: Any, penalty: Any, active: Any, epochs: Any, batch: Any, rate: Any, tol: Any, patience: Any) -> None:
    for name, value in (("rank", rank), ("max_epochs", epochs), ("batch_size", batch), ("patience", patience)):
        require_whole(value, name, NAME)
    whole = isinstance(active, int | np.integer) and not isinstance(active, bool)
    if active is not None and not (whole and 1 <= active <= rank):
        raise AnalysisError(f"{NAME}: active is {active!r}; None or a whole number from 1 to rank {rank} is needed")
    if not (penalty >= 0 and rate > 0 and tol >= 0):
        raise AnalysisError(
            f"{NAME}: penalty {penalty!r}, learning_rate {rate!r}, tolerance {tol!r}; needed are >= 0, > 0, >= 0"
        )


def _train(X: Any, rank: int, penalty: float, active: int | None, schedule: _Schedule, seed: int) -> _Trained:
    import torch

    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(rank, X.shape[1], generator=rng)
    start /= start.norm(dim=1, keepdim=True)
    F, E = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    e, b = torch.nn.Parameter(torch.zeros(rank)), torch.nn.Parameter(torch.zeros(X.shape[1]))
    adam = torch.optim.Adam([F, E, e, b], lr=schedule.learning_rate, fused=True)

    def code(x: Any) -> Any:
        c = ((x - b) @ E.T + e).relu()
        if active is None:
            return c
        top = c.topk(active, dim=1)
        return torch.zeros_like(c).scatter(1, top.indices, top.values)

    def backward(x: Any) -> tuple[float, Any]:
        if active is not None:
            return sparse_backward(x, F, E, e, b, active)
        c = code(x)
        loss = (x - c @ F - b).square().sum(1).mean() + penalty * c.sum(1).mean()
        adam.zero_grad()
        torch.autograd.backward(loss)
        return float(loss.detach()), (c > 0).any(0)

    best, since, losses, reason = math.inf, 0, list[float](), "max_epochs"
    for epoch in range(schedule.max_epochs):
        total, fired = 0.0, torch.zeros(rank, dtype=torch.bool)
        order = torch.randperm(len(X), generator=rng)
        for low in range(0, len(X), schedule.batch_size):
            rows = order[low : low + schedule.batch_size]
            loss, active_now = backward(X[rows])
            with torch.no_grad():
                assert F.grad is not None
                F.grad -= (F.grad * F).sum(1, keepdim=True) * F  # only along the sphere
                adam.step()
                F.copy_(F / F.norm(dim=1, keepdim=True))
                fired |= active_now
                total += loss * len(rows)
        losses.append(total / len(X))
        improved = losses[-1] < best * (1 - schedule.tolerance)
        best, since = (losses[-1], 0) if improved else (best, since + 1)
        if (epoch + 1) % REVIVAL == 0 and not fired.all() and epoch < 0.7 * schedule.max_epochs:
            _revive(X, code(X).detach(), ~fired, F, E, e, b, rng)
        elif since >= schedule.patience:
            reason = "tolerance"
            break
    decoder, encoder, bias, offset, codes = (part.detach().numpy() for part in (F, E, e, b, code(X)))
    return _Trained(decoder, encoder, bias, offset, codes, losses, reason)


def _revive(X: Any, codes: Any, dead: Any, F: Any, E: Any, e: Any, b: Any, rng: Any) -> None:
    """Put dead components at samples drawn by how badly they are explained."""
    import torch

    with torch.no_grad():
        error = X - codes @ F - b
        chance = error.square().sum(1)
        if not float(chance.sum()) > 0:
            return
        v = error[torch.multinomial(chance, int(dead.sum()), replacement=True, generator=rng)]
        v = v / v.norm(dim=1, keepdim=True).clamp(min=1e-12)
        F[dead], e[dead] = v, 0.0
        E[dead] = 0.2 * v * (E[~dead].norm(dim=1).mean() if bool((~dead).any()) else 1.0)
