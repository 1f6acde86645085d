"""A run's LoRA beside adapters of others: its own name, and what peft does with it.

peft calls every adapter "default" unless told otherwise, and a second one of a name overwrites the
first. So a run's is called "polysense", and stays active when another adapter is put beside it:
that learns on top of the run, not instead of it. `PeftModel.disable_adapter`, `merge_adapter` and
`merge_and_unload` treat it as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from polysense.atomic_write import replacing_folder
from polysense.config import LoraConfig
from polysense.errors import PolysenseError

ADAPTER = "polysense"


def adapter_layers(model: nn.Module) -> list[Any]:
    """Return peft's layers in `model`; there is nothing to import where there are none."""
    if not any(hasattr(module, "base_layer") for module in model.modules()):
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer  # costs a second to import

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def keep_active(model: nn.Module) -> None:
    """Let a run's adapter stay active, and frozen, where another one is made the active one."""
    for layer in adapter_layers(model):
        layer.set_adapter = partial(set_beside, layer)


def set_beside(layer: Any, names: str | Sequence[str], inference_mode: bool = False) -> None:
    """As peft's `set_adapter` of a layer, but a run's adapter is active in any case."""
    chosen = [names] if isinstance(names, str) else list(names)
    own = [ADAPTER] if ADAPTER in layer.lora_A and ADAPTER not in chosen else []
    type(layer).set_adapter(layer, [*own, *chosen], inference_mode=inference_mode)
    if own:
        for name, parameter in layer.named_parameters():
            if f".{ADAPTER}" in name:
                parameter.requires_grad_(False)


def check_adapters(model: nn.Module) -> None:
    """Check that a checkpoint can hold the adapters in `model`: a run's own, not merged."""
    layers = adapter_layers(model)
    others = {name for layer in layers for name in layer._all_available_adapter_names()}
    if others := sorted(others - {ADAPTER}):
        raise PolysenseError(
            f"the model holds adapters that are not the run's: {', '.join(others)}; save them with "
            "PeftModel.save_pretrained, or merge_and_unload() them and save the model"
        )
    if any(layer.merged for layer in layers):
        raise PolysenseError(
            "the model's LoRA is merged and still there, so that it would act twice: "
            "unmerge_adapter() it, or merge_and_unload() it for good"
        )


def merge_lora(llm: nn.Module) -> None:
    """Add a run's LoRA to the weights of `llm` for good, by peft's merge; its layers are gone."""
    layers = set(adapter_layers(llm))
    for module in list(llm.modules()):
        for name, child in list(module.named_children()):
            if child in layers and module not in layers:
                layer: Any = child
                layer.merge(safe_merge=True)
                setattr(module, name, layer.get_base_layer())
    vars(llm).pop("peft_config", None)


@contextmanager
def without_lora(llm: nn.Module) -> Iterator[None]:
    """Let `llm` be, inside this context, what it was without its adapters."""
    layers = adapter_layers(llm)
    learning = {p: p.requires_grad for layer in layers for p in layer.parameters()}
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for parameter, learns in learning.items():
            parameter.requires_grad_(learns)


def save_lora(llm: Any, folder: Path, base: str) -> None:
    """Write a run's LoRA as peft does: `PeftModel.from_pretrained(llm, folder)` reads it.

    `base` is the name of the LLM without it.
    """
    if ADAPTER not in getattr(llm, "peft_config", {}):
        raise PolysenseError("the model has no LoRA of its own to save: set model.llm.lora")
    from peft.functional import get_peft_model_state_dict

    check_adapters(llm)
    state = get_peft_model_state_dict(llm, adapter_name=ADAPTER)
    tensors = {f"base_model.model.{n}": t.detach().cpu().contiguous() for n, t in state.items()}
    config = llm.peft_config[ADAPTER]
    config.base_model_name_or_path, config.task_type = base, "CAUSAL_LM"
    with replacing_folder(folder) as scratch:
        config.save_pretrained(scratch)
        save_file(tensors, scratch / "adapter_model.safetensors", metadata={"format": "pt"})


def add_lora(llm: PreTrainedModel, lora: LoraConfig) -> None:
    """Put LoRA layers into `llm` in place, through peft; targets it lacks are an error."""
    from peft import LoraConfig as PeftConfig  # costs a second to import
    from peft import inject_adapter_in_model

    names = {name.rsplit(".", 1)[-1] for name, _ in llm.named_modules()}
    missing = sorted(set(lora.targets) - names)
    if missing:
        linear = sorted(
            {
                name.rsplit(".", 1)[-1]
                for name, module in llm.named_modules()
                if isinstance(module, torch.nn.Linear)
            }
        )
        raise PolysenseError(
            f"lora.targets names no layer of this LLM: {', '.join(missing)}. "
            f"Its linear layers: {', '.join(linear)}"
        )
    peft_config = PeftConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
    )
    inject_adapter_in_model(peft_config, llm, adapter_name=ADAPTER)
    keep_active(llm)
    for name, parameter in llm.named_parameters():
        parameter.requires_grad_(False)
        if ".lora_" in name:
            parameter.data = parameter.data.float()
