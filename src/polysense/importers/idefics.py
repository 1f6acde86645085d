"""IDEFICS, the open Flamingo, from transformers' `IdeficsForVisionText2Text`.

A CLIP tower, a Perceiver resampler, and a LLaMA with gated blocks before every few layers. The
words that IDEFICS added to LLaMA's stand in tensors of their own; here they are LLaMA's last rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    CLIPVisionConfig,
    CLIPVisionModel,
    IdeficsForVisionText2Text,
    LlamaConfig,
)

from polysense.config import ConnectorConfig, EncoderConfig, FusionConfig
from polysense.errors import PolysenseError
from polysense.importers.hf_checkpoint import (
    ENCODER,
    MODALITY,
    Imported,
    branch_of,
    picture_values,
    read_model,
    read_settings,
    read_tokenizer,
    require_settings,
    write_parts,
)
from polysense.importers.strict_loading import check_names, load_strictly
from polysense.model.encoders.image_preprocessing import FAMILIES

IMAGE, SPOKEN = "<image>", "<end_of_utterance>"
TOWER, PERCEIVER = "model.vision_model.", "model.perceiver_resampler."
GATED = "model.gated_cross_attn_layers."

# The words of LLaMA, and those added to them.
WORDS = {
    "model.embed_tokens.weight": "model.embed_tokens.additional_embedding.weight",
    "lm_head.weight": "lm_head.additional_fc.weight",
}

# Where our parts of a Perceiver block and of a gated block stand in theirs.
PERCEIVER_PARTS = {
    "media_norm": "0.context_layer_norm",
    "latent_norm": "0.latents_layer_norm",
    "query": "0.q_proj",
    "key": "0.k_proj",
    "value": "0.v_proj",
    "out": "0.output_proj",
    "query_norm": "0.q_layer_norm",
    "key_norm": "0.k_layer_norm",
    "feedforward.0": "1.ln",
    "feedforward.1": "1.fc",
    "feedforward.3": "1.c_proj",
}

GATED_PARTS = {
    "norm": "input_layernorm",
    "query": "cross_attn.q_proj",
    "key": "cross_attn.k_proj",
    "value": "cross_attn.v_proj",
    "out": "cross_attn.o_proj",
    "query_norm": "cross_attn.q_layer_norm",
    "key_norm": "cross_attn.k_layer_norm",
    "feedforward_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}

GATES = {"attention_gate": "alpha_cross_attn", "feedforward_gate": "alpha_dense"}

COPIED = (  # of its config into LLaMA's
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
    "rms_norm_eps", "max_position_embeddings", "rope_parameters", "tie_word_embeddings",
    "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


def read_idefics(path: str, folder: Path) -> Imported:
    """Read the checkpoint at `path`; write its LLM and vision tower below `folder`.

    Raises PolysenseError where it is damaged, incomplete, or an IDEFICS of another kind.
    """
    settings = read_settings(path, "idefics", "idefics")
    require_settings(path, "LLM", settings, {"use_resampler": True, "hidden_act": "silu"})
    layers, every_n_layers = settings.num_hidden_layers, settings.cross_layer_interval
    if layers % every_n_layers:
        raise PolysenseError(
            f"checkpoint {path!r}: cross_layer_interval={every_n_layers} does not divide "
            f"its {layers} layers"
        )
    tokenizer = read_tokenizer(path)
    mark = tokenizer.convert_tokens_to_ids(IMAGE)
    if mark is None or mark == tokenizer.unk_token_id:
        raise PolysenseError(f"checkpoint {path!r}: its tokenizer has no {IMAGE}")
    whole = read_model(path, IdeficsForVisionText2Text)
    tensors = whole.state_dict()
    llm = plain_llm(settings, tensors)
    llm.generation_config = whole.generation_config
    write_parts(folder, llm, clip_tower(settings.vision_config, tensors), pictures(path, settings))
    own = {name: t for name, t in tensors.items() if name.startswith((PERCEIVER, GATED))}
    word = llm.get_input_embeddings().weight[mark].detach()
    spoken = tokenizer.convert_tokens_to_ids(SPOKEN) not in (None, tokenizer.unk_token_id)
    return Imported(
        # Behind its last layer, before CLIP's final norm, which IDEFICS gives the class token only.
        EncoderConfig(
            "transformers",
            ENCODER,
            layer=settings.vision_config.num_hidden_layers,
            class_token=True,
        ),
        connector_config(settings),
        fill=lambda model: fill(model, own, word, every_n_layers),
        text_tokenizer=tokenizer,
        template="idefics-instruct" if spoken else "idefics",
        fusion=FusionConfig(
            "cross_attention",
            variant="idefics",
            every_n_layers=every_n_layers,
            gates="each" if settings.alpha_type == "vector" else "one",
            query_key_norm=settings.qk_layer_norms,
        ),
    )


def connector_config(settings: Any) -> ConnectorConfig:
    """Return the Perceiver of a checkpoint as a connector of ours."""
    perceiver = settings.perceiver_config
    return ConnectorConfig(
        "perceiver",
        variant="idefics",
        layers=perceiver.resampler_depth,
        heads=perceiver.resampler_n_heads,
        head_width=perceiver.resampler_head_dim,
        queries=perceiver.resampler_n_latents,
        query_key_norm=perceiver.qk_layer_norms_perceiver,
    )


def plain_llm(settings: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return the LLaMA that is left without the gated blocks, added words at its end."""
    extra = settings.additional_vocab_size
    config = LlamaConfig(
        vocab_size=settings.vocab_size + extra,
        **{name: getattr(settings, name) for name in COPIED},
    )
    with torch.device("meta"):  # a shell, whose weights are never made
        llm = AutoModelForCausalLM.from_config(config)
    wanted = set(llm.state_dict())
    given = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith((TOWER, PERCEIVER, GATED))
    }
    joined = {
        name: torch.cat([tensor, given[WORDS[name]]]) if extra and name in WORDS else tensor
        for name, tensor in given.items()
        if name not in WORDS.values()
    }
    check_names(wanted, joined, "LLM")
    llm.load_state_dict(joined, assign=True)
    return llm.to(tensors["model.norm.weight"].dtype)


def clip_tower(settings: Any, tensors: Mapping[str, torch.Tensor]) -> CLIPVisionModel:
    """Return the vision tower as the CLIP it was made from."""
    names = (
        "image_size", "patch_size", "intermediate_size", "num_hidden_layers", "num_channels",
        "num_attention_heads", "hidden_act", "layer_norm_eps",
    )  # fmt: skip
    shapes = {name: getattr(settings, name) for name in names}
    config = CLIPVisionConfig(hidden_size=settings.embed_dim, **shapes)
    with torch.device("meta"):
        tower = CLIPVisionModel(config)
    state = tower.state_dict()
    # Some versions of transformers put "vision_model." before every name of it.
    ours = {name.removeprefix("vision_model."): name for name in state}
    given = {n.removeprefix(TOWER): t for n, t in tensors.items() if n.startswith(TOWER)}
    check_names(ours, given, "vision tower")
    tower.load_state_dict({ours[name]: tensor for name, tensor in given.items()}, assign=True)
    return tower


def pictures(path: str, settings: Any) -> dict[str, Any]:
    """Return how pictures are made: stretched to a square, with CLIP's colours unless it says."""
    values, size = picture_values(path), settings.vision_config.image_size
    mean, deviation, _ = FAMILIES["clip"]
    return {
        "size": {"height": size, "width": size},
        "image_mean": values.get("image_mean") or mean,
        "image_std": values.get("image_std") or deviation,
        "do_center_crop": False,
    }


def fill(
    model: Any, tensors: Mapping[str, torch.Tensor], word: torch.Tensor, every_n_layers: int
) -> None:
    """Load the Perceiver, the gated blocks, and the word that marks a picture; all of them."""
    branch, blocks = branch_of(model), model.fusion.attention.blocks
    perceiver = {"latents": f"{PERCEIVER}latents"}
    for ours in set(branch.state_dict()) - set(perceiver):
        part, kind = ours.rsplit(".", 1)
        if part == "output_projection":
            perceiver[ours] = f"{PERCEIVER}layer_norm.{kind}"
        else:
            _, index, inner = part.split(".", 2)
            perceiver[ours] = f"{PERCEIVER}blocks.{index}.{PERCEIVER_PARTS[inner]}.{kind}"
    gated = {}
    for ours in blocks.state_dict():
        index, inner = ours.split(".", 1)
        part, _, kind = inner.rpartition(".")
        theirs = f"{GATED_PARTS[part]}.{kind}" if part else GATES[inner]
        gated[ours] = f"{GATED}{int(index) // every_n_layers}.{theirs}"
    for module, names, what in ((branch, perceiver, "Perceiver"), (blocks, gated, "gated blocks")):
        prefix = PERCEIVER if module is branch else GATED
        given = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        load_strictly(module, names, given, what)
    with torch.no_grad():
        model.fusion.placeholder_embeddings[MODALITY].copy_(word)
