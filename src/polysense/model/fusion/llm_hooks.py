"""How fusion reaches inside an LLM: forward hooks that act while there is something to see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers.cache_utils import Cache
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import PolysenseError
from polysense.model.llm.probe import some_embeddings, untouched

Seen = TypeVar("Seen")


class LLMHooks(nn.Module, Generic[Seen]):
    """A module that acts inside an LLM by hooks, and only while there is something to see.

    Its parameters are its own; the LLM keeps its classes and its names. `past` is how many
    positions the LLM's cache holds before those of the running call.
    """

    def __init__(self, llm: PreTrainedModel) -> None:
        super().__init__()
        self.view: Seen | None = None
        self.past = 0
        self._ran: tuple[Cache | None, int] = (None, 0)  # a cache without length; its positions
        first = decoder_layers(llm)[0]
        self.hooks: list[RemovableHandle] = [
            first.register_forward_pre_hook(self._note_past, with_kwargs=True)
        ]

    @contextmanager
    def with_context(self, view: Seen) -> Iterator[None]:
        """Let the LLM see `view` inside this context; with activation checkpointing the backward
        pass belongs inside too."""
        self.view, self.past = view, 0
        try:
            yield
        finally:
            self.view, self._ran = None, (None, 0)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Let the LLM be, inside this context, as if nothing had been put into it."""
        kept = self.view, self.past, self._ran
        self.view = None
        try:
            yield
        finally:
            self.view, self.past, self._ran = kept

    def remove(self) -> None:
        """Take it out of the LLM again."""
        for hook in self.hooks:
            hook.remove()

    def _note_past(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caches = (value for value in (*args, *kwargs.values()) if isinstance(value, Cache))
        cache = next(caches, None)
        if cache is None:
            self.past = 0
            return
        hidden = args[0] if args else kwargs["hidden_states"]
        if not any(hasattr(layer, "keys") for layer in cache.layers):  # recurrent states only
            same, ran = self._ran
            self.past = ran if same is cache else 0
            self._ran = (cache, self.past + hidden.shape[1])
        else:
            self.past = int(cache.get_seq_length())


def check_hooks(llm: PreTrainedModel, hooked: LLMHooks[Any], kind: str) -> None:
    """Try whether a module in an LLM learns what a cache holds of the text; else it is refused.

    Raises PolysenseError where it does not (RWKV keeps its state in no cache of transformers).
    """
    if any(weight.is_meta for weight in llm.parameters()):
        return
    with untouched(llm):
        prompt = some_embeddings(llm, 3)[None]
        llm.generate(inputs_embeds=prompt, min_new_tokens=2, max_new_tokens=2, do_sample=False)  # pyright: ignore[reportCallIssue]
    past, hooked.past = hooked.past, 0
    if past != prompt.shape[1]:
        raise PolysenseError(
            f"fusion.kind={kind}: the layers of {type(llm).__name__} do not say how much of "
            "the text came before, so signals would be shown at wrong places; set it to input"
        )


def for_beams(rows: int, *parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Repeat parts [B, ...] to `rows`: several beams of a prompt stand side by side."""
    beams = rows // len(parts[0])
    return parts if beams == 1 else tuple(part.repeat_interleave(beams, 0) for part in parts)


def decoder_layers(llm: PreTrainedModel) -> nn.ModuleList:
    """Return the list of an LLM's layers, whatever its class calls it."""
    count = llm.config.get_text_config().num_hidden_layers
    for module in llm.modules():  # outermost first, before lists inside the layers (experts)
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise PolysenseError(
        f"{type(llm).__name__} keeps its {count} layers in no list: nothing can be put between or "
        "into them; use fusion.kind=input"
    )
