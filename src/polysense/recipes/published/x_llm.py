"""`x-llm`: X-LLM (arXiv 2305.04160) teaches each modality in its own stage, by a Q-Former each."""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    LanguageModelConfig,
    ModelConfig,
    RunConfig,
)
from polysense.recipes.published.blip2 import MEMORY, q_former, query_side
from polysense.recipes.published.stages import EVA, captions, instructions, own_pairs

SIGHTS = ("image", "video", "depth", "normal")


def x_llm(folder: Path, manifest: str | None) -> RunConfig:
    """X-LLM: each modality's Q-Former alone, then all together on instructions; the LLM frozen.

    GLM-4 stands for ChatGLM-6B. Rates and batches are those of the authors' scripts on 8 GPUs. A
    sound goes through the one encoder by a tokenizer of its own, where the paper has another.
    """
    usual = {"min_learning_rate": 1e-8, "weight_decay": 0.05, "betas": MEMORY}
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
            captions("image", query_side("image"), 256, 3e-5, modalities=("image",),
                     epochs=2, **usual),
            captions("video", query_side("video"), 64, 1e-5, modalities=("video",),
                     epochs=5, **usual),
            captions("audio", hearing, 1024, 1e-4, modalities=("audio",), epochs=30, **usual),
            instructions("instruction", query_side(), 128, 1e-6, epochs=2,
                         **{**usual, "min_learning_rate": 1e-6}),
        ),
    )  # fmt: skip
