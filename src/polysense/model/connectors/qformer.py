"""BLIP-2's Q-Former (arXiv 2301.12597, section 3.1): learned queries read the features for the LLM.

BERT blocks over queries and text; every second one lets the queries look at the features. Queries
and text share self-attention and have a feed-forward network each. Text is optional: as the LLM's
connector BLIP-2 leaves it out, InstructBLIP (arXiv 2305.06500) gives the instruction, and BLIP-2's
first stage gives the caption under one of three masks.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.model.attention import attend
from polysense.model.connectors.base import Branch, OutputProjection, head_width
from polysense.model.initialization import keep_variance

AttentionMode = Literal["separate", "joint", "causal"]
TEXT_POSITIONS = 512
EPSILON = 1e-12  # BERT's


def attention_mode_mask(
    attention_mode: AttentionMode, queries: int, text_mask: torch.Tensor
) -> torch.Tensor:
    """Return who may look at whom, bool [N, 1, Q + L, Q + L], for Q queries before L text ids.

    separate  queries at queries, text at text (contrastive objective, ITC)
    joint     everyone at everyone (matching, ITM; and instructions)
    causal    queries at queries, text at queries and the text so far (captioning, ITG)

    text_mask [N, L] is 0 at padding, which only padding itself looks at.
    """
    length = text_mask.shape[1]
    total = queries + length
    is_text = torch.arange(total, device=text_mask.device) >= queries
    row, column = is_text[:, None], is_text[None, :]
    everywhere = torch.ones(total, total, dtype=torch.bool, device=text_mask.device)
    seen = {
        "separate": row == column,
        "joint": everywhere,
        "causal": ~column | (row & everywhere.tril()),
    }[attention_mode]
    real = functional.pad(text_mask.bool(), (queries, 0), value=True)
    own = torch.eye(total, dtype=torch.bool, device=text_mask.device)
    return ((seen & real[:, None, :]) | own)[:, None]


class Attention(nn.Module):
    """BERT's attention with its residual, normed afterwards; keys and values may be of features."""

    def __init__(self, width: int, source_width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(source_width, width), nn.Linear(source_width, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(
        self, x: torch.Tensor, source: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x [N, T, W] looks at source [N, K, source_width] -> [N, T, W]."""
        dropout = self.dropout if self.training else 0.0
        mixed = attend(
            self.query(x), self.key(source), self.value(source), self.heads, mask, dropout
        )
        return self.norm(x + functional.dropout(self.out(mixed), dropout))


class FeedForward(nn.Module):
    """BERT's feed-forward network with its residual, normed afterwards."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, T, W] -> [N, T, W]."""
        return self.norm(x + self.dropout(self.outer(functional.gelu(self.inner(x)))))


class QFormerLayer(nn.Module):
    """Self-attention of all; the queries' look at the features; a feed-forward network a kind."""

    def __init__(
        self, width: int, heads: int, hidden: int, source: int | None, text: bool, dropout: float
    ) -> None:
        super().__init__()
        self.attention = Attention(width, width, heads, dropout)
        self.cross_attention = Attention(width, source, heads, dropout) if source else None
        self.query_feedforward = FeedForward(width, hidden, dropout)
        self.text_feedforward = FeedForward(width, hidden, dropout) if text else None

    def forward(
        self,
        x: torch.Tensor,
        queries: int,
        features: torch.Tensor | None,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """x [N, Q + L, W] -> the same shape; the first `queries` positions read `features`."""
        x = self.attention(x, x, mask)
        parts = []
        if queries and features is not None:
            query = x[:, :queries]
            if self.cross_attention is not None:
                query = self.cross_attention(query, features)
            parts.append(self.query_feedforward(query))
        if self.text_feedforward is not None and x.shape[1] > queries:
            parts.append(self.text_feedforward(x[:, queries:]))
        return torch.cat(parts, dim=1)


class QFormer(nn.Module):
    """Queries [Q, W], text embeddings where there is a vocabulary, and the layers over both."""

    def __init__(
        self,
        encoder_width: int,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        queries: int = 32,
        feedforward: int | None = None,
        vocabulary: int | None = None,
        cross_every: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        head_width(width, heads, "connector.width")
        self.words = nn.Embedding(vocabulary, width) if vocabulary else None
        self.positions = nn.Embedding(TEXT_POSITIONS, width) if vocabulary else None
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            QFormerLayer(
                width,
                heads,
                feedforward or 4 * width,
                None if index % cross_every else encoder_width,
                text=vocabulary is not None,
                dropout=dropout,
            )
            for index in range(layers)
        )
        keep_variance(self)
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)

    def forward(
        self,
        features: torch.Tensor | None,
        text_ids: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        attention_mode: AttentionMode = "joint",
    ) -> torch.Tensor:
        """features [N, F, E] and text_ids [N, L] -> states [N, Q + L, W], queries first.

        Without text, [N, Q, W]; without features, text alone as [N, L, W] (the text side of the
        contrastive objective). text_mask [N, L] is 0 at padding; `attention_mode` as in
        `attention_mode_mask`. Raises PolysenseError where text comes to a Q-Former built without,
        or is too long.
        """
        parts, mask, queries = [], None, 0
        if features is not None:
            queries = len(self.queries)
            parts.append(self.queries.expand(len(features), -1, -1))
        if text_ids is not None:
            parts.append(self.embed(text_ids))
            text_mask = torch.ones_like(text_ids) if text_mask is None else text_mask
            mask = attention_mode_mask(attention_mode, queries, text_mask)
        if not parts:
            raise PolysenseError("the Q-Former needs features, text_ids, or both")
        x = self.dropout(self.norm(torch.cat(parts, dim=1)))
        for layer in self.layers:
            x = layer(x, queries, features, mask)
        return x

    def embed(self, text_ids: torch.Tensor) -> torch.Tensor:
        """text_ids [N, L] -> word plus position embeddings [N, L, W]."""
        if self.words is None or self.positions is None:
            raise PolysenseError("this Q-Former reads no text: set connector.vocabulary")
        length = text_ids.shape[1]
        if length > TEXT_POSITIONS:
            raise PolysenseError(
                f"the Q-Former's text has {length} ids; the limit is {TEXT_POSITIONS}"
            )
        return self.words(text_ids) + self.positions.weight[:length]


class QFormerBranch(Branch):
    """features [N, F, E] -> [N, Q, D]: the Q-Former's query states, projected to the LLM.

    BLIP-2 norms its encoder's output first: `feature_norm`, unless the encoder has done it.
    """

    def __init__(
        self, feature_norm: nn.Module, output_projection: OutputProjection, former: QFormer
    ) -> None:
        super().__init__()
        self.feature_norm = feature_norm
        self.former = former
        self.output_projection = output_projection(former.queries.shape[1])

    def num_embeddings(self, positions: int) -> int:
        """The queries, however many features there are."""
        return len(self.former.queries)

    def forward(
        self,
        features: torch.Tensor,
        text_ids: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Read the features, led by an instruction [N, L] in ids where one is given."""
        states = self.former(self.feature_norm(features), text_ids, text_mask)
        return self.output_projection(states[:, : len(self.former.queries)])
