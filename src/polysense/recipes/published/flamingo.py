"""`flamingo`, `cogvlm` and `qwen-vl`: cross-attention in the LLM, experts in it, or before it.

Flamingo (arXiv 2204.14198) puts gated blocks between the frozen layers; CogVLM (2311.03079) gives
pictures weights of their own in every layer; Qwen-VL (2308.12966) condenses a picture by one
cross-attention with 2-D positions, and in the end trains everything.
"""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    ConnectorConfig,
    FusionConfig,
    LanguageModelConfig,
    ModelConfig,
    RunConfig,
)
from polysense.recipes.published.stages import (
    CONNECTED,
    captions,
    clip,
    own_pairs,
)


def flamingo(folder: Path, manifest: str | None) -> RunConfig:
    """Flamingo's design with OpenFlamingo-9B's parts (arXiv 2308.01390), since those are public.

    Perceiver of 64 latents, blocks before every 4th layer; pairs (LAION) and documents (MMC4)
    learnt together at a constant rate, in the steps and batches of OpenFlamingo's script.
    """
    return RunConfig(
        recipe="flamingo",
        model=ModelConfig(
            llm=LanguageModelConfig("mosaicml/mpt-7b-instruct", template="blip2"),
            encoder=clip("openai/clip-vit-large-patch14", layer=-1),
            connector=ConnectorConfig("perceiver", queries=64, layers=6, heads=8),
            fusion=FusionConfig("cross_attention", every_n_layers=4, heads=8),
            modalities={"image": {}},
        ),
        data=own_pairs(manifest, "flamingo"),
        stages=(
            captions(
                "alignment", CONNECTED, 768, 1e-4, steps=234_375, warmup_ratio=1_875 / 234_375,
                min_learning_rate=1e-4, weight_decay=0.1, betas=(0.9, 0.999),
            ),
        ),
    )  # fmt: skip
