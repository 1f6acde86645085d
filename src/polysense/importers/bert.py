"""What a new Q-Former begins with: BERT (BLIP-2, section 3.1), or one that has learnt stage 1.

`connector.init_from` names a checkpoint of transformers. Its config fills in the sizes before the
model is built (`with_initial_sizes`), its weights come afterwards (`load_initial`); every tensor is
placed, or named as left out, and what it does not hold is named as new.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoConfig, BertForMaskedLM

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError, require
from polysense.importers.blip2_retrieval import load_retrieval, retrieval_sizes
from polysense.importers.hf_checkpoint import checked, require_settings
from polysense.importers.strict_loading import fits
from polysense.model.connectors.qformer import EPSILON, TEXT_POSITIONS

# Where BERT has the parts of our layers; queries' and texts' feed-forward begin alike.
FEEDFORWARD = {"inner": "intermediate.dense", "outer": "output.dense", "norm": "output.LayerNorm"}

LAYER_PARTS = {
    **{f"attention.{part}": f"attention.self.{part}" for part in ("query", "key", "value")},
    "attention.out": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    **{f"query_feedforward.{ours}": theirs for ours, theirs in FEEDFORWARD.items()},
    **{f"text_feedforward.{ours}": theirs for ours, theirs in FEEDFORWARD.items()},
}

PARTS = {
    "former.norm": "bert.embeddings.LayerNorm",
    "former.words": "bert.embeddings.word_embeddings",
    "former.positions": "bert.embeddings.position_embeddings",
    "lm_head.inner": "cls.predictions.transform.dense",
    "lm_head.norm": "cls.predictions.transform.LayerNorm",
    "lm_head": "cls.predictions",
}

TYPES = "bert.embeddings.token_type_embeddings.weight"


def with_initial_sizes(connector: ConnectorConfig) -> ConnectorConfig:
    """Return `connector` with the sizes of the checkpoint it begins with."""
    path = connector.init_from
    if path is None:
        return connector
    require(connector.kind == "qformer", "connector.init_from: only a connector of kind qformer is")
    settings = checked(path, AutoConfig.from_pretrained)
    sizes = {"bert": bert_sizes, "blip-2": retrieval_sizes}
    if settings.model_type not in sizes:
        raise PolysenseError(
            f"connector.init_from={path!r} is a model of type {settings.model_type!r}; a Q-Former "
            "begins with BERT or a Blip2ForImageTextRetrieval"
        )
    found = sizes[settings.model_type](path, settings)
    for name, value in found.items():
        given = getattr(connector, name)
        # `norm` is on unless said otherwise, so that what the checkpoint wants is taken.
        if name != "norm" and given not in (None, value):
            raise PolysenseError(
                f"connector.{name}={given}, and {path!r} has {value}: leave it out"
            )
    return replace(connector, **found)


def bert_sizes(path: str, settings: Any) -> dict[str, Any]:
    """Return the sizes of a BERT, which must be one that a Q-Former can be."""
    built = {
        "hidden_act": "gelu",
        "layer_norm_eps": EPSILON,
        "max_position_embeddings": TEXT_POSITIONS,
    }
    require_settings(path, "BERT", settings, built)
    return {
        "width": settings.hidden_size,
        "layers": settings.num_hidden_layers,
        "heads": settings.num_attention_heads,
        "feedforward": settings.intermediate_size,
    }


def load_initial(branches: Iterable[Any], path: str) -> str:
    """Load the checkpoint at `path` into each Q-Former; return in a line what went where."""
    load = load_bert
    if checked(path, AutoConfig.from_pretrained).model_type == "blip-2":
        load = load_retrieval
    # The branches of all modalities are alike: one account says it of each.
    accounts = [load(branch, path) for branch in branches]
    placed, new, left = accounts[0]
    return f"Q-Former from {path}: {placed} tensors; new: {short(new)}; left out: {short(left)}"


def short(names: Iterable[str]) -> str:
    """Write names with one star for the number of a layer, each once."""
    return ", ".join(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in names)) or "nothing"


def load_bert(branch: Any, path: str) -> tuple[int, list[str], list[str]]:
    """Load a BERT into a Q-Former; returns (tensors placed, our names without, theirs left out).

    Of its sentence types the first goes into the positions, as every text of ours is of that type,
    so that the text side is BERT itself. BERT's head of next words may be missing.
    """
    tensors, unexpected = read_bert(path)
    state, placed, new = branch.state_dict(), set(), []
    for ours, blank in state.items():
        theirs = bert_name(ours)
        if theirs not in tensors:
            new.append(ours)
            continue
        tensor = tensors[theirs]
        if ours == "former.positions.weight":
            tensor = tensor + tensors[TYPES][0]
            placed.add(TYPES)
        longer = ("word" in ours or "lm_head" in ours) and len(blank) >= len(
            tensor
        )  # [DEC] and other marks of ours
        if not longer:
            fits(tensor.shape, blank.shape, theirs, ours)
        with torch.no_grad():
            blank[: len(tensor)] = tensor
        placed.add(theirs)
    return len(placed), new, sorted((set(tensors) - placed) | set(unexpected))


def read_bert(path: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return a BERT's tensors by the names of BertForMaskedLM, and what that class has no use for.

    Raises PolysenseError where one of its own is missing, or of another shape.
    """
    model, found = checked(
        path,
        BertForMaskedLM.from_pretrained,
        dtype=torch.float32,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are refused here, by name
        output_loading_info=True,
    )
    headless = any(name.startswith("cls.") for name in found["missing_keys"])
    lost = {name for name in found["missing_keys"] if not name.startswith("cls.")}
    if lost := sorted(lost | {name for name, *_ in found["mismatched_keys"]}):
        raise PolysenseError(f"BERT {path!r} lacks {', '.join(lost[:4])} ({len(lost)} in all)")
    tensors = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith("cls.predictions.decoder")  # tied: the word vectors and the bias
        and not (headless and name.startswith("cls."))
    }
    return tensors, sorted(found["unexpected_keys"])


def bert_name(ours: str) -> str | None:
    """Return BERT's name of a tensor of a Q-Former's branch; None for what BERT does not have."""
    part, _, kind = ours.rpartition(".")
    layer = re.fullmatch(r"former\.layers\.(\d+)\.(.+)", part)
    if layer and layer[2] in LAYER_PARTS:
        return f"bert.encoder.layer.{layer[1]}.{LAYER_PARTS[layer[2]]}.{kind}"
    return f"{PARTS[part]}.{kind}" if part in PARTS else None
