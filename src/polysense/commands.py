"""What each command of the command line does, once its words are parsed (cli.py).

Heavy libraries are imported by the command that needs them, so that `polysense --help` is instant.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from polysense.errors import PolysenseError, unknown_name

if TYPE_CHECKING:
    from polysense.config import RunConfig
    from polysense.evaluation.result import Evaluation
    from polysense.training.stages import Trainee

BENCH_PARTS = {"connectors_table", "measure", "models", "peer", "pictures", "profiled"}


def train_command(arguments: argparse.Namespace) -> None:
    """Train, evaluate, and write the report; a name that is unknown is told before any download."""
    from polysense.cache_folder import cache_folder, feature_folder
    from polysense.training.named_parts import check_names
    from polysense.training.run_place import check_run_folder

    folder = run_folder_of(arguments)
    check_run_folder(folder)
    config = config_of(arguments, cache_folder())
    check_names(config, arguments.until)

    import torch
    from accelerate import PartialState

    from polysense.recipes.fetching import fetch_missing
    from polysense.training.run import train

    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        fetch_missing(config, cache_folder())
    trainee = train(config, folder, feature_folder(), arguments.until)
    if not PartialState().is_main_process:
        return
    if arguments.until in (None, config.stages[-1].name):
        show_result(trainee, config, folder)
    else:
        print(f"Stage {arguments.until} is done; the same command without --until goes on.")


def run_folder_of(arguments: argparse.Namespace) -> Path:
    """Return the folder to train in: the one given, or runs/RECIPE."""
    if arguments.recipe is None and arguments.run is None:
        raise PolysenseError(
            "train what? Name a recipe, like laptop, or a run to go on with: --run"
        )
    return Path(arguments.run or f"runs/{arguments.recipe}")


def config_of_run(arguments: argparse.Namespace) -> RunConfig:
    """Return the config that a run's folder knows, so that the run goes on as it was begun."""
    from polysense.training.run_folder import read_run

    if arguments.data or arguments.senses or arguments.skipped:
        raise PolysenseError(
            "--data, --sense and --skip-stage need a recipe: a run goes on as it was begun"
        )
    return read_run(run_folder_of(arguments))


def config_of(arguments: argparse.Namespace, cache: Path) -> RunConfig:
    """Return the config that `train` asks for; nothing is fetched, and --data is read."""
    from polysense.config.stage_options import parse_data, with_stage_data, without_stages
    from polysense.data.datasets import read_manifest
    from polysense.modalities import MODALITIES, modality_class
    from polysense.overrides import apply
    from polysense.recipes import recipe_named
    from polysense.recipes.own_senses import with_senses

    if arguments.recipe is None:
        return apply(config_of_run(arguments), arguments.settings)
    recipe = recipe_named(arguments.recipe)
    senses = [modality_class(name).name for name in arguments.senses]
    if not arguments.data and not set(senses) <= set(MODALITIES):
        raise PolysenseError(
            "--sense with a file of your own needs --data, a manifest of its files"
        )
    own, of_stages = parse_data(arguments.data)
    config = recipe(cache, own or next(iter(of_stages.values()), None))
    if senses:
        config = with_senses(config, arguments.senses)
    config = without_stages(apply(config, arguments.settings), arguments.skipped)
    config = with_stage_data(config, own, of_stages)
    for place in dict.fromkeys(filter(None, (own, *of_stages.values()))):
        read_manifest(place, senses or list(MODALITIES))
    return config


def recipes_command(arguments: argparse.Namespace) -> None:
    """List the recipes and what each needs."""
    from polysense.cache_folder import VARIABLE, cache_folder
    from polysense.recipes.listing import described

    recipes = described(cache_folder())
    width = max(len(recipe.name) for recipe in recipes) + 2
    for recipe in recipes:
        print(f"{recipe.name:{width}}{recipe.summary}\n{'':{width}}needs {recipe.needs}")
    print(f"\nWhat is fetched is kept in {cache_folder()} ({VARIABLE} moves it).")


def show_result(trainee: Trainee, config: RunConfig, folder: Path) -> None:
    """Evaluate a trained run unless that is done, write its report, and print both."""
    from rich.console import Console

    from polysense.evaluation.evaluate import by_senses, evaluate
    from polysense.evaluation.report import write_report
    from polysense.evaluation.result import FILE, read_evaluated
    from polysense.evaluation.tables import print_evaluation

    console = Console()
    if not by_senses(trainee.split.held_out):
        print(nothing_to_evaluate(folder))
        return
    result = read_evaluated(folder / FILE)
    if result is None:
        cached, split = trainee.cache, trainee.split
        if cached is None:  # what lies before the connector has learnt; it is done now
            cached, split = filled_cache(trainee.model, split, config)
        result = evaluate(trainee.model, trainee.processor, cached, split, config.evaluation)
        result.save(folder)
    report = write_report(folder, result, trainee.model, config)
    print_evaluation(result, console)
    console.print(
        f"Report: {report}\nAsk:    {asking_again(result, folder, config)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def nothing_to_evaluate(folder: Path) -> str:
    """Say why a run without captions has no scores, and what is there in their place."""
    return (
        "Nothing to evaluate: scores compare captions, and no held-out sample has a signal and a "
        f"caption. The held-out losses are in {folder}/stages.\n"
        f'Ask:    polysense ask {shlex.quote(str(folder))} FILE "What is this?"'
    )


def asking_again(result: Evaluation, folder: Path, config: RunConfig) -> str:
    """Return the command that asks about the first held-out sample; of several senses, files are
    given with theirs."""
    from polysense.modalities.source_words import relative_word

    files = result.senses[0].answers[0].files
    several = len(config.model.modalities) > 1
    named = [(f"{file.modality}:" if several else "") + relative_word(file.path) for file in files]
    return shlex.join(["polysense", "ask", str(folder), *named, config.evaluation.question])


def filled_cache(model, split, config: RunConfig):
    """Fill a finished run's cache, the one its training used where the encoder stayed frozen;
    return it, and the split without what cannot be read."""
    from polysense.cache_folder import feature_folder
    from polysense.training.features import FeatureCache, media_of
    from polysense.training.stages import encoder_learns, learning_senses

    views = 1 if encoder_learns(model, config) else config.data.views
    cache = FeatureCache(feature_folder(), model, views, learning_senses(model, config))
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
    from polysense.modalities import with_settings
    from polysense.serving.console import Conversation, chat, file_of, split_words

    shown, question = split_words(arguments.words)
    if not question and not arguments.chat:
        raise PolysenseError('no question: polysense ask RUN picture.png "What is this?"')
    for word in (*shown, *(word for word, _ in arguments.examples)):
        file_of(word)  # a file that is not there is an error before anything is loaded
    model, processor = load(arguments)
    processor.modalities = with_settings(processor.modalities, arguments.settings)
    conversation = Conversation(model, processor, arguments.max_new_tokens)
    for word, answer in arguments.examples:
        conversation.remember(question, word, answer)
    if question:
        conversation.ask(question, shown)
        shown = []
    if arguments.chat:
        chat(conversation, shown)


def evaluate_command(arguments: argparse.Namespace) -> None:
    """Score a finished run anew."""
    from dataclasses import replace

    from rich.console import Console

    from polysense.evaluation.evaluate import by_senses, evaluate
    from polysense.evaluation.report import write_report
    from polysense.evaluation.tables import print_evaluation
    from polysense.training.run import split_of
    from polysense.training.run_folder import read_run

    folder = Path(arguments.run)
    model, processor = load(arguments)
    config = read_run(folder)
    if not by_senses(split_of(config).held_out):
        print(nothing_to_evaluate(folder))
        return
    each = config.evaluation.per_sense if arguments.per_sense is None else arguments.per_sense
    settings = replace(config.evaluation, limit=arguments.limit, per_sense=each)
    cache, split = filled_cache(model, split_of(config), config)
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


def bench_command(arguments: argparse.Namespace) -> None:
    """Run a benchmark of the repository, in a process of its own; its exit code becomes ours."""
    folder = Path(__file__).resolve().parents[2] / "bench"
    if not folder.is_dir():
        raise PolysenseError(
            "benchmarks are in the repository only: install it with pip install -e"
        )
    names = {path.stem for path in folder.glob("*.py")} - BENCH_PARTS
    if arguments.name not in names:
        raise unknown_name("benchmark", arguments.name, names)
    command = [sys.executable, str(folder / f"{arguments.name}.py"), *arguments.words]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)
