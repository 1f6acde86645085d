"""Sequences of different lengths become one padded batch, with their signals in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from polysense.data.chat import IGNORED, Encoded
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
    items: Sequence[Encoded],
    signals: Sequence[dict[str, list[torch.Tensor]]],
    pad_id: int,
    kind: Literal["signals", "features"],
    side: Literal["left", "right"] = "right",
) -> Batch:
    """Make a Batch of encoded samples and, per sample, {modality: its signals or features}."""
    ids = pad([item.ids for item in items], pad_id, side)
    mask = pad([[1] * len(item.ids) for item in items], 0, side)
    labels = pad([item.labels for item in items], IGNORED, side)
    return Batch(
        input_ids=ids, attention_mask=mask, labels=labels, **{kind: stack_signals(signals)}
    )


def stack_signals(signals: Sequence[dict[str, list[torch.Tensor]]]) -> dict[str, torch.Tensor]:
    """Stack the signals or features of each sense, sample by sample: {modality: [N, ...]}."""
    merged: dict[str, list[torch.Tensor]] = {}
    for sample in signals:
        for modality, tensors in sample.items():
            merged.setdefault(modality, []).extend(tensors)
    return {modality: torch.stack(tensors) for modality, tensors in merged.items()}
