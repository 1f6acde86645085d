"""The LLM: a thin layer over any decoder-only transformers model.

It exists so that the rest of Polysense never asks which LLM it holds: loading with errors that
teach, the text tokenizer with its chat template, LoRA put into the layers in place, and a
fingerprint by which a checkpoint recognises the LLM it was trained on.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin
from transformers.modeling_utils import PreTrainedModel

from polysense.config import LanguageModelConfig
from polysense.errors import PolysenseError
from polysense.model.hub import load_pretrained
from polysense.model.llm.adapters import add_lora


def load_llm(config: LanguageModelConfig, dtype: torch.dtype) -> PreTrainedModel:
    """Load the LLM in `dtype`, frozen, in evaluation mode, with LoRA layers where asked for."""
    architecture = load_pretrained("LLM", AutoConfig.from_pretrained, config.name, config.revision)
    if getattr(architecture, "is_encoder_decoder", False):
        raise PolysenseError(
            f"LLM {config.name!r} is an encoder-decoder ({architecture.model_type}): "
            "Polysense takes decoder-only models"
        )
    llm = load_pretrained(
        "LLM", AutoModelForCausalLM.from_pretrained, config.name, config.revision, dtype=dtype
    )
    llm.requires_grad_(False).eval()
    if llm.generation_config.pad_token_id is None:
        ends = llm.generation_config.eos_token_id
        llm.generation_config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    if config.lora is not None:
        add_lora(llm, config.lora)
    return llm


def stop_at(llm: PreTrainedModel, ends: Iterable[int]) -> None:
    """Let the LLM's answers end at each of the token ids `ends`, besides those it ends at now."""
    settings = llm.generation_config
    now = settings.eos_token_id
    known = [] if now is None else list(now) if isinstance(now, list) else [now]
    new = [end for end in dict.fromkeys(ends) if end not in known]
    if new:
        settings.eos_token_id = [*known, *new]


def cache_argument() -> str:
    """Return the argument by which an LLM takes its keys and values: "cache" since transformers
    5.24, "past_key_values" before."""
    method: Any = vars(GenerationMixin)["prepare_inputs_for_generation"]
    takes = inspect.signature(method).parameters
    return "cache" if "cache" in takes else "past_key_values"
