"""The plan that is printed before step 1: what each stage does, how much of it, and how long.

How long a step takes depends on the machine and on what the stage trains. So a duration is an
estimate (ETA) from the steps that the stage's own log has measured; for a stage that has not begun,
the progress bar, or the lines in its place, tell it from the first steps on.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from polysense.training.checkpoint import all_checkpoints, step_of
from polysense.training.loop import StageRun
from polysense.training.progress.metric_logger import (
    FIRST_TOLD,
    LOG,
    read_log,
    readable_seconds,
)


def print_plan(runs: Sequence[StageRun], console: Console) -> None:
    """Print a row a stage: samples, steps, those already done, the time left.

    What each stage trains is a table of its own (stage_checks.py): it would not fit beside.
    """
    table = Table(title="What comes")
    table.add_column("stage")
    for column in ("samples", "of a step", "epochs", "steps", "done", "time left"):
        table.add_column(column, justify="right")
    for run in runs:
        table.add_row(run.stage.name, *plan_of(run))
    console.print(table)
    if any(time_left(run, num_steps_done(run)) is None for run in runs):
        console.print(
            f"Time left: told for each stage once {FIRST_TOLD} of its steps have been measured."
        )


def plan_of(run: StageRun) -> list[str]:
    """Return a stage's cells: samples, batch size, epochs, steps, done, time left."""
    stage, num_samples, done = run.stage, len(run.data), num_steps_done(run)
    left = time_left(run, done)
    return [
        f"{num_samples:,}",
        str(stage.batch_size),
        f"{run.steps * stage.batch_size / num_samples:.3g}",
        f"{run.steps:,}",
        f"{done:,}",
        "-" if left is None else readable_seconds(left),
    ]


def num_steps_done(run: StageRun) -> int:
    """Return the step of the newest checkpoint, from which the stage goes on."""
    return max((step_of(path) for path in all_checkpoints(run.folder)), default=0)


def time_left(run: StageRun, done: int) -> float | None:
    """Return the seconds that a stage's other steps take, by those in its log; None without any."""
    if done >= run.steps:
        return 0.0
    logged = [line["seconds"] for line in read_log(run.folder / LOG) if "seconds" in line]
    return (run.steps - done) * median(logged) if logged else None
