"""`polysense perf` runs a file of perf/ in a process of its own; a name that is unknown is told."""

import pytest
from fixtures.command_line import fails

from polysense.cli.main import main


def test_an_unknown_benchmark_names_the_nearest_and_none_of_the_helpers(capsys):
    error = fails(capsys, "perf", "pakcing")
    assert "did you mean 'packing'" in error
    assert "measur" not in error


def test_the_exit_code_is_the_benchmarks(capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["perf", "packing", "--nonsense"])
    assert stopped.value.code == 2
    assert "--nonsense" in capfd.readouterr().err
