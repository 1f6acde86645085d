"""Records of one group are held out together; many conversations may be about one file."""

import pytest

from polysense.data.records import Record, split_records, with_unique_keys
from polysense.errors import PolysenseError
from polysense.types import Media, Message, Text

TURNS = (Message("user", (Text("Who?"),)), Message("assistant", (Text("Me."),)))


def test_a_group_is_on_one_side():
    records = [Record(f"{i}", (), "A.", group=f"object {i // 5}") for i in range(300)]
    split = split_records(records, 0.3)
    sides = [{record.group for record in side} for side in (split.train, split.held_out)]
    assert sides[0] & sides[1] == set()
    assert len(sides[0] | sides[1]) == 60


def test_conversations_about_one_file_are_counted_and_are_one_group():
    about = [Record("a.png", (), group="a.png", messages=TURNS) for _ in range(3)]
    unique = with_unique_keys(about, "m.jsonl")
    assert [record.key for record in unique] == ["a.png", "a.png (2)", "a.png (3)"]
    caption = Record("a.png", (), "A.", group="a.png")
    unique = with_unique_keys([*about[:2], caption], "m.jsonl")  # the caption has the name
    assert [record.key for record in unique] == ["a.png (2)", "a.png (3)", "a.png"]
    assert {record.group for record in unique} == {"a.png"}


@pytest.mark.parametrize(
    "record",
    [Record("a", (), "A.", group="a"), Record("a", (), messages=TURNS)],
    ids=["two captions", "a key of one's own"],
)
def test_two_of_one_key_are_refused(record):
    with pytest.raises(PolysenseError, match=r"m\.jsonl: two lines have the key 'a'"):
        with_unique_keys([record, record], "m.jsonl")


def test_a_document_is_what_nobody_asked_for():
    said = Message("assistant", (Media("image", "a.png"), Text("A cat.")))
    assert Record("a", (), messages=(said,)).is_document
    assert not Record("a", (), messages=TURNS).is_document
    assert not Record("a", (), "A.").is_document
