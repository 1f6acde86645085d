"""Where every tensor of the OneLLM release belongs in our model: a table of names, nothing else.

Ours are the model's own names (`llm.`, `encoder.`, `tokenizers.`, `connector.`), theirs carry the
prefix `llma.`. Three things are more than a name: the LLM's queries and keys are stored for
interleaved rotary positions, CLIP's query, key and value are one tensor, and our experts lie
stacked in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

PREFIX = "llma."
CLIP, VISUAL = "clip.", "clip.visual."

# Our modalities and what the release calls them.
MODALITIES = {
    "image": "image", "video": "video", "audio": "audio", "point": "point", "depth": "rgbd",
    "normal": "rgbn", "imu": "imu", "fmri": "fmri",
}  # fmt: skip

# Modalities with a tokenizer of their own: (its layer in ours, in theirs, what it has).
TOKENIZERS = {
    "audio": ("convolution", "audio", ("weight", "bias")),
    "point": ("convolution", "point.conv1", ("weight", "bias")),
    "imu": ("convolution", "imu", ("weight",)),
    "fmri": ("linear", "fmri", ("weight", "bias")),
}

# What the release keeps of CLIP's text side, and the projection that no feature passes.
LEFT_OUT = tuple(
    PREFIX + CLIP + name
    for name in ("token_embedding.weight", "positional_embedding", "ln_final.weight",
                 "ln_final.bias", "text_projection", "logit_scale", "visual.proj")
)  # fmt: skip

LLAMA_LAYER = {
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip

CLIP_LAYER = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip

EXPERT_LAYER = {
    **{part: f"attention.{part}" for part in ("wq", "wk", "wv", "wo")},
    **{part: f"feed_forward.{part}" for part in ("w1", "w2", "w3")},
    "attention_norm": "attention_norm",
    "ffn_norm": "ffn_norm",
}

KINDS = ("weight", "bias")


@dataclass(frozen=True)
class Source:
    """What one tensor of ours is made of.

    names   one of theirs, or one an expert: those are stacked
    third   which third of its rows (CLIP's fused query 0, key 1, value 2)
    heads   of a rotary projection, whose rows are put in another order
    """

    names: tuple[str, ...]
    third: int | None = None
    heads: int | None = None

    def their_shape(self, ours: torch.Size) -> torch.Size:
        """Return the shape that each of `names` must have for our shape."""
        if len(self.names) > 1:
            return ours[1:]
        return ours if self.third is None else torch.Size((3 * ours[0], *ours[1:]))

    def read(self, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the one tensor; only the sources with one name are read so."""
        (name,) = self.names
        tensor = weights[name]
        if self.third is not None:
            tensor = tensor.chunk(3)[self.third]
        return half_split(tensor, self.heads) if self.heads else tensor


def half_split(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Reorder the rows of a rotary projection [heads * 2 P, D] from pairs side by side (LLaMA's
    own code) to all first halves before all second ones, head by head (transformers)."""
    pairs = weight.unflatten(0, (heads, -1, 2))
    return pairs.transpose(1, 2).flatten(0, 2)


def one(name: str, **how: int) -> Source:
    """A source of a single tensor."""
    return Source((PREFIX + name,), **how)


def llm_sources(layers: int, heads: int, key_heads: int) -> dict[str, Source]:
    """The LLM in LlamaForCausalLM's names."""
    found = {
        "model.embed_tokens.weight": one("tok_embeddings.weight"),
        "model.norm.weight": one("norm.weight"),
        "lm_head.weight": one("output.weight"),
    }
    rotary = {"self_attn.q_proj": {"heads": heads}, "self_attn.k_proj": {"heads": key_heads}}
    for layer in range(layers):
        for ours, theirs in LLAMA_LAYER.items():
            source = one(f"layers.{layer}.{theirs}.weight", **rotary.get(ours, {}))
            found[f"model.layers.{layer}.{ours}.weight"] = source
    return found


def encoder_sources(layers: int) -> dict[str, Source]:
    """CLIP's vision tower in the names of transformers' CLIPVisionModel."""
    found = {
        "embeddings.class_embedding": one(VISUAL + "class_embedding"),
        "embeddings.patch_embedding.weight": one(VISUAL + "conv1.weight"),
        "embeddings.position_embedding.weight": one(VISUAL + "positional_embedding"),
    }
    for kind in KINDS:
        found[f"pre_layrnorm.{kind}"] = one(f"{VISUAL}ln_pre.{kind}")
        found[f"post_layernorm.{kind}"] = one(f"{VISUAL}ln_post.{kind}")
        for layer in range(layers):
            block, ours = f"{VISUAL}transformer.resblocks.{layer}", f"encoder.layers.{layer}"
            for place, theirs in CLIP_LAYER.items():
                found[f"{ours}.{place}.{kind}"] = one(f"{block}.{theirs}.{kind}")
            for third, letter in enumerate("qkv"):
                fused = one(f"{block}.attn.in_proj_{kind}", third=third)
                found[f"{ours}.self_attn.{letter}_proj.{kind}"] = fused
    return found


def tokenizer_sources() -> dict[str, Source]:
    """The tokenizers and position tables of the modalities that are no pictures."""
    found = {}
    for modality, (layer, theirs, kinds) in TOKENIZERS.items():
        found[f"{modality}.positions"] = one(f"positional_embedding.{modality}")
        for kind in kinds:
            found[f"{modality}.tokenizer.{layer}.{kind}"] = one(f"conv1.{theirs}.{kind}")
    return found


def connector_sources(layers: int, experts: int) -> dict[str, Source]:
    """The universal projection module, all modalities of it."""
    found = {}
    for ours, theirs in MODALITIES.items():
        for kind in KINDS:
            for index in (0, 1):
                projection = f"{theirs}.{index}.{kind}"
                found[f"input_projection.{ours}.{index}.{kind}"] = one(f"clip_proj1.{projection}")
                found[f"output_projection.{ours}.{index}.{kind}"] = one(f"clip_proj2.{projection}")
                router = f"fc{index + 1}.{kind}"
                found[f"routers.{ours}.{router}"] = one(f"routers.{theirs}.{router}")
        found[f"tokens.{ours}"] = one(f"resample_tokens.{theirs}")
        found[f"start_tag.{ours}"] = one(f"start_tag.{theirs}")
        found[f"end_tag.{ours}"] = one(f"end_tag.{theirs}")
    for layer in range(layers):
        for ours, theirs in EXPERT_LAYER.items():
            names = (f"resample_layers.{k}.{layer}.{theirs}.weight" for k in range(experts))
            found[f"blocks.{layer}.{ours}"] = Source(tuple(PREFIX + name for name in names))
    return found
