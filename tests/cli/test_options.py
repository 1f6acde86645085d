"""Bad options, refusals of the system, characters that a terminal lacks: one line each."""

import errno
import io
import os
import sys

import pytest

from polysense.cli.main import build_parser, main


def fails(capsys, *words):
    """Run a command that must fail; return its one line of error."""
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("polysense: ")
    return line


def succeeds(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_options_that_cannot_be_are_one_line(capsys):
    asked = ("ask", "runs/demo", "a.png", "What?", "--max-new-tokens")
    for value in ("0", "-1", "many", "99999999999999999999"):
        assert "must be a whole number from 1 on" in fails(capsys, *asked, value)
    for option in ("--per-modality", "--limit"):
        assert "must be a whole number" in fails(capsys, "evaluate", "run", option, "-1")
    assert "invalid choice: 'asc'" in fails(capsys, "asc", "run")
    assert "unrecognized arguments: --nonsense" in fails(capsys, "describe", "run", "--nonsense")


def test_what_the_system_refuses_is_one_line(capsys, monkeypatch):
    def refused(error):
        def act(arguments):
            raise error

        monkeypatch.setattr("polysense.cli.describe.describe_command", act)
        return fails(capsys, "describe", "run")

    assert "'a/b': No space left on device" in refused(
        OSError(errno.ENOSPC, os.strerror(28), "a/b")
    )
    assert refused(PermissionError(errno.EACCES, "Permission denied", "x")).endswith(
        "'x': Permission denied"
    )
    assert refused(OSError("bare words\nmore")).endswith("polysense: bare words")
    assert "memory is full" in refused(MemoryError())


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


def test_recipes_and_the_place_of_what_they_fetch_are_listed(capsys):
    out = succeeds(capsys, "recipes")
    assert "\nonellm-laptop  " in out
    assert "POLYSENSE_CACHE moves it" in out
    assert succeeds(capsys, "--version").startswith("polysense ")


def test_the_demo_is_a_recipe_and_a_folder_already_chosen():
    parsed = build_parser().parse_args(["demo"])
    assert (parsed.recipe, parsed.run) == ("onellm-laptop", "runs/demo")
    other = build_parser().parse_args(["demo", "laptop", "--run", "r", "--set", "seed=1"])
    assert (other.recipe, other.run, other.settings) == ("laptop", "r", ["seed=1"])
    assert parsed.act is build_parser().parse_args(["train", "laptop"]).act
