"""The transformer brain encoder: a learned query per region attends over the tokens of an image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from neurointerp.errors import ModelError


class RoutingEncoder(nn.Module):
    r"""Predict units from tokens that the query of each unit's region attends to.

    One decoder layer without self-attention among queries: with tokens :math:`S`, their sine position code :math:`P`
    and queries :math:`Q`, :math:`z = \mathrm{MHA}(Q, S + P, S)`, a feed-forward layer, and
    :math:`\hat y_v = \sum_r m_{rv} (w_v^\top z_r + b_v)` over the regions :math:`r` that contain unit :math:`v`. The
    values carry no position.

    Parameters
    ----------
    channels
        Of the tokens; where they are not `width`, a linear map brings them there.
    row, col
        (token) place of each token.
    membership
        (region, unit) bool or int: which regions contain a unit, at least one each.
    width, heads, hidden, dropout
        Of the layer; 768, 16, 1,024 and 0.1 in the paper.

    Raises
    ------
    ModelError
        When a unit is in no region, or sizes do not fit.

    References
    ----------
    Adeli, Minni, Kriegeskorte (2025), NeurIPS, arXiv:2505.17329, after a description of its public code.
    Deviation: one readout for all units instead of one per hemisphere (the same map, since weights are per unit).

    Examples
    --------
    >>> import numpy as np, torch
    >>> model = RoutingEncoder(6, [0, 0, 1, 1], [0, 1, 0, 1], np.eye(2, 3) + [[0, 0, 1], [0, 0, 0]], width=8, heads=2)
    >>> model(torch.zeros(5, 4, 6)).shape, model.attention(torch.zeros(5, 4, 6)).shape
    (torch.Size([5, 3]), torch.Size([5, 2, 2, 4]))
    """

    def __init__(
        self, channels: int, row: np.ndarray, col: np.ndarray, membership: np.ndarray, *, width: int = 64,
        heads: int = 4, hidden: int = 128, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        member = torch.as_tensor(np.asarray(membership), dtype=torch.float32)
        if member.ndim != 2 or not (member.sum(0) > 0).all():
            raise ModelError("every unit must be in one region or more; put the others into a region of their own")
        if width % heads or width % 4 or len(row) != len(col):
            raise ModelError(
                f"width {width} must be a multiple of four and of {heads} heads, and each token needs a row and a col"
            )
        self.project = nn.Identity() if channels == width else nn.Linear(channels, width)
        self.query = nn.Parameter(torch.randn(len(member), width))
        self.cross = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.first, self.middle, self.last = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.Dropout(dropout)
        )
        self.drop = nn.Dropout(dropout)
        self.weight, self.bias = (
            nn.Parameter(torch.empty(member.shape[1], width)),
            nn.Parameter(torch.zeros(member.shape[1])),
        )
        self.register_buffer("member", member)
        self.register_buffer("position", sine_code(np.asarray(row), np.asarray(col), width))
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1 and name != "query":  # queries stay N(0, 1), or all would ask the same at first
                nn.init.xavier_uniform_(parameter)

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Give (sample, unit) for tokens (sample, token, channel)."""
        routed, _ = self._routed(maps)
        each = routed @ self.weight.T + self.bias  # (sample, region, unit)
        return (each * self.get_buffer("member")).sum(1)

    def attention(self, maps: Tensor) -> Tensor:
        """Give (sample, region, head, token), of sum 1 over tokens."""
        return self._routed(maps)[1].transpose(1, 2)

    def _routed(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.project(maps)
        start = torch.zeros(len(tokens), *self.query.shape, device=tokens.device, dtype=tokens.dtype)
        attended, weights = self.cross(
            self.first(start) + self.query, tokens + self.get_buffer("position"), tokens, average_attn_weights=False
        )
        routed = start + self.drop(attended)
        return self.last(routed + self.feed(self.middle(routed))), weights


def sine_code(row: np.ndarray, col: np.ndarray, width: int) -> Tensor:
    """Give the two-dimensional sine position code (token, width) of DETR: half of it for rows, half for columns."""
    frequency = 10000 ** (-np.arange(0, width // 2, 2) / (width // 2))
    parts = []
    for place in (row, col):
        angle = 2 * np.pi * (place - place.min() + 1)[:, None] / (place.max() - place.min() + 1) * frequency
        parts.append(np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(len(place), -1))
    return torch.as_tensor(np.concatenate(parts, axis=1), dtype=torch.float32)
