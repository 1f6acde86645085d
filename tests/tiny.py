"""Tiny random parts, saved to folders as real ones are: an LLM, a vision encoder, pictures, a run.

Every test that needs a model builds it here, so that the loading code under test is the real one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)

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
from polysense.training.run import train

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMALL = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
DINO = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
VISION = {
    "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**SMALL)),
    "siglip": lambda: SiglipVisionModel(SiglipVisionConfig(**SMALL)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**DINO)),
}
PICTURES = torch.randn(3, 3, 28, 28)
SHAPES = ("circle", "square", "line")
COLOURS = ("red", "green", "blue", "black")


def save_llm(folder: Path, seed: int = 0, template: bool = True) -> Path:
    """Save a two-layer LLaMA with a byte-level tokenizer; returns the folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    words = [f"A {colour} {shape}." for colour in COLOURS for shape in SHAPES]
    tokenizer.train_from_iterator([*words, "What is this?", "user assistant"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    if template:
        fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_encoder(folder: Path) -> Path:
    """Save a two-layer CLIP vision tower for 28-pixel pictures; returns the folder."""
    torch.manual_seed(1)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    return folder


def save_pictures(folder: Path, count: int = 24) -> Path:
    """Draw coloured shapes and write their manifest; returns the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        shape, colour = SHAPES[index % 3], COLOURS[index // 3 % 4]
        picture = Image.new("RGB", (40, 40), "white")
        draw = ImageDraw.Draw(picture)
        box = (4 + index % 5, 4, 34, 34)
        {"circle": draw.ellipse, "square": draw.rectangle, "line": draw.line}[shape](
            box, fill=colour
        )
        picture.save(folder / f"{index:02d}.png")
        values = {"image": f"{index:02d}.png", "caption": f"A {colour} {shape}."}
        lines.append(json.dumps({**values, "category": "shapes"}))
    manifest = folder / "pictures.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def save_motions(folder: Path, count: int = 24) -> Path:
    """Write pictures, recordings of motion, and both at once; returns the manifest's path."""
    lines = save_pictures(folder, count).read_text().splitlines()
    for index in range(count):
        speed, way = (1, 3, 6)[index % 3], ("turning", "shaking")[index // 3 % 2]
        times = torch.arange(60) / 50
        wave = torch.sin(2 * torch.pi * speed * times + index)
        columns = [times, *((wave if place < 3 else 0 * wave) for place in range(6))]
        if way == "turning":
            columns = [times, *columns[4:], *columns[1:4]]
        rows = [
            ",".join(f"{value:.4f}" for value in row) for row in torch.stack(columns).T.tolist()
        ]
        table = "\n".join(["time_s,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z", *rows])
        (folder / f"{index:02d}.csv").write_text(table + "\n")
        caption = f"Something {way} {('slowly', 'evenly', 'fast')[index % 3]}."
        values = {"imu": f"{index:02d}.csv", "caption": caption, "key": f"motion {index}"}
        lines.append(json.dumps(values))
        both = {"image": f"{index:02d}.png", **values, "key": f"both {index}"}
        lines.append(json.dumps(both))
    manifest = folder / "motions.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def two_senses_config(folder: Path, *, accumulation: int = 1) -> RunConfig:
    """Return a run that first learns pictures and then motions, pictures and both together."""
    config = tiny_config(folder, kind="upm")
    manifest = folder / "motions/motions.jsonl"
    if not manifest.exists():
        save_motions(manifest.parent)
    senses = {"image": {}, "imu": {"samples": 40, "rate": 50.0, "kernel": 8, "stride": 4}}
    encoder = replace(config.model.encoder, class_token=True)
    return replace(
        config,
        model=replace(config.model, modalities=senses, encoder=encoder),
        data=replace(config.data, manifest=str(manifest)),
        stages=(
            Stage("pictures", ("connector",), senses=("image",), score=True, epochs=1,
                  batch_size=4, accumulation=accumulation),
            Stage("motions", ("connector", "tokenizers"), score=True, epochs=0.5,
                  batch_size=6, accumulation=accumulation),
        ),
    )  # fmt: skip


def tiny_config(folder: Path, *, steps_scale: float = 1.0, kind: str = "mlp") -> RunConfig:
    """Save all parts below `folder` and return a run over them, with two stages."""
    llm, encoder = folder / "llm", folder / "encoder"
    if not llm.exists():
        save_llm(llm)
        save_encoder(encoder)
        save_pictures(folder / "pictures")
    connector = ConnectorConfig(kind, dropout=0.1, layers=2, heads=2, queries=4, experts=2)
    return RunConfig(
        recipe="tiny",
        model=ModelConfig(
            llm=LanguageModelConfig(str(llm), lora=LoraConfig(rank=2)),
            encoder=EncoderConfig("transformers", str(encoder)),
            connector=connector,
            modalities={"image": {}},
            precision="fp32",
        ),
        data=DataConfig(str(folder / "pictures/pictures.jsonl"), held_out=0.25, views=2),
        stages=(
            Stage("alignment", ("connector",), epochs=2 * steps_scale, batch_size=4,
                  checkpoint_every=3, evaluate_every=5),
            Stage("instruction", ("connector", "llm.*lora_*"), task="instruction", chat="template",
                  epochs=1 * steps_scale, batch_size=4, accumulation=2, checkpoint_every=3,
                  evaluate_every=5),
        ),
        evaluation=EvaluationConfig(max_new_tokens=5),
    )  # fmt: skip


def tiny_run(folder: Path, parts: Path | None = None) -> Path:
    """Train a tiny run into `folder` and return it; its parts lie in `parts` or beside it."""
    config = tiny_config(parts or folder.parent / "tiny-parts", steps_scale=0.5)
    train(config, folder)
    return folder
