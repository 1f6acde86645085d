"""The contract of a connector, and the scale that connectors begin at.

In: features of the encoder. Out: embeddings in the width of the LLM. Kinds are in connectors.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class Connector(nn.Module, ABC):
    """features [N, F, E] of one modality -> embeddings [N, M, D]."""

    @abstractmethod
    def embeddings(self, positions: int) -> int:
        """Return M, the number of embeddings for a signal of `positions` features."""

    @abstractmethod
    def forward(self, features: torch.Tensor, modality: str) -> torch.Tensor:
        """Map features [N, F, E] of `modality` to embeddings [N, M, D]."""


def scaled(layer: nn.Linear, scale: float) -> nn.Linear:
    """Initialise `layer` so that inputs of unit variance leave with standard deviation `scale`.

    Embeddings then begin as large as word embeddings, where the LLM's first layers are at home.
    """
    nn.init.normal_(layer.weight, std=scale / layer.in_features**0.5)
    nn.init.zeros_(layer.bias)
    return layer
