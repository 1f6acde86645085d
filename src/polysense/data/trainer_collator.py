"""Conversations become training batches, for the Trainer of transformers and for one's own loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polysense.data.chat.chat_tokenizer import ChatForm
from polysense.data.collate import collate
from polysense.data.formats.messages import parse_messages
from polysense.data.processor import PolysenseProcessor
from polysense.errors import PolysenseError
from polysense.types import Batch


@dataclass(frozen=True)
class PolysenseCollator:
    """Rows {"messages": [...]}, as `apply_chat_template` takes them, to a batch with labels.

    Labels are the assistant's words and their ends; rows are padded on the right.
    """

    processor: PolysenseProcessor
    form: ChatForm = "template"

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """Read the signals of some rows and return `model(**batch)`'s arguments."""
        processor = self.processor
        for row in rows:
            if "messages" not in row:
                raise PolysenseError(
                    f"a row has {', '.join(map(repr, row)) or 'nothing'} and no 'messages' (with "
                    "transformers' Trainer set remove_unused_columns=False)"
                )
        talks = [parse_messages(row["messages"], processor.modalities) for row in rows]
        items = [
            processor.chat.encode(talk, self.form, f"row {index}")
            for index, talk in enumerate(talks)
        ]
        media = [processor.read_signals(talk) for talk in talks]
        return processor.add_instructions(collate(items, media, processor.pad_id), talks)
