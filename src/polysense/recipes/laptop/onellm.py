"""`onellm-laptop`: eight modalities on SmolLM2-135M, two cores and package registries.

OneLLM's course (arXiv 2312.03700) at a size for laptops: sight first, then video, sound and point
clouds, then depth, normals, motion and brain activity, every modality known drawn equally often; at
last one instruction stage over all. Before each alignment stage stands a stage "words", which costs
seconds (training/objectives.py).

There is no encoder block for modalities other than pictures: EfficientNet-Lite0 sees, and tokens of
the others go to the projection module as they are, which measured better than MiniLM between them
(docs/onellm-laptop.md).
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
    LanguageModelConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    Stage,
)
from polysense.recipes.datasets import all_modalities as onellm_data
from polysense.recipes.laptop.weights import SENTENCES, laptop_data
from polysense.recipes.published.onellm import FIRST, SECOND, THIRD

PICTURE: dict[str, Any] = {"fit": "pad"}

MODALITIES: dict[str, dict[str, Any]] = {
    "image": {"trim": True, "margin": 0.05},
    "video": {"clips": 3, "crops": 1},
    "audio": {"frames": 256, "mel_bins": 64, "stride": 16},
    "point": {"points": 1024, "groups": 48, "neighbours": 16},
    "depth": dict(PICTURE),
    "normal": dict(PICTURE),
    "imu": {"samples": 100, "rate": 50.0, "stride": 5},
    "fmri": {"voxels": 1024, "tokens": 4},
}

# What of a projection a modality has for itself: all but the experts.
OWN_PARTS = tuple(
    f"connector.{part}"
    for part in ("tokens", "input_projection", "output_projection", "routers", "*_tag")
)


def onellm_laptop(folder: Path, manifest: str | None) -> RunConfig:
    """OneLLM's course on SmolLM2-135M: eight modalities in stages, those learnt before replayed."""
    return with_stages(folder, manifest, "onellm-laptop", progressive(replay=True))


def onellm_laptop_forgetful(folder: Path, manifest: str | None) -> RunConfig:
    """The course without replay: what is lost of the modalities learnt before?

    The experts go on learning when captions are said, as in the paper; while they rest there is
    nothing that one modality could take from another.
    """
    return with_stages(folder, manifest, "onellm-laptop-forgetful", progressive(replay=False))


def onellm_laptop_joint(folder: Path, manifest: str | None) -> RunConfig:
    """All eight modalities learnt at once (paper, table 5).

    One modality alone, the paper's "separate": polysense train onellm-laptop-joint --modality
    audio.
    """
    everything = (*FIRST, *SECOND, *THIRD)
    stages = (
        token_alignment("words", everything, 600),
        captions("alignment", everything, 80),
        instruction(),
    )
    return with_stages(folder, manifest, "onellm-laptop-joint", stages)


def onellm_laptop_minilm(folder: Path, manifest: str | None) -> RunConfig:
    """All at once, with MiniLM's frozen layers behind every learnt tokenizer."""
    config = onellm_laptop_joint(folder, manifest)
    block = str(folder.absolute() / SENTENCES)
    model = replace(config.model, encoder=replace(config.model.encoder, token_encoder=block))
    return replace(config, recipe="onellm-laptop-minilm", model=model)


def with_stages(
    folder: Path, manifest: str | None, name: str, stages: tuple[Stage, ...]
) -> RunConfig:
    """Return the recipe with some stages; data and weights are to lie in `folder`."""
    data = laptop_data(folder)
    pairs = manifest or str(folder.absolute() / onellm_data.MANIFEST)
    return RunConfig(
        recipe=name,
        model=ModelConfig(
            llm=LanguageModelConfig(str(data.llm), lora=LoraConfig(rank=16, alpha=32)),
            encoder=EncoderConfig(
                "efficientnet-lite", str(data.encoder), pooled_grid=2, class_token=True
            ),
            connector=ConnectorConfig(
                "upm", width=256, layers=1, heads=4, queries=6, feedforward=512
            ),
            modalities={modality: dict(options) for modality, options in MODALITIES.items()},
            system="Look.",
        ),
        data=DataConfig(pairs, held_out=0.08, views=2),
        stages=stages,
        evaluation=EvaluationConfig(max_new_tokens=12, per_modality=12),
    )


def progressive(replay: bool) -> tuple[Stage, ...]:
    """Return OneLLM's three alignment stages and its instruction stage.

    The experts learn from pictures; later modalities learn to use them, and take nothing from each
    other. With `replay` those known are drawn again when captions are said; without, the experts
    learn from these captions too.
    """
    own = ("tokenizers", *OWN_PARTS)
    known: tuple[str, ...] = ()
    stages: list[Stage] = []
    course = ((FIRST, 200, 30), (SECOND, 500, 20), (THIRD, 170, 22))
    for number, (new, word_steps, steps) in enumerate(course, start=1):
        words = token_alignment(f"words-{number}", new, word_steps)
        said = captions(f"alignment-{number}", (*known, *new) if replay else new, steps)
        if known:
            words = replace(words, trainable=own, learning_rate=2e-3)
            said = replace(said, trainable=own) if replay else said
        known = (*known, *new)
        stages += [words, said]
    return (*stages, instruction())


def token_alignment(name: str, modalities: tuple[str, ...], steps: int) -> Stage:
    """Return a stage in which embeddings learn to spell captions by the LLM's word vectors."""
    return Stage(
        name,
        trainable=("tokenizers", "connector"),
        modalities=modalities,
        multi_signal=False,
        objective="token_alignment",
        steps=steps,
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=0.05,
        evaluate_every=10_000,
    )


def captions(name: str, modalities: tuple[str, ...], steps: int) -> Stage:
    """Return a stage of captions through the frozen LLM.

    Its rate is lower: it polishes what spelling has taught, and would soon blur it.
    """
    return replace(
        token_alignment(name, modalities, steps),
        objective="next_token",
        evaluate_forgetting=True,
        batch_size=32,
        learning_rate=3e-4,
    )


def instruction() -> Stage:
    """Return instruction tuning over every modality and over films with sound, the LLM by LoRA.

    The experts rest: where they moved too, sight lost ten points. In the paper the LLM alone moves;
    here it would then find the right caption as often, but say it less (docs/onellm-laptop.md).
    """
    return Stage(
        "instruction",
        trainable=(*OWN_PARTS, "llm.*lora_*"),
        evaluate_forgetting=True,
        task="instruction",
        chat="template",
        steps=36,
        batch_size=28,
        learning_rate=5e-4,
        evaluate_every=10_000,
    )
