"""The contract of an encoder, and the absence of one.

In: tokens of a modality tokenizer (for pictures: the signal itself). Out: features. Kinds are in
encoders.py.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

import torch
from torch import nn

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError


def weights_hash(module: nn.Module, settings: str = "") -> str:
    """Return a hash of a module's weights and the settings they are used with."""
    digest = hashlib.sha256(settings.encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        data = tensor.detach().to("cpu", torch.float32).contiguous()
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()[:16]


class Encoder(nn.Module, ABC):
    """tokens -> features [N, F, E]. `width` is E."""

    width: int

    @abstractmethod
    def forward(self, tokens: torch.Tensor, modality: str) -> torch.Tensor:
        """Return the features [N, F, E] of `modality`'s tokens."""

    def positions(self, tokens: torch.Tensor) -> int:
        """Return F for tokens of this shape, by running one."""
        device = next(self.parameters()).device
        with torch.inference_mode():
            return self(tokens[:1].to(device), "").shape[1]

    def fingerprint(self) -> str:
        """Return a hash of the weights and settings: features with another one are others."""
        return weights_hash(self, self.settings())

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
        self.width = config.width

    def forward(self, tokens: torch.Tensor, modality: str) -> torch.Tensor:
        """tokens [N, F, E] -> the same."""
        if tokens.ndim != 3 or tokens.shape[-1] != self.width:
            raise PolysenseError(
                f"encoder.kind=none passes on tokens [N, F, {self.width}], not "
                f"{list(tokens.shape)}: a picture needs a vision encoder, and a tokenizer the "
                "width it is given"
            )
        return tokens

    def positions(self, tokens: torch.Tensor) -> int:
        """Every token is a feature."""
        return self(tokens, "").shape[1]

    def settings(self) -> str:
        """The width."""
        return f"none {self.width}"
