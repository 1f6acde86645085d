"""`qwen-vl`: Qwen-VL (arXiv 2308.12966) condenses an image by one cross-attention with 2-D
positions, and in the end trains everything.
"""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    ConnectorConfig,
    LanguageModelConfig,
    ModelConfig,
    RunConfig,
)
from polysense.recipes.published.stages import (
    OPEN_CLIP,
    captions,
    instructions,
    own_pairs,
)


def qwen_vl(folder: Path, manifest: str | None) -> RunConfig:
    """Qwen-VL: 256 queries; encoder and resampler, then everything, then all but the encoder.

    Qwen-1.5 stands for the first Qwen, whose class transformers has not.
    """
    usual = {"weight_decay": 0.05, "betas": (0.9, 0.98)}
    return RunConfig(
        recipe="qwen-vl",
        model=ModelConfig(
            llm=LanguageModelConfig("Qwen/Qwen1.5-7B-Chat"),
            encoder=OPEN_CLIP,
            connector=ConnectorConfig("resampler", queries=256),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "qwen-vl"),
        stages=(
            captions(
                "pretraining", ("encoder", "connector"), 30_720, 2e-4, steps=50_000,
                warmup_ratio=500 / 50_000, min_learning_rate=1e-6, **usual,
            ),
            instructions(
                "multitask", ("encoder", "connector", "llm"), 4096, 5e-5, steps=19_000,
                warmup_ratio=400 / 19_000, min_learning_rate=1e-5, **usual,
            ),
            instructions(
                "instruction", ("connector", "llm"), 128, 1e-5, steps=8_000,
                warmup_ratio=3_000 / 8_000, min_learning_rate=1e-6, **usual,
            ),
        ),
    )  # fmt: skip
