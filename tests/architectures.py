"""The sizes of published models, so that a recipe can be built without their weights.

From each model's config.json on the hub. Built on torch's meta device they take no memory.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from transformers import (
    AutoModelForCausalLM,
    Blip2VisionConfig,
    Blip2VisionModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    GlmConfig,
    LlamaConfig,
    MptConfig,
    OPTConfig,
    Qwen2Config,
)

from polysense.config import EncoderConfig, LanguageModelConfig, RunConfig
from polysense.model.configuration import PolysenseConfig
from polysense.model.llm import add_lora
from polysense.model.polysense_model import PolysenseModel
from polysense.overrides import to_json

SEVEN = {
    "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32,
}  # fmt: skip
LLMS: dict[str, Any] = {
    "lmsys/vicuna-7b-v1.3": LlamaConfig(vocab_size=32000, **SEVEN),
    "lmsys/vicuna-7b-v1.5": LlamaConfig(vocab_size=32000, **SEVEN),
    "meta-llama/Llama-2-7b-hf": LlamaConfig(vocab_size=32000, **SEVEN),
    "Qwen/Qwen1.5-7B-Chat": Qwen2Config(vocab_size=151936, num_key_value_heads=32, **SEVEN),
    "facebook/opt-2.7b": OPTConfig(
        vocab_size=50272, hidden_size=2560, ffn_dim=10240, num_hidden_layers=32,
        num_attention_heads=32, word_embed_proj_dim=2560, max_position_embeddings=2048,
    ),
    "mosaicml/mpt-7b-instruct": MptConfig(
        vocab_size=50432, d_model=4096, n_layers=32, n_heads=32, max_seq_len=2048
    ),
    "THUDM/glm-4-9b-chat-hf": GlmConfig(
        vocab_size=151552, hidden_size=4096, intermediate_size=13696, num_hidden_layers=40,
        num_attention_heads=32, num_key_value_heads=2, head_dim=128, attention_bias=True,
    ),
}  # fmt: skip


def vision(width: int, hidden: int, layers: int, heads: int, size: int = 224) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, image_size=size, patch_size=14,
    )  # fmt: skip


ENCODERS: dict[str, Any] = {
    "openai/clip-vit-large-patch14": vision(1024, 4096, 24, 16),
    "openai/clip-vit-large-patch14-336": vision(1024, 4096, 24, 16, 336),
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": vision(1280, 5120, 32, 16),
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k": vision(1664, 8192, 48, 16),
    "Salesforce/blip2-itm-vit-g": Blip2VisionConfig(
        hidden_size=1408, intermediate_size=6144, num_hidden_layers=39, num_attention_heads=16,
        image_size=224, patch_size=14,
    ),
}  # fmt: skip


def meta_llm(config: LanguageModelConfig, dtype: torch.dtype) -> Any:
    llm = AutoModelForCausalLM.from_config(LLMS[config.name])
    if config.lora is not None:
        add_lora(llm, config.lora)
    return llm


def meta_tower(config: EncoderConfig, dtype: torch.dtype) -> Any:
    settings = ENCODERS[config.name]
    tower = Blip2VisionModel if isinstance(settings, Blip2VisionConfig) else CLIPVisionModel
    return tower(settings)


def published(config: RunConfig) -> PolysenseModel:
    """Build a recipe's model at its published size, on the meta device."""
    model = "polysense.model.polysense_model"
    with (
        mock.patch(f"{model}.load_llm", meta_llm),
        mock.patch(f"{model}.embedding_scale", return_value=0.02),
        mock.patch("polysense.model.encoders.load_tower", meta_tower),
        torch.device("meta"),
    ):
        return PolysenseModel(PolysenseConfig(model=to_json(config.model)))
