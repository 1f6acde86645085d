"""The report of a run: one HTML page that holds everything, and the loss curve as a PNG.

In: a run folder with its logs, the evaluation, the model and the config. Out: report.html (no
outside resource, no script), loss.png.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from polysense.atomic_write import write_text
from polysense.config import RunConfig
from polysense.config.overrides import to_json
from polysense.evaluation.console_tables import left_out
from polysense.evaluation.number_format import NONE, percent, score
from polysense.evaluation.report.expert_routing import routing_weights
from polysense.evaluation.report.loss_curves import draw_losses
from polysense.evaluation.report.model_summary import part_rows
from polysense.evaluation.report.sample_cards import data_uri, gallery
from polysense.evaluation.result import FOUND, NAMED, RANK, Evaluation, Metric
from polysense.evaluation.verdict import verdict
from polysense.training.forgetting import ModalityScore, by_modality, read_scores
from polysense.training.progress.metric_logger import LOG


@dataclass(frozen=True)
class ForgettingRow:
    """A line of the forgetting table: a modality's score after each stage (None: not yet known).

    `change` is the last score relative to the first, as "-8%"; "" with fewer than two.
    """

    modality: str
    scores: tuple[ModalityScore | None, ...]
    change: str


def write_report(folder: Path, evaluation: Evaluation, model: Any, config: RunConfig) -> Path:
    """Write report.html and loss.png into the run folder; returns the page's path."""
    curve = folder / "loss.png"
    draw_losses([folder / "stages" / stage.name / LOG for stage in config.stages], curve)
    environment = Environment(
        loader=PackageLoader("polysense", "evaluation/report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "score": shown, "ratio": ratio}
    stages = read_scores(folder)
    page = environment.get_template("report.html.jinja").render(
        recipe=config.recipe,
        date=datetime.date.today().isoformat(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        lead=lead(evaluation),
        verdict=verdict(evaluation),
        left_out=left_out(evaluation),
        evaluation=evaluation,
        named=NAMED,
        found=FOUND,
        cards={
            result.modality: gallery(result, model.modalities) for result in evaluation.modalities
        },
        stage_names=list(stages),
        remembered=remembered(stages),
        routing=routing_weights(model, evaluation),
        stages=config.stages,
        parts=part_rows(model),
        curve=data_uri(curve.read_bytes(), "image/png"),
        config=json.dumps(to_json(config), indent=2),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def lead(evaluation: Evaluation) -> str:
    """Return the result in a sentence or two."""
    named, top = evaluation.metric(NAMED), evaluation.metric(FOUND)
    several = len(evaluation.modalities) > 1
    kinds = f"{len(evaluation.modalities)} modalities" if several else "one modality"
    near = "" if named.neighbour is None else f", nearest neighbour {percent(named.neighbour)}"
    text = (
        f"On {evaluation.scored} held-out samples of {kinds}, accuracy is "
        f"{percent(named.model)}{' in the mean' if several else ''} (shuffled "
        f"{percent(named.shuffled)}{near}) and recall@1 is {percent(top.model)} (shuffled "
        f"{percent(top.shuffled)})."
    )
    rates = [
        (r.named.model, r.modality) for r in evaluation.modalities if r.named.model is not None
    ]
    (worst, weakest), (most, best) = min(rates, default=(0, "")), max(rates, default=(0, ""))
    if worst != most:
        text += f" Best is {best} with {percent(most)}, weakest {weakest} with {percent(worst)}."
    return text


def remembered(stages: dict[str, list[ModalityScore]]) -> list[ForgettingRow]:
    """Turn the scores after each stage into a line for each modality."""
    rows = []
    for modality, scores in by_modality(stages).items():
        known = [score.score for score in scores if score]
        change = f"{known[-1] / known[0] - 1:+.0%}" if len(known) > 1 and known[0] else ""
        rows.append(ForgettingRow(modality, tuple(scores), change))
    return rows


def shown(value: float | None, metric: Metric) -> str:
    """Return a value of a figure as text."""
    return score(metric.name, value)


def ratio(metric: Metric) -> str:
    """Return how many times the shuffled value a score is; a dash for none and for ranks."""
    shuffled = metric.shuffled or 0.0
    if shuffled < 0.001 or metric.model is None or metric.name.startswith(RANK):
        return NONE
    return f"{metric.model / shuffled:.1f} ×"
