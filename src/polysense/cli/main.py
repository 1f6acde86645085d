"""The command line: demo, train, recipes, ask, evaluate, describe, import, perf.

A user's mistake, and what the system refuses (a full disk, a file that may not be read), is one
line on standard error and exit code 2; Ctrl-C is 130, and a training run that was stopped goes on
when the same command is given again.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from polysense.cli.ask import add_ask
from polysense.cli.describe import add_describe
from polysense.cli.evaluate import add_evaluate
from polysense.cli.import_checkpoint import add_import
from polysense.cli.options import Parser, Version
from polysense.cli.perf import add_perf
from polysense.cli.recipes import add_recipes
from polysense.cli.train import add_demo, add_train, train_command
from polysense.errors import PolysenseError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="polysense", description="Teach an LLM new senses.")
    parser.add_argument("--version", action=Version, help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", required=True)
    add_demo(subparsers.add_parser("demo", help="train onellm-laptop, or another recipe, and show"))
    add_train(subparsers.add_parser("train", help="train a recipe, or continue its run"))
    add_recipes(subparsers.add_parser("recipes", help="list the recipes and what each needs"))
    add_import(subparsers.add_parser("import", help="make a run of another system's checkpoint"))
    add_ask(subparsers.add_parser("ask", help="ask about files: ask RUN [FILE|TEXT ...] QUESTION"))
    add_evaluate(subparsers.add_parser("evaluate", help="score a run on its held-out data"))
    add_describe(subparsers.add_parser("describe", help="print a run's parts and shapes"))
    add_perf(subparsers.add_parser("perf", help="measure a claim about speed or memory"))
    return parser


def quiet_libraries() -> None:
    """Keep libraries' bars and notices out of the way of ours; none is imported for it."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")  # our own bars are rich's
    logging.disable(logging.WARNING)
    # Appended: what a test, or a user with python -W, asks for comes first.
    warnings.simplefilter("ignore", append=True)


def replace_what_a_terminal_lacks() -> None:
    """Print "?" for a character that the terminal's encoding has none for, in place of stopping."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def fail(message: str, code: int = 2) -> NoReturn:
    """Print a mistake as one line and exit."""
    print(f"polysense: {message}", file=sys.stderr)
    sys.exit(code)


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 a mistake or a refusal, 130 interrupted."""
    replace_what_a_terminal_lacks()
    quiet_libraries()
    arguments = build_parser().parse_args(words)
    try:
        arguments.act(arguments)
        sys.stdout.flush()
    except PolysenseError as error:
        fail(str(error))
    except BrokenPipeError:  # who reads us has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except OSError as error:
        fail(system_error(error))
    except MemoryError:
        fail("the memory is full: use a smaller batch_size or a smaller model")
    except KeyboardInterrupt:
        again = " Give the same command again to continue." if is_training(arguments) else ""
        print(f"\npolysense: interrupted.{again}", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def system_error(error: OSError) -> str:
    """Return what the system refused, and of which file: "'runs/a': No space left on device"."""
    named = [str(name) for name in (error.filename, error.filename2) if name is not None]
    reason = error.strerror or (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{' and '.join(map(repr, named))}: {reason}" if named else reason


def is_training(arguments: argparse.Namespace) -> bool:
    """Whether the same command continues what was interrupted."""
    return arguments.act is train_command
