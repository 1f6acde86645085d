"""What was made of a conversation is kept over its turns: a turn costs what is new in it.

Kept are the embeddings of its signals (files are read and encoded once) and the LLM's keys and
values of its text so far. Answers are those of computing everything anew (a test); where no message
holds a signal, those of the LLM without its LoRA layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from polysense.data.collate import stack_signals
from polysense.data.formats.messages import parse_messages
from polysense.data.processor import PolysenseProcessor
from polysense.model.llm.load import cache_argument
from polysense.model.polysense_model import PolysenseModel
from polysense.serving.text_only import lora_layers, resting, shows_signals
from polysense.types import Batch, Message


class Session:
    """Continues one conversation after another turn, from what it kept of the turns before.

    messages    those whose signals are kept; a conversation that begins otherwise starts anew
    embeddings  {modality: [N, M, D]} of their signals, in reading order
    ids, cache  the beginning of the text that the LLM has keys and values of
    plain       whether these are of the LLM without its LoRA layers (text_only.py)
    """

    def __init__(self, model: PolysenseModel, processor: PolysenseProcessor) -> None:
        self.model, self.processor = model, processor
        self.reset()

    def reset(self) -> None:
        """Keep nothing of what was."""
        self.messages: list[Any] = []
        self.embeddings: dict[str, torch.Tensor] = {}
        self.ids: list[int] = []
        self.cache: DynamicCache | None = None
        self.plain = False

    @torch.inference_mode()
    def generate(self, messages: Sequence[Any], **options: Any) -> torch.Tensor:
        """Continue `messages`; returns the new ids [T]. Options are those of `model.generate`.

        Messages are told by identity: those that were there before must be the same objects.
        PolysenseError where a message cannot be read; what was kept stays then.
        """
        parsed = parse_messages(messages, self.processor.modalities)
        ids = self.processor.chat.prompt(parsed, self.processor.form)
        layers = [] if shows_signals(parsed) else lora_layers(self.model)
        if not begins_with(messages, self.messages) or self.plain != bool(layers):
            self.reset()
        embeddings = self._embeddings(parsed[len(self.messages) :])
        cache = self._cache_of(ids)
        self.cache = None  # an answer that is broken off leaves it as nobody knows
        prompt = torch.tensor([ids], device=self.model.device)
        with resting(layers):
            found = self.model.generate(
                prompt,
                torch.ones_like(prompt),
                embeddings=embeddings,
                **{cache_argument(): cache},
                **options,
            )[0]
        self.plain = bool(layers)
        self.messages, self.embeddings, self.cache = list(messages), embeddings, cache
        self.ids = found[:-1].tolist()  # the last word was said, and not read
        return found[len(ids) :]

    def _embeddings(self, messages: Sequence[Message]) -> dict[str, torch.Tensor]:
        """Return all embeddings, those of the new `messages` behind those that are kept."""
        batch = Batch(stack_signals([self.processor.read_signals(messages)], ()))
        if self.processor.instruction_tokenizer is not None:
            batch["instructions"] = self.processor.read_instructions([messages])
        found = dict(self.embeddings)
        for name, new in self.model.encode_signals(**batch.to(self.model.device)).items():
            found[name] = torch.cat([found[name], new]) if name in found else new
        return found

    def _cache_of(self, ids: Sequence[int]) -> DynamicCache | None:
        """Return keys and values of what `ids` have in common with the text before, or empty ones.

        None for LLMs whose state cannot be cut off (recurrent ones, windows): they read all anew.
        """
        cache, self.cache = self.cache, None
        if cache is None:
            cache = DynamicCache(config=self.model.llm.config)
            return cache if can_be_cut(cache) else None
        # At least one id is left to read: its hidden state gives the first new word.
        length = min(common_length(self.ids, ids), len(ids) - 1)
        cache.crop(length - cache.get_seq_length())  # a negative number: so many are dropped
        return cache


def begins_with(messages: Sequence[Any], kept: Sequence[Any]) -> bool:
    """Whether a conversation begins with the very messages that are kept."""
    return len(kept) <= len(messages) and all(a is b for a, b in zip(kept, messages, strict=False))


def common_length(before: Sequence[int], now: Sequence[int]) -> int:
    """Return how many ids two texts have in common from their beginning on."""
    length = 0
    for one, other in zip(before, now, strict=False):
        if one != other:
            break
        length += 1
    return length


def can_be_cut(cache: DynamicCache) -> bool:
    """Whether every layer keeps each position by itself."""
    return bool(cache.layers) and all(type(layer) is DynamicLayer for layer in cache.layers)
