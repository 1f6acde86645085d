"""Connectors: features of the encoder become embeddings in the LLM's space.

The two connectors of LLaVA, the literal table of all kinds, and how branches are shared: one a
modality, or one for all. The UPM (upm.py) has its own way: shared experts, a projection a modality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from polysense.config import ConnectorConfig
from polysense.errors import unknown_name
from polysense.model.connectors.abstractor import ConvolutionalAbstractor
from polysense.model.connectors.base import Connector, Pointwise
from polysense.model.connectors.mlp import feature_norm, linear_branch, mlp_branch
from polysense.model.connectors.pooling import AveragePool, TokenMerge
from polysense.model.connectors.qformer import QFormer, QFormerBranch
from polysense.model.connectors.qformer_pretraining import QFormerPretrainingBranch
from polysense.model.connectors.resampler import CrossAttentionResampler, PerceiverResampler
from polysense.model.connectors.upm import UniversalProjection
from polysense.model.initialization import init_scaled

SHARED = "shared"


class BranchConnector(Connector):
    """One network a modality, or a single one under the name "shared".

    `Branch` of polysense.model.connectors.base is the contract of such a network.
    """

    def __init__(self, branches: dict[str, nn.Module], shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self.branches = nn.ModuleDict(branches)

    def num_embeddings(self, positions: int) -> int:
        """What a branch says: they are all of one kind and size."""
        branch: Any = next(iter(self.branches.values()))
        return branch.num_embeddings(positions)

    def forward(
        self, features: torch.Tensor, modality: str, **options: torch.Tensor
    ) -> torch.Tensor:
        """Apply the modality's branch; `options` are the branch's own (the Q-Former's text)."""
        return self.branches[SHARED if self.shared else modality](features, **options)


def branch_makers(
    config: ConnectorConfig, width: int, llm_width: int, scale: float
) -> dict[str, Callable[[], nn.Module]]:
    """Return {kind: what makes one branch of it}; each ends in a readout at the words' scale."""

    def linear(inner: int) -> Pointwise:
        return linear_branch(config, inner, llm_width, scale)

    def mlp(inner: int) -> Pointwise:
        return mlp_branch(config, inner, llm_width, scale)

    def bare(inner: int) -> nn.Module:  # after a Q-Former, whose last step is a norm
        return init_scaled(nn.Linear(inner, llm_width), scale)

    def former() -> QFormer:
        sizes = ("width", "layers", "heads", "queries", "feedforward", "vocabulary", "dropout")
        return QFormer(width, **config.given(*sizes))

    def qformer() -> QFormerBranch:
        parts = (feature_norm(config, width), bare, former())
        return (
            QFormerPretrainingBranch(*parts, config.contrastive_width)
            if config.contrastive_width
            else QFormerBranch(*parts)
        )

    def perceiver() -> PerceiverResampler:
        options = given("queries", "layers", "heads", "feedforward", "head_width")
        options |= {"frames": config.frames, "query_key_norm": config.query_key_norm}
        if config.variant == "idefics":
            options |= {"frames": None, "activation": nn.ReLU}
            return PerceiverResampler(width, nn.LayerNorm, **options)
        return PerceiverResampler(width, linear, **options)

    given = config.given
    return {
        "linear": lambda: linear(width),
        "mlp": lambda: mlp(width),
        "qformer": qformer,
        "perceiver": perceiver,
        "resampler": lambda: CrossAttentionResampler(
            width, linear, config.width or llm_width, **given("queries", "heads")
        ),
        "abstractor": lambda: ConvolutionalAbstractor(
            width, mlp, **given("width", "layers", "queries")
        ),
        "merge": lambda: TokenMerge(width, linear, config.merge_factor),
        "pool": lambda: AveragePool(width, mlp, **given("queries")),
    }


def normed_width(config: ConnectorConfig, encoder_width: int) -> int | None:
    """Return how wide embeddings are that end in a norm; None of the LLM's width and scale."""
    own = config.kind == "perceiver" and config.variant == "idefics"
    return encoder_width if own else None


def build_connector(
    config: ConnectorConfig,
    modalities: Sequence[str],
    encoder_width: int,
    llm_width: int,
    embedding_scale: float,
) -> Connector:
    """Build the connector `config.kind`; widths are E and D, the scale is a word embedding's.

    Raises PolysenseError where the kind is unknown or its sizes do not go together.
    """
    if config.kind == "upm":
        return UniversalProjection(config, modalities, encoder_width, llm_width, embedding_scale)
    makers = branch_makers(config, encoder_width, llm_width, embedding_scale)
    if config.kind not in makers:
        raise unknown_name("connector", config.kind, [*makers, "upm"])
    names = [SHARED] if config.shared else modalities
    return BranchConnector({name: makers[config.kind]() for name in names}, config.shared)
