"""Every form of turns becomes the messages it means, or an error that says what is wrong."""

import pytest

from polysense.data.formats.conversations import read_turns
from polysense.errors import PolysenseError
from polysense.types import Media, Message, Text

MODALITIES = ["image", "audio"]
A, B, C = Media("image", "a.png"), Media("image", "b.png"), Media("audio", "c.wav")


def turns(form, given, shown=(), answer=None):
    values = {form: given, "answer": answer}
    return read_turns(form, values, shown, MODALITIES)


def test_a_question_follows_what_is_shown():
    assert turns("question", "Who?", [C, A], "Me.") == (
        Message("user", (C, A, Text("Who?"))),
        Message("assistant", (Text("Me."),)),
    )


def test_llavas_places_are_filled_in_order():
    given = [
        {"from": "human", "value": "<image>\nCompare it with <image>, which makes <audio>."},
        {"from": "gpt", "value": " Louder.\n"},
        {"from": "human", "value": "Sure?"},
        {"from": "gpt", "value": "Yes."},
    ]
    first, second, *rest = turns("conversations", given, [C, A, B])
    assert first == Message(
        "user", (A, Text("Compare it with "), B, Text(", which makes "), C, Text("."))
    )
    assert second == Message("assistant", (Text("Louder."),))
    assert [turn.role for turn in rest] == ["user", "assistant"]


def test_without_places_signals_come_first_after_the_system():
    given = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Who?"}]
    read = turns("conversations", [*given, {"from": "gpt", "value": "Me."}], [A, C])
    assert read[0] == Message("system", (Text("Be brief."),))
    assert read[1] == Message("user", (A, C, Text("Who?")))


def test_places_in_messages_and_questions_are_filled_too():
    given = [
        {"role": "user", "content": ["Compare <image> with", "<image>."]},
        {"role": "assistant", "content": "As loud as <audio>."},
    ]
    asked, said = turns("messages", given, [A, C, B])
    assert asked.parts == (Text("Compare "), A, Text(" with"), B, Text("."))
    assert said.parts == (Text("As loud as "), C, Text("."))
    asked, _ = turns("question", "<image>\nWho?", [A], "Me.")
    assert asked.parts == (A, Text("Who?"))


def test_messages_take_parts_of_every_form_in_any_order():
    content = [
        "First",
        {"image": "a.png"},
        {"type": "text", "text": "then"},
        {"type": "image", "image": "b.png"},
        {"type": "audio", "path": "c.wav"},
        {"type": "image_url", "image_url": {"url": "a.png"}},
    ]
    given = [{"role": "user", "content": content}, {"role": "assistant", "content": "<image> is."}]
    asked, said = turns("messages", given)
    assert asked.parts == (Text("First"), A, Text("then"), B, C, A)
    assert said.parts == (Text("<image> is."),)  # words: only LLaVA's form has places in text
    pair = {"depth": {"image": "a.png", "depth": "d.png"}}
    (document,) = read_turns("document", {"document": [pair, "A room."]}, [], ["depth"])
    assert document.parts[0] == Media("depth", {"image": "a.png", "depth": "d.png"})


def test_a_document_is_one_turn_in_its_own_order():
    given = [{"image": "a.png"}, " a cat", {"audio": "c.wav"}, {"image": "b.png"}, " a dog "]
    (document,) = turns("document", given)
    assert document == Message("assistant", (A, Text(" a cat"), C, B, Text(" a dog ")))
    assert turns("document", "Just words.") == (Message("assistant", (Text("Just words."),)),)


def said(*roles):
    return [{"role": role, "content": "x"} for role in roles]


@pytest.mark.parametrize(
    ("form", "given", "shown", "words"),
    [
        ("messages", [], [], "list of turns"),
        ("messages", "Hi", [], "list of turns"),
        ("messages", ["Hi"], [], "needs the keys"),
        ("messages", said("user"), [], "take turns"),
        ("messages", said("user", "user", "assistant"), [], "take turns"),
        ("messages", said("assistant", "user"), [], "take turns"),
        ("messages", said("system"), [], "take turns"),
        ("messages", said("robot", "assistant"), [], "roles: system"),
        ("messages", [{"role": "user", "content": None}], [], "must be text or a list"),
        ("messages", [*said("user"), {"role": "assistant", "content": " "}], [],
         r"turn 2 \(assistant\) says nothing"),
        ("messages", [{"role": "user", "content": [{"smell": "x"}]}], [], "type 'smell'"),
        ("messages", [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}}]}], [],
         "no address is fetched"),
        ("conversations", [{"from": "human", "value": "<image>Who?"}], [], "<image> 1 times"),
        ("conversations", [{"from": "human", "value": "<image>Who?"}], [A, B],
         "<image> 1 times, and it names 2"),
        ("conversations", [{"from": "human", "value": "<image>Who?"}], [A, C],
         "<audio> 0 times, and it names 1"),
        ("messages", [{"role": "user", "content": "<image>Who?"}, *said("assistant")], [],
         "<image> 1 times, and it names 0"),
        ("messages", [{"role": "user", "content": ["<image>", "Who?"]}, *said("assistant")],
         [A, B], "<image> 1 times, and it names 2"),
        ("conversations", [{"from": "me", "value": "x"}], [], "turn 1 must be"),
        ("conversations", [{"from": "gpt", "value": "x"}], [A], "no turn of the user's"),
        ("document", ["text"], [A], "'image' stands beside the document"),
        ("document", [{"image": "a.png"}, " "], [], "nothing to learn"),
        ("document", {"image": "a.png"}, [], "must be text or a list"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused(form, given, shown, words):
    with pytest.raises(PolysenseError, match=words):
        turns(form, given, shown)
