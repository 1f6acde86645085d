"""`polysense perf` runs a file of perf/ in a process of its own; a name that is unknown is told."""

import subprocess
from pathlib import Path

import pytest
from fixtures.command_line import fails

from polysense.cli.main import main


def test_an_unknown_benchmark_names_the_nearest_and_none_of_the_helpers(capsys):
    error = fails(capsys, "perf", "pakcing")
    assert "did you mean 'packing'" in error
    assert "measur" not in error


def test_without_a_name_the_benchmarks_are_listed(capsys):
    said = fails(capsys, "perf")
    assert "which benchmark? There are: " in said
    assert "packing" in said


def test_options_go_to_the_benchmark_and_its_exit_code_becomes_ours(monkeypatch):
    started = []

    def run(command, check):
        started.append(command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit) as stopped:
        main(["perf", "packing", "--samples", "3"])
    assert stopped.value.code == 7
    ((_, script, *options),) = started
    assert Path(script).is_file()
    assert Path(script).name == "packing.py"
    assert options == ["--samples", "3"]
