"""What is learnt of a conversation: the assistant's words and the end after them, no more."""

import pytest
from fixtures.tiny_model import save_llm

from polysense.data.chat.chat_tokenizer import IGNORED, ChatTokenizer, Placeholder
from polysense.data.collate import collate
from polysense.data.formats.messages import parse_messages
from polysense.data.placeholders import add_placeholders
from polysense.errors import PolysenseError
from polysense.model.llm.text_tokenizer import load_text_tokenizer


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    tokenizer = load_text_tokenizer(str(save_llm(tmp_path_factory.mktemp("llm"))))
    token = add_placeholders(tokenizer, ["image"])["image"]
    return ChatTokenizer(tokenizer, {"image": Placeholder("<|image|>", token, 3)})


def talk(*turns):
    roles = ["user", "assistant"] * len(turns)
    picture = {"type": "image", "image": "x"}
    return parse_messages(
        [
            {"role": role, "content": [picture, turn] if role == "user" else turn}
            for role, turn in zip(roles, turns, strict=False)
        ],
        ["image"],
    )


def trainable(chat, encoded):
    return chat.text_tokenizer.decode([i for i in encoded.labels if i != IGNORED])


def test_template_learns_each_answer_and_its_end(chat):
    messages = talk("What is this?", "A red line.", "Sure?", "A blue square.")
    encoded = chat.encode(messages, "template", "sample")
    assert trainable(chat, encoded) == "A red line.<|im_end|>A blue square.<|im_end|>"
    assert encoded.ids.count(chat.placeholders["image"].id) == 6


def test_plain_has_places_then_words_then_the_end(chat):
    encoded = chat.encode(talk("", "A red line."), "plain", "sample")
    assert encoded.ids[:3] == [chat.placeholders["image"].id] * 3
    assert trainable(chat, encoded) == "A red line.<|im_end|>"


@pytest.mark.parametrize("form", ["plain", "template"])
def test_no_label_is_a_question_a_system_message_or_a_place(chat, form):
    picture = {"type": "image", "image": "x"}
    messages = parse_messages(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": ["Before", picture, "between", picture, "behind"]},
            {"role": "assistant", "content": ["Left: ", picture, " a line."]},
            {"role": "user", "content": "And 2 + 2?"},
            {"role": "assistant", "content": "4."},
        ],
        ["image"],
    )
    encoded = chat.encode(messages, form, "sample")
    assert trainable(chat, encoded) == "Left:  a line.<|im_end|>4.<|im_end|>"
    place = chat.placeholders["image"].id
    assert encoded.ids.count(place) == 9
    assert place not in encoded.labels
    wrong = [(i, x) for i, x in zip(encoded.ids, encoded.labels, strict=True) if x not in (i, -100)]
    assert wrong == []


@pytest.mark.parametrize("form", ["plain", "template"])
def test_plain_text_is_learnt_like_any_other(chat, form):
    messages = parse_messages(
        [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4."}], []
    )
    assert trainable(chat, chat.encode(messages, form, "sample")) == "4.<|im_end|>"


def test_of_a_document_all_text_is_learnt_and_no_chat_is_put_around_it(chat):
    first, second = {"type": "image", "image": "a"}, {"type": "image", "image": "b"}
    parts = ["Look. ", first, "A line.", second, "A circle."]
    document = parse_messages([{"role": "assistant", "content": parts}], ["image"])
    encoded = chat.encode(document, "template", "sample")
    assert encoded == chat.encode(document, "plain", "sample")
    assert trainable(chat, encoded) == "Look. A line.A circle.<|im_end|>"
    held = "<|image|>" * 3
    assert chat.text_tokenizer.decode(encoded.ids) == (
        f"Look. {held}A line.{held}A circle.<|im_end|>"
    )


@pytest.mark.parametrize("form", ["plain", "template"])
def test_a_prompt_is_the_beginning_of_the_whole(chat, form):
    messages = talk("What is this?", "A red line.", "Sure?", "A blue square.")
    whole = chat.encode(messages, form, "sample").ids
    for turns in (1, 3):  # after an example too: its answer has ended
        prompt = chat.prompt(messages[:turns], form)
        assert whole[: len(prompt)] == prompt


def test_a_system_message_is_put_first_only_where_there_is_none(chat):
    with_system = ChatTokenizer(chat.text_tokenizer, chat.placeholders, "Look.")
    assert with_system.render(talk("Hi")).startswith("<|im_start|>system\nLook.<|im_end|>")
    own = parse_messages([{"role": "system", "content": "Mine."}], ["image"])
    assert "Look." not in with_system.render(own)


def test_a_template_that_asks_otherwise_is_refused(chat, monkeypatch):
    monkeypatch.setattr(
        chat.text_tokenizer, "chat_template", "{{ messages | length }}{{ messages[-1].content }}"
    )
    with pytest.raises(PolysenseError, match=r"sample 'x': .* by other words than it writes"):
        chat.encode(talk("a", "b"), "template", "sample 'x'")


def test_no_assistant_turn_is_refused(chat):
    with pytest.raises(PolysenseError, match=r"sample 'x': .* no assistant"):
        chat.encode(talk("a"), "plain", "sample 'x'")


def test_collate_pads_on_the_asked_side(chat):
    rows = [chat.encode(talk("", text), "plain", "s") for text in ("A line.", "A blue circle.")]
    right = collate(rows, [{}, {}], 0, "signals")
    left = collate(rows, [{}, {}], 0, (), "left")
    short = len(rows[0].ids)
    assert right["attention_mask"][0].tolist()[:short] == [1] * short
    assert left["attention_mask"][0].tolist()[-short:] == [1] * short
    assert left["input_ids"][0].tolist()[-short:] == rows[0].ids


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "user"}, "needs the keys"),
        ({"role": "robot", "content": "x"}, "roles: system, user, assistant"),
        ({"role": "user", "content": [{"type": "smell", "smell": 1}]}, "text, image"),
    ],
)
def test_malformed_messages_are_refused(message, words):
    with pytest.raises(PolysenseError, match=words):
        parse_messages([message], ["image"])
