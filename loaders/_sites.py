"""Sites of a torch model: finding modules by name, and taking what they hold during one pass."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurointerp.errors import LoaderError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Site:
    """One module of a model, and the side of it to take: its `output` or its first `input`."""

    path: str
    side: str
    name: str
    layer: int | None
    is_short: bool

    def label(self, index: int) -> str:
        """Give the unit label of one feature of this site."""
        layer = f"L{self.layer}." if self.is_short and self.layer is not None else ""
        return f"{layer}{self.name}.{index}"


def find_sites(modules: Sequence[str], sites: str | Sequence[str] | Mapping[str, str]) -> list[Site]:
    """Match sites with the names of modules.

    Parameters
    ----------
    modules
        Dotted names; `""` is the model itself.
    sites
        Names, globs (`*` within one part, `**` across dots, `{layer}` a number), each with or without
        `:input`; or a mapping from short names to these.

    Returns
    -------
    list of Site
        In the order asked for and, within a glob, of the modules. The layer is what `{layer}` stands for, else
        the first part of the name that is a number.

    Raises
    ------
    LoaderError
        When a site matches nothing, or one name would stand for two modules.

    Examples
    --------
    >>> [one.label(7) for one in find_sites(["h.0.mlp", "h.1.mlp"], {"mlp.out": "h.{layer}.mlp"})]
    ['L0.mlp.out.7', 'L1.mlp.out.7']
    """
    if isinstance(sites, str):
        sites = [sites]
    asked = list(sites.items()) if isinstance(sites, Mapping) else [(None, site) for site in sites]
    if not asked:
        raise LoaderError("sites is empty: name at least one module")
    found: dict[Site, None] = {}
    for short, spelling in asked:
        path, _, side = spelling.partition(":")
        if side not in ("", "input"):
            raise LoaderError(f"site {spelling!r} ends in ':{side}': ':input' or nothing is needed")
        hits = [hit for name in modules if (hit := _regex(path).fullmatch(name))]
        if not hits:
            near = difflib.get_close_matches(path, modules, n=3, cutoff=0.3) or list(modules)[:3]
            raise LoaderError(f"site {spelling!r} matches no module; the nearest are {', '.join(map(repr, near))}")
        found |= dict.fromkeys(_site(hit, side or "output", short) for hit in hits)
    _refuse_collisions(found)
    return list(found)


def unit_labels(sites: Sequence[Site], widths: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
    """Give the labels of sites side by side, and their coords `site`, `index` and, where known, `layer`."""
    labels = [site.label(i) for site, width in zip(sites, widths, strict=True) for i in range(width)]
    names = [site.name for site, width in zip(sites, widths, strict=True) for _ in range(width)]
    index = np.concatenate([np.arange(width) for width in widths])
    coords: dict[str, Any] = {"site": ("unit", names), "index": ("unit", index)}
    layers = [site.layer for site in sites]
    if any(layer is not None for layer in layers):
        known = np.array([np.nan if layer is None else layer for layer in layers])
        coords["layer"] = ("unit", np.repeat(known if None in layers else known.astype(np.int64), widths))
    return labels, coords


@dataclass(frozen=True)
class Run:
    """A model made ready to be called."""

    model: torch.nn.Module
    weights: dict[str, torch.Tensor] | None
    dtype: torch.dtype
    device: torch.device
    accepts: frozenset[str]

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Run one pass."""
        import torch

        if "use_cache" in self.accepts:
            kwargs["use_cache"] = False
        if self.weights is None:
            self.model(*args, **kwargs)
        else:
            torch.func.functional_call(self.model, self.weights, args, kwargs)


@contextmanager
def ready(model: torch.nn.Module, dtype: Any, device: Any) -> Iterator[Run]:
    """Put a model into evaluation mode, and back.

    Another dtype or device gets copies of the weights that are lent to each pass, so that the model's own
    never change (casting them there and back would round them).
    """
    import torch

    wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(wanted, torch.dtype) and wanted.is_floating_point):
        raise LoaderError(f"dtype {dtype!r} is not a floating-point type of torch, such as 'float32'")
    own = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    where = own.device if device is None else _device(device)
    weights = None
    if dtype is not None or device is not None:
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        weights = {name: cast(tensor.detach(), wanted, where) for name, tensor in tensors.items()}
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        accepts = frozenset(inspect.signature(model.forward).parameters)
        yield Run(model, weights, own.dtype if wanted is None else wanted, where, accepts)
    finally:
        for module, mode in modes:
            module.training = mode


def cast(tensor: torch.Tensor, dtype: torch.dtype | None, device: torch.device) -> torch.Tensor:
    """Move a tensor, and cast it where it holds floating-point numbers."""
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)


def capture(run: Run, sites: Sequence[Site], keep: torch.Tensor | None, *args: Any, **kwargs: Any) -> list[np.ndarray]:
    """Run one pass and give what each site held: rows of (prompt, token) where `keep`, or all for None."""
    import torch

    held: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}
    modules = dict(run.model.named_modules())
    handles: list[Any] = []
    try:
        for site in sites:
            handles.append(_hook(modules[site.path], site, keep, held[site]))
        with torch.inference_mode():
            run(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    for site, taken in held.items():
        if len(taken) != 1:
            raise LoaderError(f"site {site.path!r} ran {len(taken)} times in one pass; choose a module that runs once")
    return [_to_numpy(taken[0]) for taken in held.values()]


def _regex(pattern: str) -> re.Pattern[str]:
    if pattern.count("{layer}") > 1:
        raise LoaderError(f"site {pattern!r} has {{layer}} more than once; write * for the others")
    meanings = {"**": ".*", "*": "[^.]*", "{layer}": r"(?P<layer>\d+)"}
    pieces = re.split(r"(\*\*|\*|\{layer\})", pattern)
    return re.compile("".join(meanings.get(piece, re.escape(piece)) for piece in pieces))


def _site(hit: re.Match[str], side: str, short: str | None) -> Site:
    path = hit.string
    layer = hit.groupdict().get("layer") or next((part for part in path.split(".") if part.isdecimal()), None)
    name = short or (path or "model") + (":input" if side == "input" else "")
    return Site(path, side, name, None if layer is None else int(layer), short is not None)


def _refuse_collisions(sites: Mapping[Site, None]) -> None:
    seen: dict[str, Site] = {}
    for site in sites:
        other = seen.setdefault(site.label(0), site)
        if other != site:
            raise LoaderError(f"site {site.name!r} matches {other.path!r} and {site.path!r}; narrow the pattern")


def _device(device: Any) -> torch.device:
    import torch

    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise LoaderError(f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from error


def _hook(module: torch.nn.Module, site: Site, keep: torch.Tensor | None, held: list[torch.Tensor]) -> Any:
    def take(value: Any) -> None:
        # Copied at once: a later module may write into the same memory.
        held.append(_kept(_first_tensor(value, site), keep, site))

    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        take((*args, *kwargs.values()))

    def after(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        take(output)

    if site.side == "input":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


def _first_tensor(value: Any, site: Site) -> torch.Tensor:
    import torch

    items = list(value.values()) if isinstance(value, Mapping) else value
    first = items if isinstance(items, torch.Tensor) else next(iter(items or ()), None)
    if not isinstance(first, torch.Tensor):
        raise LoaderError(f"site {site.path!r}: its {site.side} is not a tensor but {type(first).__name__}")
    return first


def _kept(tensor: torch.Tensor, keep: torch.Tensor | None, site: Site) -> torch.Tensor:
    if keep is None:
        return tensor.clone()
    if tensor.ndim != 3 or tensor.shape[:2] != keep.shape:
        prompts, tokens = keep.shape
        raise LoaderError(
            f"site {site.path!r}: its {site.side} has shape {tuple(tensor.shape)}; "
            f"(prompt, token, unit) = ({prompts}, {tokens}, any) is needed"
        )
    return tensor[keep]


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    import torch

    known = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return np.asarray(known.cpu().numpy())
