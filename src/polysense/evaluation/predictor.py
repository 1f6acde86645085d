"""Asking a model about records: the captions it says, and how likely it finds given ones.

In: records whose features or signals are cached. Everything here is for records of one modality, or
one combination of modalities, whose signals stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from polysense.config import EvaluationConfig
from polysense.data.chat.chat_tokenizer import TokenizedChat
from polysense.data.collate import collate
from polysense.data.datasets import Record
from polysense.data.loading.feature_cache import FeatureCache
from polysense.model.likelihood import caption_ids, score_matrix
from polysense.types import Batch, Message, Text

Advance = Callable[[int], None]  # told how many more records are done
BATCH = 16  # captions generated at a time


class Predictor:
    """Asks a model the config's question about records."""

    def __init__(
        self, model: Any, processor: Any, cache: FeatureCache, config: EvaluationConfig
    ) -> None:
        self.model, self.processor, self.cache, self.config = model, processor, cache, config

    def prompt(self, records: Sequence[Record]) -> Batch:
        """Return the padded prompts of some records: their signals and the question."""
        conversations = [self._asked(record) for record in records]
        rows = [self._encoded(asked) for asked in conversations]
        media = [self.cache.by_modality(record.media, 0) for record in records]
        batch = collate(rows, media, self.processor.pad_id, self.cache.encoded, "left")
        del batch["labels"]
        return self.processor.add_instructions(batch, conversations).to(self.model.device)

    def _asked(self, record: Record) -> list[Message]:
        return [Message("user", (*record.media, Text(self.config.question)))]

    def _encoded(self, asked: list[Message]) -> TokenizedChat:
        return TokenizedChat.as_prompt(self.processor.chat.prompt(asked, self.processor.form))

    def _lengths(self, records: Sequence[Record]) -> list[int]:
        return [len(self._encoded(self._asked(record)).ids) for record in records]

    @torch.inference_mode()
    def captions(self, records: Sequence[Record], advance: Advance) -> list[str]:
        """Return the greedy captions of some records, in their order."""
        found = [""] * len(records)
        for indices in by_length(self._lengths(records), BATCH):
            batch = self.prompt([records[index] for index in indices])
            ids = self.model.generate(
                **batch, max_new_tokens=self.config.max_new_tokens, do_sample=False
            )
            said = self.processor.batch_decode(ids[:, batch["input_ids"].shape[1] :])
            for index, caption in zip(indices, said, strict=True):
                found[index] = caption
            advance(len(indices))
        return found

    @torch.inference_mode()
    def scores(
        self, records: Sequence[Record], captions: Sequence[str], advance: Advance
    ) -> torch.Tensor:
        """Return log p(caption | signals) in nats as [records, captions]."""
        ids = caption_ids(self.processor.text_tokenizer, captions)
        return score_matrix(
            self.model,
            self._lengths(records),
            lambda some: self.prompt([records[index] for index in some]),
            ids,
            advance,
        )


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Deal the indices of `lengths` into batches of `size`, longest first: little is padding then,
    and what needs the most memory is asked first."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    return [order[start : start + size] for start in range(0, len(order), size)]
