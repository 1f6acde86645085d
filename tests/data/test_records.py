"""Records of one group are held out together; many conversations may be about one file."""

import pytest

from polysense.data.records import (
    Record,
    Split,
    is_held_out,
    split_named,
    split_records,
    with_unique_keys,
)
from polysense.errors import PolysenseError
from polysense.modalities.sources.file_parts import FileGroup
from polysense.types import Media, Message, Text

TURNS = (Message("user", (Text("Who?"),)), Message("assistant", (Text("Me."),)))


def test_a_group_is_on_one_side():
    records = [Record(f"{i}", (), "A.", group=f"object {i // 5}") for i in range(300)]
    split = split_records(records, 0.3)
    sides = [{record.group for record in side} for side in (split.train, split.held_out)]
    assert sides[0] & sides[1] == set()
    assert len(sides[0] | sides[1]) == 60


def test_conversations_about_one_file_are_counted_and_are_one_group():
    metadata = [Record("a.png", (), group="a.png", messages=TURNS) for _ in range(3)]
    unique = with_unique_keys(metadata, "m.jsonl")
    assert [record.key for record in unique] == ["a.png", "a.png (2)", "a.png (3)"]
    caption = Record("a.png", (), "A.", group="a.png")
    unique = with_unique_keys([*metadata[:2], caption], "m.jsonl")  # the caption has the name
    assert [record.key for record in unique] == ["a.png (2)", "a.png (3)", "a.png"]
    assert {record.group for record in unique} == {"a.png"}


@pytest.mark.parametrize(
    "record",
    [
        Record("a", (), "A.", group="a", where="line 2"),
        Record("a", (), messages=TURNS, where="line 2"),
    ],
    ids=["one caption twice", "a key of one's own"],
)
def test_two_of_one_key_are_refused(record):
    words = r"m\.jsonl: two lines (have the key|say the same of) 'a'.*\(line 2 says it again\)"
    with pytest.raises(PolysenseError, match=words):
        with_unique_keys([record, record], "m.jsonl")


def test_captions_of_one_file_are_one_group():
    picture = (Media("image", "a.png"),)
    lines = [Record("a.png", picture, f"Caption {i}.", group="a.png") for i in range(3)]
    unique = with_unique_keys(lines, "m.jsonl")
    assert [record.key for record in unique] == ["a.png", "a.png (2)", "a.png (3)"]
    assert {record.group for record in unique} == {"a.png"}


def test_lines_about_one_file_share_a_group_whatever_their_keys():
    picture = (Media("image", "a.png"), Media("image", "b.png"))
    other = (Media("depth", FileGroup((("image", "a.png"), ("depth", "d.png")))),)
    lines = [
        Record("first", picture, "A."),
        Record("a.png", picture, "B.", group="a.png"),
        Record("second", other, "C."),
        Record("own", picture, "D.", group="its own"),
        Record("else", (Media("image", "b.png"),), "E."),
    ]
    unique = with_unique_keys(lines, "m.jsonl")
    assert [record.group for record in unique] == ["", "first", "first", "its own", ""]
    for share in (0.2, 0.5, 0.8):  # an empty group is the key
        held = {is_held_out(record.group or record.key, share) for record in unique[:3]}
        assert len(held) == 1


@pytest.mark.parametrize(
    ("word", "side"),
    [
        ("train", "train"), ("Train", "train"), (" training ", "train"),
        ("held_out", "held_out"), ("held-out", "held_out"), ("Held out", "held_out"),
        ("test", "held_out"), ("val", "held_out"), ("Validation", "held_out"), ("dev", "held_out"),
    ],
)  # fmt: skip
def test_a_lines_word_decides_its_side(word, side):
    free = [Record(f"free {i}", (), "A.") for i in range(40)]
    marked = [Record(f"marked {i}", (), "A.", split=word) for i in range(40)]
    split = split_records([*free, *marked], 0.5)
    sides = {"train": split.train, "held_out": split.held_out}
    assert sum(record.split == word for record in sides[side]) == 40
    assert 0 < sum(record.split == "" for record in sides[side]) < 40


def test_another_word_for_the_split_is_refused():
    with pytest.raises(PolysenseError, match="'split' is 'tests', and only these words"):
        split_named("tests")


def test_a_document_is_what_nobody_asked_for():
    said = Message("assistant", (Media("image", "a.png"), Text("A cat.")))
    assert Record("a", (), messages=(said,)).is_document
    assert not Record("a", (), messages=TURNS).is_document
    assert not Record("a", (), "A.").is_document


def test_later_records_do_not_move_those_before_them():
    """The second names a group of its own; the third still joins the first one's file."""
    records = [
        Record("a", (Media("image", "f.png"),), "A."),
        Record("b", (Media("image", "f.png"),), "B.", group="own"),
        Record("c", (Media("image", "f.png"),), "C."),
    ]
    assert [r.group for r in with_unique_keys(records, "m.jsonl")] == ["", "own", "a"]


def test_a_record_with_one_bad_signal_is_left_out():
    good, bad = Media("image", "good.png"), Media("image", "bad.png")
    both, fine = Record("both", (good, bad), "A."), Record("fine", (good,), "B.")
    split = Split([both, fine], [fine]).without({bad})
    assert (split.train, split.held_out) == ([fine], [fine])
