"""Edges of a transformer: what one reader of the residual stream gets from one writer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neurointerp.errors import ModelError
from neurointerp.models._families import Blocks, module_of
from neurointerp.models._selection import numbers, selected, values_of
from neurointerp.models.parameters import weights
from neurointerp.models.sites import Site, blocks_in, sites_of, spelled_site
from neurointerp.models.taps import Tap

if TYPE_CHECKING:
    import torch

_WRITER = re.compile(r"embed|L\d+\.(attn|mlp)\.out")
_READER = re.compile(r"logits|L\d+\.(attn|mlp)")
PARTS = {"attn.out": ("attn.z", "W_O"), "mlp.out": ("mlp.post", "W_out")}


@dataclass(frozen=True)
class Edge:
    """A change of what a reader gets from a writer; made by `edge`."""

    sender: str
    receiver: str
    value: Any = None
    strength: float = 1.0
    units: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    positions: Any = None

    def taps(self, model: torch.nn.Module, positions: Any) -> list[tuple[Site, Tap]]:
        """Give the sites to tap, and what is done there."""
        source, matrix = _source(model, self)
        writer = source if matrix is None else sites_of(model, self.sender)[0]
        reader = _reader(model, self.sender, self.receiver)
        where = positions if self.positions is None else self.positions
        written: list[torch.Tensor] = []

        def note(tensor: torch.Tensor) -> None:
            written[:] = [self._contribution(tensor, source, matrix)]

        def read(tensor: torch.Tensor) -> torch.Tensor:
            import torch

            instead = self._instead(tensor, writer)
            changed = tensor + self.strength * (instead - written[0])
            mask = selected(tensor, reader, None, None, where)
            return changed if mask is None else torch.where(mask, changed, tensor)

        return [(source, note), (reader, read)]

    def _instead(self, stream: torch.Tensor, writer: Site) -> torch.Tensor | float:
        if self.value is None:
            return 0.0
        given = values_of(self.value, stream, writer)
        try:
            return given.expand(stream.shape)
        except RuntimeError as error:
            raise ModelError(
                f"the stream behind {self.sender} is {tuple(stream.shape)}, the value has {tuple(given.shape)}"
            ) from error

    def _contribution(self, tensor: torch.Tensor, source: Site, matrix: torch.Tensor | None) -> torch.Tensor:
        """Give what the writer, or some of its heads or units, adds to the stream."""
        import torch

        if matrix is None:
            return tensor.clone()
        mask = selected(tensor, source, self.units, self.heads, None)
        assert mask is not None
        return torch.where(mask, tensor, torch.zeros_like(tensor)) @ matrix


def edge(
    sender: str, receiver: str, value: Any = None, *, heads: Any = None, units: Any = None, positions: Any = None
) -> Edge:
    """Have one reader of the residual stream get something else from one writer; all others get what they did.

    The reader is given `r - c + value`, where `r` is the stream it reads (before its norm) and `c` what the writer
    added to it. This is exact in models whose blocks add to the stream and read it through a norm. What is recorded
    meanwhile at the place where the reader reads (`resid.mid` for an MLP) is what the reader gets.

    Parameters
    ----------
    sender
        `embed` (all that the first block is given, positions too), `L2.attn.out` or `L2.mlp.out`.
    receiver
        `L3.attn`, `L3.mlp` or `logits`, behind the sender.
    value
        What the writer is taken to have added: None for nothing, or an array that fits the stream, such as its mean;
        or a recording that holds the sender's units, found by their labels.
    heads, units
        Take only these heads of `attn.out`, or units of `mlp.post` behind `mlp.out`, as the writer (without the bias).
    positions
        Tokens of the reader; default those that `intervene` says.

    Returns
    -------
    Edge
        An intervention for `intervene`.

    Raises
    ------
    ModelError
        When the names are none of these; when it is used, and the model's blocks do not add to a stream.

    Examples
    --------
    >>> edge("L0.attn.out", "L1.mlp", heads=[2]).heads
    (2,)
    """
    if not _WRITER.fullmatch(sender):
        raise ModelError(f"sender is {sender!r}: embed, L<layer>.attn.out or L<layer>.mlp.out is needed")
    if not _READER.fullmatch(receiver):
        raise ModelError(f"receiver is {receiver!r}: L<layer>.attn, L<layer>.mlp or logits is needed")
    part = sender.partition(".")[2]
    if (heads is not None and part != "attn.out") or (units is not None and part != "mlp.out"):
        raise ModelError(f"sender {sender!r}: heads= go with attn.out, units= with mlp.out")
    return Edge(sender, receiver, value, 1.0, numbers(units), numbers(heads), positions)


def _source(model: torch.nn.Module, one: Edge) -> tuple[Site, torch.Tensor | None]:
    """Give where to look for what the writer adds, and the weight behind it where it is a part of a writer."""
    layer, _, part = one.sender.partition(".")
    if one.sender == "embed":  # not by name: a module called so may leave the positions out
        return Site(blocks_in(model).paths[0], "input", "embed", None, True), None
    if one.heads is None and one.units is None:
        return sites_of(model, one.sender)[0], None
    inner, name = PARTS[part]
    return sites_of(model, f"{layer}.{inner}")[0], weights(model, name, layer=int(layer[1:]))


def _reader(model: torch.nn.Module, sender: str, receiver: str) -> Site:
    blocks = blocks_in(model)
    modules = {name for name, _ in model.named_modules()}
    scaled = getattr(getattr(model, "config", None), "residual_multiplier", 1.0) != 1.0
    if not blocks.family.reads or scaled or _norms_unread(blocks, modules):
        raise ModelError(
            f"the blocks of this {blocks.family.name} model do not add to a stream one after the other: no edges"
        )
    if _order(sender, blocks) >= _order(receiver, blocks):
        raise ModelError(f"{receiver} reads before {sender} writes: there is no such edge")
    layer, _, part = receiver.partition(".")
    if receiver == "logits":
        spelling = blocks.spelled("ends", "read", None, modules)
    elif int(layer[1:]) < len(blocks.paths):
        spelling = blocks.spelled("reads", part, int(layer[1:]), modules)
    else:
        spelling = None
    if spelling is None:
        raise ModelError(f"this {blocks.family.name} model of {len(blocks.paths)} layers has no reader {receiver!r}")
    return spelled_site(spelling, receiver, None)


def _norms_unread(blocks: Blocks, modules: set[str]) -> bool:
    """Tell whether a block has norms behind attention or MLP, which change what these add to the stream."""
    block = blocks.paths[0] + "."
    parts = {name.removeprefix(block) for name in modules if name.startswith(block)}
    norms = {block + part for part in parts if "norm" in part and "." not in part}
    reads = {module_of(blocks.spelled("reads", part, 0, modules) or "") for part in ("attn", "mlp")}
    return bool(norms - reads)


def _order(name: str, blocks: Blocks) -> float:
    """Give the place of a writer or a reader in the order of computation: of a layer, attention comes first."""
    if name == "embed":
        return -1.0
    if name == "logits":
        return float(len(blocks.paths))
    layer, _, part = name.partition(".")
    reads = 0.0 if part.startswith("attn") else 0.5
    return int(layer[1:]) + reads + (0.25 if part.endswith("out") else 0.0)
