"""An evaluation, for people at a terminal: a line a modality, and what is said of samples."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polysense.evaluation.number_format import score
from polysense.evaluation.result import CIDER, FOUND, NAMED, Evaluation, Metric, metric_called
from polysense.evaluation.verdict import verdict

LEGEND = """\
accuracy: exact match of the caption, or of its head noun where captions are
free (*); recall@1: the true caption is the likeliest of N candidates,
prior-corrected (PMI); shuffled: against other samples' captions; nearest
neighbour: the most similar training sample's caption; CIDEr is times 100;
-: a number would mean nothing"""
COLUMNS = (
    "held\nout", "accuracy", "shuffled", "nearest\nneighbour", "recall@1", "of N", "shuffled",
    CIDER,
)  # fmt: skip


def print_evaluation(evaluation: Evaluation, console: Console, shown: int = 12) -> None:
    """Print the scores of each modality, about `shown` samples, and what to think of it all."""
    console.print(score_table(evaluation))
    console.print(LEGEND, style="dim", highlight=False)
    for text, modalities in unrecorded(evaluation).items():
        console.print(
            f"{', '.join(modalities)}: {text}", style="yellow", highlight=False, markup=False
        )
    for text in left_out(evaluation):
        console.print(text, style="yellow", highlight=False, markup=False)
    console.print(example_table(evaluation, shown))
    console.print(verdict(evaluation), highlight=False, markup=False)


def unrecorded(evaluation: Evaluation) -> dict[str, list[str]]:
    """Return {source: modalities} of what was simulated or rendered, by its own account."""
    found: dict[str, list[str]] = {}
    for result in evaluation.modalities:
        for source in result.sources:
            if source.lower().startswith(("simulated", "rendered")):
                found.setdefault(source, []).append(result.modality)
    return found


def left_out(evaluation: Evaluation) -> list[str]:
    """Return a line a modality with held-out samples that are trained on under another name."""
    return [
        f"{result.modality}: {len(result.overlapping)} held-out samples are left out, since their "
        f"signals are trained on ({'; '.join(result.overlapping[:3])}"
        f'{"; ..." if len(result.overlapping) > 3 else ""}): give them one "group", or '
        "train with --set data.group_duplicates=true"
        for result in evaluation.modalities
        if result.overlapping
    ]


def score_table(evaluation: Evaluation) -> Table:
    """Return a table of modalities by scores; its last line is the mean over them."""
    modalities = evaluation.modalities
    count = f"{len(modalities)} modalities" if len(modalities) > 1 else "one modality"
    table = Table(
        title=f"{evaluation.scored} held-out samples of {count}",
        box=SIMPLE_HEAD,
        padding=0,  # the box's own blanks part the columns: a line fits 80 characters
    )
    table.add_column("modality", overflow="fold")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for result in modalities:
        table.add_row(
            escape(result.modality) + ("" if result.labels else "*"),
            str(result.scored),
            *cells(result.named),
            *recall_cells(metric_called(FOUND, result.metrics), str(result.captions)),
            score(CIDER, metric_called(CIDER, result.metrics).model),
        )
    if len(modalities) > 1:
        table.add_section()
        table.add_row(
            "mean",
            "",
            *cells(evaluation.metric(NAMED)),
            *recall_cells(evaluation.metric(FOUND), ""),
            score(CIDER, evaluation.metric(CIDER).model),
        )
    return table


def cells(metric: Metric) -> list[str]:
    """Return the model's value, the shuffled one and the neighbour's as text."""
    values = (metric.model, metric.shuffled, metric.neighbour)
    model, *others = (score(metric.name, value) for value in values)
    return [f"[bold]{model}[/]", *others]


def recall_cells(metric: Metric, candidates: str) -> list[str]:
    """Return the cells of recall@1, of which a neighbour has none: value, candidates, shuffled."""
    model, shuffled, _ = cells(metric)
    return [model, candidates, shuffled]


def example_table(evaluation: Evaluation, shown: int) -> Table:
    """Return a table of about `shown` samples, as many of each modality, at least two.

    A sample is called by the end of its key, in one line: a long path would fold over many.
    """
    table = Table(title="Samples the model never met", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("sample", no_wrap=True, overflow="ellipsis", max_width=24)
    for column in ("true caption", "the model says", ""):
        table.add_column(column, overflow="fold")
    each = max(2, shown // len(evaluation.modalities))
    for result in evaluation.modalities:
        step = max(1, result.scored // each)
        for answer in result.answers[::step][:each]:
            mark = "[green]✓[/]" if answer.correct else "[dim]✗[/]"
            named = (Path(answer.key).name, answer.reference, answer.predicted)
            table.add_row(*map(escape, named), mark)
        table.add_section()
    return table
