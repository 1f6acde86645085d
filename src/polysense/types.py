"""The contracts that every part of Polysense shares.

Shapes are written with these letters, here and in every docstring:

    B  samples in a batch          N  signals of one modality in a batch
    T  positions in a sequence     F  feature positions of one signal
    D  width of the LLM            E  width of the encoder
    M  embeddings of one signal    V  vocabulary of the LLM

Words: a *signal* is a decoded, normalised tensor; *tokens* leave a modality tokenizer; *features*
leave the encoder; *embeddings* leave the connector, in LLM width; *hidden* are the LLM's states.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from polysense.errors import unknown_name

Role = Literal["system", "user", "assistant"]
IGNORED = -100  # the label of a position that is not predicted, as in transformers


@dataclass(frozen=True)
class Text:
    """A run of text inside a message."""

    text: str


@dataclass(frozen=True)
class Media:
    """A signal inside a message: `modality` is its name, `source` a path or raw object."""

    modality: str
    source: Any


Part = Text | Media


@dataclass(frozen=True)
class Message:
    """One turn of a conversation: a role and its parts in reading order."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Sample:
    """One training or evaluation item.

    `key` names it in errors and decides its split; `messages` is the conversation whose assistant
    turns are learnt; `metadata` carries what evaluation needs besides (caption, category).
    """

    key: str
    messages: tuple[Message, ...]
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def media(self) -> list[Media]:
        """Every signal of the conversation, in reading order."""
        return [
            part for message in self.messages for part in message.parts if isinstance(part, Media)
        ]

    @property
    def modalities(self) -> str:
        """The modalities of its signals, as "audio+video"; "" for plain text."""
        return "+".join(sorted({media.modality for media in self.media}))


class Batch(dict[str, Any]):
    """Model inputs, as keyword arguments of `PolysenseModel.forward` and `generate`.

    input_ids       [B, T]  placeholders where embeddings go
    attention_mask  [B, T]  1 at real positions
    position_ids    [B, T]  instead of the mask, where samples share a row: restarts at 0 with each
    labels          [B, T]  ids to predict, -100 elsewhere (training only)
    signals         {modality: [N, ...]}      decoded signals, in reading order over the batch
    features        {modality: [N, F, E]}     instead of signals, where the encoder already ran
    instructions    {modality: {text_ids, text_mask [N, L]}}  what a Q-Former that follows
                    instructions reads beside each signal, in ids of its own tokenizer
    captions        {text_ids, decoder_input_ids, text_mask [N, L]}  what is said of each signal,
                    in the same ids, for objectives that compare the two (caption_tokenizer.py)
    """

    def to(
        self, device: torch.device | str | int | None = None, dtype: torch.dtype | None = None
    ) -> Batch:
        """Move every tensor to `device`; floating ones also to `dtype` when it is given."""

        def move(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: move(inner) for name, inner in value.items()}
            if not isinstance(value, torch.Tensor):
                return value
            return value.to(device, dtype if value.is_floating_point() else None)

        return Batch({name: move(value) for name, value in self.items()})


BATCH_KEYS = frozenset({"input_ids", "attention_mask", "position_ids", "labels", "captions"})
BATCH_KEYS |= {"signals", "features", "instructions"}


def check_batch_keys(names: Iterable[str]) -> None:
    """Raise PolysenseError for a name that no Batch has: a typo would be a signal unseen."""
    if unknown := sorted(set(names) - BATCH_KEYS):
        raise unknown_name("key of a batch", unknown[0], BATCH_KEYS)
