"""`polysense perf`: measure a claim about speed or memory."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from polysense.errors import PolysenseError, unknown_name


def add_perf(command: argparse.ArgumentParser) -> None:
    """Add what `perf` takes."""
    command.add_argument("name", nargs="?", help="name of a file in perf/, like packing")
    command.add_argument("words", nargs=argparse.REMAINDER, help="its options, like --help")
    command.set_defaults(act=perf_command)


def perf_command(arguments: argparse.Namespace) -> None:
    """Run a benchmark of the repository, in a process of its own; its exit code becomes ours."""
    folder = Path(__file__).resolve().parents[3] / "perf"
    if not folder.is_dir():
        raise PolysenseError(
            "benchmarks are in the repository only: install it with pip install -e"
        )
    names = sorted(path.stem for path in folder.glob("*.py"))
    if arguments.name is None:
        raise PolysenseError(f"which benchmark? There are: {', '.join(names)}")
    if arguments.name not in names:
        raise unknown_name("benchmark", arguments.name, names)
    command = [sys.executable, str(folder / f"{arguments.name}.py"), *arguments.words]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)
