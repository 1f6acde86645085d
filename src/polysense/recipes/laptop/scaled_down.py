"""A peer's recipe on two cores: its connector, fusion and freezing over the laptop's parts.

LLM, encoder and pictures are those of the recipe `laptop`, sizes are small, and every recipe gets
the same budget, so that what is compared is the way from features to words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polysense.config import (
    ConnectorConfig,
    DataConfig,
    EncoderConfig,
    EvaluationConfig,
    LanguageModelConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    Stage,
)
from polysense.errors import require
from polysense.model.fusion.base import PLACEHOLDER_KINDS
from polysense.recipes.custom_modalities import with_modalities
from polysense.recipes.laptop.weights import LaptopData, laptop_data
from polysense.recipes.published.blip2 import REPRESENTATION
from polysense.training.objectives import objective_named

CAPTION_SHARE = 0.6  # of the steps, shared by a recipe's stages on captions
GRID = 4  # features of a picture: GRID x GRID
RATE = 1e-3

# What a connector has on a laptop; what stands at None here is as in the recipe.
SIZES: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": 1024},
    "qformer": {
        "width": 384, "layers": 4, "heads": 6, "queries": 8, "feedforward": 1536,
        "contrastive_width": 128,
        "init_from": None, "vocabulary": None,  # no checkpoint is this small; ids are the LLM's
    },
    "perceiver": {"layers": 2, "heads": 6, "queries": 8, "feedforward": 1280},
    "resampler": {"width": 384, "heads": 6, "queries": 9},
    "upm": {"width": 384, "layers": 1, "heads": 6, "queries": 6, "feedforward": 768},
    "abstractor": {"width": 384, "layers": 1, "queries": 9},
}  # fmt: skip

# Those whose embeddings know their place (training/objectives/token_alignment.py).
SPELLING = frozenset({"resampler", "upm", "abstractor"})


@dataclass(frozen=True)
class Budget:
    """What every recipe may spend.

    steps      of 24 samples through the LLM: 6 of 10 on captions, the others on instructions
    beginning  epochs before them that need no LLM: words, or BLIP-2's first stage (0: none)
    """

    steps: int = 200
    qformer_stage: float = 10.0


def on_laptop(
    config: RunConfig, folder: Path, manifest: str | None = None, budget: Budget | None = None
) -> RunConfig:
    """Return `config` at the laptop's size; data and weights are to lie in `folder`.

    It learns pictures, those of `manifest` or Tux Paint's, which is all that the recipes share.
    """
    sight = "image"
    require(
        sight in config.model.modalities, f"{config.recipe} has no pictures to learn on a laptop"
    )
    data = laptop_data(folder)
    small = replace(
        with_modalities(config, [sight]),
        recipe=f"{config.recipe}-laptop",
        data=DataConfig(manifest or str(data.manifest), held_out=0.08, views=2),
        evaluation=EvaluationConfig(max_new_tokens=24),
    )
    model = small_model(small.model, data, sight, is_llm_trainable(config))
    budget = budget or Budget()
    stages = small_stages(small.stages, budget.steps)
    if budget.qformer_stage and (first := qformer_stage(model, budget.qformer_stage)):
        stages = (first, *stages)
    return replace(small, model=model, stages=stages)


def is_llm_trainable(config: RunConfig) -> bool:
    """Whether some stage moves the LLM, or low-rank weights in it."""
    return any(part.startswith("llm") for stage in config.stages for part in stage.trainable)


def small_model(model: ModelConfig, data: LaptopData, sight: str, lora: bool) -> ModelConfig:
    """Return a model of the laptop's parts with the connector and fusion of `model`."""
    return replace(
        model,
        llm=LanguageModelConfig(
            str(data.llm), lora=LoraConfig(rank=16, alpha=32) if lora else None
        ),
        encoder=EncoderConfig("efficientnet-lite", str(data.encoder), pooled_grid=GRID),
        connector=small_connector(model.connector, str(data.llm)),
        fusion=replace(model.fusion, feedforward=576),  # of gated blocks
        modalities={sight: {"trim": True, "margin": 0.05}},
        system="Look.",
    )


def small_connector(connector: ConnectorConfig, llm: str) -> ConnectorConfig:
    """Return the connector at the laptop's sizes; its reader's ids are the LLM's."""
    sizes = SIZES.get(connector.kind, {})
    read = {"instruction_tokenizer": llm} if connector.instruction_tokenizer else {}
    return replace(connector, norm=True, dropout=0.3, **sizes, **read)


def small_stages(stages: tuple[Stage, ...], steps: int) -> tuple[Stage, ...]:
    """Return the stages through the LLM, at `steps` in all.

    A recipe without instructions gets a stage of them, learning what its last stage learns, so that
    all are asked alike. BLIP-2's first stage is left to `beginning`.
    """
    stages = tuple(stage for stage in stages if not objective_named(stage.objective).pairs)
    if all(stage.task != "instruction" for stage in stages):
        last = replace(stages[-1], name="instruction", task="instruction", chat="template")
        stages = (*stages, last)
    counts = {task: sum(s.task == task for s in stages) for task in ("caption", "instruction")}
    captions = round(CAPTION_SHARE * steps) if counts["caption"] else 0
    shares = {"caption": captions, "instruction": steps - captions}
    return tuple(
        small_stage(stage, max(1, shares[stage.task] // counts[stage.task])) for stage in stages
    )


def qformer_stage(model: ModelConfig, epochs: float) -> Stage | None:
    """Return the stage that comes first and needs no LLM; None where there can be none.

    A Q-Former with a text side learns what BLIP-2's does, also where the recipe begins with a
    checkpoint that has learnt it. Other embeddings learn words, where they stand among words (what
    gated blocks read does not): they spell them, if they know their place, else in a bag.
    """
    objective = "token_alignment" if model.connector.kind in SPELLING else "bag_of_words"
    words = Stage(
        objective,
        trainable=("connector",),
        objective=objective,
        epochs=epochs,
        batch_size=64,
        learning_rate=RATE,
        weight_decay=0.05,
        evaluate_every=1_000,
    )
    if model.connector.contrastive_width:
        paired = "itc+itm+itg"
        return replace(words, name="representation", trainable=REPRESENTATION, objective=paired)
    return None if model.fusion.kind in PLACEHOLDER_KINDS else words


def small_stage(stage: Stage, steps: int) -> Stage:
    """Return a stage of so many steps: LoRA learns for the LLM, nothing of the encoder."""
    trainable = tuple(
        "llm.*lora_*" if part.startswith("llm") else part
        for part in stage.trainable
        if not part.startswith("encoder")
    )
    return replace(
        stage,
        trainable=trainable,
        steps=steps,
        batch_size=24,
        gradient_accumulation_steps=1,
        learning_rate=RATE,
        min_learning_rate=0.0,
        warmup_ratio=0.05,
        weight_decay=0.05 if stage.task == "caption" else 0.0,
        betas=(0.9, 0.95),
        checkpoint_every=100,
        evaluate_every=1_000,
        packed_length=512,
        evaluate_forgetting=False,  # one modality forgets nothing
    )
