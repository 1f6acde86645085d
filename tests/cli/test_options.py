"""Options that cannot be are one line that says where all of them are listed."""

import argparse

import pytest
from fixtures.command_line import fails

from polysense.cli.options import count, count_or_all


@pytest.mark.parametrize("value", ["0", "-1", "many", "99999999999999999999", "\u0664"])
def test_a_count_that_cannot_be_is_one_line(capsys, value):
    error = fails(capsys, "ask", "runs/demo", "a.png", "What?", "--max-new-tokens", value)
    assert "must be a whole number from 1 on" in error


def test_counts_from_0_or_1():
    assert (count("1"), count_or_all("0"), count_or_all("7")) == (1, 0, 7)
    with pytest.raises(argparse.ArgumentTypeError, match="from 0 on"):
        count_or_all("-1")


def test_unknown_commands_and_options_are_one_line(capsys):
    assert "invalid choice: 'asc'" in fails(capsys, "asc", "run")
    error = fails(capsys, "describe", "run", "--nonsense")
    assert error.endswith(
        "unrecognized arguments: --nonsense (polysense describe --help lists the options)"
    )
    error = fails(capsys, "ask", "run", "a.png", "What?", "--chta")
    assert "unrecognized arguments: --chta; did you mean --chat? (polysense ask --help" in error
