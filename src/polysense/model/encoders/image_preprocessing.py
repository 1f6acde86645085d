"""The pictures an encoder was trained with: their size, normalisation and how they are fitted.

In: an encoder's config. Out: options of the modalities that are made of pictures, so that a recipe
need not repeat what the weights' own files say.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import AutoConfig
from transformers.image_processing_base import ImageProcessingMixin

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError, unknown_name
from polysense.modalities import Modality
from polysense.modalities.transforms.normalize import CLIP_MEAN, CLIP_STD
from polysense.model.encoders import efficientnet
from polysense.model.hub import load_pretrained

# Mean, deviation and fit of a family's pictures, where no preprocessor_config.json says: the first
# line whose name the model's type contains, or the last.
FAMILIES: dict[str, tuple[list[float], list[float], str]] = {
    "siglip": ([0.5] * 3, [0.5] * 3, "stretch"),
    "dino": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "crop"),
    "vit": ([0.5] * 3, [0.5] * 3, "stretch"),
    "clip": (list(CLIP_MEAN), list(CLIP_STD), "crop"),
}


def check_vision(config: EncoderConfig, settings: Any) -> None:
    """Refuse what is no vision transformer over square pictures."""
    if not hasattr(settings, "patch_size") or not hasattr(settings, "image_size"):
        raise PolysenseError(
            f"encoder {config.name!r} is a {settings.model_type} model, not a vision transformer "
            "of a fixed picture size: use CLIP, SigLIP, DINOv2 or ViT"
        )


def signal_options(config: EncoderConfig, modality: type[Modality]) -> dict[str, Any]:
    """Return the options that a modality's signals need for this encoder; none without pictures."""
    if not modality.uses_vision_encoder:
        return {}
    known = {field.name for field in fields(modality)}
    return {name: value for name, value in picture_options(config).items() if name in known}


def picture_options(config: EncoderConfig) -> dict[str, Any]:
    """Return the size, normalisation and fit of the pictures an encoder was trained with."""
    table = {"efficientnet-lite": efficientnet_options, "transformers": transformers_options}
    if config.kind == "none":
        return {}
    if config.kind not in table:
        raise unknown_name("encoder", config.kind, [*table, "none"])
    return table[config.kind](config)


def efficientnet_options(config: EncoderConfig) -> dict[str, Any]:
    """Return what EfficientNet-Lite's authors trained it with."""
    size = efficientnet.VARIANTS[efficientnet.variant_of(config.name)][2]
    return {"size": size, "mean": [efficientnet.MEAN] * 3, "std": [efficientnet.STD] * 3}


def transformers_options(config: EncoderConfig) -> dict[str, Any]:
    """Return what preprocessor_config.json says; what it leaves open, config.json and family."""
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
