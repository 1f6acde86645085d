"""LLaVA-1.5 (arXiv 2310.03744) from transformers' `LlavaForConditionalGeneration`.

CLIP's patches before its last layer, an MLP without our norm, a LLaMA; all three are as they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlavaForConditionalGeneration
from transformers.modeling_utils import PreTrainedModel

from polysense.config import ConnectorConfig, EncoderConfig
from polysense.errors import PolysenseError
from polysense.importers.hf_checkpoint import (
    ENCODER,
    Imported,
    branch_of,
    picture_values,
    read_model,
    read_settings,
    read_tokenizer,
    require_settings,
    write_parts,
)
from polysense.importers.strict_loading import load_strictly

# Our MLP: (nothing for a norm), dropout, linear, GELU, dropout, linear.
NAMES = {
    f"{place}.{kind}": f"linear_{number}.{kind}"
    for place, number in ((2, 1), (5, 2))
    for kind in ("weight", "bias")
}


def read_llava(path: str, folder: Path) -> Imported:
    """Read the checkpoint at `path`; write its LLM and vision tower below `folder`.

    Raises PolysenseError where it is damaged, incomplete, or a LLaVA of another kind.
    """
    settings = read_settings(path, "llava", "llava")
    encoder = encoder_config(path, settings)
    tokenizer = read_tokenizer(path)
    whole = read_model(path, LlavaForConditionalGeneration)
    parts = whole.model
    llm = joined_llm(parts.language_model, whole.lm_head, settings.text_config)
    llm.generation_config = whole.generation_config
    write_parts(folder, llm, parts.vision_tower, picture_values(path))
    tensors = parts.multi_modal_projector.state_dict()
    return Imported(
        encoder,
        ConnectorConfig("mlp", norm=False, hidden=settings.text_config.hidden_size),
        fill=lambda model: load_strictly(branch_of(model), NAMES, tensors, "projector"),
        text_tokenizer=tokenizer,
        template="llava",
    )


def encoder_config(path: str, settings: Any) -> EncoderConfig:
    """Return which features of the vision tower the checkpoint's projector reads."""
    vision, layer = settings.vision_config, settings.vision_feature_layer
    require_settings(path, "vision tower", vision, {"model_type": "clip_vision_model"})
    require_settings(
        path, "projector", settings,
        {"projector_hidden_act": "gelu", "multimodal_projector_bias": True},
    )  # fmt: skip
    if not isinstance(layer, int):
        raise PolysenseError(
            f"checkpoint {path!r} reads layers {layer} of its vision tower side by side; one layer "
            "is imported"
        )
    # -1 would be, for us, the last layer behind CLIP's final norm, which LLaVA never applies.
    layer = vision.num_hidden_layers if layer == -1 else layer
    full = settings.vision_feature_select_strategy == "full"
    return EncoderConfig("transformers", ENCODER, layer=layer, class_token=full)


def joined_llm(decoder: PreTrainedModel, head: torch.nn.Module, settings: Any) -> PreTrainedModel:
    """Put a composite model's decoder and output layer into the class of the LLM alone."""
    with torch.device("meta"):  # a shell, whose weights are never made
        llm = AutoModelForCausalLM.from_config(settings)
    setattr(llm, llm.base_model_prefix, decoder)
    llm.set_output_embeddings(head)
    return llm
