"""`pandagpt` and `x-llm`: several modalities, by an encoder that aligned them before, or one by
one.

PandaGPT (arXiv 2305.16355) learns from pictures alone, and other modalities come along, since their
encoder gives the same features for the same things. X-LLM (2305.04160) teaches each modality in a
stage of its own, with a Q-Former each.
"""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    ConnectorConfig,
    EncoderConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
)
from polysense.recipes.published.stages import instructions, own_pairs, vicuna
from polysense.recipes.published.x_llm import SIGHTS


def pandagpt(folder: Path, manifest: str | None) -> RunConfig:
    """PandaGPT: one linear layer for all modalities and LoRA, 2 epochs of 160 K picture dialogues.

    ImageBind's pictures, videos and depth go through OpenCLIP's ViT-H/14, which is this encoder;
    its towers of other modalities are no class of transformers. It gives one vector a signal: here
    the class token and the mean of the patches.
    """
    bind = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    return RunConfig(
        recipe="pandagpt",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.3", LoraConfig(rank=32, alpha=32, dropout=0.1)),
            encoder=EncoderConfig("transformers", bind, pooled_grid=1, class_token=True),
            connector=ConnectorConfig("linear", norm=False, shared=True),
            modalities={modality: {} for modality in SIGHTS},
        ),
        data=own_pairs(manifest, "pandagpt"),
        stages=(
            instructions(
                "instruction", ("connector", "llm.*lora_*"), 256, 5e-4, modalities=("image",),
                epochs=2, warmup_ratio=0.1, weight_decay=1e-3, evaluate_forgetting=True,
            ),
        ),
    )  # fmt: skip
