"""What the recipes of other systems share: one's own pairs as data, and stages as papers give them.

Each of those recipes is its paper's setting over the parts of this package, for GPUs;
docs/recipes.md has the table of what each paper chose and where ours differs. scaled_down.py makes
any of them small enough for two cores.
"""

from __future__ import annotations

from typing import Any

from polysense.config import (
    DataConfig,
    EncoderConfig,
    LanguageModelConfig,
    LoraConfig,
    Stage,
)
from polysense.errors import PolysenseError

SAMPLES_AT_ONCE = 32  # of a batch, over all processes; the rest is accumulated

# BLIP-2's EVA-CLIP ViT-g/14, whose class token the Q-Former reads too.
EVA = EncoderConfig("transformers", "Salesforce/blip2-itm-vit-g", class_token=True)
OPEN_CLIP = EncoderConfig("transformers", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k")


def clip(name: str = "openai/clip-vit-large-patch14-336", layer: int = -2) -> EncoderConfig:
    """Return CLIP as LLaVA reads it: the patches after the last layer but one."""
    return EncoderConfig("transformers", name, layer=layer)


def vicuna(name: str, lora: LoraConfig | None = None) -> LanguageModelConfig:
    """Return a LLaMA that was taught, or is to be taught, Vicuna's turns: it brings no template."""
    return LanguageModelConfig(name, lora=lora, template="llava")


def own_pairs(manifest: str | None, recipe: str) -> DataConfig:
    """Return one's own pairs as data; raises PolysenseError where none are named."""
    if manifest is None:
        raise PolysenseError(
            f"{recipe} trains on your own pairs: polysense train {recipe} --data pairs.jsonl "
            "(laptop fetches its data itself)"
        )
    return DataConfig(manifest, held_out=0.01)


def captions(
    name: str, trainable: tuple[str, ...], batch: int, rate: float, **options: Any
) -> Stage:
    """Return a stage on captions (and documents): `batch` samples a step, `rate` at its peak.

    `options` are a Stage's own. Cosine to `min_learning_rate`, gradients clipped at 1.
    """
    usual = {"checkpoint_every": 1_000, "evaluate_every": 1_000, "balance": False}
    usual["gradient_accumulation_steps"] = max(1, batch // SAMPLES_AT_ONCE)
    return Stage(
        name, trainable=trainable, batch_size=batch, learning_rate=rate, **{**usual, **options}
    )


def instructions(
    name: str, trainable: tuple[str, ...], batch: int, rate: float, **options: Any
) -> Stage:
    """Return a stage on questions and conversations, in the LLM's chat template."""
    return captions(name, trainable, batch, rate, task="instruction", chat="template", **options)


CONNECTED = ("connector", "fusion")
