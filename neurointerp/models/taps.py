"""Read or change what a model holds at its sites while it runs, and leave it as it was."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from neurointerp.errors import ModelError
from neurointerp.models.sites import Site

if TYPE_CHECKING:
    import torch

Tap = Callable[["torch.Tensor"], "torch.Tensor | None"]
"""What is done with the tensor at a site: None leaves it, a tensor takes its place."""


@contextmanager
def tapped(model: torch.nn.Module, taps: Sequence[tuple[Site, Tap]]) -> Iterator[None]:
    """Call a function with what each site holds, in every pass until the context ends.

    Taps of one site are called in order, each with what the one before left. Nothing stays behind, also after an
    error: hooks are removed, and attention is computed the way it was.

    Parameters
    ----------
    model
        Any module.
    taps
        Sites and functions. A function is given the tensor itself (of a site that is a part of the features, that
        part), and gives None, or the tensor to put there.

    Raises
    ------
    ModelError
        When a site is not there, holds no tensor, or has no attention pattern that can be reached.

    Examples
    --------
    >>> import torch
    >>> from neurointerp.models import find_sites
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())
    >>> with tapped(model, [(find_sites(["0"], "0")[0], lambda value: value + 1)]):
    ...     inside = model(torch.zeros(2))
    >>> inside, model(torch.zeros(2))
    (tensor([1., 1.]), tensor([0., 0.]))
    """
    modules = dict(model.named_modules())
    patterns: dict[torch.nn.Module, list[Tap]] = {}
    with ExitStack() as stack:
        for site, tap in taps:
            if site.path not in modules:
                raise ModelError(f"the model has no module {site.path!r}")
            if site.side == "pattern":
                patterns.setdefault(modules[site.path], []).append(tap)
            else:
                stack.callback(_hook(modules[site.path], site, tap).remove)
        if patterns:
            stack.enter_context(_eager(model, patterns))
        yield


def first_tensor(value: Any, site: Site) -> torch.Tensor:
    """Give the tensor that a module returns or is given first."""
    import torch

    items = list(value.values()) if isinstance(value, Mapping) else value
    first = items if isinstance(items, torch.Tensor) else next(iter(items or ()), None)
    if not isinstance(first, torch.Tensor):
        raise ModelError(f"site {site.path!r}: its {site.side} is not a tensor but {type(first).__name__}")
    return first


def part_of(tensor: torch.Tensor, site: Site) -> torch.Tensor:
    """Give the part of the features that is the site."""
    if site.part is None:
        return tensor
    number, count = site.part
    return tensor.chunk(count, dim=-1)[number]


def features_last(tensor: torch.Tensor, site: Site) -> torch.Tensor:
    """Give what a site holds as (prompt or trial, ..., feature): a view, or itself where it stands so.

    Examples
    --------
    >>> import torch
    >>> from neurointerp.models import sites_of
    >>> (site,) = sites_of(torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5)), "0")
    >>> features_last(torch.zeros(2, 4, 9), site).shape
    torch.Size([2, 9, 4])
    """
    if _is_time_first(tensor, site):
        return tensor.transpose(0, 1)
    return tensor.movedim(1, -1) if _is_channels_first(tensor, site) else tensor


def as_held(tensor: torch.Tensor, site: Site) -> torch.Tensor:
    """Undo `features_last`."""
    if _is_time_first(tensor, site):
        return tensor.transpose(0, 1)
    return tensor.movedim(-1, 1) if _is_channels_first(tensor, site) else tensor


def _is_time_first(tensor: torch.Tensor, site: Site) -> bool:
    return site.layout == "time" and tensor.ndim == 3


def _is_channels_first(tensor: torch.Tensor, site: Site) -> bool:
    if site.is_pattern or site.layout in ("last", "time"):
        return False
    return tensor.ndim >= (3 if site.layout == "channels" else 4)


def _hook(module: torch.nn.Module, site: Site, tap: Tap) -> Any:
    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        old = first_tensor((*args, *kwargs.values()), site)
        new = _changed(old, site, tap)
        if new is old:
            return None
        if args:
            return (new, *args[1:]), kwargs
        return args, {**kwargs, next(iter(kwargs)): new}

    def after(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        old = first_tensor(output, site)
        new = _changed(old, site, tap)
        return None if new is old else _with_first(output, new)

    if site.side == "output":
        return module.register_forward_hook(after)
    return module.register_forward_pre_hook(before, with_kwargs=True)


def _changed(old: torch.Tensor, site: Site, tap: Tap) -> torch.Tensor:
    """Give what is to stand at the site: the same tensor where the tap leaves it, or others read it too."""
    import torch

    new = tap(part_of(old, site))
    if new is None:
        return old
    if site.part is not None:
        pieces = list(old.chunk(site.part[1], dim=-1))
        pieces[site.part[0]] = new
        new = torch.cat(pieces, dim=-1)
    if new.shape != old.shape:
        raise ModelError(f"site {site.path!r} holds {tuple(old.shape)}, the change gave {tuple(new.shape)}")
    return old.copy_(new) if site.side == "shared" else new


def _with_first(output: Any, new: torch.Tensor) -> Any:
    import torch

    if isinstance(output, torch.Tensor):
        return new
    if isinstance(output, Mapping):
        changed = copy.copy(output)
        changed[next(iter(output))] = new  # type: ignore[index]
        return changed
    items = (new, *output[1:])
    return output._make(items) if hasattr(output, "_make") else type(output)(items)  # a named tuple takes fields


@contextmanager
def _eager(model: torch.nn.Module, taps: Mapping[torch.nn.Module, Sequence[Tap]]) -> Iterator[None]:
    """Have attention computed step by step, as transformers' `eager` does, with taps on its pattern."""
    homes: dict[str, Any] = {}
    for attention in taps:
        home: Any = sys.modules[type(attention).__module__]
        if not hasattr(home, "eager_attention_forward") or getattr(attention, "reorder_and_upcast_attn", False):
            raise ModelError(f"the attention pattern of {type(attention).__name__} cannot be reached")
        homes[home.__name__] = home
    configs = {id(c): c for m in (model, *taps) if (c := getattr(m, "config", None)) is not None}.values()
    ways = [(config, config._attn_implementation) for config in configs]
    computed = [(home, home.eager_attention_forward) for home in homes.values()]
    try:
        for config in configs:
            config._attn_implementation = "eager"
        for home, forward in computed:
            home.eager_attention_forward = _watched(forward, taps)
        yield
    finally:
        for home, forward in computed:
            home.eager_attention_forward = forward
        for config, way in ways:
            config._attn_implementation = way


def _watched(forward: Callable[..., Any], taps: Mapping[torch.nn.Module, Sequence[Tap]]) -> Callable[..., Any]:
    def watched(
        module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        out, pattern = forward(module, query, key, value, *args, **kwargs)
        before = pattern
        for tap in taps.get(module, ()):
            changed = tap(pattern)
            pattern = pattern if changed is None else changed
        if pattern is not before:
            per_head = value.repeat_interleave(pattern.shape[1] // value.shape[1], dim=1)
            out = (pattern.to(value.dtype) @ per_head).transpose(1, 2).contiguous()
        return out, pattern

    return watched
