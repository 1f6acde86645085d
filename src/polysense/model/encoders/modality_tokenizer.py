"""A modality's tokenizer as the universal encoder wants it: with a class token and positions.

In: signals [N, ...]. Out: tokens [N, c + F, E], where c is 1 if the encoder has a class token. The
tokenizer itself comes from modalities/; the position table is the modality's own, trained with it
(OneLLM, section 3.2: pictures keep the encoder's positions, every other modality learns its own).
"""

from __future__ import annotations

import torch
from torch import nn

from polysense.modalities import Modality


class ModalityTokenizer(nn.Module):
    """One modality's tokenizer, its positions [c + F, E], and the encoder's class token."""

    def __init__(self, modality: Modality, width: int, class_token: bool) -> None:
        super().__init__()
        self.tokenizer = modality.tokenizer(width)
        with torch.inference_mode():
            count = self.tokenizer(modality.example()[None]).shape[1]
        self.positions = nn.Parameter(torch.randn(count + class_token, width) * 0.02)

    def forward(self, signals: torch.Tensor, class_token: torch.Tensor | None) -> torch.Tensor:
        """Signals [N, ...] -> tokens [N, c + F, E]."""
        tokens = self.tokenizer(signals)
        if class_token is not None:
            first = class_token.to(tokens.dtype).expand(len(tokens), 1, -1)
            tokens = torch.cat([first, tokens], dim=1)
        return tokens + self.positions


def build_tokenizer(modality: Modality, width: int, class_token: bool) -> nn.Module:
    """Return the part before the encoder's blocks; of pictures it is the encoder's own."""
    return (
        nn.Identity()
        if modality.uses_vision_encoder
        else ModalityTokenizer(modality, width, class_token)
    )
