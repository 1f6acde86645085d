"""The chat templates of LLM families: what is learnt, what is asked, what ends an answer."""

import pytest
from fixtures.families.chat_templates import ENDS, FAMILIES, speaks
from fixtures.tiny_model import save_llm
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from polysense.data.chat.chat_tokenizer import IGNORED, ChatTokenizer, Placeholder
from polysense.data.chat.rendering import closing
from polysense.data.placeholders import add_placeholders
from polysense.errors import PolysenseError
from polysense.types import Media, Message, Text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def chat_of(folder, family):
    tokenizer = speaks(AutoTokenizer.from_pretrained(folder), family)
    held = add_placeholders(tokenizer, ["image"])["image"]
    return ChatTokenizer(tokenizer, {"image": Placeholder("<|image|>", held, 2)})


def talk(*turns):
    shown = Media("image", "a.png")
    roles = ["user", "assistant"] * len(turns)
    return [
        Message(role, (shown, Text(turn)) if role == "user" else (Text(turn),))
        for role, turn in zip(roles, turns, strict=False)
    ]


def trainable(chat, encoded):
    return chat.text_tokenizer.decode([i for i in encoded.labels if i != IGNORED])


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_and_their_ends_are_learnt(folder, family):
    chat, end = chat_of(folder, family), ENDS[family]
    one = chat.encode(talk("What?", "A cat."), "template", "s")
    assert trainable(chat, one).lstrip() == f"A cat.{end}"
    two = chat.encode(talk("What?", "A cat.", "Sure?", "It is a dog."), "template", "s")
    assert trainable(chat, two).replace(f"{end} ", end).lstrip() == f"A cat.{end}It is a dog.{end}"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_asked_is_what_stood_before_the_answer(folder, family):
    chat = chat_of(folder, family)
    for turns in (["What?"], ["What?", "A cat.", "Sure?"]):
        prompt = chat.prompt(talk(*turns), "template")
        whole = chat.encode(talk(*turns, "It is."), "template", "s")
        assert whole.ids[: len(prompt)] == prompt
        assert {*whole.labels[: len(prompt)]} >= {IGNORED}
        assert IGNORED not in whole.labels[len(prompt) : len(prompt) + 3]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_goes_on_where_it_was_left(folder, family):
    chat = chat_of(folder, family)
    begun = chat.prompt(talk("What?", "It is"), "template", continued=True)
    whole = chat.encode(talk("What?", "It is a cat."), "template", "s").ids
    assert whole[: len(begun)] == begun
    assert chat.text_tokenizer.decode(begun).endswith("It is")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_begins_once(folder, family):
    chat = chat_of(folder, family)
    begin = chat.text_tokenizer.bos_token_id
    writes = "bos_token" in FAMILIES[family]
    assert chat.prompt(talk("What?"), "template").count(begin) == int(writes)
    own = chat.text_tokenizer.backend_tokenizer
    own.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    chat = ChatTokenizer(chat.text_tokenizer, chat.placeholders)
    for messages in (talk("What?"), talk("What?", "A cat.", "Sure?")):
        ids = chat.prompt(messages, "template")
        assert ids.count(begin) == 1
        assert ids[0] == begin


def test_thoughts_are_empty_and_belong_to_the_prompt(folder):
    for family in ("qwen-3", "deepseek-r1"):
        chat = chat_of(folder, family)
        prompt = chat.text_tokenizer.decode(chat.prompt(talk("What?"), "template"))
        assert prompt.endswith("<think>\n\n</think>\n\n")
    older = FAMILIES["qwen-3"].replace("enable_thinking is defined and", "false and")
    chat.text_tokenizer.chat_template = older  # one whose prompts lack the block
    assert chat.text_tokenizer.decode(chat.prompt(talk("What?"), "template")).endswith(
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert closing("assistant<think>") == "\n\n</think>\n\n"
    assert closing("assistant\n") == ""


def test_what_an_answer_begins_with_is_asked_and_not_said(folder):
    chat = chat_of(folder, "chatml")
    chat.text_tokenizer.chat_template = (  # knows no add_generation_prompt
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|im_end|>' }}{% endfor %}"
    )
    encoded = chat.encode(talk("What?", "A cat."), "template", "s")
    assert trainable(chat, encoded).strip() == "A cat.<|im_end|>"


def test_a_template_that_drops_answers_is_refused_with_a_way_out(folder):
    chat = chat_of(folder, "chatml")
    chat.text_tokenizer.chat_template = FAMILIES["chatml"].replace(
        "{% for m in messages %}",
        "{% for m in messages if m.role != 'assistant' or m.content == messages[-1].content %}",
    )
    with pytest.raises(PolysenseError, match=r"sample 'x': .* split the conversation"):
        chat.encode(talk("a", "b", "c", "d"), "template", "sample 'x'")
    assert trainable(chat, chat.encode(talk("a", "b"), "template", "s")) == "b<|im_end|>"


def test_a_system_message_that_a_template_refuses(folder):
    messages = [Message("system", (Text("Be brief."),)), *talk("What?", "A cat.")]
    with pytest.raises(PolysenseError, match=r"sample 'x': .* System role not supported"):
        chat_of(folder, "gemma-2").encode(messages, "template", "sample 'x'")
