"""An evaluation, for people at a terminal: a line a sense, and what the model says of samples."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.evaluation.result import FOUND, NAMED, Evaluation, Metric, metric_called

LEGEND = """\
right: head nouns, or whole captions where a sense has few (*); finds: the true
caption is the likeliest, its own probability taken out; blind: with other
signals of the sense; near: what the nearest training sample's caption scores"""


def print_evaluation(evaluation: Evaluation, console: Console, shown: int = 12) -> None:
    """Print the scores of each sense, and about `shown` samples with what the model says."""
    console.print(score_table(evaluation))
    console.print(LEGEND, style="dim", highlight=False)
    for text, modalities in unrecorded(evaluation).items():
        console.print(
            f"{', '.join(modalities)}: {text}", style="yellow", highlight=False, markup=False
        )
    console.print(example_table(evaluation, shown))


def unrecorded(evaluation: Evaluation) -> dict[str, list[str]]:
    """Return {source: senses} of what was simulated or rendered, by its own account."""
    found: dict[str, list[str]] = {}
    for result in evaluation.modalities:
        for source in result.sources:
            if source.lower().startswith(("simulated", "rendered")):
                found.setdefault(source, []).append(result.modality)
    return found


def score_table(evaluation: Evaluation) -> Table:
    """Return a table of senses by scores; its last line is the mean over senses."""
    modalities = evaluation.modalities
    count = f"{len(modalities)} senses" if len(modalities) > 1 else "one sense"
    table = Table(
        title=f"{evaluation.scored} held-out samples of {count}",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("sense", overflow="fold")
    for name in "held-out right blind near finds blind CIDEr blind near".split():
        table.add_column(name, justify="right", no_wrap=True)
    for result in modalities:
        table.add_row(
            escape(result.modality) + ("*" if result.labels else ""),
            str(result.scored),
            *cells(result.named, metric_called(FOUND, result.metrics)),
            *numbers(metric_called("CIDEr", result.metrics)),
        )
    if len(modalities) > 1:
        means = [evaluation.metric(name) for name in (NAMED, FOUND)]
        table.add_section()
        table.add_row("mean", "", *cells(*means), *numbers(evaluation.metric("CIDEr")))
    return table


def cells(named: Metric, top: Metric) -> list[str]:
    """Return the cells of right answers and of retrieval, which has no neighbour's value."""
    return [*numbers(named), *numbers(top)[:2]]


def numbers(metric: Metric) -> list[str]:
    """Return the model's value, the blind one and the neighbour's as text."""
    values = (metric.model, metric.shuffled, metric.neighbour)
    model, *others = ("-" if value is None else f"{value:.2f}" for value in values)
    return [f"[bold]{model}[/]", *others]


def example_table(evaluation: Evaluation, shown: int) -> Table:
    """Return a table of about `shown` samples, as many of each sense, at least two."""
    table = Table(title="Samples the model never met", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("sample", "true caption", "the model says", ""):
        table.add_column(column, overflow="fold")
    each = max(2, shown // len(evaluation.modalities))
    for result in evaluation.modalities:
        step = max(1, result.scored // each)
        for answer in result.answers[::step][:each]:
            mark = "[green]✓[/]" if answer.correct else "[dim]✗[/]"
            table.add_row(*map(escape, (answer.key, answer.reference, answer.predicted)), mark)
        table.add_section()
    return table
