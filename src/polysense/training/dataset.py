"""Samples become batches: ids and masks from the chat encoder, signals from files or the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from polysense.data.captions import CaptionReader, caption_of
from polysense.data.chat import ChatForm, Encoded
from polysense.data.collate import collate
from polysense.data.packing import collate_packed
from polysense.data.processor import PolysenseProcessor
from polysense.training.features import FeatureCache
from polysense.training.order import Pick
from polysense.types import Batch, Sample


class TrainingData:
    """The samples of a stage, encoded once, handed out as batches.

    With a `cache`, signals and features come from it (the view changes with the epoch); without
    one, signals are read from their files.

    With `row_tokens`, samples share rows of so many tokens; without, each has a padded row. With
    `captions`, these come in the ids of the Q-Former's tokenizer as well.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        processor: PolysenseProcessor,
        form: ChatForm,
        cache: FeatureCache | None,
        row_tokens: int | None = None,
        captions: CaptionReader | None = None,
    ) -> None:
        self.samples = list(samples)
        self.form: ChatForm = form
        self.processor = processor
        self.cache = cache
        self.row_tokens = row_tokens
        self.captions = captions
        self.encoded = [
            processor.chat.encode(sample.messages, form, f"sample {sample.key!r}")
            for sample in self.samples
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, picks: Sequence[Pick]) -> Batch:
        """Return the batch of some picks: packed, or padded on the right."""
        items = [self.encoded[pick.index] for pick in picks]
        media = [self._signals(pick) for pick in picks]
        pad_id, features = self.processor.pad_id, self.encoded_senses
        if self.row_tokens is not None:
            return collate_packed(items, media, pad_id, features, self.row_tokens)
        conversations = [self.samples[pick.index].messages for pick in picks]
        batch = self.processor.led(collate(items, media, pad_id, features), conversations)
        if self.captions is not None:
            batch["captions"] = self.captions.read([caption_of(said) for said in conversations])
        return batch

    def prompt(self, index: int) -> Batch:
        """Return one sample without its last turn, as it is asked in evaluation: a batch of one."""
        asked = self.samples[index].messages[:-1]
        row = Encoded.asked(self.processor.chat.prompt(asked, self.form))
        media = self._signals(Pick(index, -index))  # view 0: the signal itself
        batch = collate([row], [media], self.processor.pad_id, self.encoded_senses)
        return self.processor.led(batch, [asked])

    @property
    def encoded_senses(self) -> frozenset[str]:
        """The senses whose signals come as features."""
        return self.cache.encoded if self.cache else frozenset()

    def _signals(self, pick: Pick) -> dict[str, list[torch.Tensor]]:
        sample = self.samples[pick.index]
        if self.cache is None:
            return self.processor.read_signals(sample.messages)
        # Every sample starts at its own view, so that a batch mixes them.
        return self.cache.by_modality(sample.media, pick.epoch + pick.index)
