"""What each command of the command line does, once its words are parsed (cli.py).

Heavy libraries are imported by the command that needs them, so that `polysense --help` is instant.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from polysense.errors import PolysenseError

if TYPE_CHECKING:
    from polysense.config import RunConfig
    from polysense.training.stages import Trainee

DATA = "data"


def train_command(arguments: argparse.Namespace) -> None:
    """Train, evaluate, and write the report."""
    import torch
    from accelerate import PartialState

    from polysense.modalities import MODALITIES, modality_class
    from polysense.overrides import apply
    from polysense.recipes import recipe_named
    from polysense.recipes.own_senses import with_senses
    from polysense.training.run import train

    recipe = recipe_named(arguments.recipe)
    senses = [modality_class(name).name for name in arguments.senses]
    if arguments.data:
        from polysense.data.datasets import read_manifest

        read_manifest(arguments.data, senses or list(MODALITIES))  # errors before any download
    elif not set(senses) <= set(MODALITIES):
        raise PolysenseError(
            "--sense with a file of your own needs --data, a manifest of its files"
        )
    own = str(Path(arguments.data).resolve()) if arguments.data else None
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        config = recipe(Path(DATA) / arguments.recipe, own)
    if senses:
        config = with_senses(config, arguments.senses)
    config = apply(config, arguments.settings)
    folder = Path(arguments.run or f"runs/{arguments.recipe}")
    cache = Path(DATA) / "features"
    trainee = train(config, folder, cache)
    if PartialState().is_main_process:
        show_result(trainee, config, folder)


def show_result(trainee: Trainee, config: RunConfig, folder: Path) -> None:
    """Evaluate a trained run unless that is done, write its report, and print both."""
    from rich.console import Console

    from polysense.evaluation.evaluate import FILE, evaluate, read_evaluated
    from polysense.evaluation.report import write_report
    from polysense.evaluation.tables import print_evaluation

    console = Console()
    result = read_evaluated(folder / FILE)
    if result is None:
        cached, split = trainee.cache, trainee.split
        if cached is None:  # what lies before the connector has learnt; it is done now
            cached, split = filled_cache(trainee.model, split, views=1)
        result = evaluate(trainee.model, trainee.processor, cached, split, config.evaluation)
        result.save(folder)
    report = write_report(folder, result, trainee.model, config)
    print_evaluation(result, console)
    console.print(
        f'Report: {report}\nAsk:    polysense ask {folder} picture.png "What is this?"',
        highlight=False,
    )


def filled_cache(model, split, views: int):
    """Compute a split's features; return the cache, and the split without what cannot be read."""
    from polysense.training.features import FeatureCache, media_of

    cache = FeatureCache(Path(DATA) / "features", model, views)
    bad = cache.fill(media_of([*split.train, *split.held_out]))
    return cache, split.without(bad)


def load(arguments: argparse.Namespace):
    """Load the model and processor of a run."""
    from polysense import PolysenseModel, PolysenseProcessor

    model = PolysenseModel.from_pretrained(
        arguments.run, llm=arguments.llm, encoder=arguments.encoder, senses=arguments.senses
    )
    return model, PolysenseProcessor.from_pretrained(arguments.run, senses=arguments.senses)


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
    from polysense.training.run import read_run, split_of

    folder = Path(arguments.run)
    model, processor = load(arguments)
    config = read_run(folder)
    cache, split = filled_cache(model, split_of(config), config.data.views)
    settings = replace(config.evaluation, limit=arguments.limit)
    result = evaluate(model, processor, cache, split, settings)
    if not arguments.limit:
        result.save(folder)
        write_report(folder, result, model, config)
    print_evaluation(result, Console())


def describe_command(arguments: argparse.Namespace) -> None:
    """Print a run's parts and the flow; with --picture, draw the routing."""
    from rich.console import Console

    from polysense.model.describe import print_description
    from polysense.model.routing import draw_routing, picture_file, routing_of

    picture = picture_file(arguments.picture) if arguments.picture else None
    model, _ = load(arguments)
    print_description(model, Console())
    if picture:
        draw_routing(routing_of(model), picture)
        print(f"Picture: {picture}")


def import_command(arguments: argparse.Namespace) -> None:
    """Write another system's checkpoint as a run."""
    from polysense.importing import account_of, import_checkpoint

    out = Path(arguments.out)
    import_checkpoint(arguments.family, arguments.path, out, arguments.precision, arguments.llm)
    print(account_of(out), end="")
    print(f'Imported: {out}\nAsk:      polysense ask {out} picture.png "What is this?"')
