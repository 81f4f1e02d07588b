"""The Transformer that the hatchling is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RotaryTransformer(nn.Module):
    """A pre-norm Transformer with rotary positions; with `hidden = 4 x width` it has 12 x width^2 weights per layer.

    The MLP of layer l is `blocks.{l}.up` and `blocks.{l}.down` around a ReLU.

    Parameters
    ----------
    vocab_size, layers, width, heads, hidden
        Number of tokens, of layers, of channels, of attention heads, and of units of each MLP.
    seed
        Seed of the initial weights; torch's own generator is left as it was.

    Examples
    --------
    >>> RotaryTransformer(16, layers=1, width=8, heads=2, hidden=32)(torch.tensor([[1, 2]])).shape
    torch.Size([1, 2, 16])
    """

    def __init__(
        self, vocab_size: int, *, layers: int = 4, width: int = 64, heads: int = 4, hidden: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.embed = nn.Embedding(vocab_size, width)
            self.blocks = nn.ModuleList(_Block(width, heads, hidden) for _ in range(layers))
            self.norm = nn.LayerNorm(width)
            self.unembed = nn.Linear(width, vocab_size, bias=False)
            for name, parameter in self.named_parameters():
                if parameter.ndim == 2:
                    shrunk = name.endswith(("out.weight", "down.weight"))
                    nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if shrunk else 0.02)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Give the logits (batch, token, vocab_size)."""
        stream = self.embed(input_ids)
        for block in self.blocks:
            stream = block(stream)
        return self.unembed(self.norm(stream))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attn, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, stream: Tensor) -> Tensor:
        parts = self.qkv(self.norm_attn(stream)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        mixed = functional.scaled_dot_product_attention(_rotary(query), _rotary(key), value, is_causal=True)
        stream = stream + self.out(mixed.transpose(1, 2).flatten(-2))
        return stream + self.down(self.up(self.norm_mlp(stream)).relu())  # type: ignore[no-any-return]


def _rotary(values: Tensor) -> Tensor:
    """Turn pairs (k, k + half) of each head by their position, base 10,000."""
    half = values.shape[-1] // 2
    rate = 10_000.0 ** (-torch.arange(half, device=values.device) / half)
    angle = torch.arange(values.shape[-2], device=values.device)[:, None] * rate
    first, second = values[..., :half], values[..., half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], dim=-1)
