"""`polysense train`: train a recipe or continue its run, evaluate it, and write the report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from polysense.cli.load_run import add_modality
from polysense.cli.show_result import show_result
from polysense.errors import PolysenseError

if TYPE_CHECKING:
    from polysense.config import RunConfig


def add_demo(command: argparse.ArgumentParser) -> None:
    """Add what `demo` takes: what `train` does, with a recipe and a folder already chosen."""
    command.add_argument(
        "recipe",
        nargs="?",
        default="onellm-laptop",
        help="default: onellm-laptop, eight modalities",
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
    add_modality(
        command,
        "NAME|FILE.py[:CLASS]",
        "a modality to train in place of the recipe's; one of your own by its file, which is run; "
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
    command.add_argument(
        "--stop-after", metavar="STAGE", help="stop after this stage; goes on later"
    )
    command.set_defaults(act=train_command)


def train_command(arguments: argparse.Namespace) -> None:
    """Train, evaluate, and write the report; a name that is unknown is told before any download."""
    from polysense.cache_folder import cache_folder, feature_folder
    from polysense.training.named_parts import check_names
    from polysense.training.run_folder.place import check_run_folder

    folder = run_folder_of(arguments)
    check_run_folder(folder)
    config = config_of(arguments, cache_folder())
    check_names(config, arguments.stop_after)

    import torch
    from accelerate import PartialState

    from polysense.recipes.fetching import fetch_missing
    from polysense.training.run import train

    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        fetch_missing(config, cache_folder())
    trainee = train(config, folder, feature_folder(), arguments.stop_after)
    if not PartialState().is_main_process:
        return
    if arguments.stop_after in (None, config.stages[-1].name):
        show_result(trainee, config, folder)
    else:
        print(
            f"Stage {arguments.stop_after} is done; the same command without --stop-after goes on."
        )


def run_folder_of(arguments: argparse.Namespace) -> Path:
    """Return the folder to train in: the one given, or runs/RECIPE."""
    if arguments.recipe is None and arguments.run is None:
        raise PolysenseError(
            "train what? Name a recipe, like laptop, or a run to go on with: --run"
        )
    return Path(arguments.run or f"runs/{arguments.recipe}")


def config_of_run(arguments: argparse.Namespace) -> RunConfig:
    """Return the config that a run's folder knows, so that the run goes on as it was begun."""
    from polysense.training.run_folder.contents import read_run

    if arguments.data or arguments.modalities or arguments.skipped:
        raise PolysenseError(
            "--data, --modality and --skip-stage need a recipe: a run goes on as it was begun"
        )
    return read_run(run_folder_of(arguments))


def modality_places(config: RunConfig) -> dict[str, str]:
    """Return where a config keeps the options of each modality, which --set may leave out."""
    fields = vars(config)
    return {name: "model.modalities" for name in config.model.modalities if name not in fields}


def config_of(arguments: argparse.Namespace, cache: Path) -> RunConfig:
    """Return the config that `train` asks for; nothing is fetched, and --data is read."""
    from polysense.config.overrides import apply, whole_paths
    from polysense.config.stage_options import parse_data, with_stage_data, without_stages
    from polysense.data.datasets import read_manifest
    from polysense.modalities import MODALITIES, modality_class
    from polysense.recipes import recipe_named
    from polysense.recipes.custom_modalities import with_modalities

    if arguments.recipe is None:
        config = config_of_run(arguments)
        return apply(config, whole_paths(arguments.settings, modality_places(config)))
    recipe = recipe_named(arguments.recipe)
    modalities = [modality_class(name).name for name in arguments.modalities]
    if not arguments.data and not set(modalities) <= set(MODALITIES):
        raise PolysenseError(
            "--modality with a file of your own needs --data, a manifest of its files"
        )
    own, of_stages = parse_data(arguments.data)
    config = recipe(cache, own or next(iter(of_stages.values()), None))
    if modalities:
        config = with_modalities(config, arguments.modalities)
    settings = whole_paths(arguments.settings, modality_places(config))
    config = without_stages(apply(config, settings), arguments.skipped)
    config = with_stage_data(config, own, of_stages)
    for place in dict.fromkeys(filter(None, (own, *of_stages.values()))):
        read_manifest(place, modalities or list(MODALITIES))
    return config
