"""The weights of a model by site, and modules put in the place of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from neurointerp.errors import ModelError
from neurointerp.models.sites import blocks_in, spelled_site

if TYPE_CHECKING:
    import torch

ENDS = ("W_E", "W_U", "norm", "b_U", "norm.bias")
BIASES = {"b_in": "W_in", "b_gate": "W_gate", "b_out": "W_out", "b_Q": "W_Q", "b_K": "W_K", "b_V": "W_V", "b_O": "W_O",
          "b_U": "W_U", "norm.attn.bias": "norm.attn", "norm.mlp.bias": "norm.mlp", "norm.bias": "norm"}  # fmt: skip


def weights(model: torch.nn.Module, name: str, *, layer: int | None = None) -> torch.Tensor:
    """Give a weight of a model by what it does.

    Parameters
    ----------
    model
        A model of a known family.
    name
        Per layer: `W_in` (of a gated MLP the branch that is not gated), `W_gate`, `W_out`, `W_Q`, `W_K`, `W_V`, `W_O`,
        each `(input, output)`, so that what reads at a site gives what it writes as `mlp.post @ W_out + b_out`; their
        biases `b_in`, ...; the gains of the norms that attention and MLP read through, `norm.attn`, `norm.mlp`
        (for BERT, which norms behind them, those), and `norm.attn.bias`, `norm.mlp.bias`. For the whole model: `W_E`
        `(token, width)`, `W_U` `(width, token)`, `b_U`, the last `norm`, `norm.bias`.
    layer
        Number of the block; none for a weight of the whole model.

    Returns
    -------
    torch.Tensor
        The model's own values (a view, which carries gradients; changing it changes the model).

    Raises
    ------
    ModelError
        When the model has no such weight, or the layer is missing or too many.

    Examples
    --------
    >>> import torch
    >>> from neurointerp.models import gpt
    >>> model = gpt.GPT(gpt.Config(layers=1, width=8, heads=2))
    >>> weights(model, "W_out", layer=0).shape
    torch.Size([32, 8])
    """
    blocks = blocks_in(model)
    modules = dict(model.named_modules())
    kind = "ends" if name in ENDS else "weights"
    if (layer is None) != (kind == "ends"):
        raise ModelError(f"weight {name!r}: " + ("it has no layer" if kind == "ends" else "pass layer="))
    if layer is not None and not 0 <= layer < len(blocks.paths):
        raise ModelError(f"layer is {layer}: the model has 0 to {len(blocks.paths) - 1}")
    spelling = blocks.spelled(kind, BIASES.get(name, name), layer, modules)
    if spelling is None:
        known = [*blocks.family.weights, *(end for end in ENDS if end in blocks.family.ends)]
        raise ModelError(f"this {blocks.family.name} model has no {name!r}; it has {', '.join(known)}")
    place = spelled_site(spelling, name, layer)
    found = _oriented(modules[place.path], name in BIASES, name)
    if place.part is not None:
        found = found.chunk(place.part[1], dim=-1)[place.part[0]]
    return found


@contextmanager
def replace(model: torch.nn.Module, modules: Mapping[str, torch.nn.Module]) -> Iterator[torch.nn.Module]:
    """Put other modules in the place of some, and the own ones back.

    Parameters
    ----------
    model
        Any module.
    modules
        Name of a module, as in `model.named_modules()`, or `L3.attn`, `L3.mlp` in a family whose blocks have them
        -> what stands there until the context ends. It is called with the arguments of the one it replaces.

    Yields
    ------
    torch.nn.Module
        The model.

    Raises
    ------
    ModelError
        When there is no such module.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with replace(model, {"1": torch.nn.Identity()}):
    ...     type(model[1]).__name__
    'Identity'
    >>> type(model[1]).__name__
    'ReLU'
    """
    known = dict(model.named_modules())
    places = {_module_path(model, name, known): module for name, module in modules.items()}
    own = [(_parent(known, path), path.rpartition(".")[2], known[path]) for path in places]
    try:
        for (parent, name, _), module in zip(own, places.values(), strict=True):
            parent._modules[name] = module
        yield model
    finally:
        for parent, name, module in own:
            parent._modules[name] = module


def _oriented(module: torch.nn.Module, bias: bool, name: str) -> torch.Tensor:
    """Give the weight as (input, output), or the bias; of a norm its gain."""
    values: Any = getattr(module, "bias" if bias else "weight", None)
    if values is None:
        raise ModelError(f"{type(module).__name__} has no {'bias' if bias else 'weight'} for {name!r}")
    transposed = not bias and values.ndim == 2 and type(module).__name__ not in ("Conv1D", "Embedding")
    transposed = transposed and not name.startswith("W_E")
    found: torch.Tensor = values.T if transposed else values
    return found


def _module_path(model: torch.nn.Module, name: str, known: Mapping[str, Any]) -> str:
    if name in known and name:
        return name
    layer, _, part = name.partition(".")
    if layer[:1] == "L" and layer[1:].isdecimal() and part in ("attn", "mlp"):
        blocks = blocks_in(model)
        if int(layer[1:]) < len(blocks.paths):
            block = blocks.paths[int(layer[1:])]
            for own in {"attn": ("attn", "self_attn", "attention"), "mlp": ("mlp",)}[part]:
                if f"{block}.{own}" in known:
                    return f"{block}.{own}"
    raise ModelError(f"the model has no module {name!r} to replace")


def _parent(known: Mapping[str, torch.nn.Module], path: str) -> torch.nn.Module:
    return known[path.rpartition(".")[0]]
