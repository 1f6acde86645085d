"""The contract of an encoder, and the absence of one.

One encoder serves all modalities (OneLLM: universal): pictures go in as they are, every other
modality as tokens of its own tokenizer. Out: features. Kinds are in build.py.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError


def weights_hash(module: nn.Module, settings: str = "", dtype: torch.dtype = torch.float32) -> str:
    """Return a hash of a module's weights, as they are in `dtype`, and of their settings."""
    digest = hashlib.sha256(settings.encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        data = tensor.detach().to("cpu", dtype).contiguous()
        digest.update(data.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


class Encoder(nn.Module, ABC):
    """Pictures or tokens -> features [N, F, E]. `width` is E; tokens are `token_width` wide."""

    width: int
    token_width: int

    @abstractmethod
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, S, S] -> features [N, F, E]."""

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [N, F, token_width] -> features; as they are, where no blocks are for them."""
        if tokens.ndim != 3 or tokens.shape[-1] != self.token_width:
            raise PolysenseError(
                f"the encoder takes tokens [N, F, {self.token_width}], not {list(tokens.shape)}: a "
                "tokenizer gives the width it is asked for"
            )
        return tokens

    @property
    def class_token(self) -> torch.Tensor | None:
        """What stands before a modality's tokens [E], or None where the encoder knows no such."""
        return None

    def fingerprint(self) -> str:
        """Return a hash of the weights and settings: features with another one are others."""
        return weights_hash(self, self.settings())

    def identity(self) -> str:
        """Return a hash that is the same whether the weights were loaded in fp32 or in bf16."""
        return weights_hash(self, self.settings(), torch.bfloat16)

    def train(self, mode: bool = True) -> Encoder:
        """As nn.Module's; but an encoder of which nothing learns stays as in evaluation."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))

    @abstractmethod
    def settings(self) -> str:
        """Return what besides the weights decides the features, as text."""


class NoEncoder(Encoder):
    """No encoder: tokens go to the connector as they are, F x `encoder.width`."""

    def __init__(self, config: EncoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        if config.width is None:
            raise PolysenseError(
                "encoder.kind=none: set encoder.width to how wide the tokens are to be"
            )
        self.width = self.token_width = config.width

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """There is nothing that could see."""
        raise PolysenseError("encoder.kind=none reads no pictures: they need a vision encoder")

    def settings(self) -> str:
        """The width."""
        return f"none {self.width}"


def pool(feature_map: torch.Tensor, grid: int | None) -> torch.Tensor:
    """[N, E, h, w] -> [N, F, E], averaged to grid x grid positions where `grid` is given."""
    if grid is not None:
        feature_map = functional.adaptive_avg_pool2d(feature_map, grid)
    return feature_map.flatten(2).transpose(1, 2)
