"""Vision towers of composite models, which transformers' AutoModel does not build by themselves.

An imported BLIP-2 keeps its vision tower in a folder of its own (model/importers): the config there
names the class here, every other config is AutoModel's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.model.encoders.base import Encoder, pool
from polysense.model.encoders.image_preprocessing import check_vision
from polysense.model.hub import load_pretrained

# By name, since transformers imports a class when it is first asked for.
TOWERS = {
    "blip_2_vision_model": "Blip2VisionModel",
    "instructblip_vision_model": "InstructBlipVisionModel",
    "blip-2": "Blip2ForImageTextRetrieval",  # whole: its vision tower is taken out
}


def tower_loader(config: EncoderConfig) -> Callable[..., Any]:
    """Return the from_pretrained that reads the encoder `config` names."""
    settings = load_pretrained("encoder", AutoConfig.from_pretrained, config.name, config.revision)
    return getattr(transformers, TOWERS.get(settings.model_type, "AutoModel")).from_pretrained


class TransformersEncoder(Encoder):
    """A vision encoder of transformers; of a two-tower model (CLIP, SigLIP) the vision tower.

    Tokens of other modalities take the place of a picture's patch embeddings and go through the
    same blocks (OneLLM, section 3.2).
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
        features = pool(patches, self.config.pooled_grid)
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
        return f"transformers {chosen.layer} {chosen.pooled_grid} {chosen.class_token}"


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
