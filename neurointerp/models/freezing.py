"""Attention patterns and norms held at the values they had on some inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from neurointerp.errors import ModelError
from neurointerp.models.gradients import call
from neurointerp.models.running import evaluating
from neurointerp.models.sites import Site, find_sites, site_names, sites_of
from neurointerp.models.taps import Tap, tapped

if TYPE_CHECKING:
    import torch

NORMS = ("LayerNorm", "RMSNorm", "Norm")


@contextmanager
def frozen(
    model: torch.nn.Module, inputs: Any, *, patterns: bool = True, norms: bool = True
) -> Iterator[torch.nn.Module]:
    r"""Hold attention patterns, and the scales of norms, at the values they have on some inputs.

    Inside, attention takes from each token what it took on `inputs`, and a norm divides by what it divided by there:
    `w (x - mean(x)) / s + b` (`w x / s` for an RMS norm) with the `s` of the reference. Both are constants to
    gradients too. So the parts of a transformer between nonlinearities of its MLPs are affine in the stream.

    Parameters
    ----------
    model
        A model of a known family; with `patterns=False`, any.
    inputs
        What to run the model on: a tensor, or a mapping of arguments by name. Passes inside must have its shape.
    patterns, norms
        Which of the two to hold.

    Yields
    ------
    torch.nn.Module
        The model.

    Raises
    ------
    ModelError
        When there is nothing to hold, or a pass inside has another shape.

    Examples
    --------
    >>> import torch
    >>> norm = torch.nn.Sequential(torch.nn.LayerNorm(3))
    >>> x = torch.tensor([[1.0, 2.0, 6.0]])
    >>> with frozen(norm, x, patterns=False), torch.no_grad():
    ...     bool(torch.allclose(norm(3 * x), 3 * norm(x)))
    True
    """
    import torch

    sites = sites_of(model, "attn.pattern") if patterns and "attn.pattern" in site_names(model) else []
    if patterns and not sites:
        raise ModelError(f"{type(model).__name__} has no attention patterns with names: pass patterns=False")
    modules = dict(model.named_modules())
    scaled = [name for name, module in modules.items() if norms and _is_norm(module)]
    inner = [find_sites([name], {name: name})[0] for name in scaled]
    if not sites and not inner:
        raise ModelError(f"{type(model).__name__} has no norms to hold")
    held: dict[Site, torch.Tensor] = {}

    def keep(site: Site, tensor: torch.Tensor) -> None:
        held[site] = tensor.detach().clone()

    reads = [Site(site.path, "input", site.name, None, False) for site in inner]
    with evaluating(model), torch.no_grad(), tapped(model, [(s, partial(keep, s)) for s in (*sites, *reads)]):
        call(model, inputs)
    scales = {site.path: _scale(modules[site.path], held[site]) for site in reads}
    taps: list[tuple[Site, Tap]] = [(site, partial(_same, site, held[site])) for site in sites]
    now: dict[str, torch.Tensor] = {}
    for read, out in zip(reads, inner, strict=True):
        taps.append((read, partial(_noted, now, read.path)))
        taps.append((out, partial(_normed, modules[out.path], now, scales[out.path], out)))
    with tapped(model, taps):
        yield model


def _is_norm(module: torch.nn.Module) -> bool:
    import torch

    weight = getattr(module, "weight", None)
    return type(module).__name__.endswith(NORMS) and isinstance(weight, torch.nn.Parameter) and weight.ndim == 1


def _scale(norm: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    import torch

    eps: Any = next((getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name)), 0.0)
    centred = x - x.mean(-1, keepdim=True) if isinstance(norm, torch.nn.LayerNorm) else x
    return (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def _same(site: Site, pattern: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    if pattern.shape != tensor.shape:
        raise ModelError(f"{site.where} was frozen at {tuple(pattern.shape)}, this pass has {tuple(tensor.shape)}")
    return pattern


def _noted(now: dict[str, torch.Tensor], path: str, tensor: torch.Tensor) -> None:
    now[path] = tensor


def _normed(
    norm: Any, now: dict[str, torch.Tensor], scale: torch.Tensor, site: Site, tensor: torch.Tensor
) -> torch.Tensor:
    import torch

    x = now[site.path]
    if x.shape[:-1] != scale.shape[:-1]:
        raise ModelError(f"{site.path} was frozen at {tuple(scale.shape[:-1])}, this pass has {tuple(x.shape[:-1])}")
    if isinstance(norm, torch.nn.LayerNorm):
        out = (x - x.mean(-1, keepdim=True)) / scale * norm.weight
        return out if norm.bias is None else out + norm.bias
    ones = torch.ones_like(x[:1].reshape(-1, x.shape[-1])[:1])
    # Norms differ in their gain (some add 1 to the weight): on ones it is what they give, but for eps.
    gain = type(norm).forward(norm, ones) * _scale(norm, ones)
    return x / scale * gain
