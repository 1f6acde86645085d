"""A frozen transformer for the tokens of modalities that a vision encoder has no blocks for.

OneLLM sends every modality's tokens through one frozen transformer (section 3.2). A convolutional
encoder has none, but any pretrained one can stand behind it, trained on pictures or, as MiniLM, on
text. In: tokens in the transformer's width. Out: features, padded to the width that pictures have.
"""

from __future__ import annotations

import torch
from torch.nn import functional
from transformers import AutoModel

from polysense.errors import PolysenseError
from polysense.model.encoders.base import Encoder
from polysense.model.hub import load_pretrained


class TokenEncoder(Encoder):
    """Pictures through `vision`; tokens [N, F, `token_width`] through a transformer by name.

    Features are as wide as the wider of both, with zeros behind the narrower one's: connectors
    have one input width for all modalities.
    """

    def __init__(self, vision: Encoder, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.vision = vision
        block = load_pretrained(
            "encoder.token_encoder",
            AutoModel.from_pretrained,
            name,
            None,
            dtype=dtype,
            use_safetensors=True,
        )
        if block.config.is_encoder_decoder:
            raise PolysenseError(
                f"encoder.token_encoder={name!r} is an encoder-decoder: give an encoder, "
                "like a BERT"
            )
        self.block = block.requires_grad_(False).eval()
        self.token_width = int(block.config.hidden_size)
        self.width = max(vision.width, self.token_width)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, S, S] -> features [N, F, E] of the vision encoder alone."""
        return self._widened(self.vision(pictures))

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [N, F, token_width] -> features [N, F, E]: the transformer's last states."""
        tokens = super().encode(tokens)
        most = getattr(self.block.config, "max_position_embeddings", None) or tokens.shape[1]
        if tokens.shape[1] > most:
            raise PolysenseError(
                f"a signal of {tokens.shape[1]} tokens is too long for encoder.token_encoder, "
                f"which has {most} positions: let the modality's tokenizer make fewer"
            )
        states = self.block(inputs_embeds=tokens.to(self.block.dtype)).last_hidden_state
        return self._widened(states)

    def _widened(self, features: torch.Tensor) -> torch.Tensor:
        return functional.pad(features, (0, self.width - features.shape[-1]))

    def settings(self) -> str:
        """The vision encoder's."""
        return f"block {self.vision.settings()}"
