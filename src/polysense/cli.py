"""The command line: demo, train, recipes, ask, evaluate, describe, import, bench.

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

from polysense import commands
from polysense.cli_options import Parser, Version, count, count_or_all
from polysense.errors import PolysenseError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="polysense", description="Teach an LLM new senses.")
    parser.add_argument("--version", action=Version, help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", required=True)
    add_demo(subparsers.add_parser("demo", help="train onellm-laptop, or another recipe, and show"))
    add_train(subparsers.add_parser("train", help="train a recipe, or continue its run"))
    recipes = subparsers.add_parser("recipes", help="list the recipes and what each needs")
    recipes.set_defaults(act=commands.recipes_command)
    add_import(subparsers.add_parser("import", help="make a run of another system's checkpoint"))
    add_ask(subparsers.add_parser("ask", help="ask about files: ask RUN [FILE|TEXT ...] QUESTION"))
    add_evaluate(subparsers.add_parser("evaluate", help="score a run on its held-out data"))
    add_describe(subparsers.add_parser("describe", help="print a run's parts and shapes"))
    add_bench(subparsers.add_parser("bench", help="measure a claim about speed or memory"))
    return parser


def add_demo(command: argparse.ArgumentParser) -> None:
    """Add what `demo` takes: what `train` does, with a recipe and a folder already chosen."""
    command.add_argument(
        "recipe", nargs="?", default="onellm-laptop", help="default: onellm-laptop, eight senses"
    )
    add_training(command)
    command.set_defaults(run="runs/demo")


def add_train(command: argparse.ArgumentParser) -> None:
    """Add what `train` takes."""
    command.add_argument(
        "recipe",
        nargs="?",
        help="name of a recipe, like laptop (polysense recipes); without, --run goes on as it is",
    )
    add_training(command)


def add_training(command: argparse.ArgumentParser) -> None:
    """Add the options of a training run."""
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
    command.add_argument(
        "words",
        nargs="*",
        metavar="FILE|TEXT ... QUESTION",
        help="files and words in any order, the question last; imu:FILE says which modality reads "
        "a file, as walk.imu.csv does; image=a.png,depth=b.png is one signal of several files",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="MODALITY.OPTION=VALUE",
        dest="settings",
        help="read files otherwise, like fmri.mask=brain.nii.gz; may be repeated",
    )
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
    command.add_argument("--max-new-tokens", type=count, default=64)
    command.set_defaults(act=commands.ask_command)


def add_evaluate(command: argparse.ArgumentParser) -> None:
    """Add what `evaluate` takes."""
    add_run(command)
    command.add_argument(
        "--per-sense", type=count_or_all, help="at most so many samples of each sense (0: all)"
    )
    command.add_argument(
        "--limit",
        type=count_or_all,
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
    return arguments.act is commands.train_command
