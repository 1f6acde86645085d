"""`llava`, `llava-1.5` and `vila`: patches of CLIP, projected one by one, among the LLM's words.

LLaVA (arXiv 2304.08485) trains one linear layer and then the LLM with it; LLaVA-1.5 (2310.03744)
an MLP at a higher resolution. VILA (2312.07533) trains the LLM on documents too, between the two,
and mixes plain text into instruction tuning: both are lines of the manifest (docs/own-data.md).
"""

from __future__ import annotations

from pathlib import Path

from polysense.config import ConnectorConfig, ModelConfig, RunConfig
from polysense.recipes.published.stages import captions, clip, instructions, own_pairs, vicuna

PROJECTOR = ("connector",)
WHOLE = ("connector", "llm")


def llava(folder: Path, manifest: str | None) -> RunConfig:
    """LLaVA-7B: a linear layer; 1 epoch of captions (595 K pairs), 3 of conversations (158 K)."""
    return RunConfig(
        recipe="llava",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.3"),
            encoder=clip("openai/clip-vit-large-patch14"),
            connector=ConnectorConfig("linear", norm=False),
            modalities={"image": {}},
        ),
        data=own_pairs(manifest, "llava"),
        stages=(
            captions("alignment", PROJECTOR, 128, 2e-3, epochs=1, warmup_ratio=0.03),
            instructions("instruction", WHOLE, 32, 2e-5, epochs=3, warmup_ratio=0.03),
        ),
    )


def llava_15(folder: Path, manifest: str | None) -> RunConfig:
    """LLaVA-1.5-7B: an MLP, 576 patches; 1 epoch each of captions (558 K) and answers (665 K)."""
    return RunConfig(
        recipe="llava-1.5",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.5"),
            encoder=clip(),
            connector=ConnectorConfig("mlp", norm=False),
            modalities={"image": {"fit": "pad", "background": [122, 116, 104]}},
        ),
        data=own_pairs(manifest, "llava-1.5"),
        stages=(
            captions("alignment", PROJECTOR, 256, 1e-3, epochs=1, warmup_ratio=0.03),
            instructions("instruction", WHOLE, 128, 2e-5, epochs=1, warmup_ratio=0.03),
        ),
    )


def vila(folder: Path, manifest: str | None) -> RunConfig:
    """VILA-7B: a linear layer first, then the LLM on documents and captions, then on answers.

    Paper: LLaVA's captions; MMC4 and COYO, 25 M pictures each; 1 M answers with text mixed in.
    Rates and batches are those of the authors' scripts.
    """
    return RunConfig(
        recipe="vila",
        model=ModelConfig(
            llm=vicuna("meta-llama/Llama-2-7b-hf"),
            encoder=clip(),
            connector=ConnectorConfig("linear", norm=False),
            modalities={"image": {"fit": "pad", "background": [122, 116, 104]}},
        ),
        data=own_pairs(manifest, "vila"),
        stages=(
            captions("projector", PROJECTOR, 256, 1e-3, epochs=1, warmup_ratio=0.03),
            captions(
                "documents", WHOLE, 1024, 5e-5, epochs=1, warmup_ratio=0.03, packed_length=4096
            ),
            instructions("instruction", WHOLE, 128, 2e-5, epochs=1, warmup_ratio=0.03),
        ),
    )
