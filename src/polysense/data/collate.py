"""Sequences of different lengths become one padded batch, with their signals in reading order."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Literal

import torch

from polysense.data.chat.chat_tokenizer import IGNORED, TokenizedChat
from polysense.types import Batch


def pad(rows: Sequence[Sequence[int]], value: int, side: Literal["left", "right"]) -> torch.Tensor:
    """Stack rows [*, length] into [B, T], filled with `value` on `side`."""
    longest = max(len(row) for row in rows)
    padded = torch.full((len(rows), longest), value, dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        padded[index, place] = torch.tensor(row, dtype=torch.long)
    return padded


def collate(
    items: Sequence[TokenizedChat],
    media: Sequence[dict[str, list[torch.Tensor]]],
    pad_id: int,
    features: Container[str] = (),
    side: Literal["left", "right"] = "right",
) -> Batch:
    """Make a Batch of encoded samples and, per sample, {modality: its signals}.

    Of the modalities in `features` they are not signals but features already.
    """
    ids = pad([item.ids for item in items], pad_id, side)
    mask = pad([[1] * len(item.ids) for item in items], 0, side)
    labels = pad([item.labels for item in items], IGNORED, side)
    return Batch(
        input_ids=ids, attention_mask=mask, labels=labels, **stack_signals(media, features)
    )


def stack_signals(
    media: Sequence[dict[str, list[torch.Tensor]]], features: Container[str]
) -> dict[str, dict[str, torch.Tensor]]:
    """Stack each modality's tensors, sample by sample, as the signals and features of a Batch."""
    merged: dict[str, list[torch.Tensor]] = {}
    for sample in media:
        for modality, tensors in sample.items():
            merged.setdefault(modality, []).extend(tensors)
    stacked = {modality: torch.stack(tensors) for modality, tensors in merged.items()}
    return {
        "signals": {name: value for name, value in stacked.items() if name not in features},
        "features": {name: value for name, value in stacked.items() if name in features},
    }
