"""What the system refuses is one line and exit code 2; Ctrl-C is 130; a lost reader ends quietly.

Characters that a terminal lacks are replaced, so that no answer ends in a traceback.
"""

import errno
import io
import os
import sys

import pytest
from fixtures.command_line import fails, succeeds

from polysense.cli.main import main


def fails_by(capsys, monkeypatch, error):
    """Run a command whose action raises `error`; return its one line."""

    def act(arguments):
        raise error

    monkeypatch.setattr("polysense.cli.describe.describe_command", act)
    return fails(capsys, "describe", "run")


def test_what_the_system_refuses_is_one_line(capsys, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b")
    assert "'a/b': No space left on device" in fails_by(capsys, monkeypatch, full)
    denied = PermissionError(errno.EACCES, "Permission denied", "x")
    assert fails_by(capsys, monkeypatch, denied).endswith("'x': Permission denied")
    moved = OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b")
    assert fails_by(capsys, monkeypatch, moved).endswith("'a' and 'b': Invalid cross-device link")
    plain = OSError("bare words\nmore")
    assert fails_by(capsys, monkeypatch, plain).endswith("polysense: bare words")
    assert "memory is full" in fails_by(capsys, monkeypatch, MemoryError())


@pytest.mark.parametrize(
    ("command", "action", "goes_on"),
    [
        (["train", "laptop"], "polysense.cli.train.train_command", True),
        (["describe", "run"], "polysense.cli.describe.describe_command", False),
    ],
)
def test_ctrl_c_is_130_and_a_training_says_how_to_go_on(
    capsys, monkeypatch, command, action, goes_on
):
    def act(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(action, act)
    monkeypatch.setattr("polysense.cli.main.train_command", act if goes_on else None)
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 130
    err = capsys.readouterr().err
    assert "interrupted" in err
    assert ("Give the same command again" in err) is goes_on


def test_a_character_that_the_terminal_lacks_is_replaced(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(
        "polysense.cli.recipes.recipes_command", lambda _: print("caf\xe9 \u2013 \U0001f600")
    )
    with pytest.raises(SystemExit) as stopped:
        main(["recipes"])
    assert stopped.value.code == 0
    assert terminal.buffer.getvalue() == b"caf? ? ?\n"


def test_a_mistake_of_other_letters_is_told_where_the_terminal_lacks_them(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(SystemExit) as stopped:
        main(["describe", "caf\xe9"])
    assert stopped.value.code == 2
    terminal.flush()
    assert b"caf?" in terminal.buffer.getvalue()


def test_a_reader_that_has_seen_enough_ends_quietly(capsys, monkeypatch):
    def act(arguments):
        raise BrokenPipeError

    redirected = []
    monkeypatch.setattr(os, "dup2", lambda _, number: redirected.append(number))
    monkeypatch.setattr("polysense.cli.recipes.recipes_command", act)
    with pytest.raises(SystemExit) as stopped:
        main(["recipes"])
    assert stopped.value.code == 0
    assert redirected == [1]  # what is flushed at the end goes nowhere
    assert capsys.readouterr().err == ""


def test_the_version_names_what_we_stand_on(capsys):
    out = succeeds(capsys, "--version")
    assert out.startswith("polysense ")
    assert "torch" in out
    assert "transformers" in out
