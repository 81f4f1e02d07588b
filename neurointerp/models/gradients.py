"""Gradients of what a model computes with respect to what it holds at its sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurointerp.errors import ModelError
from neurointerp.models.running import evaluating
from neurointerp.models.sites import Site, sites_of
from neurointerp.models.taps import part_of, tapped

if TYPE_CHECKING:
    import torch


def gradient(
    model: torch.nn.Module, inputs: Any, objective: Callable[[Any], torch.Tensor], *, sites: str | Sequence[str]
) -> dict[str, torch.Tensor]:
    """Give the gradient of a number with respect to what a model holds at sites.

    Parameters
    ----------
    model
        Any module; it runs in evaluation mode, and gets no gradients itself.
    inputs
        What to run it on: a tensor, or a mapping of arguments by name.
    objective
        From what the model returns to one number, such as `lambda out: out.logits[0, -1, 5]`.
    sites
        Where, as `activations.record` names them.

    Returns
    -------
    dict of str to torch.Tensor
        By site (`L3.mlp.post`), in the shape of what it holds. Zero where the number does not depend on it.

    Raises
    ------
    ModelError
        When a site is not there or is not run once, or the objective is no number.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(2, 1))
    >>> found = gradient(model, torch.zeros(1, 2), lambda out: out.sum(), sites="0")
    >>> bool((found["0"] == model[1].weight).all())
    True
    """
    import torch

    held, out = held_at(model, inputs, sites_of(model, sites))
    number = objective(out)
    if not isinstance(number, torch.Tensor) or number.numel() != 1 or not number.requires_grad:
        raise ModelError("the objective must give one number that depends on what the model returns")
    return _pulled_back(number.reshape(()), None, held)


def vjp(
    model: torch.nn.Module, inputs: Any, cotangent: Any, *, source: str | Sequence[str], target: str
) -> dict[str, torch.Tensor]:
    """Pull a vector at one site back to others: the product of a vector with the Jacobian between sites.

    Parameters
    ----------
    model, inputs
        As for `gradient`.
    cotangent
        One number per entry of what the target holds (or what broadcasts to it).
    source
        Sites to pull back to.
    target
        The site where the vector stands.

    Returns
    -------
    dict of str to torch.Tensor
        By source: the sum over entries `i` of the target of `cotangent[i] * d target[i] / d source`.

    Raises
    ------
    ModelError
        When a site is not there or is not run once, or the cotangent does not fit.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(2, 3), torch.nn.Identity())
    >>> found = vjp(model, torch.zeros(1, 2), [0.0, 1.0, 0.0], source="0", target="2")
    >>> bool((found["0"][0] == model[1].weight[1]).all())
    True
    """
    import torch

    targets = sites_of(model, target)
    if len(targets) != 1:
        raise ModelError(f"target {target!r} stands for {len(targets)} sites: name one, with its layer")
    sources = sites_of(model, source)
    held, _ = held_at(model, inputs, [*sources, *(one for one in targets if one not in sources)])
    end = part_of(held[targets[0]], targets[0])
    try:
        vector = torch.as_tensor(cotangent, dtype=end.dtype, device=end.device).expand(end.shape)
    except RuntimeError as error:
        raise ModelError(f"target {target!r} holds {tuple(end.shape)}, the cotangent does not fit") from error
    return _pulled_back(end, vector, {site: held[site] for site in sources})


def held_at(model: torch.nn.Module, inputs: Any, sites: Sequence[Site]) -> tuple[dict[Site, torch.Tensor], Any]:
    """Run a model with gradients, and give the tensors at sites (whole, of a site that is a part) and its output."""
    import torch

    held: dict[Site, torch.Tensor] = {}
    whole = {site: Site(site.path, site.side, site.name, site.layer, site.is_short) for site in sites}

    def keep(site: Site, tensor: torch.Tensor) -> None:
        if site in held:
            raise ModelError(f"site {site.path!r} ran more than once in one pass")
        held[site] = tensor if tensor.requires_grad else tensor.requires_grad_()

    taps = [(one, partial(keep, site)) for site, one in whole.items()]
    with evaluating(model), torch.enable_grad(), tapped(model, taps):
        out = call(model, _aliases(inputs))
    for site in sites:
        if site not in held:
            raise ModelError(f"site {site.path!r} was not run")
    return held, out


def _aliases(inputs: Any) -> Any:
    """Give inputs on the same memory: where a site holds one of them, not the caller's is marked for gradients."""
    import torch

    if isinstance(inputs, torch.Tensor):
        return inputs if inputs.requires_grad else inputs.detach()
    if isinstance(inputs, Mapping):
        return {name: _aliases(value) for name, value in inputs.items()}
    return tuple(map(_aliases, inputs)) if isinstance(inputs, tuple) else inputs


def call(model: torch.nn.Module, inputs: Any) -> Any:
    """Run a model on a tensor, a tuple of arguments, or a mapping of them by name."""
    if isinstance(inputs, list | np.ndarray):
        raise ModelError(f"inputs is a {type(inputs).__name__}: a tensor, or a mapping of tensors by name, is needed")
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _pulled_back(
    end: torch.Tensor, vector: torch.Tensor | None, held: Mapping[Site, torch.Tensor]
) -> dict[str, torch.Tensor]:
    import torch

    found = torch.autograd.grad(end, list(held.values()), vector, allow_unused=True)
    whole = (torch.zeros_like(t) if g is None else g for t, g in zip(held.values(), found, strict=True))
    return {site.where: part_of(g, site).detach() for site, g in zip(held, whole, strict=True)}
