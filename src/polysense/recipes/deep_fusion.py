"""`flamingo`, `cogvlm` and `qwen-vl`: cross-attention in the LLM, experts in it, or before it.

Flamingo (arXiv 2204.14198) puts gated blocks between the frozen layers; CogVLM (2311.03079) gives
pictures weights of their own in every layer; Qwen-VL (2308.12966) condenses a picture by one
cross-attention with 2-D positions, and in the end trains everything.
"""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    ConnectorConfig,
    InteractionConfig,
    LanguageModelConfig,
    ModelConfig,
    RunConfig,
)
from polysense.recipes.peers import OPEN_CLIP, captions, clip, instructions, own_pairs, vicuna

CONNECTED = ("connector", "interaction")


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
            interaction=InteractionConfig("gated", every=4, heads=8),
            modalities={"image": {}},
        ),
        data=own_pairs(manifest, "flamingo"),
        stages=(
            captions(
                "alignment", CONNECTED, 768, 1e-4, steps=234_375, warmup=1_875 / 234_375,
                minimum_rate=1e-4, weight_decay=0.1, betas=(0.9, 0.999),
            ),
        ),
    )  # fmt: skip


def cogvlm(folder: Path, manifest: str | None) -> RunConfig:
    """CogVLM-17B: an MLP, experts in every layer; 180 K steps of captions, 6 K of answers."""
    usual = {"weight_decay": 0.05, "betas": (0.9, 0.95)}
    return RunConfig(
        recipe="cogvlm",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.5"),
            encoder=clip(OPEN_CLIP.name),  # its last layer is left out, as the paper does
            connector=ConnectorConfig("mlp"),
            interaction=InteractionConfig("expert", every=1),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "cogvlm"),
        stages=(
            captions("alignment-1", CONNECTED, 8192, 1e-4, steps=120_000, warmup=0.1, **usual),
            captions("alignment-2", CONNECTED, 1024, 1e-5, steps=60_000, warmup=0.02, **usual),
            instructions("instruction", CONNECTED, 1024, 1e-5, steps=6_000, **usual),
        ),
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
                warmup=500 / 50_000, minimum_rate=1e-6, **usual,
            ),
            instructions(
                "multitask", ("encoder", "connector", "llm"), 4096, 5e-5, steps=19_000,
                warmup=400 / 19_000, minimum_rate=1e-5, **usual,
            ),
            instructions(
                "instruction", ("connector", "llm"), 128, 1e-5, steps=8_000,
                warmup=3_000 / 8_000, minimum_rate=1e-6, **usual,
            ),
        ),
    )  # fmt: skip
