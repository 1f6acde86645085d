"""The LLM's input embeddings: word vectors, their scale, and the fingerprint they give an LLM."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import PreTrainedModel


def load_words(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Load an LLM's word vectors; the rest of it is on the meta device, without memory.

    That is enough for its sizes, scale and fingerprint, so that an import needs not hold an LLM of
    any size. `folder` has its config and safetensors.
    """
    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(config)
    words = llm.get_input_embeddings()
    name = next(n for n, p in llm.named_parameters() if p is words.weight)
    index = folder / "model.safetensors.index.json"
    file = (
        json.loads(index.read_text())["weight_map"][name]
        if index.is_file()
        else "model.safetensors"
    )
    with safe_open(folder / file, "pt") as opened:
        weight = opened.get_tensor(name).to(dtype)
    words.weight = torch.nn.Parameter(weight, requires_grad=False)
    return llm.requires_grad_(False).eval()


def input_embeddings(llm: PreTrainedModel) -> torch.Tensor:
    """Return the LLM's word vectors [V, D]."""
    weight = llm.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def llm_fingerprint(llm: PreTrainedModel) -> str:
    """Return a hash that tells this LLM from others: its shape and a sample of its word vectors."""
    shape = {
        key: getattr(llm.config, key, None)
        for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")
    }
    weight = input_embeddings(llm)
    rows = weight[:: max(1, len(weight) // 64)].detach().to(torch.bfloat16).contiguous().cpu()
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
    digest.update(rows.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def embedding_factor(llm: PreTrainedModel) -> float:
    """Return what the embedding layer multiplies its word vectors by: sqrt(D) in Gemma, else 1."""
    layer, weights = llm.get_input_embeddings(), input_embeddings(llm)
    # Where an import keeps all but the word vectors on the meta device, the number is still there.
    scale = getattr(layer, "scalar_embed_scale", getattr(layer, "embed_scale", None))
    if isinstance(scale, int | float):
        return float(scale)
    if isinstance(scale, torch.Tensor) and not scale.is_meta:
        return scale.item()
    if weights.is_meta:
        return 1.0  # only sizes are asked for
    ids = torch.arange(min(64, len(weights)), device=weights.device)
    with torch.no_grad():
        given, weight = layer(ids).float(), weights[ids].float()
    return float(given.norm() / weight.norm().clamp_min(1e-12))


def embedding_scale(llm: PreTrainedModel) -> float:
    """Return the standard deviation of what the LLM gets of a word, the scale connectors start at.

    It is that of the embedding layer's output, not of its weight. On the meta device, where neither
    has values, it is 1.
    """
    if input_embeddings(llm).is_meta:
        return 1.0
    return float(input_embeddings(llm).float().std()) * embedding_factor(llm)
