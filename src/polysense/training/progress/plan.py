"""The plan that is printed before step 1: what each stage does, and how much of it.

How long it takes depends on the machine and on each stage's own parts, so no duration is foretold
before steps have been measured: the bar, or the lines in its place, say it from the first steps on.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from polysense.training.checkpoint import all_checkpoints, step_of
from polysense.training.loop import StageRun


def print_plan(runs: Sequence[StageRun], console: Console) -> None:
    """Print a line a stage: its samples and steps, those already done, and what learns."""
    table = Table(title="What comes")
    table.add_column("stage")
    for column in ("samples", "of a step", "passes", "steps", "done"):
        table.add_column(column, justify="right")
    table.add_column("learns")
    for run in runs:
        table.add_row(run.stage.name, *plan_of(run))
    console.print(table)
    console.print("Durations are told once steps have been measured: ETA, for each stage.")


def plan_of(run: StageRun) -> list[str]:
    """Return the cells of a stage: samples, batch size, passes over them, steps, done, learns."""
    stage, samples = run.stage, len(run.data)
    done = max((step_of(path) for path in all_checkpoints(run.folder)), default=0)
    passes = run.steps * stage.batch_size / samples
    return [
        f"{samples:,}",
        str(stage.batch_size),
        f"{passes:.3g}",
        f"{run.steps:,}",
        f"{done:,}",
        ", ".join(stage.trainable),
    ]
