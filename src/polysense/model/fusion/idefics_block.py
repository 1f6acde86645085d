"""IDEFICS's gated blocks: Flamingo's, built as LLaMA's layers are (transformers' `idefics`).

RMSNorm and SwiGLU instead of LayerNorm and GELU; heads as wide as the LLM's; gates for a block or
for each of its outputs; and, if wanted, queries and keys that every head norms.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.model.attention import attend, per_head
from polysense.model.fusion.media_context import KeysAndValues

Gates = Literal["one", "each"]


class IdeficsBlock(nn.Module):
    """x + tanh(a) attention(x, media), then x + tanh(b) feedforward(x); a and b start at 0."""

    def __init__(
        self,
        width: int,
        media_width: int,
        heads: int,
        hidden: int,
        epsilon: float = 1e-6,
        gates: Gates = "one",
        query_key_norm: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise PolysenseError(f"fusion.heads={heads} does not divide the width {width}")
        self.heads = heads
        self.norm = nn.RMSNorm(width, eps=epsilon)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(media_width, width, bias=False)
        self.value = nn.Linear(media_width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

        def head_norm() -> nn.Module | None:
            return nn.RMSNorm(width // heads, eps=epsilon) if query_key_norm else None

        self.query_norm, self.key_norm = head_norm(), head_norm()
        self.feedforward_norm = nn.RMSNorm(width, eps=epsilon)
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)
        count = width if gates == "each" else 1
        self.attention_gate = nn.Parameter(torch.zeros(count))
        self.feedforward_gate = nn.Parameter(torch.zeros(count))

    def remember(self, media: torch.Tensor) -> KeysAndValues:
        """media [B, S, W] -> its keys and values [B, S, D]."""
        media = media.to(self.key.weight.dtype)
        return per_head(self.key_norm, self.key(media), self.heads), self.value(media)

    def forward(
        self, x: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """x [B, T, D] looks where mask [B, 1, T, S] allows -> [B, T, D]; nowhere: adds nothing."""
        conditioned_on = mask.any(dim=-1, keepdim=True)
        query = per_head(self.query_norm, self.query(self.norm(x)), self.heads)
        # Softmax over nothing is NaN: who sees nothing looks everywhere and drops what it finds.
        found = attend(query, key, value, self.heads, mask | ~conditioned_on)
        x = x + self.attention_gate.tanh() * self.out(found * conditioned_on[:, 0])
        normed = self.feedforward_norm(x)
        fed = self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return x + self.feedforward_gate.tanh() * fed
