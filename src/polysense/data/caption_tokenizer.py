"""Captions in the ids of a Q-Former's own tokenizer (BLIP-2's is BERT's).

In: texts. Out: rows that begin with [CLS], to be understood as a whole, and the same rows beginning
with [DEC], to be written word by word; both end with [SEP].
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoTokenizer

from polysense.data.collate import pad
from polysense.errors import PolysenseError
from polysense.model.hub import load_pretrained
from polysense.types import Message, Text

LONGEST = 32  # ids of a caption, as in BLIP-2's pretraining; what is longer is cut, [SEP] stays
MARKS = {"cls_token": "[CLS]", "sep_token": "[SEP]", "bos_token": "[DEC]"}


class CaptionTokenizer:
    """Texts to ids. Of the marks a tokenizer lacks, it gets those of BLIP-2 at its end."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = copy.deepcopy(tokenizer)
        missing = {name: mark for name, mark in MARKS.items() if not getattr(tokenizer, name)}
        self.tokenizer.add_special_tokens(missing)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Load the tokenizer of a checkpoint, or what `save_pretrained` wrote."""
        if Path(name).is_dir():
            try:
                return cls(AutoTokenizer.from_pretrained(name))
            except (OSError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                raise PolysenseError(f"{str(name)!r} has no text tokenizer: {reason}") from error
        return cls(load_pretrained("tokenizer", AutoTokenizer.from_pretrained, str(name), None))

    def save_pretrained(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        self.tokenizer.save_pretrained(folder)

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return len(self.tokenizer)

    @property
    def largest_mark(self) -> int:
        """The largest id of the marks around a caption."""
        return max(getattr(self.tokenizer, f"{name}_id") for name in MARKS)

    def read(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return text_ids, decoder_input_ids and text_mask, each [N, L] with L at most 32."""
        first, last, begin = (getattr(self.tokenizer, f"{name}_id") for name in MARKS)
        # What a caption says is text, also where it says "[SEP]".
        coded = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        rows = [[first, *ids[: LONGEST - 2], last] for ids in coded["input_ids"]]
        return {
            "text_ids": pad(rows, last, "right"),
            "decoder_input_ids": pad([[begin, *row[1:]] for row in rows], last, "right"),
            "text_mask": pad([[1] * len(row) for row in rows], 0, "right"),
        }


def caption_of(messages: Sequence[Message]) -> str:
    """Return what the assistant says of a signal: the text of its last turn."""
    said = next(message for message in reversed(messages) if message.role == "assistant")
    return "".join(part.text for part in said.parts if isinstance(part, Text)).strip()
