"""An evaluation, for people at a terminal: the scores, and what the model says of some samples."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from polysense.evaluation.evaluate import Evaluation
from polysense.evaluation.head_noun import head_noun


def print_evaluation(evaluation: Evaluation, console: Console, shown: int = 12) -> None:
    """Print the scores and some held-out pictures with what the model says of them."""
    table = Table(title=f"{evaluation.held_out} held-out pictures")
    for column in ("score", "model", "blind", "nearest neighbour"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for figure in evaluation.figures:
        near = "" if figure.neighbour is None else f"{figure.neighbour:.3f}"
        table.add_row(figure.name, f"{figure.model:.3f}", f"{figure.blind:.3f}", near)
    console.print(table)
    examples = Table(title="Pictures the model never saw")
    for column in ("picture", "true caption", "the model says", ""):
        examples.add_column(column)
    step = max(1, len(evaluation.answers) // shown)
    for answer in evaluation.answers[::step][:shown]:
        mark = "[green]✓[/]" if answer.right else f"[dim]not {head_noun(answer.truth)}[/]"
        examples.add_row(answer.key, answer.truth, answer.predicted, mark)
    console.print(examples)
