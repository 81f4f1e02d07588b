"""How much an intervention changes what a model says, and the strength that changes it by a given amount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from neurointerp.errors import ModelError
from neurointerp.models.edges import Edge
from neurointerp.models.gradients import call
from neurointerp.models.interventions import Acts, Intervention, intervene
from neurointerp.models.running import evaluating

if TYPE_CHECKING:
    import torch

Tunable = TypeVar("Tunable", Intervention, Edge)
STEPS = 60


def divergence(model: torch.nn.Module, inputs: Any, interventions: Sequence[Acts], *, positions: Any = None) -> float:
    """Give how far interventions move what a model says: the mean Kullback-Leibler divergence in nats.

    Parameters
    ----------
    model
        A model that returns logits (itself, as `.logits`, or first in a tuple), the last axis over outcomes.
    inputs
        A tensor or a mapping of arguments; where it has an `attention_mask`, padding does not count.
    interventions, positions
        As `intervene` takes them. All tokens count, also those that are not changed.

    Returns
    -------
    float
        The mean over tokens of `KL(p before || p after)`.

    Raises
    ------
    ModelError
        When the model returns no logits.

    Examples
    --------
    >>> import torch
    >>> from neurointerp import models
    >>> divergence(torch.nn.Identity(), torch.zeros(1, 2), [models.add("", [0.0, 0.0])])
    0.0
    """
    return _moved(model, inputs, interventions, positions, _log_probabilities(model, inputs))


def tune(
    intervention: Tunable,
    model: torch.nn.Module,
    inputs: Any,
    *,
    target_kl: float,
    positions: Any = None,
    tolerance: float = 0.01,
    maximum: float = 1e4,
) -> Tunable:
    """Give an intervention the strength at which it moves what a model says by a given amount.

    The strength is doubled, from 1/1024 on, until the divergence passes the target, and the last doubling halved
    until it is within the tolerance: the smallest strength there where the divergence grows along the way.

    Parameters
    ----------
    intervention
        What `add`, `zero`, `edge`, ... gave; of `add` the direction counts, its scale is replaced.
    model, inputs, positions
        As for `divergence`.
    target_kl
        Mean divergence to reach, in nats per token, above 0.
    tolerance
        How close, as a fraction of the target.
    maximum
        Strength at which to give up (1 is the whole of a `zero` or `mean`).

    Returns
    -------
    Intervention or Edge
        The same with another `strength`.

    Raises
    ------
    ModelError
        When the divergence is not reached at `maximum`, or jumps over the target.

    Examples
    --------
    >>> import torch
    >>> from neurointerp import models
    >>> x = torch.zeros(1, 2)
    >>> found = tune(models.add("", [1.0, 0.0]), torch.nn.Identity(), x, target_kl=0.1)
    >>> abs(divergence(torch.nn.Identity(), x, [found]) - 0.1) < 0.001
    True
    """
    if not target_kl > 0:
        raise ModelError(f"target_kl is {target_kl}: a number above 0 is needed")
    before = _log_probabilities(model, inputs)

    def at(strength: float) -> float:
        return _moved(model, inputs, [replace(intervention, strength=strength)], positions, before)

    low, high = 0.0, min(2.0**-10, maximum)
    while (reached := at(high)) < target_kl:
        if high >= maximum:
            raise ModelError(f"at strength {maximum:g} the divergence is {reached:.3g}, below {target_kl:g}")
        low, high = high, min(2 * high, maximum)
    for _ in range(STEPS):
        if abs(reached - target_kl) <= tolerance * target_kl:
            return replace(intervention, strength=high)
        middle = (low + high) / 2
        found = at(middle)
        if found < target_kl:
            low = middle
            if abs(found - target_kl) <= tolerance * target_kl:
                return replace(intervention, strength=middle)
        else:
            high, reached = middle, found
    raise ModelError(f"the divergence jumps from below {target_kl:g} to {reached:.3g} at strength {high:g}")


def _moved(
    model: torch.nn.Module, inputs: Any, interventions: Sequence[Acts], positions: Any, before: torch.Tensor
) -> float:
    with intervene(model, interventions, positions=positions):
        after = _log_probabilities(model, inputs)
    import torch

    share = before.exp()  # of an outcome that is ruled out (a logit of minus infinity) 0, and so is its part
    kl = torch.where(share > 0, share * (before - after), 0.0).sum(-1)
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    if mask is not None and mask.shape == kl.shape:
        kl = kl[mask.bool()]
    return float(kl.mean())


def _log_probabilities(model: torch.nn.Module, inputs: Any) -> torch.Tensor:
    import torch

    with evaluating(model), torch.no_grad():
        out = call(model, inputs)
    out = getattr(out, "logits", out)
    out = out[0] if isinstance(out, tuple) else out
    if not isinstance(out, torch.Tensor) or not out.is_floating_point():
        raise ModelError(f"{type(model).__name__} returns no logits but {type(out).__name__}")
    return out.double().log_softmax(-1)
