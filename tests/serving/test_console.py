"""Conversations: several pictures and turns; a turn that fails changes nothing."""

import pytest
import torch
from PIL import Image
from tiny import save_llm, tiny_run
from transformers import AutoTokenizer

from polysense import PolysenseModel, PolysenseProcessor
from polysense.errors import PolysenseError
from polysense.serving.console import AnswerStreamer, Conversation, chat, split_words


@pytest.fixture(scope="module")
def conversation(tmp_path_factory):
    run = tiny_run(tmp_path_factory.mktemp("console") / "run")
    return Conversation(
        PolysenseModel.from_pretrained(run), PolysenseProcessor.from_pretrained(run), 4
    )


def picture(folder, colour):
    Image.new("RGB", (12, 12), colour).save(folder / f"{colour}.png")
    return str(folder / f"{colour}.png")


def test_answers_are_streamed_and_remembered(conversation, tmp_path, capsys):
    conversation.messages = []
    answer = conversation.ask("What?", [picture(tmp_path, "red"), picture(tmp_path, "blue")])
    assert answer in capsys.readouterr().out
    conversation.ask("And now?")
    assert [message["role"] for message in conversation.messages] == ["user", "assistant"] * 2


def test_a_turn_that_fails_leaves_the_conversation_as_it_was(conversation, tmp_path):
    conversation.messages = []
    (tmp_path / "bad.png").write_text("x")
    with pytest.raises(PolysenseError):
        conversation.ask("What?", [str(tmp_path / "bad.png")])
    assert conversation.messages == []


def test_chat_reads_turns_until_an_empty_line(conversation, tmp_path, monkeypatch, capsys):
    conversation.messages = []
    lines = iter(
        [f"/show {picture(tmp_path, 'green')}", "What?", "/show none.png", "Then?", "Go", ""]
    )
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    chat(conversation, [])
    assert "none.png" in capsys.readouterr().err
    assert len(conversation.messages) == 4


def test_the_last_word_is_the_question(tmp_path):
    file = picture(tmp_path, "red")
    assert split_words([file, "What is it?"]) == ([file], "What is it?")
    assert split_words([file]) == ([file], "")
    assert split_words(["What is a dog?"]) == ([], "What is a dog?")


def test_what_ends_an_answer_is_not_shown(capsys, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_llm(tmp_path / "llm"))
    for ending, expected in (("##", "A red circle."), (None, "A red circle.\n##")):
        streamer = AnswerStreamer(tokenizer, ending)
        prompt, answer = (tokenizer(text)["input_ids"] for text in ("What?", "A red circle.\n##"))
        for tokens in (prompt, *([token] for token in answer)):
            streamer.put(torch.tensor(tokens))
        streamer.end()
        assert capsys.readouterr().out.strip() == expected
