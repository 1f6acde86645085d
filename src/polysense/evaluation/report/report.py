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
from polysense.evaluation.report.expert_routing import routing_weights
from polysense.evaluation.report.loss_curves import draw_losses
from polysense.evaluation.report.model_summary import part_rows
from polysense.evaluation.report.sample_cards import data_uri, gallery
from polysense.evaluation.result import FOUND, NAMED, Evaluation, Metric
from polysense.training.forgetting import ModalityScore, by_modality, read_scores
from polysense.training.progress.metric_logger import LOG


@dataclass(frozen=True)
class ForgettingRow:
    """A line of the forgetting table: a sense's score after each stage (None: not yet known).

    `change` is the last score relative to the first, as "-8 %"; "" with fewer than two.
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
    environment.filters |= {"percent": percent, "number": number, "ratio": ratio}
    stages = read_scores(folder)
    page = environment.get_template("report.html.jinja").render(
        recipe=config.recipe,
        date=datetime.date.today().isoformat(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        lead=lead(evaluation),
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
    kinds = f"{len(evaluation.modalities)} senses" if several else "one sense"
    near = "" if named.neighbour is None else f", a nearest neighbour {percent(named.neighbour)}"
    text = (
        f"Asked about {evaluation.scored} held-out samples of {kinds}, the model names "
        f"{percent(named.model)} right{' in the mean over senses' if several else ''} (blind "
        f"{percent(named.shuffled)}{near}) and finds the true caption the likeliest, its own "
        f"probability taken out, for {percent(top.model)} (blind {percent(top.shuffled)})."
    )
    if several:
        order = sorted(evaluation.modalities, key=lambda result: result.named.model)
        best, worst = order[-1], order[0]
        if best.named.model == worst.named.model:
            return text
        text += (
            f" Best is {best.modality} with {percent(best.named.model)}, weakest {worst.modality} "
            f"with {percent(worst.named.model)}."
        )
    return text


def remembered(stages: dict[str, list[ModalityScore]]) -> list[ForgettingRow]:
    """Turn the scores after each stage into a line for each sense."""
    rows = []
    for modality, scores in by_modality(stages).items():
        known = [score.score for score in scores if score]
        change = f"{known[-1] / known[0] - 1:+.0%}" if len(known) > 1 and known[0] else ""
        rows.append(ForgettingRow(modality, tuple(scores), change))
    return rows


def percent(value: float | None) -> str:
    """Return a share as "62 %", which no line breaks apart; a dash for none."""
    return "–" if value is None else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def number(value: float | None) -> str:
    """Return a score with three decimals; a dash for none."""
    return "–" if value is None else f"{value:.3f}"


def ratio(metric: Metric) -> str:
    """Return how many times blind a score is; a dash where blind scores nothing, or for ranks."""
    shuffled = metric.shuffled or 0.0
    if shuffled < 0.001 or metric.name.startswith("median"):
        return "–"
    return f"{metric.model / shuffled:.1f} ×"
