"""What a run shows at its end: its scores, its report, and how to ask it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from polysense.cli.load_run import filled_cache
from polysense.errors import PolysenseError

if TYPE_CHECKING:
    from polysense.config import RunConfig
    from polysense.evaluation.result import Evaluation
    from polysense.training.stage_data import TrainingContext


def show_result(trainee: TrainingContext, config: RunConfig, folder: Path) -> None:
    """Evaluate a trained run unless that is done, write its report, and print both."""
    from rich.console import Console

    from polysense.evaluation.console_tables import print_evaluation
    from polysense.evaluation.evaluate import NothingToEvaluate, evaluate
    from polysense.evaluation.report.report import write_report
    from polysense.evaluation.result import FILE, read_evaluated

    console = Console()
    result = read_evaluated(folder / FILE)
    if result is None:
        cached, split = trainee.cache, trainee.split
        if cached is None:  # the encoder was trained, and is frozen now
            cached, split = filled_cache(trainee.model, split, config)
        try:
            result = evaluate(trainee.model, trainee.processor, cached, split, config.evaluation)
        except NothingToEvaluate as error:
            print(nothing_to_evaluate(folder, error))
            return
        result.save(folder)
    report = write_report(folder, result, trainee.model, config)
    print_evaluation(result, console)
    console.print(
        f"Report: {report}\nAsk:    {asking_again(result, folder, config)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def nothing_to_evaluate(folder: Path, reason: PolysenseError) -> str:
    """Say why a run has no scores, and what is there in their place: training is not wrong."""
    return (
        f"Nothing to evaluate: {reason}\nThe held-out losses are in {folder}/stages.\n"
        f'Ask:    polysense ask {shlex.quote(str(folder))} FILE "What is this?"'
    )


def asking_again(result: Evaluation, folder: Path, config: RunConfig) -> str:
    """Return the command that asks about the first held-out sample.

    In a run of several modalities each file is given with its own.
    """
    from polysense.modalities.sources.source_string import relative_source

    files = result.modalities[0].answers[0].files
    several = len(config.model.modalities) > 1
    named = [
        (f"{file.modality}:" if several else "") + relative_source(file.path) for file in files
    ]
    return shlex.join(["polysense", "ask", str(folder), *named, config.evaluation.question])
