"""What an LLM sees besides its words during one call, and how it is shown inside the layers.

Gated blocks, adapters and experts reach into an LLM by forward hooks, so that its classes stay as
they are (gated_attention.py, adapter_prompts.py, visual_expert.py). What they have in common is
here: they act inside a context only, know how much of the text a cache already holds, and know
which signals came before a position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers.cache_utils import Cache
from transformers.modeling_utils import PreTrainedModel

from polysense.errors import PolysenseError
from polysense.model.decoder import language_head, packed_form, some_embeddings, untouched

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
Seen = TypeVar("Seen")


def media_counts(held: torch.Tensor) -> torch.Tensor:
    """Return for each position how many signals its row has had so far, [B, T].

    held: bool [B, T], True where a signal has its place.
    """
    return held.cumsum(dim=1)


def counts_before(held: torch.Tensor, position_ids: torch.Tensor | None) -> torch.Tensor:
    """Return for each position how many signals stand before its own sample in the row, [B, T].

    That is none, unless samples share rows: then positions [B, T] restart at 0 with each.
    """
    if position_ids is None:
        return torch.zeros_like(held, dtype=torch.long)
    earlier = held.cumsum(dim=1) - held.long()
    return (earlier * (position_ids == 0)).cummax(dim=1).values


def numbers(media: int, each: int, like: torch.Tensor) -> torch.Tensor:
    """Return the number, from 1, of the signal that each of media * each embeddings belongs to."""
    return torch.arange(1, media + 1, device=like.device).repeat_interleave(each)


@dataclass
class View:
    """The signals that the rows of a batch hold: media [B, S, W], `each` of S to a signal.

    counts [B, T] and before [B, T] are those of `media_counts` and `counts_before`; `memory` holds
    the keys and values that each layer made of the media, over decoding steps.
    """

    media: torch.Tensor
    each: int
    counts: torch.Tensor
    before: torch.Tensor
    memory: dict[str, KeysAndValues] = field(default_factory=dict)

    @classmethod
    def of(
        cls, media: torch.Tensor, counts: torch.Tensor, before: torch.Tensor | None = None
    ) -> View:
        """Return the view of media [B, K, M, W] from prompts of counts [B, T].

        The prompt's counts include what a cache already holds of it. Rows with fewer than K signals
        are filled up with anything. Raises PolysenseError where signals are missing.
        """
        batch, given, each, _ = media.shape
        most = counts.amax(dim=1).tolist()
        if len(most) != batch:
            raise PolysenseError(f"media of {batch} samples were given for {len(most)} prompts")
        for row, count in enumerate(most):
            if count > given:
                raise PolysenseError(
                    f"sample {row} of the batch has {count} places for media but {given} are given"
                )
        before = torch.zeros_like(counts) if before is None else before
        return cls(media.flatten(1, 2), each, counts, before)

    def latest(self, past: int, length: int) -> torch.Tensor:
        """Return bool [B, 1, length, S]: a position sees only the last signal before it (Flamingo).

        Before the first signal of its sample it sees none, and signals that only fill up a batch
        are seen by nobody. The positions are those from `past` on.
        """
        counts, before, number = self._at(past, length)
        return ((counts[..., None] == number) & (counts > before)[..., None])[:, None]

    def so_far(self, past: int, length: int) -> torch.Tensor:
        """Return bool [B, 1, length, S]: a position sees every signal of its sample before it."""
        counts, before, number = self._at(past, length)
        return ((number > before[..., None]) & (number <= counts[..., None]))[:, None]

    def _at(self, past: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What comes after the prompt (generated text) sees what the prompt's end does."""
        places = torch.arange(past, past + length, device=self.counts.device)
        places = places.clamp(max=self.counts.shape[1] - 1)
        number = numbers(self.media.shape[1] // self.each, self.each, self.counts)
        return self.counts[:, places], self.before[:, places], number

    def remembered(self, name: str, make: Callable[[torch.Tensor], KeysAndValues]) -> KeysAndValues:
        """Return the keys and values that `make` makes of the media; in decoding, made once."""
        if torch.is_grad_enabled():
            return make(self.media)
        if name not in self.memory:
            self.memory[name] = make(self.media)
        return self.memory[name]


class Hooked(nn.Module, Generic[Seen]):
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
        # What is found out by trying the LLM (decoder.py) is found out on the bare one.
        self._try_bare = lambda: (language_head(llm), packed_form(llm))

    @contextmanager
    def showing(self, view: Seen) -> Iterator[None]:
        """Let the LLM see `view` inside this context; with activation checkpointing the backward
        pass belongs inside too."""
        self._try_bare()
        self.view, self.past = view, 0
        try:
            yield
        finally:
            self.view, self._ran = None, (None, 0)

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


def check_hooks(llm: PreTrainedModel, hooked: Hooked[Any], kind: str) -> None:
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
            f"interaction.kind={kind}: the layers of {type(llm).__name__} do not say how much of "
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
        "into them; use interaction.kind=input"
    )
