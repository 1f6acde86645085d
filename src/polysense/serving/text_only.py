"""A conversation without signals is answered by the LLM as it was before training.

LoRA layers were taught to caption: with them an LLM answers "Peru." when asked for its capital.
They lie beside the LLM's own weights, so they can rest where there is nothing to perceive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from polysense.model.polysense_model import PolysenseModel
from polysense.types import Media, Message

NOTE = "no signal in this conversation: the LLM answers as before training, its LoRA layers rest"


def shows_signals(messages: Sequence[Message]) -> bool:
    """Whether any message of a conversation holds a signal."""
    return any(isinstance(part, Media) for message in messages for part in message.parts)


def lora_layers(model: PolysenseModel) -> list[nn.Module]:
    """Return the LLM's layers that have LoRA; [] where the run has none."""
    if model.config.parts.llm.lora is None:
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer  # costs a second to import

    modules: list[nn.Module] = list(model.llm.modules())
    return [module for module in modules if isinstance(module, BaseTunerLayer)]


@contextmanager
def resting(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let LoRA layers rest inside the block; what is frozen stays so."""
    learning = [p for layer in layers for p in layer.parameters() if p.requires_grad]
    try:
        for layer in layers:
            layer.enable_adapters(False)  # pyright: ignore[reportCallIssue]
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)  # pyright: ignore[reportCallIssue]
            layer.requires_grad_(False)
        for parameter in learning:
            parameter.requires_grad_(True)
