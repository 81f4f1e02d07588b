"""Poisson regression of all units at once by Newton's method, on torch tensors."""

from __future__ import annotations

from typing import Any

STEPS = 100
"""Newton steps at most; few tens are needed from a constant rate at the smallest penalties."""
SMALL = 1e-10
"""Newton decrement, twice what a step gains of the mean negative log-likelihood, at which a unit has arrived."""
CELLS = 2**24
"""Weighted features that are held at a time, of some units and some rows; and second derivatives, of some units."""


def minimum(x: Any, y: Any, alpha: Any) -> tuple[Any, Any]:
    r"""Give weights (feature, unit) and intercepts (unit) at the minimum of each unit's penalised likelihood.

    .. math:: \frac{1}{n} \sum_t \left(e^{\eta_t} - y_t \eta_t\right) + \frac{\alpha}{2} \lVert w \rVert^2,
        \qquad \eta = X w + b

    Parameters
    ----------
    x, y, alpha
        (sample, feature), (sample, unit) counts with a mean above 0, (unit) above 0: float64, on one device.
    """
    import torch

    wide = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    penalty = alpha[None, :] * torch.ones_like(wide[0, :])[:, None]
    penalty[-1] = 0.0  # of the intercept
    found = torch.zeros_like(penalty)
    found[-1] = torch.log(y.mean(dim=0))
    going = torch.arange(y.shape[1], device=y.device)
    for _ in range(STEPS):
        own, aim, cost = found[:, going], y[:, going], penalty[:, going]
        rate = torch.exp(wide @ own)
        slope = wide.T @ (rate - aim) / len(x) + cost * own
        step = _step(wide, rate, cost, slope)
        gain = (step * slope).sum(dim=0)
        found[:, going] = _downhill(wide, aim, cost, own, step, gain)
        going = going[gain > SMALL]
        if not len(going):
            break
    return found[:-1], found[-1]


def _step(wide: Any, rate: Any, cost: Any, slope: Any) -> Any:
    """Give Newton steps (feature, unit), of as many units at a time as their matrices are held of."""
    import torch

    some, out = max(1, CELLS // wide.shape[1] ** 2), torch.empty_like(slope)
    for start in range(0, slope.shape[1], some):
        units = slice(start, start + some)
        curved = _curvature(wide, rate[:, units]) + torch.diag_embed(cost[:, units].T)
        out[:, units] = torch.linalg.solve(curved, slope[:, units].T).T
    return out


def _curvature(wide: Any, rate: Any) -> Any:
    """Give the second derivatives (unit, feature, feature) of the mean likelihood, some units and rows at a time."""
    import torch

    columns, units = wide.shape[1], rate.shape[1]
    out = torch.zeros((units, columns, columns), dtype=wide.dtype, device=wide.device)
    rows = max(1, min(len(wide), CELLS // columns))
    some = max(1, CELLS // (columns * rows))
    for first in range(0, units, some):
        for start in range(0, len(wide), rows):
            part = wide[start : start + rows]
            weighed = part.T[None] * rate[start : start + rows, first : first + some].T[:, None]
            out[first : first + some] += weighed @ part / len(wide)
    return out


def _downhill(wide: Any, aim: Any, cost: Any, own: Any, step: Any, gain: Any) -> Any:
    """Halve steps (feature, unit) until each unit's function has fallen by enough of what its slope promises."""
    import torch

    def value(weights: Any) -> Any:
        level = wide @ weights
        return (torch.exp(level) - aim * level).mean(dim=0) + (cost * weights * weights).sum(dim=0) / 2

    before, size = value(own), torch.ones_like(gain)
    for _ in range(30):
        short = ~(value(own - size * step) <= before - 1e-4 * size * gain + 1e-14 * before.abs())
        if not bool(short.any()):
            break
        size = torch.where(short, size / 2, size)
    return own - size * step
