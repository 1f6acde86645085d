"""Vision towers of composite models, which transformers' AutoModel does not build by themselves.

An imported BLIP-2 keeps its vision tower in a folder of its own (model/importers): the config there
names the class here, every other config is AutoModel's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers
from transformers import AutoConfig

from polysense.config import EncoderConfig
from polysense.model.llm import load_pretrained

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
