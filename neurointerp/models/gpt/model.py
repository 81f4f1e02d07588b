"""The model, and the model as a folder."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurointerp.errors import ModelError
from neurointerp.models import checkpoint
from neurointerp.models.gpt.tokens import Tokenizer

# Wider than GPT-2's 0.02 for the embeddings: short trainings then leave the unigram plateau in a third of the steps.
_SPREAD = {"embed.weight": 0.3, "position.weight": 0.1, "unembed.weight": 0.02}


@dataclasses.dataclass(frozen=True)
class Config:
    """The shape of a model.

    Attributes
    ----------
    vocab_size, context
        Number of tokens, and how many of them the model reads at once.
    layers, heads, width, hidden
        Blocks, attention heads in each, width of the residual stream, and units of each MLP (default 4 x width).
    """

    vocab_size: int = 256
    context: int = 64
    layers: int = 2
    heads: int = 4
    width: int = 64
    hidden: int = 0

    def __post_init__(self) -> None:
        if not self.hidden:
            object.__setattr__(self, "hidden", 4 * self.width)
        for name, value in dataclasses.asdict(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"gpt: {name} is {value!r}; a whole number of at least 1 is needed")
        if self.width % self.heads:
            raise ModelError(f"gpt: width {self.width} does not divide into {self.heads} heads")

    @property
    def max_position_embeddings(self) -> int:
        """Give `context` under the name that transformers use."""
        return self.context


class Pattern(nn.Module):
    """The attention pattern: what every token takes from itself and those before it, summing to 1."""

    def forward(self, scores: Tensor, allowed: Tensor) -> Tensor:
        """Give (batch, head, query, key)."""
        return torch.where(allowed, scores, -torch.inf).softmax(-1)


class Attention(nn.Module):
    """Causal multi-head attention; `pattern` returns the attention, `out` is given the heads side by side."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.pattern = Pattern()
        self.out = nn.Linear(config.width, config.width)

    def forward(self, stream: Tensor, allowed: Tensor) -> Tensor:
        """Give (batch, token, width)."""
        query, key, value = (
            part(stream).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        pattern = self.pattern(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, allowed)
        return self.out((pattern @ value).transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Up-projection, GELU, down-projection."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.hidden)
        self.act = nn.GELU()
        self.down = nn.Linear(config.hidden, config.width)

    def forward(self, stream: Tensor) -> Tensor:
        """Give (batch, token, width)."""
        return self.down(self.act(self.up(stream)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention and MLP, each behind its norm, added to the residual stream."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm_attn = nn.LayerNorm(config.width)
        self.attn = Attention(config)
        self.norm_mlp = nn.LayerNorm(config.width)
        self.mlp = MLP(config)

    def forward(self, stream: Tensor, allowed: Tensor) -> Tensor:
        """Give (batch, token, width)."""
        stream = stream + self.attn(self.norm_attn(stream), allowed)
        return stream + self.mlp(self.norm_mlp(stream))  # type: ignore[no-any-return]


class GPT(nn.Module):
    """A GPT-2 style language model with separate, named parts.

    Its modules are `embed`, `position`, `blocks.{layer}.norm_attn`, `.attn.query`, `.attn.key`, `.attn.value`,
    `.attn.pattern`, `.attn.out`, `.norm_mlp`, `.mlp.up`, `.mlp.act`, `.mlp.down`, then `norm` and `unembed`.
    A block is given the residual stream and returns it; `norm_mlp` is given the stream between the two.

    Parameters
    ----------
    config
        The shape.
    seed
        Seed of the initial weights; torch's own generator is left as it was.

    Attributes
    ----------
    tokenizer
        Text to ids and back.
    trained
        How it was trained: settings, `seed`, `held_out_loss` (nats per token) and the curve; empty before.

    Examples
    --------
    >>> model = GPT(Config(layers=1, width=8, heads=2))
    >>> model(torch.tensor([[72, 105]])).shape
    torch.Size([1, 2, 256])
    """

    def __init__(self, config: Config, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer()
        self.trained: dict[str, Any] = {}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.embed = nn.Embedding(config.vocab_size, config.width)
            self.position = nn.Embedding(config.context, config.width)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.norm = nn.LayerNorm(config.width)
            self.unembed = nn.Linear(config.width, config.vocab_size, bias=False)
            self._initialise()

    @property
    def held_out_loss(self) -> float:
        """Give the cross-entropy on the held-out end of the text, in nats per token."""
        if "held_out_loss" not in self.trained:
            raise ModelError("gpt: this model was not trained; use gpt.train")
        return float(self.trained["held_out_loss"])

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Give the logits of the next token.

        Parameters
        ----------
        input_ids
            (batch, token).
        attention_mask
            (batch, token), 0 where a token is padding, on either side; positions count the others.

        Returns
        -------
        Tensor
            (batch, token, vocab_size).
        """
        size = input_ids.shape[1]
        if size > self.config.context:
            raise ModelError(f"gpt: {size} tokens are longer than the context of {self.config.context}; cut them")
        causal = torch.ones(size, size, dtype=torch.bool, device=input_ids.device).tril()
        place = torch.arange(size, device=input_ids.device).expand(input_ids.shape)
        allowed = causal[None, None]
        if attention_mask is not None:
            real = attention_mask.bool()
            place = (real.cumsum(1) - 1).clamp(min=0)
            # A padded query sees itself, so that no row of the softmax is empty.
            allowed = causal & (real[:, None, None] | torch.eye(size, dtype=torch.bool, device=real.device))
        stream = self.embed(input_ids) + self.position(place)
        for block in self.blocks:
            stream = block(stream, allowed)
        return self.unembed(self.norm(stream))  # type: ignore[no-any-return]

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name in _SPREAD:
                nn.init.normal_(parameter, std=_SPREAD[name])
            elif parameter.ndim == 2:
                std = self.config.width**-0.5 / 2
                shrunk = name.endswith(("attn.out.weight", "mlp.down.weight"))
                nn.init.normal_(parameter, std=std / (2 * self.config.layers) ** 0.5 if shrunk else std)


def save(model: GPT, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a model as a folder of `model.safetensors` and `config.json`.

    Parameters
    ----------
    model
        The model.
    path
        Folder to write; it appears in one step.
    overwrite
        Replace a saved model that is there.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    StoreError
        When the path exists, or holds something else than a saved model.

    Examples
    --------
    >>> import tempfile
    >>> path = save(GPT(Config(layers=1, width=8, heads=2)), tempfile.mkdtemp() + "/gpt")
    >>> load(path).config.width
    8
    """
    settings = {
        "kind": "gpt", "config": dataclasses.asdict(model.config), "pieces": model.tokenizer.pieces,
        "trained": model.trained,
    }  # fmt: skip
    return checkpoint.write(model, settings, path, overwrite=overwrite)


def load(path: str | os.PathLike[str]) -> GPT:
    """Read a model that `save` wrote; nothing is unpickled.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    GPT
        On the CPU, in evaluation mode.

    Raises
    ------
    StoreError
        When the folder is not a saved GPT, or its weights do not fit its settings.
    """

    def build(settings: dict[str, Any]) -> GPT:
        model = GPT(Config(**settings["config"]))
        model.tokenizer = Tokenizer(None if settings["pieces"] is None else tuple(settings["pieces"]))
        model.trained = dict(settings["trained"])
        return model

    return checkpoint.read(path, "gpt", build)
