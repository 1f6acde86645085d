"""Samples become batches: ids and masks from the chat encoder, signals from files or the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from polysense.data.caption_tokenizer import CaptionTokenizer, caption_of
from polysense.data.chat.chat_tokenizer import ChatForm, TokenizedChat
from polysense.data.collate import collate
from polysense.data.loading.bad_samples import Note
from polysense.data.loading.feature_cache import FeatureCache
from polysense.data.loading.packing import collate_packed
from polysense.data.loading.sampler import SampleIndex
from polysense.data.processor import PolysenseProcessor
from polysense.errors import PolysenseError
from polysense.types import Batch, Sample


class TrainingData:
    """The samples of a stage, encoded once, handed out as batches.

    With a `cache`, signals and features come from it (the view changes with the epoch); without
    one, signals are read from their files. `report` is told of a sample that cannot be read, for
    which another of its batch stands in, so that the batch keeps its size; without `report` it is
    an error.

    With `packed_length`, samples share rows of so many tokens; without, each has a padded row. With
    `captions`, these come in the ids of the Q-Former's tokenizer as well.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        processor: PolysenseProcessor,
        form: ChatForm,
        cache: FeatureCache | None,
        packed_length: int | None = None,
        captions: CaptionTokenizer | None = None,
        report: Note | None = None,
    ) -> None:
        self.samples = list(samples)
        self.form: ChatForm = form
        self.processor = processor
        self.cache = cache
        self.report = report
        self.packed_length = packed_length
        self.captions = captions
        self.encoded = [
            processor.chat.encode(sample.messages, form, f"sample {sample.key!r}")
            for sample in self.samples
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, picks: Sequence[SampleIndex]) -> Batch:
        """Return the batch of some picks: packed, or padded on the right."""
        picks, media = self._read(picks)
        items = [self.encoded[pick.index] for pick in picks]
        pad_id, features = self.processor.pad_id, self.encoded_modalities
        if self.packed_length is not None:
            return collate_packed(items, media, pad_id, features, self.packed_length)
        conversations = [self.samples[pick.index].messages for pick in picks]
        batch = self.processor.add_instructions(
            collate(items, media, pad_id, features), conversations
        )
        if self.captions is not None:
            batch["captions"] = self.captions.read([caption_of(said) for said in conversations])
        return batch

    def prompt(self, index: int) -> TokenizedChat:
        """Return one sample without its last turn, as it is asked in evaluation."""
        asked = self.samples[index].messages[:-1]
        return TokenizedChat.as_prompt(self.processor.chat.prompt(asked, self.form))

    def prompts(self, indices: Sequence[int]) -> Batch:
        """Return the prompts of some samples as a batch, padded on the right."""
        rows = [self.prompt(index) for index in indices]
        media = [
            self._signals(SampleIndex(index, -index)) for index in indices
        ]  # view 0: as they are
        batch = collate(rows, media, self.processor.pad_id, self.encoded_modalities)
        return self.processor.add_instructions(
            batch, [self.samples[index].messages[:-1] for index in indices]
        )

    @property
    def encoded_modalities(self) -> frozenset[str]:
        """The modalities whose signals come as features."""
        return self.cache.encoded if self.cache else frozenset()

    def reads(self, index: int) -> bool:
        """Whether a sample's signals can be read; one whose cannot is noted."""
        # What the cache has was read when it was filled.
        return self.cache is not None or self._tried(SampleIndex(index, -index)) is not None

    def _read(
        self, picks: Sequence[SampleIndex]
    ) -> tuple[list[SampleIndex], list[dict[str, list[torch.Tensor]]]]:
        """Return picks with their signals, those that cannot be read replaced by the first."""
        tried = [(pick, self._tried(pick)) for pick in picks]
        read = [(pick, signals) for pick, signals in tried if signals is not None]
        if not read:
            raise PolysenseError(
                f"none of a batch of {len(picks)} samples can be read; the first is "
                f"{self.samples[picks[0].index].key!r}"
            )
        whole = [(pick, signals) if signals is not None else read[0] for pick, signals in tried]
        return [pick for pick, _ in whole], [signals for _, signals in whole]

    def _tried(self, pick: SampleIndex) -> dict[str, list[torch.Tensor]] | None:
        """Return a pick's signals; None where they cannot be read from their files."""
        try:
            return self._signals(pick)
        except PolysenseError as error:
            if self.report is None or self.cache is not None:
                raise
            self.report(dict.fromkeys(self.samples[pick.index].media, str(error)))
            return None

    def _signals(self, pick: SampleIndex) -> dict[str, list[torch.Tensor]]:
        sample = self.samples[pick.index]
        if self.cache is None:
            return self.processor.read_signals(sample.messages)
        # Every sample starts at its own view, so that a batch mixes them.
        return self.cache.by_modality(sample.media, pick.epoch + pick.index)
