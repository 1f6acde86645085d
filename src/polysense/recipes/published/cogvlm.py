"""`cogvlm`: CogVLM (arXiv 2311.03079) gives images weights of their own in every layer."""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    ConnectorConfig,
    FusionConfig,
    ModelConfig,
    RunConfig,
)
from polysense.recipes.published.stages import (
    CONNECTED,
    OPEN_CLIP,
    captions,
    clip,
    instructions,
    own_pairs,
    vicuna,
)


def cogvlm(folder: Path, manifest: str | None) -> RunConfig:
    """CogVLM-17B: an MLP, experts in every layer; 180 K steps of captions, 6 K of answers."""
    usual = {"weight_decay": 0.05, "betas": (0.9, 0.95)}
    return RunConfig(
        recipe="cogvlm",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.5"),
            encoder=clip(OPEN_CLIP.name),  # its last layer is left out, as the paper does
            connector=ConnectorConfig("mlp"),
            fusion=FusionConfig("visual_expert", every_n_layers=1),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "cogvlm"),
        stages=(
            captions(
                "alignment-1", CONNECTED, 8192, 1e-4, steps=120_000, warmup_ratio=0.1, **usual
            ),
            captions(
                "alignment-2", CONNECTED, 1024, 1e-5, steps=60_000, warmup_ratio=0.02, **usual
            ),
            instructions("instruction", CONNECTED, 1024, 1e-5, steps=6_000, **usual),
        ),
    )
