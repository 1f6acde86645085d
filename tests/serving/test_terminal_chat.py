"""Conversations: several pictures and turns; a turn that fails changes nothing."""

import tarfile
from types import SimpleNamespace

import pytest
import torch
from fixtures.tiny_model import save_llm, tiny_run
from PIL import Image
from transformers import AutoTokenizer

from polysense import PolysenseModel, PolysenseProcessor
from polysense.errors import PolysenseError
from polysense.modalities import ImageModality, ImuModality
from polysense.serving.terminal_chat import AnswerStreamer, Conversation, file_of, split_words


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


def test_the_last_word_is_the_question(tmp_path):
    file = picture(tmp_path, "red")
    assert split_words([file, "What is it?"]) == ([file], "What is it?")
    assert split_words([file]) == ([file], "")
    assert split_words(["What is a dog?"]) == ([], "What is a dog?")


def test_files_and_words_are_shown_in_any_order(conversation, tmp_path):
    red, blue = picture(tmp_path, "red"), picture(tmp_path, "blue")
    conversation.messages = []
    conversation.ask("What differs?", [red, "is the first,", blue, f"image:{red}"])
    shown = [part[part["type"]] for part in conversation.messages[0]["content"]]
    assert shown == [red, "is the first,", blue, red, "What differs?"]
    with pytest.raises(PolysenseError, match="this run has image only"):
        conversation.ask("What?", [f"audio:{red}"])
    with pytest.raises(PolysenseError, match="unknown modality 'imagge'; did you mean 'image'"):
        conversation.ask("What?", [f"imagge:{red}"])


def test_a_file_of_a_modality_that_the_run_lacks_is_refused(conversation, tmp_path, capsys):
    conversation.messages = []
    (tmp_path / "dog.mp3").write_bytes(b"sound")
    with pytest.raises(PolysenseError, match="is read as audio, and this run has image only"):
        conversation.ask("What?", [str(tmp_path / "dog.mp3")])
    conversation.ask("What?", [picture(tmp_path, "red")])
    assert "reading" not in capsys.readouterr().err  # nothing was chosen: there is one modality


def test_what_was_chosen_is_said(tmp_path, capsys):
    (tmp_path / "walk.csv").write_text("a")
    modalities = {"image": ImageModality(), "imu": ImuModality()}
    processor = SimpleNamespace(modalities=modalities, ending=None, text_tokenizer=None)
    part = Conversation._part(SimpleNamespace(processor=processor), str(tmp_path / "walk.csv"))
    assert part == {"type": "imu", "imu": str(tmp_path / "walk.csv")}
    assert capsys.readouterr().err == f"reading {tmp_path}/walk.csv as imu\n"


@pytest.mark.parametrize(
    "word", ["https://a.org/dog.png", "s3://bucket/dog.png", "data:image/png;base64,AAAA"]
)
def test_an_address_is_not_fetched(word):
    for shown in ([word, "What?"], [word]):
        with pytest.raises(PolysenseError, match="no address is fetched: download it"):
            [file_of(part) for part in shown]
    with pytest.raises(PolysenseError, match="no address is fetched"):
        split_words([word])
    assert file_of(f"What is at {word} now?") is None


def test_examples_are_turns_with_the_same_question(conversation, tmp_path):
    conversation.messages = []
    conversation.add_example("What?", picture(tmp_path, "red"), "A red square.")
    conversation.add_example("What?", "2 + 2?", "4.")
    asked, answer, own, _ = conversation.messages
    assert [part["type"] for part in asked["content"]] == ["image", "text"]
    assert asked["content"][1]["text"] == "What?"
    assert answer == {"role": "assistant", "content": "A red square."}
    assert own["content"] == [{"type": "text", "text": "2 + 2?"}]
    assert isinstance(conversation.ask("What?", [picture(tmp_path, "blue")]), str)
    assert len(conversation.messages) == 6


def test_a_file_that_is_not_there_is_no_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = picture(tmp_path, "red")
    assert file_of(file) == ("", file)
    assert file_of(f"audio:{file}") == ("audio", file)
    assert file_of("What colour: red or blue?") is None
    assert file_of("word " * 2000) is None
    for name in ("none.png", "audio:none.wav"):
        with pytest.raises(PolysenseError, match="does not exist"):
            file_of(name)
    with tarfile.open("0.tar", "w") as tar:
        tar.add("red.png")
    assert str(file_of("0.tar/red.png")[1]) == "0.tar/red.png"


def test_what_ends_an_answer_is_not_shown(capsys, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_llm(tmp_path / "llm"))
    for ending, expected in (("##", "A red circle."), (None, "A red circle.\n##")):
        streamer = AnswerStreamer(tokenizer, ending)
        prompt, answer = (tokenizer(text)["input_ids"] for text in ("What?", "A red circle.\n##"))
        for tokens in (prompt, *([token] for token in answer)):
            streamer.put(torch.tensor(tokens))
        streamer.end()
        assert capsys.readouterr().out.strip() == expected
