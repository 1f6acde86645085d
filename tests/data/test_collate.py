"""Rows are padded at the side that is asked for; signals stand in reading order, all of them."""

import torch

from polysense.data.chat.chat_tokenizer import TokenizedChat
from polysense.data.collate import collate


def test_padding_is_seen_by_nobody_and_learnt_from_by_nobody():
    items = [TokenizedChat([5, 6, 7], [-100, 6, 7]), TokenizedChat([8], [8])]
    right = collate(items, [{}, {}], pad_id=3)
    assert right["input_ids"].tolist() == [[5, 6, 7], [8, 3, 3]]
    assert right["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert right["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    left = collate(items, [{}, {}], pad_id=3, side="left")
    assert left["input_ids"].tolist() == [[5, 6, 7], [3, 3, 8]]
    assert left["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert left["labels"].tolist() == [[-100, 6, 7], [-100, -100, 8]]


def test_signals_of_all_samples_are_stacked_in_reading_order():
    items = [TokenizedChat([1], [1])] * 2
    one, two, three, sound = (torch.full((2,), float(value)) for value in (1, 2, 3, 4))
    media = [{"image": [one, two], "audio": [sound]}, {"image": [three]}]
    batch = collate(items, media, 0, features={"audio"})
    assert batch["signals"]["image"][:, 0].tolist() == [1, 2, 3]
    assert batch["features"]["audio"].tolist() == [[4, 4]]
