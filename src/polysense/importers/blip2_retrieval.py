"""BLIP-2 after its first stage, from transformers' `Blip2ForImageTextRetrieval`.

A vision tower, the Q-Former with its text side, and the heads of contrast and match. It has no LLM,
so it is no run: it is what a Q-Former begins with (`connector.init_from`), and encoder.name may
name the same checkpoint for its tower.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import Blip2ForImageTextRetrieval

from polysense.errors import PolysenseError
from polysense.importers.hf_checkpoint import read_model, require_settings
from polysense.importers.qformer_names import transformers_names
from polysense.importers.strict_loading import load_strictly
from polysense.model.connectors.qformer import EPSILON, TEXT_POSITIONS
from polysense.model.connectors.qformer_pretraining import QFormerPretrainingBranch

HEADS = {
    "query_projection": "vision_projection",
    "text_projection": "text_projection",
    "itm_head": "itm_head",
}


def retrieval_sizes(path: str, settings: Any) -> dict[str, Any]:
    """Return what connector the checkpoint's Q-Former is, by its config."""
    if "Blip2ForImageTextRetrieval" not in (settings.architectures or ()):
        raise PolysenseError(
            f"connector.init_from={path!r} is a {(settings.architectures or ['blip-2'])[0]}, whose "
            "Q-Former has no text side: give a Blip2ForImageTextRetrieval, or import it as a run"
        )
    former = settings.qformer_config
    built = {
        "use_qformer_text_input": True,
        "cross_attention_frequency": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": EPSILON,
        "max_position_embeddings": TEXT_POSITIONS,
    }
    require_settings(path, "Q-Former", former, built)
    return {
        "norm": False,  # the vision tower's own stands there
        "width": former.hidden_size,
        "layers": former.num_hidden_layers,
        "heads": former.num_attention_heads,
        "queries": settings.num_query_tokens,
        "feedforward": former.intermediate_size,
        "vocabulary": former.vocab_size,
        "contrastive_width": settings.image_text_hidden_size,
    }


def load_retrieval(branch: QFormerPretrainingBranch, path: str) -> tuple[int, list[str], list[str]]:
    """Load the Q-Former and both heads; returns (tensors placed, ours that are new, theirs left).

    transformers keeps neither the temperature nor the head of next words. The vision tower is the
    encoder's. Raises PolysenseError where a tensor is missing, left over or of another shape.
    """
    whole = read_model(path, Blip2ForImageTextRetrieval)
    tensors = {
        name: tensor.float()
        for name, tensor in whole.state_dict().items()
        if not name.startswith("vision_model.")
    }
    former = transformers_names(branch.former, tensors)
    names = {f"former.{ours}": theirs for ours, theirs in former.items()} | {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in HEADS.items()
        for kind in ("weight", "bias")
    }
    trainable = nn.ModuleDict({name: branch.get_submodule(name) for name in ("former", *HEADS)})
    load_strictly(trainable, names, tensors, "Q-Former")
    return len(tensors), sorted(set(branch.state_dict()) - set(names)), []
