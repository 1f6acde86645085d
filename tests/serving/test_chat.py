"""Lines of a chat: questions, commands, and paths that were typed as words."""

import pytest

from polysense.errors import PolysenseError
from polysense.serving.chat import HELP, Chat, chat, typed_files


class Heard:
    """A conversation that notes what it is asked."""

    def __init__(self):
        self.asked, self.resets = [], 0

    def ask(self, question, shown=()):
        self.asked.append((question, list(shown)))
        if question == "Fail":
            raise PolysenseError("that went wrong")

    def reset(self):
        self.resets += 1


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat.png", "a dog.png", "notes"):
        (tmp_path / name).write_bytes(b"x")


def typing(monkeypatch, *lines):
    """Type lines, then Ctrl-D; returns the prompts that were shown."""
    prompts, waiting = [], iter(lines)

    def answer(prompt):
        prompts.append(prompt)
        line = next(waiting, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr("builtins.input", answer)
    return prompts


def test_files_are_shown_with_the_next_question_only(monkeypatch):
    heard = Heard()
    typing(monkeypatch, "/add cat.png", "/add 'a dog.png'", "What?", "And now?")
    chat(heard, ["notes"])
    assert heard.asked == [("What?", ["notes", "cat.png", "a dog.png"]), ("And now?", [])]


@pytest.mark.parametrize("answer", ["", "y", "YES"])
def test_a_typed_path_is_asked_back(monkeypatch, capsys, answer):
    heard = Heard()
    prompts = typing(monkeypatch, "cat.png", answer, "What is it?")
    chat(heard, [])
    assert prompts[1] == "cat.png is a file here: /add cat.png? [Y/n] "
    assert heard.asked == [("What is it?", ["cat.png"])]
    assert "Type your question" in capsys.readouterr().err


def test_a_path_in_a_question_is_asked_back_too(monkeypatch):
    heard = Heard()
    typing(monkeypatch, "What is in cat.png?", "y", "And in cat.png?", "n", "cat.png")
    chat(heard, [])  # Ctrl-D where the last one is asked back
    assert heard.asked == [
        ("What is in cat.png?", ["cat.png"]), ("And in cat.png?", []), ("cat.png", []),
    ]  # fmt: skip


def test_which_words_name_files():
    assert typed_files("a dog.png") == ["a dog.png"]
    assert typed_files('"a dog.png"') == ["a dog.png"]
    assert typed_files("image:cat.png") == ["image:cat.png"]
    assert typed_files("(cat.png), cat.png or none.png") == ["cat.png"]
    assert typed_files("my notes say so") == []  # a word of a sentence, though a file is called so
    assert typed_files("notes") == ["notes"]


def test_an_empty_line_ends_and_an_error_does_not(monkeypatch, capsys):
    heard = Heard()
    typing(monkeypatch, "Fail", "/add none.png", "/sow cat.png", "Go", "", "Never")
    chat(heard, [])
    assert [question for question, _ in heard.asked] == ["Fail", "Go"]
    said = capsys.readouterr().err
    for words in ("that went wrong", "none.png", "unknown command '/sow'"):
        assert words in said


def test_commands(capsys):
    heard = Heard()
    talk = Chat(heard, ["cat.png"])
    talk.take("/help")
    assert HELP in capsys.readouterr().err
    talk.take("/files")
    assert capsys.readouterr().err == "cat.png\n"
    talk.take("/reset")
    assert (heard.resets, talk.waiting) == (1, [])
    talk.take("/files")
    talk.take("/add")  # of what? the list says
    said = capsys.readouterr().err
    assert "no file waits" in said
    assert HELP in said
    with pytest.raises(PolysenseError, match="does not exist"):
        talk.take("/add words")
    assert heard.asked == []
