"""Stimuli that drive units most, found by climbing the gradient of their responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import ModelError
from neurointerp.models.responders import Responder
from neurointerp.recordings import version
from neurointerp.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    import torch

DIMS = {2: ("feature",), 3: ("time", "feature"), 4: ("channel", "row", "col")}


def optimise(
    responder: Responder,
    start: Any,
    objective: Callable[[torch.Tensor], torch.Tensor],
    *,
    steps: int = 200,
    rate: float = 0.1,
    norm: float | None = None,
    bounds: tuple[float, float] | None = None,
    jitter: int = 0,
    total_variation: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    r"""Change stimuli so that an objective of the responses grows.

    Each stimulus moves along the direction of the gradient of :math:`f(r(x)) - \lambda \, TV(x)`, by steps that shrink
    evenly to nothing, and after each step is put back into the allowed set, first the range, then the norm.

    Parameters
    ----------
    responder
        With `respond(stimulus) -> (stimulus, unit)` and gradients.
    start
        Stimuli to start from, `(stimulus, feature)`, `(stimulus, time, feature)` or `(stimulus, channel, row, col)`.
    objective
        From responses `(stimulus, unit)` to one number to make large, such as `lambda r: r[:, 3].sum()`.
    steps, rate
        Number of steps, and the length of the first, as a fraction of `norm` or, without one, of the norm of the
        start (1 for a start of zeros).
    norm
        Euclidean norm that each stimulus keeps (it is scaled to it); None for any.
    bounds
        Lowest and highest value; None for any. With `norm` too, the norm has the last word.
    jitter
        Images are rolled by up to so many rows and columns before each response, at random.
    total_variation
        Weight of the total variation: the mean absolute difference of neighbouring pixels, time points or features.
    seed
        Of the jitter.

    Returns
    -------
    xarray.Dataset
        `stimulus`, in the shape of `start`; `response (stimulus, unit)` to them, without jitter; `objective
        (iteration)`, before each step.

    Raises
    ------
    ModelError
        When an argument is out of range, or the objective gives no number with a gradient, or one that is zero for a
        stimulus at the start (a rectified unit that is silent there): nothing tells where to go.

    References
    ----------
    Erhan et al. (2009), Visualizing higher-layer features of a deep network; Olah et al. (2017), Feature
    visualization, Distill. Steps are of normalised gradients, not Adam's, whose sign-like steps miss the best point of
    a sphere; of the latter's regularisers only jitter, norm and total variation are here.

    Examples
    --------
    >>> import torch, neurointerp as ni
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 1.0)
    >>> found = optimise(ni.models.responder(model, sites=""), torch.tensor([[1.0, 0.0]]), lambda r: r.sum(), norm=1.0)
    >>> found.stimulus.values.round(2)
    array([[0.71, 0.71]], dtype=float32)
    """
    import torch

    first = torch.as_tensor(start).detach()
    if first.ndim not in DIMS or not first.is_floating_point():
        raise ModelError(f"start has shape {tuple(first.shape)} and {first.dtype}: 2 to 4 axes of numbers are needed")
    if steps < 1 or (jitter and first.ndim != 4) or (norm is not None and not norm > 0):
        raise ModelError("steps must be at least 1, norm above 0, and jitter is for images")
    if not rate > 0 or (bounds is not None and not bounds[0] < bounds[1]):
        raise ModelError(f"rate is {rate!r} and bounds are {bounds!r}: above 0, and the lower one first, are needed")
    rng = np.random.default_rng(seed)
    x = _allowed(first.clone(), norm, bounds).requires_grad_()
    size = _norms(x.detach())
    length = rate * torch.where(size > 0, size, torch.ones_like(size))
    course = []
    for step in range(steps):
        shift = tuple(map(int, rng.integers(-jitter, jitter + 1, size=2))) if jitter else (0, 0)
        seen = x.roll(shift, dims=(-2, -1)) if any(shift) else x
        value = objective(responder.respond(seen))
        if value.numel() != 1 or not value.requires_grad:
            raise ModelError("the objective must give one number that depends on the stimuli")
        loss = -value.reshape(()) + total_variation * _variation(x)
        (slope,) = torch.autograd.grad(loss, x)
        if step == 0:
            _require_slope(slope)
        with torch.no_grad():
            move = length * (1 - step / steps) * slope / _norms(slope).clamp(min=1e-12)
            x.copy_(_allowed(x - move, norm, bounds))
        course.append(float(value.detach()))
    with torch.no_grad():
        response = responder.respond(x)
    dims = ("stimulus", *DIMS[x.ndim])
    found = xr.Dataset(
        {
            "stimulus": (dims, x.detach().cpu().numpy()),
            "response": (("stimulus", "unit"), response.cpu().numpy()),
            "objective": ("iteration", np.array(course)),
        },
        coords={"unit": np.array(responder.unit, dtype=object)},
    )
    found.attrs = {
        "analysis": "models.optimise",
        "parameters": {
            "steps": steps, "rate": rate, "norm": norm, "bounds": None if bounds is None else list(bounds),
            "jitter": jitter, "total_variation": total_variation,
        },
        "version": version(), "seed": seed, "schema_version": SCHEMA_VERSION,
    }  # fmt: skip
    return found


def _require_slope(slope: torch.Tensor) -> None:
    flat = [place for place, one in enumerate(slope.flatten(1)) if not one.any()]
    if flat:
        raise ModelError(
            f"the objective is flat at the start of {len(flat)} of {len(slope)} stimuli (first: stimulus {flat[0]}),"
            " as where a unit is silent: start from stimuli that it answers to, or from noise"
        )


def _allowed(x: torch.Tensor, norm: float | None, bounds: tuple[float, float] | None) -> torch.Tensor:
    if bounds is not None:
        x = x.clamp(*bounds)
    if norm is not None:
        x = x * (norm / _norms(x).clamp(min=1e-12))
    return x


def _norms(x: torch.Tensor) -> torch.Tensor:
    """Give the Euclidean norm of each stimulus, in the shape that multiplies them."""
    norms: torch.Tensor = x.flatten(1).norm(dim=1).reshape(-1, *([1] * (x.ndim - 1)))
    return norms


def _variation(x: torch.Tensor) -> torch.Tensor:
    axes = {2: (-1,), 3: (1,), 4: (-2, -1)}[x.ndim]
    parts = [x.diff(dim=axis).abs() for axis in axes]
    return sum((part.mean() for part in parts if part.numel()), start=x.new_zeros(()))
