"""Packed rows hold every sample once, nearly no padding, and signals in reading order."""

import pytest
import torch

from polysense.data.chat.chat_tokenizer import IGNORED, TokenizedChat
from polysense.data.loading.packing import (
    collate_packed,
    first_fit_decreasing,
    pack_lengths,
    share_used,
)

PLACE, PAD = 90, 0


def caption_lengths(count, seed, places=6):
    """Lengths of captioned signals: `places` embeddings and a log-normal number of words."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randn(count, generator=generator).mul(0.5).add(2.7).exp().round().int()
    return [places + 2 + int(length) for length in words]


def test_longest_first_into_the_first_row_with_room():
    assert first_fit_decreasing([2, 5, 4, 7, 1], 9) == [[3, 0], [1, 2], [4]]
    assert first_fit_decreasing([3, 3, 3], 6) == [[0, 1], [2]]


@pytest.mark.parametrize(("count", "budget"), [(16, 512), (32, 512), (64, 512), (256, 256)])
def test_at_least_98_percent_of_positions_are_used(count, budget):
    for seed in range(5):
        lengths = caption_lengths(count, seed)
        rows = pack_lengths(lengths, budget)
        assert sorted(index for row in rows for index in row) == list(range(count))
        assert max(sum(lengths[i] for i in row) for row in rows) <= budget
        assert share_used(lengths, rows) >= 0.98
        assert rows == pack_lengths(list(lengths), budget)


def test_the_mix_of_long_dialogues_and_captions_of_several_modalities_is_packed_too():
    mixed = [
        *caption_lengths(48, 1, places=6),
        *caption_lengths(40, 2, places=32),
        *caption_lengths(40, 3, places=0),
        *[150, 180, 210, 240],
    ]
    assert share_used(mixed, pack_lengths(mixed, 512)) >= 0.98


def test_rows_are_brought_down_to_one_length_rather_than_leave_one_nearly_empty():
    rows = pack_lengths([35] * 16, 512)
    assert [len(row) for row in rows] == [8, 8]
    assert share_used([35] * 16, first_fit_decreasing([35] * 16, 512)) < 0.6


def test_a_sample_over_the_budget_makes_longer_rows():
    rows = pack_lengths([700, 300, 300, 90], 512)
    assert sorted(sum([700, 300, 300, 90][i] for i in row) for row in rows) == [690, 700]
    assert pack_lengths([], 512) == []


def item(*ids, labelled):
    return TokenizedChat(list(ids), [i if i in labelled else IGNORED for i in ids])


def test_positions_restart_and_no_first_token_is_predicted_by_a_neighbour():
    items = [item(1, 2, 3, labelled=(1, 2, 3)), item(4, 5, 6, 7, labelled=(4, 6, 7))]
    batch = collate_packed([*items, item(8, labelled=(8,))], [{}, {}, {}], PAD, (), 8)
    assert batch["input_ids"].tolist() == [[4, 5, 6, 7, 1, 2, 3, 8]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 6, 7, -100, 2, 3, -100]]
    assert "attention_mask" not in batch


def test_the_rest_of_a_short_row_is_a_sample_of_its_own_without_labels():
    items = [item(1, 2, 3, labelled=(3,)), item(4, 5, labelled=(5,))]
    batch = collate_packed(items, [{}, {}], PAD, (), 4)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 5, PAD]]
    assert batch["position_ids"].tolist() == [[0, 1, 2], [0, 1, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 3], [-100, 5, -100]]


def test_signals_follow_the_reading_order_of_the_rows():
    items = [item(PLACE, 1, labelled=(1,)), item(2, PLACE, 3, PLACE, 4, labelled=(4,))]
    signals = [
        {"image": [torch.tensor([1.0])]},
        {"image": [torch.tensor([2.0]), torch.tensor([3.0])], "sound": [torch.tensor([9.0])]},
    ]
    batch = collate_packed(items, signals, PAD, {"image"}, 7)
    assert batch["input_ids"].tolist() == [[2, PLACE, 3, PLACE, 4, PLACE, 1]]
    assert batch["features"]["image"].flatten().tolist() == [2.0, 3.0, 1.0]
    assert batch["signals"]["sound"].flatten().tolist() == [9.0]
