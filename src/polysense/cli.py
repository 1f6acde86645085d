"""The command line: train, ask, evaluate, describe, bench.

A user's mistake is one line on standard error and exit code 2; Ctrl-C is 130, and a training run
that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from polysense.errors import PolysenseError, unknown_name

DATA = "data"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="polysense", description="Teach an LLM new senses.")
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train a recipe, or continue its run")
    train.add_argument("recipe", help="name of a recipe, like laptop")
    train.add_argument("--run", help="folder of the run (default: runs/RECIPE)")
    train.add_argument("--data", help="JSONL manifest of your own data")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="settings",
        help="change one value of the config, like seed=1; may be repeated",
    )
    train.set_defaults(act=train_command)

    ask = commands.add_parser("ask", help="ask about files: ask RUN [FILE ...] QUESTION")
    ask.add_argument("run")
    ask.add_argument("words", nargs="*", metavar="FILE ... QUESTION")
    ask.add_argument("--chat", action="store_true", help="go on talking")
    ask.add_argument("--max-new-tokens", type=int, default=64)
    ask.set_defaults(act=ask_command)

    evaluate = commands.add_parser("evaluate", help="score a run on its held-out data")
    evaluate.add_argument("run")
    evaluate.add_argument("--limit", type=int, default=0, help="take so many held-out samples")
    evaluate.set_defaults(act=evaluate_command)

    describe = commands.add_parser("describe", help="print a run's parts and shapes")
    describe.add_argument("run")
    describe.set_defaults(act=describe_command)

    bench = commands.add_parser("bench", help="measure a claim about speed or memory")
    bench.add_argument("name", help="name of a file in bench/, like packing")
    bench.add_argument("words", nargs=argparse.REMAINDER, help="its options, like --help")
    bench.set_defaults(act=bench_command)

    for command in (ask, evaluate, describe):
        command.add_argument("--llm", help="where the LLM lies now, if it has moved")
        command.add_argument("--encoder", help="where the encoder lies now, if it has moved")
    return parser


def train_command(arguments: argparse.Namespace) -> None:
    """Train, evaluate, and write the report."""
    from rich.console import Console

    from polysense.evaluation.evaluate import FILE, evaluate, read_evaluated
    from polysense.evaluation.report import write_report
    from polysense.evaluation.tables import print_evaluation
    from polysense.overrides import apply
    from polysense.recipes import recipe_named
    from polysense.training.run import train

    recipe = recipe_named(arguments.recipe)
    if arguments.data:
        from polysense.data.datasets import read_manifest
        from polysense.modalities import MODALITIES

        read_manifest(arguments.data, list(MODALITIES))  # its errors come before any download
    own = str(Path(arguments.data).resolve()) if arguments.data else None
    config = apply(recipe(Path(DATA) / arguments.recipe, own), arguments.settings)
    folder = Path(arguments.run or f"runs/{arguments.recipe}")
    cache = Path(DATA) / "features"
    trainee = train(config, folder, cache)
    console = Console()
    if trainee.cache is None:
        console.print(f"Trained: {folder}")
        return
    result = read_evaluated(folder / FILE)
    if result is None:
        result = evaluate(
            trainee.model, trainee.processor, trainee.cache, trainee.split, config.evaluation
        )
        result.save(folder)
    report = write_report(folder, result, trainee.model, config)
    print_evaluation(result, console)
    console.print(
        f'Report: {report}\nAsk:    polysense ask {folder} picture.png "What is this?"',
        highlight=False,
    )


def load(arguments: argparse.Namespace):
    """Load the model and processor of a run."""
    from polysense import PolysenseModel, PolysenseProcessor

    model = PolysenseModel.from_pretrained(
        arguments.run, llm=arguments.llm, encoder=arguments.encoder
    )
    return model, PolysenseProcessor.from_pretrained(arguments.run)


def ask_command(arguments: argparse.Namespace) -> None:
    """Answer a question about files, or hold a conversation."""
    from polysense.serving.console import Conversation, chat, split_words

    files, question = split_words(arguments.words)
    if not question and not arguments.chat:
        raise PolysenseError('no question: polysense ask RUN picture.png "What is this?"')
    for name in files:
        if ":" not in name and not Path(name).is_file():
            raise PolysenseError(f"file {name!r} does not exist")
    model, processor = load(arguments)
    conversation = Conversation(model, processor, arguments.max_new_tokens)
    if question:
        conversation.ask(question, files)
        files = []
    if arguments.chat:
        chat(conversation, files)


def evaluate_command(arguments: argparse.Namespace) -> None:
    """Score a finished run anew."""
    from dataclasses import replace

    from rich.console import Console

    from polysense.evaluation.evaluate import evaluate
    from polysense.evaluation.report import write_report
    from polysense.evaluation.tables import print_evaluation
    from polysense.training.features import FeatureCache, media_of
    from polysense.training.run import read_run, split_of

    folder = Path(arguments.run)
    model, processor = load(arguments)
    config = read_run(folder)
    split = split_of(config)
    cache = FeatureCache(Path(DATA) / "features", model, config.data.views)
    bad = cache.fill(media_of([*split.train, *split.held_out]))
    split = split.without(bad)
    settings = replace(config.evaluation, limit=arguments.limit)
    result = evaluate(model, processor, cache, split, settings)
    if not arguments.limit:
        result.save(folder)
        write_report(folder, result, model, config)
    print_evaluation(result, Console())


def describe_command(arguments: argparse.Namespace) -> None:
    """Print a run's parts and the flow."""
    from rich.console import Console

    from polysense.model.describe import print_description

    model, _ = load(arguments)
    print_description(model, Console())


def bench_command(arguments: argparse.Namespace) -> None:
    """Run a benchmark of the repository, in a process of its own; its exit code becomes ours."""
    folder = Path(__file__).resolve().parents[2] / "bench"
    if not folder.is_dir():
        raise PolysenseError(
            "benchmarks are in the repository only: install it with pip install -e"
        )
    names = {path.stem for path in folder.glob("*.py")} - {"measure"}
    if arguments.name not in names:
        raise unknown_name("benchmark", arguments.name, names)
    command = [sys.executable, str(folder / f"{arguments.name}.py"), *arguments.words]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


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
