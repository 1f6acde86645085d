"""`polysense evaluate`: score a finished run anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from polysense.cli.load_run import add_run, filled_cache, load
from polysense.cli.options import count_or_all
from polysense.cli.show_result import nothing_to_evaluate


def add_evaluate(command: argparse.ArgumentParser) -> None:
    """Add what `evaluate` takes."""
    add_run(command)
    command.add_argument(
        "--per-modality",
        type=count_or_all,
        help="at most so many samples of each modality (0: all)",
    )
    command.add_argument(
        "--limit",
        type=count_or_all,
        default=0,
        help="a glance at about so many samples of all modalities together; nothing is saved",
    )
    command.set_defaults(act=evaluate_command)


def evaluate_command(arguments: argparse.Namespace) -> None:
    """Score a finished run anew."""
    from dataclasses import replace

    from rich.console import Console

    from polysense.evaluation.console_tables import print_evaluation
    from polysense.evaluation.evaluate import by_modalities, evaluate
    from polysense.evaluation.report.report import write_report
    from polysense.training.run import load_split
    from polysense.training.run_folder.contents import read_run

    folder = Path(arguments.run)
    model, processor = load(arguments)
    config = read_run(folder)
    if not by_modalities(load_split(config).held_out):
        print(nothing_to_evaluate(folder))
        return
    each = (
        config.evaluation.per_modality if arguments.per_modality is None else arguments.per_modality
    )
    settings = replace(config.evaluation, limit=arguments.limit, per_modality=each)
    cache, split = filled_cache(model, load_split(config), config)
    result = evaluate(model, processor, cache, split, settings)
    if not arguments.limit:
        result.save(folder)
        write_report(folder, result, model, config)
    print_evaluation(result, Console())
