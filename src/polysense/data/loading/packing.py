"""Samples of different lengths share rows, so that next to no position is padding.

A padded batch is as wide as its longest sample. Here samples are laid end to end in rows of a token
budget; each keeps its own positions (they restart at 0), from which the LLM tells it from its
neighbours (model/llm/probe.py). Rows come out the same for the same samples, always.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import torch

from polysense.data.chat.chat_tokenizer import IGNORED, TokenizedChat
from polysense.data.collate import pad, stack_signals
from polysense.types import Batch


def first_fit_decreasing(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Put each length, longest first, into the first row with room; return the indices by row."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        row = next((row for row, left in enumerate(room) if left >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(budget)
        rows[row].append(index)
        room[row] -= length
    return rows


def pack_lengths(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Pack lengths into the fewest rows of `budget` tokens, and those as short as they can be.

    All rows of a batch are as long as its longest, so a last row that is nearly empty is nearly all
    padding. The row length is therefore brought down as far as the number of rows allows (Coffman,
    Garey and Johnson's MULTIFIT, 1978); where dealing samples out evenly does better, they are. A
    sample longer than the budget makes longer rows.
    """
    if not lengths:
        return []
    longest = max(lengths)
    best = first_fit_decreasing(lengths, max(budget, longest))
    shortest = max(-(-sum(lengths) // len(best)), longest)
    dealt = deal_out(lengths, len(best))
    best = min(best, dealt, key=lambda rows: row_length(lengths, rows))
    for width in range(shortest, row_length(lengths, best)):
        rows = first_fit_decreasing(lengths, width)
        if len(rows) <= len(best):
            return rows
    return best


def deal_out(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Put each length, longest first, into the row of `count` that is shortest so far."""
    rows: list[list[int]] = [[] for _ in range(count)]
    held = [0] * count
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        row = held.index(min(held))
        rows[row].append(index)
        held[row] += lengths[index]
    return rows


def row_length(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    """Return the length of the longest row."""
    return max(sum(lengths[index] for index in row) for row in rows)


def share_used(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> float:
    """Return the share of positions that hold a token when `rows` are made one tensor."""
    return sum(lengths) / (row_length(lengths, rows) * len(rows))


def collate_packed(
    items: Sequence[TokenizedChat],
    media: Sequence[dict[str, list[torch.Tensor]]],
    pad_id: int,
    features: Container[str],
    budget: int,
) -> Batch:
    """Make a Batch of packed rows; signals follow the reading order of the rows.

    position_ids [B, T] restart at 0 with each sample; the rest of a short row is a sample of its
    own, without labels. There is no attention_mask.
    """
    rows = pack_lengths([len(item.ids) for item in items], budget)
    packed = [[items[index] for index in row] for row in rows]
    ids = [[token for item in row for token in item.ids] for row in packed]
    # Nothing predicts a sample's first token: before it stands somebody else's last.
    labels = [[x for item in row for x in (IGNORED, *item.labels[1:])] for row in packed]
    width = max(len(row) for row in ids)
    positions = [
        [
            place
            for length in (*(len(item.ids) for item in row), width - sum(len(i.ids) for i in row))
            for place in range(length)
        ]
        for row in packed
    ]
    return Batch(
        input_ids=pad(ids, pad_id, "right"),
        position_ids=torch.tensor(positions, dtype=torch.long),
        labels=pad(labels, IGNORED, "right"),
        **stack_signals([media[index] for row in rows for index in row], features),
    )
