"""The released OneLLM (arXiv 2312.03700): LLaMA-2, CLIP's vision tower, tokenizers and UPM.

One checkpoint holds them all, under the names of its own code. Every tensor is accounted for before
the first is read, on modules without memory; then LLM and encoder stream into folders that
transformers reads by itself, and what is ours goes into the model's connector and tokenizers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionModel, GenerationConfig, LlamaForCausalLM
from transformers.modeling_utils import PreTrainedModel

from polysense.config import ConnectorConfig, EncoderConfig
from polysense.errors import PolysenseError
from polysense.importers.hf_checkpoint import ENCODER, LLM, Imported, read_borrowed_tokenizer
from polysense.importers.lazy_tensors import Weights
from polysense.importers.onellm.names import (
    LEFT_OUT,
    PREFIX,
    Source,
    connector_sources,
    encoder_sources,
    llm_sources,
    tokenizer_sources,
)
from polysense.importers.onellm.sizes import (
    Unwritten,
    clip_config,
    connector_config,
    llama_config,
    modality_options,
)
from polysense.importers.shard_writer import write_shards
from polysense.importers.strict_loading import check_names, fits, placed
from polysense.modalities import build_modalities
from polysense.model.connectors.build import build_connector

# OpenAI's CLIP as OneLLM reads it: all tokens after the last layer and its norm, class token first.
ENCODED = EncoderConfig("transformers", ENCODER, layer=-1, class_token=True)


@dataclass(frozen=True)
class Layout:
    """A checkpoint's parts as modules without memory, and where their tensors come from."""

    llm: LlamaForCausalLM
    clip: CLIPVisionModel
    connector: ConnectorConfig
    modalities: dict[str, dict[str, Any]]
    blanks: dict[str, torch.Tensor]  # {our tensor: a meta tensor}
    sources: dict[str, Source]  # {our tensor: theirs}

    def of(self, part: str) -> dict[str, Source]:
        """Return the sources of one part, by the names inside it."""
        start = f"{part}."
        return {
            name.removeprefix(start): source
            for name, source in self.sources.items()
            if name.startswith(start)
        }


def read_onellm(path: str, folder: Path, llm: str) -> Imported:
    """Read the checkpoint at `path`, a file or a folder of parts; write its LLM and CLIP's vision
    tower below `folder`. `llm` is a LLaMA, of which only the tokenizer is taken.

    Raises PolysenseError where a tensor is missing, has no place, or another shape.
    """
    weights = Weights(path)
    layout = layout_of(weights.shapes, Unwritten.said(sayings(Path(path).expanduser(), weights)))
    check_layout(layout, weights.shapes)
    tokenizer = read_borrowed_tokenizer(llm, layout.llm.config.vocab_size)
    write_llm(folder / LLM, layout, weights, tokenizer)
    write_encoder(folder / ENCODER, layout, weights)
    return Imported(
        ENCODED,
        layout.connector,
        fill=lambda model: fill(model, layout, weights),
        text_tokenizer=tokenizer,
        template="onellm",
        modalities=layout.modalities,
        import_summary={
            "tensors": len(weights),
            **{
                part: len({name for source in layout.of(part).values() for name in source.names})
                for part in ("llm", "encoder", "tokenizers", "connector")
            },
            "left out": [name for name in LEFT_OUT if name in weights],
        },
    )


def sayings(path: Path, weights: Weights) -> dict[str, str]:
    """Return what the checkpoint says about itself: {"config" or "clip": JSON}."""
    file = (path if path.is_dir() else path.parent) / "params.json"
    return {**({"config": file.read_text()} if file.is_file() else {}), **weights.metadata}


def vision_tower(clip: PreTrainedModel) -> torch.nn.Module:
    """Return the tower inside a CLIPVisionModel, which older versions of transformers wrap."""
    return getattr(clip, "vision_model", clip)


def layout_of(shapes: dict[str, torch.Size], unwritten: Unwritten) -> Layout:
    """Build all parts of a checkpoint with tensors of these shapes, on the meta device."""
    llama, vision = llama_config(shapes, unwritten), clip_config(shapes, unwritten)
    connector = connector_config(shapes, unwritten)
    modalities = modality_options(shapes, unwritten)
    senses = build_modalities(modalities, {})
    width = vision.hidden_size
    with torch.device("meta"):
        llm, clip = LlamaForCausalLM(llama), CLIPVisionModel(vision)
        projection = build_connector(connector, list(senses), width, llama.hidden_size, 1.0)
        tokenizers = {
            f"{name}.tokenizer.{place}": blank
            for name, modality in senses.items()
            for place, blank in modality.tokenizer(width).state_dict().items()
        }
        positions = {
            f"{name}.positions": torch.empty(position_count(name, shapes), width)
            for name, modality in senses.items()
            if not modality.uses_vision_encoder
        }
    blanks = {
        "llm": llm.state_dict(),
        "encoder": vision_tower(clip).state_dict(),
        "tokenizers": tokenizers | positions,
        "connector": projection.state_dict(),
    }
    heads = (llama.num_attention_heads, llama.num_key_value_heads or llama.num_attention_heads)
    sources = {
        "llm": llm_sources(llama.num_hidden_layers, *heads),
        "encoder": encoder_sources(vision.num_hidden_layers),
        "tokenizers": tokenizer_sources(),
        "connector": connector_sources(connector.layers or 0, connector.experts),
    }
    return Layout(llm, clip, connector, modalities, joined(blanks), joined(sources))


def position_count(modality: str, shapes: dict[str, torch.Size]) -> int:
    """Return the rows of a modality's position table, from which its options were read."""
    return shapes[f"{PREFIX}positional_embedding.{modality}"][0]


def joined(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """{part: {name: value}} -> {part.name: value}."""
    return {f"{part}.{name}": value for part, all in parts.items() for name, value in all.items()}


def check_layout(layout: Layout, shapes: dict[str, torch.Size]) -> None:
    """Check that every tensor of ours has a source of its shape, and every other one a place."""
    if unlike := sorted(set(layout.sources) ^ set(layout.blanks)):
        raise PolysenseError(f"our model is built unlike the release: {unlike[:4]} ({len(unlike)})")
    wanted = {name for source in layout.sources.values() for name in source.names}
    check_names(wanted, set(shapes) - set(LEFT_OUT), "OneLLM")
    for ours, source in layout.sources.items():
        expected = source.their_shape(layout.blanks[ours].shape)
        for name in source.names:
            fits(shapes[name], expected, name, ours)


def write_llm(folder: Path, layout: Layout, weights: Weights, tokenizer: Any) -> None:
    """Write the LLM as a folder of transformers, a shard at a time."""
    sources = layout.of("llm")
    dtype = weights[sources["model.norm.weight"].names[0]].dtype
    blanks = {name: blank.to(dtype) for name, blank in layout.llm.state_dict().items()}
    write_shards(folder, blanks, lambda name: sources[name].read(weights))
    config = layout.llm.config
    config.dtype = dtype
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)


def write_encoder(folder: Path, layout: Layout, weights: Weights) -> None:
    """Write CLIP's vision tower as a folder of transformers (0.6 GB: all at once)."""
    tower, blanks = vision_tower(layout.clip), vision_tower(layout.clip).state_dict()
    tensors = {
        name: placed(source.read(weights), blanks[name].shape, source.names[0], name).contiguous()
        for name, source in layout.of("encoder").items()
    }
    tower.load_state_dict(tensors, assign=True)
    layout.clip.config.dtype = next(iter(tensors.values())).dtype
    layout.clip.save_pretrained(folder)


@torch.no_grad()
def fill(model: Any, layout: Layout, weights: Weights) -> None:
    """Copy tokenizers and connector into `model`, a tensor at a time."""
    for part in ("tokenizers", "connector"):
        ours = model.get_submodule(part).state_dict()
        for name, source in layout.of(part).items():
            places = ours[name] if len(source.names) > 1 else [ours[name]]
            for theirs, place in zip(source.names, places, strict=True):
                place.copy_(placed(weights[theirs], place.shape, theirs, f"{part}.{name}"))
