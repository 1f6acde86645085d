"""A peer's recipe on two cores: its connector, interaction and freezing over the laptop's parts.

LLM, encoder and pictures are those of the recipe `laptop`, sizes are small, and every recipe gets
the same number of steps, so that what is compared is the way from features to words.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from polysense.config import (
    ConnectorConfig,
    DataConfig,
    EncoderConfig,
    EvaluationConfig,
    InteractionConfig,
    LanguageModelConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    Stage,
)
from polysense.errors import require
from polysense.model.interaction import MARKED
from polysense.recipes.laptop_data import LaptopData, prepare
from polysense.recipes.own_senses import with_senses
from polysense.training.objectives import objective_named

CAPTION_STEPS, INSTRUCTION_STEPS = 120, 80  # shared by a recipe's stages of either task
GRID = 4  # features of a picture: GRID x GRID
RATE = 1e-3

# What a connector has on a laptop; what stands at None here is as in the recipe.
SIZES: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": 1024},
    "qformer": {"width": 384, "layers": 4, "heads": 6, "queries": 8, "feedforward": 1536},
    "perceiver": {"layers": 2, "heads": 6, "queries": 8, "feedforward": 1280},
    "resampler": {"width": 384, "heads": 6, "queries": 9},
    "upm": {"width": 384, "layers": 1, "heads": 6, "queries": 6, "feedforward": 768},
}


def on_laptop(config: RunConfig, folder: Path, manifest: str | None = None) -> RunConfig:
    """Return `config` at the laptop's size; data and weights are fetched into `folder`, once.

    It learns pictures, those of `manifest` or Tux Paint's, which is all that the recipes share.
    """
    sight = "image"
    require(
        sight in config.model.modalities, f"{config.recipe} has no pictures to learn on a laptop"
    )
    data = prepare(folder, with_pictures=manifest is None)
    small = replace(
        with_senses(config, [sight]),
        recipe=f"{config.recipe}-laptop",
        data=DataConfig(manifest or str(data.manifest), held_out=0.08, views=2),
        evaluation=EvaluationConfig(max_new_tokens=24),
    )
    model = small_model(small.model, data, sight, llm_learns(config))
    return replace(small, model=model, stages=small_stages(small.stages, model.interaction))


def llm_learns(config: RunConfig) -> bool:
    """Whether some stage moves the LLM, or low-rank weights in it."""
    return any(part.startswith("llm") for stage in config.stages for part in stage.learn)


def small_model(model: ModelConfig, data: LaptopData, sight: str, lora: bool) -> ModelConfig:
    """Return a model of the laptop's parts with the connector and interaction of `model`."""
    return replace(
        model,
        llm=LanguageModelConfig(
            str(data.llm), lora=LoraConfig(rank=16, alpha=32) if lora else None
        ),
        encoder=EncoderConfig("efficientnet-lite", str(data.encoder), grid=GRID),
        connector=small_connector(model.connector, str(data.llm)),
        interaction=replace(model.interaction, feedforward=576),  # of gated blocks
        modalities={sight: {"trim": True, "margin": 0.05}},
        system="Look.",
    )


def small_connector(connector: ConnectorConfig, llm: str) -> ConnectorConfig:
    """Return the connector at the laptop's sizes; what it reads is in the LLM's ids."""
    sizes = SIZES.get(connector.kind, {})
    read = {"vocabulary": 49_152, "reader": llm} if connector.reader else {}
    if connector.space:
        read = {"space": 64, "vocabulary": None, "initial": None}
    return replace(connector, norm=True, dropout=0.3, **sizes, **read)


def small_stages(stages: tuple[Stage, ...], interaction: InteractionConfig) -> tuple[Stage, ...]:
    """Return the stages at the laptop's budget, which is the same for every recipe.

    A recipe without instructions gets a stage of them, learning what its last stage learns, so that
    all are asked alike. Where embeddings stand among words, `words` comes first, as in `laptop`;
    before it only what a Q-Former learns without the LLM, which has steps of its own.
    """
    paired = [stage for stage in stages if objective_named(stage.objective).pairs]
    stages = tuple(stage for stage in stages if stage not in paired)
    if all(stage.task != "instruction" for stage in stages):
        last = replace(stages[-1], name="instruction", task="instruction", chat="template")
        stages = (*stages, last)
    counts = {task: sum(s.task == task for s in stages) for task in ("caption", "instruction")}
    whole = CAPTION_STEPS + INSTRUCTION_STEPS
    budget = {
        "caption": CAPTION_STEPS,
        "instruction": INSTRUCTION_STEPS if counts["caption"] else whole,
    }
    small = [small_stage(stage, budget[stage.task] // counts[stage.task]) for stage in stages]
    words = Stage(
        "words",
        learn=("connector",),
        objective="words",
        epochs=10,
        batch_size=64,
        learning_rate=RATE,
        weight_decay=0.05,
        evaluate_every=1_000,
    )
    first = [small_stage(stage, CAPTION_STEPS) for stage in paired]
    return (*first, *small) if interaction.kind in MARKED else (*first, words, *small)


def small_stage(stage: Stage, steps: int) -> Stage:
    """Return a stage of so many steps: LoRA learns for the LLM, nothing of the encoder."""
    learn = tuple(
        "llm.*lora_*" if part.startswith("llm") else part
        for part in stage.learn
        if not part.startswith("encoder")
    )
    return replace(
        stage,
        learn=learn,
        steps=steps,
        batch_size=24,
        accumulation=1,
        learning_rate=RATE,
        minimum_rate=0.0,
        warmup=0.05,
        weight_decay=0.05 if stage.task == "caption" else 0.0,
        betas=(0.9, 0.95),
        checkpoint_every=100,
        evaluate_every=1_000,
        row_tokens=512,
    )
