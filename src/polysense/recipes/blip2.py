"""`blip2`, `instructblip` and `minigpt4`: a Q-Former condenses a picture to 32 embeddings.

BLIP-2 (arXiv 2301.12597) trains the Q-Former in front of a frozen LLM; InstructBLIP (2305.06500)
lets it read the instruction too; MiniGPT-4 (2304.10592) keeps it frozen and trains one linear layer
behind it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from polysense.config import ConnectorConfig, LanguageModelConfig, ModelConfig, RunConfig
from polysense.recipes.peers import EVA, captions, instructions, own_pairs, vicuna

BERT_VOCABULARY = 30_523  # BERT's, and the token that begins a caption
READOUT = ("connector.branches.*.readout",)
MEMORY = (0.9, 0.999)


def q_former(**options: Any) -> ConnectorConfig:
    """Return BLIP-2's Q-Former: BERT-base with 32 queries. The encoder's own norm precedes it."""
    sizes = {"width": 768, "layers": 12, "heads": 12, "queries": 32, "feedforward": 3072}
    return ConnectorConfig("qformer", norm=False, dropout=0.1, **{**sizes, **options})


def blip2(folder: Path, manifest: str | None) -> RunConfig:
    """BLIP-2 with OPT-2.7B: the Q-Former, from BERT, learns from captions for 250 K steps (129 M
    pairs), then in front of the frozen LLM for 80 K."""
    representation = captions(
        "representation", ("connector",), 1680, 1e-4, steps=250_000, warmup=2_000 / 250_000,
        minimum_rate=1e-5, weight_decay=0.05, betas=(0.9, 0.98),
        objective="contrast+match+caption",
    )  # fmt: skip
    return RunConfig(
        recipe="blip2",
        model=ModelConfig(
            llm=LanguageModelConfig("facebook/opt-2.7b", template="blip2"),
            encoder=EVA,
            connector=q_former(space=256, vocabulary=BERT_VOCABULARY, initial="bert-base-uncased"),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "blip2"),
        stages=(
            replace(representation, accumulation=1),  # captions are told from those beside them
            captions(
                "generation", ("connector",), 1920, 1e-4, steps=80_000, warmup=2_000 / 80_000,
                minimum_rate=5e-5, weight_decay=0.05, betas=(0.9, 0.98),
            ),
        ),
    )  # fmt: skip


def instructblip(folder: Path, manifest: str | None) -> RunConfig:
    """InstructBLIP with Vicuna-7B: the Q-Former alone learns, and reads what the user says."""
    return RunConfig(
        recipe="instructblip",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.3"),
            encoder=EVA,
            connector=q_former(vocabulary=BERT_VOCABULARY, reader="bert-base-uncased"),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "instructblip"),
        stages=(
            instructions(
                "instruction", ("connector",), 128, 1e-5, steps=60_000, warmup=1_000 / 60_000,
                weight_decay=0.05, betas=MEMORY,
            ),
        ),
    )  # fmt: skip


def minigpt4(folder: Path, manifest: str | None) -> RunConfig:
    """MiniGPT-4: one linear layer behind a frozen Q-Former; 20 K steps on pairs, 400 on 3.5 K
    long descriptions."""
    return RunConfig(
        recipe="minigpt4",
        model=ModelConfig(
            llm=vicuna("lmsys/vicuna-7b-v1.3"),
            encoder=EVA,
            connector=q_former(),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "minigpt4"),
        stages=(
            captions(
                "alignment", READOUT, 256, 1e-4, steps=20_000, warmup=5_000 / 20_000,
                minimum_rate=8e-5, weight_decay=0.05, betas=MEMORY,
            ),
            instructions(
                "instruction", READOUT, 12, 3e-5, steps=400, warmup=200 / 400,
                minimum_rate=1e-5, weight_decay=0.05, betas=MEMORY,
            ),
        ),
    )  # fmt: skip
