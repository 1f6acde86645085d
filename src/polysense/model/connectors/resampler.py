"""Resamplers: any number of features becomes a fixed number of embeddings by cross-attention.

Flamingo's Perceiver resampler (arXiv 2204.14198, section 2.1 and appendix A.1.1), which takes any
number of frames, and Qwen-VL's single cross-attention with 2-D positions (arXiv 2308.12966).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.model.attention import attend, per_head
from polysense.model.connectors.base import Branch, OutputProjection, head_width, square_side
from polysense.model.initialization import keep_variance

HEAD_WIDTH = 64


class PerceiverBlock(nn.Module):
    """Latents look at the features and at themselves, then pass a feed-forward network; no bias.

    With `query_key_norm`, each head norms its queries and keys (IDEFICS).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        head_width: int = HEAD_WIDTH,
        activation: type[nn.Module] = nn.GELU,
        query_key_norm: bool = False,
    ) -> None:
        super().__init__()
        self.heads, inside = heads, heads * head_width
        self.media_norm, self.latent_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, inside, bias=False)
        self.key = nn.Linear(width, inside, bias=False)
        self.value = nn.Linear(width, inside, bias=False)
        self.out = nn.Linear(inside, width, bias=False)
        self.query_norm = nn.LayerNorm(head_width) if query_key_norm else None
        self.key_norm = nn.LayerNorm(head_width) if query_key_norm else None
        self.feedforward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden, bias=False),
            activation(),
            nn.Linear(hidden, width, bias=False),
        )

    def forward(self, latents: torch.Tensor, media: torch.Tensor) -> torch.Tensor:
        """latents [N, M, E], media [N, frames F, E] -> latents [N, M, E]."""
        latents = latents + self.attend(latents, media)
        return latents + self.feedforward(latents)

    def attend(self, latents: torch.Tensor, media: torch.Tensor) -> torch.Tensor:
        """Return what the latents gather; keys and values are concat(media, latents)."""
        normed = self.latent_norm(latents)
        seen = torch.cat([self.media_norm(media), normed], dim=1)
        query = per_head(self.query_norm, self.query(normed), self.heads)
        key = per_head(self.key_norm, self.key(seen), self.heads)
        mixed = attend(query, key, self.value(seen), self.heads)
        return self.out(mixed)


class PerceiverResampler(Branch):
    """features [N, F, E] or, of frames, [N, frames, F, E] -> [N, queries, D].

    Each frame's features get its time embedding, then all frames are read at once. There are
    `frames` learned time embeddings; more frames interpolate them linearly, as Flamingo does at
    test time (30 frames after training on 8). IDEFICS has none (`frames` None), and ReLU.
    """

    def __init__(
        self,
        encoder_width: int,
        output_projection: OutputProjection,
        queries: int = 64,
        layers: int = 6,
        heads: int = 8,
        feedforward: int | None = None,
        frames: int | None = 8,
        **block: Any,
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(queries, encoder_width))
        self.times = None
        if frames is not None:
            self.times = nn.Parameter(torch.randn(frames, encoder_width) * 0.02)
        self.blocks = nn.ModuleList(
            PerceiverBlock(encoder_width, heads, feedforward or 4 * encoder_width, **block)
            for _ in range(layers)
        )
        keep_variance(self.blocks)
        self.output_projection = output_projection(encoder_width)

    def num_embeddings(self, positions: int) -> int:
        """The latents, however many features and frames there are."""
        return len(self.latents)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Resample and project; a signal without frames is one frame."""
        if features.ndim == 3:
            features = features[:, None]
        if self.times is not None:
            features = features + self.time_embeddings(features.shape[1])[:, None]
        media = features.flatten(1, 2)
        latents = self.latents.expand(len(features), -1, -1)
        for block in self.blocks:
            latents = block(latents, media)
        return self.output_projection(latents)

    def time_embeddings(self, frames: int) -> torch.Tensor:
        """Return the time embeddings [frames, E] of so many frames; there must be some."""
        assert self.times is not None
        if frames <= len(self.times):
            return self.times[:frames]
        table = self.times.T[None]
        return functional.interpolate(table, frames, mode="linear", align_corners=True)[0].T


def sine_positions(side: int, width: int, span: int) -> torch.Tensor:
    """Return 2-D sine positions [side * side, width] of a grid laid over one of span x span.

    Half of the width says the row, half the column, each as sines then cosines of wavelengths from
    2 pi to 10000 * 2 pi. A finer grid gets points between those of the coarser one, so that the
    same place has the same position in both.
    """
    if width % 4:
        raise PolysenseError(f"connector.width={width} must be a multiple of 4 for 2-D positions")
    places = (torch.arange(side) + 0.5) * span / side - 0.5
    rates = 10000.0 ** (-torch.arange(width // 4) / (width // 4))
    angles = places[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], dim=1)  # [side, width / 2]
    rows = line[:, None].expand(-1, side, -1)
    columns = line[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


class CrossAttentionResampler(Branch):
    """features [N, F, E] of a square grid -> [N, queries, D], by one cross-attention.

    The queries are themselves a square grid; positions are added to queries and keys, not to
    values. Qwen-VL interpolates the queries' positions for other grids; ours are computed there.
    """

    def __init__(
        self,
        encoder_width: int,
        output_projection: OutputProjection,
        width: int,
        queries: int = 256,
        heads: int | None = None,
    ) -> None:
        super().__init__()
        heads = heads or max(1, width // 128)
        head_width(width, heads, "connector.width")
        self.width = width
        self.side = square_side(queries, f"the resampler with connector.queries={queries}")
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.key_projection = nn.Linear(encoder_width, width, bias=False)
        self.query_norm, self.key_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.output_projection = output_projection(width)

    def num_embeddings(self, positions: int) -> int:
        """The queries, however many features there are; these must be a square grid."""
        square_side(positions, "the resampler")
        return len(self.queries)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Let each query gather what it needs from the grid, and project."""
        side = square_side(features.shape[1], "the resampler")
        key = self.key_norm(self.key_projection(features))
        query = self.query_norm(self.queries) + self._positions(self.side, key)
        query = query.expand(len(features), -1, -1)
        gathered, _ = self.attention(
            query, key + self._positions(side, key), key, need_weights=False
        )
        return self.output_projection(gathered)

    def _positions(self, side: int, like: torch.Tensor) -> torch.Tensor:
        return sine_positions(side, self.width, self.side).to(like)
