"""Connectors: features of the encoder become embeddings in the LLM's space.

The two connectors of LLaVA, and the literal table of all kinds. Linear and MLP have one branch a
modality; the UPM (upm.py) shares its experts among all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from polysense.config import ConnectorConfig
from polysense.errors import unknown_name
from polysense.model.connector import Connector, scaled
from polysense.model.upm import UniversalProjection


class BranchConnector(Connector):
    """One small network a modality, applied to each position: M = F."""

    def __init__(self, branches: dict[str, nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(branches)

    def embeddings(self, positions: int) -> int:
        """Every position gives one embedding."""
        return positions

    def forward(self, features: torch.Tensor, modality: str) -> torch.Tensor:
        """Apply the modality's branch."""
        return self.branches[modality](features)


def linear_branch(config: ConnectorConfig, width: int, llm_width: int, scale: float) -> nn.Module:
    """LLaVA (arXiv 2304.08485): one linear layer, behind a norm since encoders differ in scale."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Dropout(config.dropout), scaled(nn.Linear(width, llm_width), scale)
    )


def mlp_branch(config: ConnectorConfig, width: int, llm_width: int, scale: float) -> nn.Module:
    """LLaVA-1.5 (arXiv 2310.03744): Linear, GELU, Linear, behind a norm."""
    hidden = config.hidden or llm_width
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Dropout(config.dropout),
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        scaled(nn.Linear(hidden, llm_width), 2 * scale),  # GELU leaves about half the variance
    )


def branches(
    branch: Callable[[ConnectorConfig, int, int, float], nn.Module],
    config: ConnectorConfig,
    modalities: Sequence[str],
    width: int,
    llm_width: int,
    scale: float,
) -> Connector:
    """Build one `branch` a modality."""
    return BranchConnector({name: branch(config, width, llm_width, scale) for name in modalities})


def build_connector(
    config: ConnectorConfig,
    modalities: Sequence[str],
    encoder_width: int,
    llm_width: int,
    embedding_scale: float,
) -> Connector:
    """Build the connector `config.kind`; widths are E and D, the scale is a word embedding's."""
    table: dict[str, Callable[[], Connector]] = {
        "linear": lambda: branches(
            linear_branch, config, modalities, encoder_width, llm_width, embedding_scale
        ),
        "mlp": lambda: branches(
            mlp_branch, config, modalities, encoder_width, llm_width, embedding_scale
        ),
        "upm": lambda: UniversalProjection(
            config, modalities, encoder_width, llm_width, embedding_scale
        ),
    }
    if config.kind not in table:
        raise unknown_name("connector", config.kind, table)
    return table[config.kind]()
