"""Connectors of LLaVA: one linear layer, or an MLP of two."""

from __future__ import annotations

from torch import nn

from polysense.config import ConnectorConfig
from polysense.model.connectors.base import Pointwise
from polysense.model.initialization import init_scaled


def feature_norm(config: ConnectorConfig, width: int) -> nn.Module:
    """Return the norm that stands before a network, or what does nothing in its place."""
    return nn.LayerNorm(width) if config.norm else nn.Identity()


def linear_branch(config: ConnectorConfig, width: int, llm_width: int, scale: float) -> Pointwise:
    """LLaVA (arXiv 2304.08485): one linear layer, behind a norm since encoders differ in scale."""
    return Pointwise(
        feature_norm(config, width),
        nn.Dropout(config.dropout),
        init_scaled(nn.Linear(width, llm_width), scale),
    )


def mlp_branch(config: ConnectorConfig, width: int, llm_width: int, scale: float) -> Pointwise:
    """LLaVA-1.5 (arXiv 2310.03744): Linear, GELU, Linear, behind a norm."""
    hidden = config.hidden or llm_width
    return Pointwise(
        feature_norm(config, width),
        nn.Dropout(config.dropout),
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        init_scaled(nn.Linear(hidden, llm_width), 2 * scale),  # GELU leaves about half the variance
    )
