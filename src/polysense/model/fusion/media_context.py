"""What an LLM sees besides its words during one call, and how it is shown inside the layers.

Gated blocks, adapters and experts reach into an LLM by forward hooks, so that its classes stay as
they are (gated_cross_attention.py, llama_adapter.py, visual_expert.py). What they have in common is
here: they act inside a context only, know how much of the text a cache already holds, and know
which signals came before a position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from polysense.errors import PolysenseError

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


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
class MediaContext:
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
    ) -> MediaContext:
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

    def cached_kv(self, name: str, make: Callable[[torch.Tensor], KeysAndValues]) -> KeysAndValues:
        """Return the keys and values that `make` makes of the media; in decoding, made once."""
        if torch.is_grad_enabled():
            return make(self.media)
        if name not in self.memory:
            self.memory[name] = make(self.media)
        return self.memory[name]
