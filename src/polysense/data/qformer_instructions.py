"""What a connector that follows instructions is told of each signal (InstructBLIP, 2305.06500)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from polysense.types import Media, Message, Text


def read_instructions(
    instruction_tokenizer: Any, conversations: Sequence[Sequence[Message]]
) -> dict[str, dict[str, torch.Tensor]]:
    """Return the text of the message that each signal stands in.

    {modality: {text_ids, text_mask [N, L]}} in ids of the connector's own tokenizer, the signals in
    reading order over all conversations. Control tokens that the text names stay text.
    """
    texts: dict[str, list[str]] = {}
    for message in (m for conversation in conversations for m in conversation):
        words = "".join(part.text for part in message.parts if isinstance(part, Text))
        for part in message.parts:
            if isinstance(part, Media):
                texts.setdefault(part.modality, []).append(words)
    coded = {
        name: instruction_tokenizer(
            said, padding=True, return_tensors="pt", split_special_tokens=True
        )
        for name, said in texts.items()
    }
    return {
        name: {"text_ids": values["input_ids"].long(), "text_mask": values["attention_mask"]}
        for name, values in coded.items()
    }
