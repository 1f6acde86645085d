"""`laptop`: SmolLM2-135M learns to see, on two cores, in minutes, from package registries alone."""

from __future__ import annotations

from pathlib import Path

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
from polysense.recipes.laptop.weights import laptop_data


def laptop(folder: Path, manifest: str | None) -> RunConfig:
    """SmolLM2-135M learns to see, from 880 pictures, in 9 minutes on two cores.

    Returns the config; data and weights are to lie in `folder`.

    With `manifest`, one's own pictures take the place of the stamps.
    """
    data = laptop_data(folder)
    return RunConfig(
        recipe="laptop",
        model=ModelConfig(
            llm=LanguageModelConfig(str(data.llm), lora=LoraConfig(rank=16, alpha=32)),
            encoder=EncoderConfig(
                "efficientnet-lite", str(data.encoder), pooled_grid=2, class_token=True
            ),
            connector=ConnectorConfig("mlp", hidden=1024, dropout=0.3),
            modalities={"image": {"trim": True, "margin": 0.05}},
            system="Look.",  # the template's own message is four times as long, in every sample
        ),
        data=DataConfig(manifest or str(data.manifest), held_out=0.08, views=2),
        stages=(
            # Costs seconds: embeddings learn to point at the rare words of their captions.
            Stage(
                "words",
                trainable=("connector",),
                objective="bag_of_words",
                epochs=10,
                batch_size=64,
                learning_rate=1e-3,
                weight_decay=0.05,
                evaluate_every=1_000,
            ),
            # Caption loss through the frozen LLM.
            Stage(
                "alignment",
                trainable=("connector",),
                epochs=0.4,
                batch_size=32,
                learning_rate=1e-3,
                weight_decay=0.05,
                evaluate_every=1_000,
            ),
            # Questions and answers in the LLM's own chat.
            Stage(
                "instruction",
                trainable=("connector", "llm.*lora_*"),
                task="instruction",
                chat="template",
                steps=80,
                batch_size=24,
                learning_rate=1e-3,
                evaluate_every=1_000,
            ),
        ),
        evaluation=EvaluationConfig(max_new_tokens=24),
    )
