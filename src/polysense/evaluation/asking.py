"""Asking a model about records: the captions it says, and how likely it finds given ones.

In: records whose features or signals are cached. Everything here is for records of one sense, or
one combination of senses, whose signals stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from polysense.config import EvaluationConfig
from polysense.data.chat import IGNORED, Encoded
from polysense.data.collate import collate
from polysense.data.datasets import Record
from polysense.training.features import FeatureCache
from polysense.training.likelihood import score_matrix, seen_in_turn
from polysense.types import Batch, Message, Text

Advance = Callable[[int], None]  # told how many more records are done
BATCH = 16  # captions generated at a time


class Evaluator:
    """Asks a model the config's question about records."""

    def __init__(
        self, model: Any, processor: Any, cache: FeatureCache, config: EvaluationConfig
    ) -> None:
        self.model, self.processor, self.cache, self.config = model, processor, cache, config

    def prompt(self, records: Sequence[Record]) -> Batch:
        """Return the padded prompts of some records: their signals and the question."""
        rows, media = [], []
        question = Text(self.config.question)
        conversations = [[Message("user", (*record.media, question))] for record in records]
        for record, asked in zip(records, conversations, strict=True):
            ids = self.processor.chat.prompt(asked, self.processor.form)
            rows.append(Encoded(ids, [IGNORED] * len(ids)))
            media.append(self.cache.first_views(record.media))
        batch = collate(rows, media, self.processor.pad_id, self.cache.encoded, "left")
        del batch["labels"]
        return self.processor.led(batch, conversations).to(self.model.device)

    @torch.inference_mode()
    def captions(self, records: Sequence[Record], advance: Advance) -> list[str]:
        """Return the greedy captions of some records."""
        found = []
        for start in range(0, len(records), BATCH):
            taken = records[start : start + BATCH]
            batch = self.prompt(taken)
            ids = self.model.generate(
                **batch, max_new_tokens=self.config.max_new_tokens, do_sample=False
            )
            found += self.processor.batch_decode(ids[:, batch["input_ids"].shape[1] :])
            advance(len(taken))
        return found

    @torch.inference_mode()
    def scores(
        self, records: Sequence[Record], captions: Sequence[str], advance: Advance
    ) -> torch.Tensor:
        """Return log p(caption | signals) in nats as [records, captions]."""
        tokenizer = self.processor.text_tokenizer
        ends = [tokenizer.eos_token_id]
        ids = [tokenizer(c, add_special_tokens=False)["input_ids"] + ends for c in captions]
        prompts = seen_in_turn(self.model, (self.prompt([record]) for record in records))
        return score_matrix(self.model.llm, prompts, ids, lambda: advance(1))
