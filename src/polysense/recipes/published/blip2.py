"""`blip2`, `instructblip` and `minigpt4`: a Q-Former condenses a picture to 32 embeddings.

BLIP-2 (arXiv 2301.12597) trains the Q-Former on pictures and captions alone, then in front of a
frozen LLM; InstructBLIP (2305.06500) lets it read the instruction too; MiniGPT-4 (2304.10592) keeps
it frozen and trains one linear layer behind it. The last two begin with a Q-Former of BLIP-2's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polysense.config import ConnectorConfig, LanguageModelConfig, ModelConfig, RunConfig
from polysense.recipes.published.stages import EVA, captions, instructions, own_pairs, vicuna

BERT_VOCABULARY = 30_523  # BERT's, and the token that begins a caption
BERT = "bert-base-uncased"
RETRIEVAL = "Salesforce/blip2-itm-vit-g"  # BLIP-2's Q-Former after its first stage
HEADS = ("query_projection", "text_projection", "temperature", "itm_head", "lm_head")
REPRESENTATION = tuple(f"connector.branches.*.{part}" for part in ("former", *HEADS))

# What reads pictures for the LLM: all but words and what only they go through.
QUERY_PARTS = (
    "queries", "norm", "layers.*.attention", "layers.*.cross_attention",
    "layers.*.query_feedforward",
)  # fmt: skip
READOUT = ("connector.branches.*.output_projection",)
LED = (*READOUT, "connector.branches.*.former")  # the instruction's words learn too
MEMORY = (0.9, 0.999)


def query_side(modality: str = "*") -> tuple[str, ...]:
    """Return what learns of a modality's Q-Former in front of an LLM that it passes no words."""
    parts = ("output_projection", *(f"former.{part}" for part in QUERY_PARTS))
    return tuple(f"connector.branches.{modality}.{part}" for part in parts)


def q_former(init_from: str = RETRIEVAL, **options: Any) -> ConnectorConfig:
    """Return BLIP-2's Q-Former: BERT-base with 32 queries and a text side; the encoder's own norm
    precedes it. It begins as `initial`, by default as one that has been through the first stage."""
    sizes = {"width": 768, "layers": 12, "heads": 12, "queries": 32, "feedforward": 3072}
    sizes |= {"vocabulary": BERT_VOCABULARY, "contrastive_width": 256}
    return ConnectorConfig(
        "qformer", norm=False, dropout=0.1, init_from=init_from, **{**sizes, **options}
    )


def blip2(folder: Path, manifest: str | None) -> RunConfig:
    """BLIP-2 with OPT-2.7B, on 129 M pairs: 250 K steps without the LLM, 80 K in front of it.

    The first compares all signals of a batch, which nothing can accumulate: the paper has 16 GPUs.
    The rate it ends at is that of the authors' script.
    """
    usual = {"weight_decay": 0.05, "betas": (0.9, 0.98)}
    return RunConfig(
        recipe="blip2",
        model=ModelConfig(
            llm=LanguageModelConfig("facebook/opt-2.7b", template="blip2"),
            encoder=EVA,
            connector=q_former(init_from=BERT),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "blip2"),
        stages=(
            captions(
                "representation", REPRESENTATION, 1680, 1e-4, objective="itc+itm+itg",
                gradient_accumulation_steps=1, steps=250_000, warmup_ratio=2_000 / 250_000,
                min_learning_rate=1e-5, **usual,
            ),
            captions(
                "generation", query_side(), 1920, 1e-4, steps=80_000, warmup_ratio=2_000 / 80_000,
                min_learning_rate=5e-5, **usual,
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
            connector=q_former(instruction_tokenizer=BERT),
            modalities={"image": {"fit": "stretch"}},
        ),
        data=own_pairs(manifest, "instructblip"),
        stages=(
            instructions(
                "instruction", LED, 128, 1e-5, steps=60_000, warmup_ratio=1_000 / 60_000,
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
                "alignment", READOUT, 256, 1e-4, steps=20_000, warmup_ratio=5_000 / 20_000,
                min_learning_rate=8e-5, weight_decay=0.05, betas=MEMORY,
            ),
            instructions(
                "instruction", READOUT, 12, 3e-5, steps=400, warmup_ratio=200 / 400,
                min_learning_rate=1e-5, weight_decay=0.05, betas=MEMORY,
            ),
        ),
    )  # fmt: skip
