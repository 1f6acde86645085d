"""Q-Former weights of BLIP-2 and InstructBLIP in transformers' names, read strictly.

In: the tensors of a whole checkpoint or of the Q-Former alone. Every tensor of the Q-Former is
placed, or its name is in the error; what belongs to the vision tower and the LLM is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from polysense.importers.strict_loading import load_strictly
from polysense.model.connectors.qformer import QFormer

# Where our parts of a layer stand in theirs.
LAYER_PARTS = {
    "attention.query": "attention.attention.query",
    "attention.key": "attention.attention.key",
    "attention.value": "attention.attention.value",
    "attention.out": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "cross_attention.query": "crossattention.attention.query",
    "cross_attention.key": "crossattention.attention.key",
    "cross_attention.value": "crossattention.attention.value",
    "cross_attention.out": "crossattention.output.dense",
    "cross_attention.norm": "crossattention.output.LayerNorm",
    "query_feedforward.inner": "intermediate_query.dense",
    "query_feedforward.outer": "output_query.dense",
    "query_feedforward.norm": "output_query.LayerNorm",
    "text_feedforward.inner": "intermediate.dense",
    "text_feedforward.outer": "output.dense",
    "text_feedforward.norm": "output.LayerNorm",
}


def transformers_name(ours: str, embeddings: str, norm: str) -> str:
    """Return transformers' name of our tensor; `embeddings` and `norm` are the family's prefixes.

    InstructBLIP keeps text embeddings and first norm inside the Q-Former, BLIP-2 beside it.
    """
    if ours == "queries":
        return "query_tokens"
    part, kind = ours.rsplit(".", 1)
    fixed = {
        "norm": norm,
        "words": f"{embeddings}word_embeddings",
        "positions": f"{embeddings}position_embeddings",
    }
    if part in fixed:
        return f"{fixed[part]}.{kind}"
    _, index, inner = part.split(".", 2)
    return f"qformer.encoder.layer.{index}.{LAYER_PARTS[inner]}.{kind}"


def transformers_names(former: QFormer, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return {our tensor: theirs} of `former`, for the family that `tensors` are of."""
    instruct = "qformer.embeddings.layernorm.weight" in tensors
    prefixes = (
        ("qformer.embeddings.", "qformer.embeddings.layernorm")
        if instruct
        else ("embeddings.", "qformer.layernorm")
    )
    return {ours: transformers_name(ours, *prefixes) for ours in former.state_dict()}


def load_transformers_qformer(former: QFormer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Load `query_tokens`, `qformer.*` and, of BLIP-2, `embeddings.*`: all of them or nothing.

    Raises PolysenseError that names the tensors which are missing, left, or of another shape.
    """
    own = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(("query_tokens", "qformer.", "embeddings."))
        and not name.endswith("position_ids")  # a counting row that older files carry
    }
    load_strictly(former, transformers_names(former, tensors), own, "Q-Former")
