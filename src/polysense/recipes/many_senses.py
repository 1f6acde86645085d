"""`pandagpt` and `x-llm`: several senses, by an encoder that aligned them before, or one by one.

PandaGPT (arXiv 2305.16355) learns from pictures alone, and other senses come along, since their
encoder gives the same features for the same things. X-LLM (2305.04160) teaches each sense in a
stage of its own, with a Q-Former each.
"""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    ConnectorConfig,
    EncoderConfig,
    LanguageModelConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
)
from polysense.recipes.blip2 import MEMORY, q_former, query_side
from polysense.recipes.peers import EVA, captions, instructions, own_pairs, vicuna

SIGHTS = ("image", "video", "depth", "normal")


def pandagpt(folder: Path, manifest: str | None) -> RunConfig:
    """PandaGPT: one linear layer for all senses and LoRA, 2 epochs of 160 K picture dialogues.

    ImageBind's pictures, videos and depth go through OpenCLIP's ViT-H/14, which is this encoder;
    its towers of other senses are no class of transformers. It gives one vector a signal: here the
    class token and the mean of the patches.
    """
    bind = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    return RunConfig(
        recipe="pandagpt",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.3", LoraConfig(rank=32, alpha=32, dropout=0.1)),
            encoder=EncoderConfig("transformers", bind, grid=1, class_token=True),
            connector=ConnectorConfig("linear", norm=False, shared=True),
            modalities={sense: {} for sense in SIGHTS},
        ),
        data=own_pairs(manifest, "pandagpt"),
        stages=(
            instructions(
                "instruction", ("connector", "llm.*lora_*"), 256, 5e-4, senses=("image",),
                epochs=2, warmup=0.1, weight_decay=1e-3, score=True,
            ),
        ),
    )  # fmt: skip


def x_llm(folder: Path, manifest: str | None) -> RunConfig:
    """X-LLM: each sense's Q-Former alone, then all together on instructions; the LLM frozen.

    GLM-4 stands for ChatGLM-6B. Rates and batches are those of the authors' scripts on 8 GPUs. A
    sound goes through the one encoder by a tokenizer of its own, where the paper has another.
    """
    usual = {"minimum_rate": 1e-8, "weight_decay": 0.05, "betas": MEMORY}
    hearing = (*query_side("audio"), "tokenizers.audio")
    return RunConfig(
        recipe="x-llm",
        model=ModelConfig(
            llm=LanguageModelConfig("THUDM/glm-4-9b-chat-hf"),
            encoder=EVA,
            connector=q_former(),
            modalities={"image": {"fit": "stretch"}, "video": {}, "audio": {}},
        ),
        data=own_pairs(manifest, "x-llm"),
        stages=(
            captions("image", query_side("image"), 256, 3e-5, senses=("image",),
                     epochs=2, **usual),
            captions("video", query_side("video"), 64, 1e-5, senses=("video",),
                     epochs=5, **usual),
            captions("audio", hearing, 1024, 1e-4, senses=("audio",), epochs=30, **usual),
            instructions("instruction", query_side(), 128, 1e-6, epochs=2,
                         **{**usual, "minimum_rate": 1e-6}),
        ),
    )  # fmt: skip
