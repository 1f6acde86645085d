"""BLIP-2 and InstructBLIP from transformers' `Blip2ForConditionalGeneration` and its sibling.

Both are a ViT with its class token, a Q-Former and a linear layer into the LLM. InstructBLIP's
Q-Former (arXiv 2305.06500) reads the user's words too, in ids of a BERT tokenizer beside the LLM's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Blip2ForConditionalGeneration, InstructBlipForConditionalGeneration
from transformers.modeling_utils import PreTrainedModel

from polysense.config import ConnectorConfig, EncoderConfig
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
from polysense.importers.qformer_names import transformers_names
from polysense.importers.strict_loading import load_strictly
from polysense.model.connectors.qformer import EPSILON, TEXT_POSITIONS, QFormerBranch

PROJECTION = {
    f"output_projection.{kind}": f"language_projection.{kind}" for kind in ("weight", "bias")
}


def read_blip2(path: str, folder: Path) -> Imported:
    """Read a BLIP-2 at `path`; write its LLM and vision tower below `folder`.

    Raises PolysenseError where it is damaged or incomplete, or its LLM is an encoder-decoder.
    """
    settings = read_settings(path, "blip2", "blip-2")
    require_settings(path, "Q-Former", settings.qformer_config, {"use_qformer_text_input": False})
    connector = connector_config(path, settings, vocabulary=None)
    return unpack(path, folder, Blip2ForConditionalGeneration, connector, "blip2", None)


def read_instructblip(path: str, folder: Path) -> Imported:
    """Read an InstructBLIP at `path`, as `read_blip2` does; its Q-Former's tokenizer comes too."""
    settings = read_settings(path, "instructblip", "instructblip")
    former = settings.qformer_config
    require_settings(path, "Q-Former", former, {"max_position_embeddings": TEXT_POSITIONS})
    connector = connector_config(path, settings, former.vocab_size)
    tokenizer = read_tokenizer(path, subfolder="qformer_tokenizer")
    model_class = InstructBlipForConditionalGeneration
    return unpack(path, folder, model_class, connector, "instructblip", tokenizer)


def connector_config(path: str, settings: Any, vocabulary: int | None) -> ConnectorConfig:
    """Return the Q-Former of a checkpoint as a connector of ours."""
    former = settings.qformer_config
    built = {"cross_attention_frequency": 2, "hidden_act": "gelu", "layer_norm_eps": EPSILON}
    require_settings(path, "Q-Former", former, built)
    return ConnectorConfig(
        "qformer",
        norm=False,  # the vision tower's own stands there
        dropout=float(former.hidden_dropout_prob),
        width=former.hidden_size,
        layers=former.num_hidden_layers,
        heads=former.num_attention_heads,
        queries=settings.num_query_tokens,
        feedforward=former.intermediate_size,
        vocabulary=vocabulary,
    )


def unpack(
    path: str,
    folder: Path,
    model_class: type[PreTrainedModel],
    connector: ConnectorConfig,
    template: str,
    instruction_tokenizer: Any,
) -> Imported:
    """Read the weights, write LLM and tower to `folder`, keep the connector's."""
    text_tokenizer = read_tokenizer(path)
    whole = read_model(path, model_class)
    size = whole.config.vision_config.image_size
    # Salesforce's own preprocessing, where the checkpoint says none: no proportions kept.
    picture = picture_values(path) or {"size": {"height": size, "width": size}}
    write_parts(folder, whole.language_model, whole.vision_model, picture)
    tensors = {
        name: tensor
        for name, tensor in whole.state_dict().items()
        if not name.startswith(("language_model.", "vision_model."))
    }
    return Imported(
        EncoderConfig("transformers", ENCODER, class_token=True),
        connector,
        fill=lambda model: load_branch(branch_of(model), tensors),
        text_tokenizer=text_tokenizer,
        template=template,
        instruction_tokenizer=instruction_tokenizer,
    )


def load_branch(branch: QFormerBranch, tensors: dict[str, torch.Tensor]) -> None:
    """Load the Q-Former and the layer behind it, all of them or nothing."""
    former = transformers_names(branch.former, tensors)
    names = {f"former.{ours}": theirs for ours, theirs in former.items()}
    load_strictly(branch, {**names, **PROJECTION}, tensors, "Q-Former")
