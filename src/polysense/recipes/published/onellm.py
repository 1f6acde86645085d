"""`onellm-7b`: OneLLM as its paper trains it, for GPUs (torchrun), over one's own pairs.

LLaMA-2-7B, CLIP ViT-L/14 as the universal encoder, the projection module of three experts, three
alignment stages and unified instruction tuning (arXiv 2312.03700, sections 3.3 and 4.1). Weights
come from a hub or, with --set model.llm.name=FOLDER and model.encoder.name=FOLDER, from disk.
"""

from __future__ import annotations

from pathlib import Path

from polysense.config import (
    ConnectorConfig,
    DataConfig,
    EncoderConfig,
    LanguageModelConfig,
    ModelConfig,
    RunConfig,
    Stage,
)
from polysense.errors import PolysenseError

FIRST = ("image",)
SECOND = ("video", "audio", "point")
THIRD = ("depth", "normal", "imu", "fmri")


def onellm_7b(folder: Path, manifest: str | None) -> RunConfig:
    """OneLLM-7B: eight modalities in three alignment stages, then instructions, as in its paper.

    `manifest` names the pairs, since nothing is fetched here.
    """
    if manifest is None:
        raise PolysenseError(
            "onellm-7b trains on your own pairs: polysense train onellm-7b --data pairs.jsonl "
            "(onellm-laptop fetches its data itself)"
        )
    return RunConfig(
        recipe="onellm-7b",
        model=ModelConfig(
            llm=LanguageModelConfig("meta-llama/Llama-2-7b-hf"),
            encoder=EncoderConfig(
                "transformers", "openai/clip-vit-large-patch14", class_token=True
            ),
            connector=ConnectorConfig("upm"),  # 3 experts of 8 layers, 30 queries, soft router
            modalities={modality: {} for modality in (*FIRST, *SECOND, *THIRD)},
        ),
        data=DataConfig(manifest, held_out=0.01),
        stages=(
            alignment("alignment-1", FIRST, 5120, 200_000, 5e-5),
            alignment("alignment-2", (*FIRST, *SECOND), 1080, 200_000, 1e-5, copy_experts=True),
            alignment("alignment-3", (*FIRST, *SECOND, *THIRD), 1080, 100_000, 1e-5),
            Stage(
                "instruction",
                trainable=("llm",),
                task="instruction",
                chat="template",
                balance=False,
                batch_size=512,
                gradient_accumulation_steps=64,
                learning_rate=2e-5,
                max_grad_norm=2.0,
                checkpoint_every=500,
                evaluate_every=500,
            ),
        ),
    )


def alignment(
    name: str,
    modalities: tuple[str, ...],
    batch: int,
    steps: int,
    rate: float,
    copy_experts: bool = False,
) -> Stage:
    """Return an alignment stage: tokenizers and projection learn, every known modality equally
    often.

    AdamW (0.9, 0.95), weight decay 0.1, 2,000 steps of warm-up, gradients clipped at 2.
    """
    return Stage(
        name,
        trainable=("tokenizers", "connector"),
        modalities=modalities,
        multi_signal=False,
        evaluate_forgetting=True,
        copy_experts=copy_experts,
        steps=steps,
        batch_size=batch,
        gradient_accumulation_steps=batch // 40,
        learning_rate=rate,
        warmup_ratio=2_000 / steps,
        weight_decay=0.1,
        max_grad_norm=2.0,
        checkpoint_every=1_000,
        evaluate_every=1_000,
    )
