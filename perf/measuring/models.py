"""Models for benchmarks: an LLM from a folder or at random, and modalities with given features."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from polysense.config import ConnectorConfig, EncoderConfig, LanguageModelConfig, ModelConfig
from polysense.config.overrides import to_json
from polysense.data.chat.chat_tokenizer import IGNORED, TokenizedChat
from polysense.data.loading.packing import collate_packed
from polysense.model.configuration import PolysenseConfig
from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch


def add_sizes(
    parser: argparse.ArgumentParser, width: int, layers: int, vocabulary: int, head_width: int = 32
) -> None:
    """Add which LLM is measured: a folder, or the sizes of a random LLaMA."""
    parser.add_argument("--llm", help="folder of an LLM (default: a random LLaMA)")
    parser.add_argument("--width", type=int, default=width)
    parser.add_argument("--layers", type=int, default=layers)
    parser.add_argument("--vocabulary", type=int, default=vocabulary)
    parser.add_argument("--head-width", type=int, default=head_width)


def some_llm(options: argparse.Namespace) -> Any:
    """Return the LLM that `add_sizes` describes, frozen, in evaluation mode."""
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    if options.llm:
        llm = AutoModelForCausalLM.from_pretrained(options.llm, dtype=dtype)
    else:
        config = LlamaConfig(
            vocab_size=options.vocabulary,
            hidden_size=options.width,
            intermediate_size=3 * options.width,
            num_hidden_layers=options.layers,
            num_attention_heads=max(1, options.width // options.head_width),
        )
        llm = LlamaForCausalLM(config).to(dtype)
    return llm.requires_grad_(False).eval().to(options.device)


def save_vit(folder: Path) -> str:
    """Save CLIP's ViT-L/14 at its published sizes, with random weights; returns the folder."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    return str(folder)


def with_modalities(
    llm: Any, modalities: Sequence[str], connector: ConnectorConfig, features: int, **options: Any
) -> PolysenseModel:
    """Return a model with `modalities` around `llm`; the encoder's width is `features`.

    `options` {modality: {option: value}} are the modalities' own. Placeholders are ids beyond the
    vocabulary: nothing has a word vector there.
    """
    torch.manual_seed(0)
    config = ModelConfig(
        llm=LanguageModelConfig("given"),
        encoder=EncoderConfig("none", width=features),
        connector=connector,
        modalities={name: options.get(name, {}) for name in modalities},
    )
    model = PolysenseModel(PolysenseConfig(model=to_json(config)), llm=llm)
    first = llm.config.vocab_size
    model.config.placeholders = {name: first + index for index, name in enumerate(modalities)}
    return model.to(llm.device)


def packed_batch(
    model: PolysenseModel, samples: int, words: int, positions: int, budget: int
) -> Batch:
    """Return `samples` of one signal and as many words each, packed; modalities take turns.

    Features are random, [positions, E]; words are learnt. Rows have up to `budget` tokens.
    """
    generator = torch.Generator().manual_seed(0)
    modalities, vocabulary = list(model.modalities), model.llm.config.vocab_size
    places = model.connector.num_embeddings(positions)
    items, media = [], []
    for index in range(samples):
        modality = modalities[index % len(modalities)]
        ids = torch.randint(vocabulary, (words,), generator=generator).tolist()
        held = [model.config.placeholders[modality]] * places
        items.append(TokenizedChat([*held, *ids], [*[IGNORED] * places, *ids]))
        media.append({modality: [torch.randn(positions, model.encoder.width, generator=generator)]})
    batch = collate_packed(items, media, 0, modalities, budget)
    return batch.to(model.device, model.llm.dtype)
