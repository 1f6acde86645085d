"""What is asked of conversations and documents: the first answer, all turns, or nothing."""

import pytest

from polysense.data.prompts import samples_for
from polysense.data.records import Record
from polysense.modalities import ImageModality
from polysense.types import Media, Message, Text

MODALITIES = {"image": ImageModality(size=8)}
PICTURE = Media("image", "a.png")


def turns(*texts):
    """A conversation about an image: questions and answers in turn."""
    roles = ["user", "assistant"] * len(texts)
    return tuple(
        Message(role, (*((PICTURE,) if index == 0 else ()), Text(text)))
        for index, (role, text) in enumerate(zip(roles, texts, strict=False))
    )


@pytest.fixture
def talk():
    return Record("talk", (PICTURE,), messages=turns("Who?", "A cat.", "Where?", "Here."))


def test_the_first_answer_stands_for_a_caption(talk):
    (sample,) = samples_for("answer", [talk], MODALITIES)
    assert sample.messages == (Message("user", (PICTURE,)), Message("assistant", (Text("A cat."),)))


def test_nobody_asks_for_a_document(talk):
    document = Record("text", (PICTURE,), messages=(Message("assistant", (PICTURE, Text("Cat."))),))
    assert [s.key for s in samples_for("instruction", [talk, document], MODALITIES)] == ["talk"]
    assert [s.key for s in samples_for("caption", [talk, document], MODALITIES)] == ["text"]
    assert [s.key for s in samples_for("answer", [talk, document], MODALITIES)] == ["talk"]
