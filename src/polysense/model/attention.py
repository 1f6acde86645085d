"""Multi-head attention between two sequences, as the connectors need it.

The projections are the caller's, since papers differ in their biases, norms and widths; this is the
part they share.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    heads: int,
    mask: torch.Tensor | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """query [N, Q, W] over key, value [N, K, W] -> [N, Q, W], in `heads` parts of W.

    mask: bool, broadcast to [N, heads, Q, K], True where a row may look at a column. Every row
    needs at least one such column: a row of none is NaN.
    """
    query, key, value = (
        states.unflatten(-1, (heads, -1)).transpose(1, 2) for states in (query, key, value)
    )
    mixed = functional.scaled_dot_product_attention(query, key, value, mask, dropout)
    return mixed.transpose(1, 2).flatten(2)


def per_head(norm: nn.Module | None, states: torch.Tensor, heads: int) -> torch.Tensor:
    """Norm states [N, T, W] in each of `heads` parts of W by itself; or not at all."""
    return states if norm is None else norm(states.unflatten(-1, (heads, -1))).flatten(-2)
