"""`polysense evaluate`: score a finished run anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from polysense.cli.load_run import add_run, filled_cache, load
from polysense.cli.options import count_or_all
from polysense.errors import PolysenseError


def add_evaluate(command: argparse.ArgumentParser) -> None:
    """Add what `evaluate` takes."""
    add_run(command)
    command.add_argument(
        "--data",
        help="score these in place of the run's held-out samples: a manifest, a table, a folder or "
        "shards, as for train",
    )
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
    """Score a finished run anew, on its held-out data or on other data."""
    from dataclasses import replace

    from rich.console import Console

    from polysense.config import EvaluationConfig
    from polysense.evaluation.console_tables import print_evaluation
    from polysense.evaluation.evaluate import NothingToEvaluate, evaluate
    from polysense.evaluation.other_data import config_of, result_file, split_of_data
    from polysense.evaluation.report.report import write_report
    from polysense.training.run import load_split

    folder, data = Path(arguments.run), arguments.data
    config = config_of(folder)
    if config is None and not data:
        raise PolysenseError(
            f"{str(folder)!r} was not trained here and has no data of its own: name a manifest "
            "with --data"
        )
    model, processor = load(arguments)
    usual = config.evaluation if config else EvaluationConfig()
    each = usual.per_modality if arguments.per_modality is None else arguments.per_modality
    settings = replace(usual, limit=arguments.limit, per_modality=each)
    if data:
        split, said = split_of_data(data, list(model.modalities), config)
        print(said, file=sys.stderr)
    else:
        assert config is not None
        split = load_split(config)
    cache, split = filled_cache(model, split, config)
    try:
        result = evaluate(model, processor, cache, split, settings)
    except NothingToEvaluate as reason:
        print(f"Nothing to evaluate: {reason}")
        return
    if data and not arguments.limit:
        result.save(folder, result_file(data))
    elif config and not arguments.limit:
        result.save(folder)
        write_report(folder, result, model, config)
    print_evaluation(result, Console())
