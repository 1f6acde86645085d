"""The command line: train, ask, evaluate, describe, import, bench.

A user's mistake is one line on standard error and exit code 2; Ctrl-C is 130, and a training run
that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from polysense import commands
from polysense.errors import PolysenseError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="polysense", description="Teach an LLM new senses.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    add_train(subparsers.add_parser("train", help="train a recipe, or continue its run"))
    add_import(subparsers.add_parser("import", help="make a run of another system's checkpoint"))
    add_ask(subparsers.add_parser("ask", help="ask about files: ask RUN [FILE|TEXT ...] QUESTION"))
    add_evaluate(subparsers.add_parser("evaluate", help="score a run on its held-out data"))
    add_describe(subparsers.add_parser("describe", help="print a run's parts and shapes"))
    add_bench(subparsers.add_parser("bench", help="measure a claim about speed or memory"))
    return parser


def add_train(command: argparse.ArgumentParser) -> None:
    """Add what `train` takes."""
    command.add_argument("recipe", help="name of a recipe, like laptop")
    command.add_argument("--run", help="folder of the run (default: runs/RECIPE)")
    command.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[STAGE=]PATH",
        help="your own data: a manifest (JSONL, or a JSON list), a table (csv, tsv, parquet), a "
        "folder of files with their texts, or shards, like data/{000..123}.tar; with STAGE= for "
        "one stage alone; may be repeated",
    )
    command.add_argument(
        "--skip-stage",
        action="append",
        default=[],
        metavar="STAGE",
        dest="skipped",
        help="leave a stage of the recipe out; may be repeated",
    )
    add_sense(
        command,
        "NAME|FILE.py[:CLASS]",
        "a sense to train in place of the recipe's; one of your own by its file, which is run; "
        "may be repeated",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="settings",
        help="change one value of the config, like seed=1; may be repeated",
    )
    command.add_argument("--until", metavar="STAGE", help="stop after this stage; goes on later")
    command.set_defaults(act=commands.train_command)


def add_import(command: argparse.ArgumentParser) -> None:
    """Add what `import` takes."""
    command.add_argument("family", help="what it is, like llava")
    command.add_argument("path", help="its folder or hub name; of onellm, a file too")
    command.add_argument("out", help="folder of the new run")
    command.add_argument(
        "--llm", help="of a family without a text tokenizer (onellm): a LLaMA that has it"
    )
    command.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    command.set_defaults(act=commands.import_command)


def add_ask(command: argparse.ArgumentParser) -> None:
    """Add what `ask` takes."""
    add_run(command)
    command.add_argument("words", nargs="*", metavar="FILE|TEXT ... QUESTION")
    command.add_argument(
        "--example",
        nargs=2,
        action="append",
        default=[],
        metavar=("FILE", "ANSWER"),
        dest="examples",
        help="the right answer for another file, shown first; may be repeated",
    )
    command.add_argument("--chat", action="store_true", help="go on talking")
    command.add_argument("--max-new-tokens", type=int, default=64)
    command.set_defaults(act=commands.ask_command)


def add_evaluate(command: argparse.ArgumentParser) -> None:
    """Add what `evaluate` takes."""
    add_run(command)
    command.add_argument(
        "--per-sense", type=int, help="at most so many samples of each sense (0: all)"
    )
    command.add_argument(
        "--limit",
        type=int,
        default=0,
        help="a glance at about so many samples of all senses together; nothing is saved",
    )
    command.set_defaults(act=commands.evaluate_command)


def add_describe(command: argparse.ArgumentParser) -> None:
    """Add what `describe` takes."""
    add_run(command)
    command.add_argument(
        "--picture", metavar="FILE.png", help="draw which expert each sense is sent to"
    )
    command.set_defaults(act=commands.describe_command)


def add_bench(command: argparse.ArgumentParser) -> None:
    """Add what `bench` takes."""
    command.add_argument("name", help="name of a file in bench/, like packing")
    command.add_argument("words", nargs=argparse.REMAINDER, help="its options, like --help")
    command.set_defaults(act=commands.bench_command)


def add_run(command: argparse.ArgumentParser) -> None:
    """Add a trained run, and where the parts lie now that it only refers to."""
    command.add_argument("run", help="folder of a run")
    command.add_argument("--llm", help="where the LLM lies now, if it has moved")
    command.add_argument("--encoder", help="where the encoder lies now, if it has moved")
    add_sense(
        command,
        "FILE.py[:CLASS]",
        "where the file of a sense of your own lies now, if it has moved; it is run",
    )


def add_sense(command: argparse.ArgumentParser, form: str, what: str) -> None:
    """Add --sense, given as often as there are senses."""
    command.add_argument(
        "--sense", action="append", default=[], metavar=form, dest="senses", help=what
    )


def quiet_libraries() -> None:
    """Keep libraries' bars and notices out of the way of ours."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore", category=UserWarning)


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 a user's mistake, 130 interrupted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    arguments = build_parser().parse_args(words)
    quiet_libraries()
    try:
        arguments.act(arguments)
    except PolysenseError as error:
        print(f"polysense: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        again = " Give the same command again to continue." if arguments.command == "train" else ""
        print(f"\npolysense: interrupted.{again}", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
