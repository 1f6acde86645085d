"""Signals are dealt out to the texts that hold places for them."""

import pytest

from polysense.data.chat.chat_tokenizer import Placeholder
from polysense.data.model_inputs import by_text, given_signals, placed
from polysense.errors import PolysenseError

HELD = {"image": Placeholder("<|image|>", 5, 2), "imu": Placeholder("<|imu|>", 6, 1)}


def test_lists_of_lists_have_those_of_each_text():
    assert by_text([["a"], ["b", "c"]], [1, 2], "x") == [["a"], ["b", "c"]]
    assert by_text(["a", "b", "c"], [1, 2], "x") == [["a"], ["b", "c"]]
    with pytest.raises(PolysenseError, match=r"\[2, 1\] places x, and \[1, 2\]"):
        by_text([["a"], ["b", "c"]], [2, 1], "x")


def test_texts_without_places_get_a_signal_each_before_them():
    assert placed(["q", "r"], {"image": ["a", "b"]}, HELD) == (
        ["<|image|><|image|>q", "<|image|><|image|>r"],
        [{"image": ["a"]}, {"image": ["b"]}],
    )
    with pytest.raises(PolysenseError, match="hold 2 places"):
        placed(["q", "r"], {"image": ["a", "b", "c"]}, HELD)


def test_places_of_several_modalities_are_widened_where_they_stand():
    texts, media = placed(["<|imu|>a<|image|>"], {"image": "p", "imu": "m"}, HELD)
    assert texts == ["<|imu|>a<|image|><|image|>"]
    assert media == [{"image": ["p"], "imu": ["m"]}]


def test_a_modality_may_be_named_in_the_plural():
    assert given_signals({"images": 1, "imu": 2, "audio": None}, HELD) == {"image": 1, "imu": 2}
