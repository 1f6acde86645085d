"""A tiny run that learns a Q-Former from captions, and a tiny BERT for it to begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from tiny import COLOURS, SHAPES, tiny_config
from transformers import BertConfig, BertForPreTraining, BertTokenizer, CLIPVisionModel

from polysense.config import ConnectorConfig, EncoderConfig, RunConfig, Stage

BERT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
}  # fmt: skip


def save_bert(folder: Path) -> Path:
    """Save a two-layer BERT of the tiny captions' words, with its head; returns the folder."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"a . ?".split(), *COLOURS, *SHAPES]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    BertTokenizer(str(folder / "words.txt")).save_pretrained(folder)
    torch.manual_seed(2)
    bert = BertForPreTraining(BertConfig(vocab_size=len(words), **BERT))
    for parameter in bert.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    bert.save_pretrained(folder)
    return folder


def paired_config(folder: Path, steps: int = 40) -> RunConfig:
    """Return a run that learns a Q-Former by BLIP-2's three objectives, then speaks through it."""
    config = tiny_config(folder, kind="qformer")
    connector = ConnectorConfig("qformer", width=16, layers=2, heads=2, queries=3, space=8)
    encoder = folder / "seeing"  # with weights so large that pictures differ
    if not encoder.exists():
        tower = CLIPVisionModel.from_pretrained(folder / "encoder")
        for weight in tower.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        tower.save_pretrained(encoder)
    return replace(
        config,
        model=replace(
            config.model, connector=connector, encoder=EncoderConfig("transformers", str(encoder))
        ),
        stages=(
            Stage("representation", ("connector",), objective="contrast+match+caption", steps=steps,
                  batch_size=8, learning_rate=1e-2, evaluate_every=20),
            Stage("generation", ("connector",), epochs=0.5, batch_size=4),
        ),
    )  # fmt: skip


def enlarge(model) -> None:
    """Give a connector weights so large that what it says depends on what it sees."""
    torch.manual_seed(4)
    for weight in model.connector.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
