"""The forgetting table: how well every known sense is understood after each stage.

Score of a sense: of its held-out signals, the share whose own caption the model finds the likeliest
among that sense's captions (at most `CHOICES` of them), the captions' own probability taken out.
Blind: the same with another signal's likelihoods. In: the trainee after a stage. Out: lines of
forgetting.json, one a stage, so that a later stage's loss of an earlier sense is seen at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.table import Table

from polysense.data.processor import PolysenseProcessor
from polysense.model.polysense_model import PolysenseModel
from polysense.training.dataset import TrainingData
from polysense.training.likelihood import ranks, score_matrix, seen_in_turn, without_prior

FILE = "forgetting.json"
SIGNALS, CHOICES = 24, 12


@dataclass(frozen=True)
class SenseScore:
    """A sense's score and its blind twin: held-out signals, and captions to choose from."""

    sense: str
    signals: int
    choices: int
    score: float
    blind: float


def chosen_signals(data: TrainingData, sense: str) -> tuple[list[int], list[str]]:
    """Return indices of samples of `sense`, one a record, and the captions to choose from.

    Captions are the most frequent ones, so that as many signals as can be have theirs among them;
    a caption's signals are taken in turn, so that no caption fills the table.
    """
    by_caption: dict[str, list[int]] = {}
    keys: set[str] = set()
    for index, sample in enumerate(data.samples):
        if sample.senses == sense and sample.key not in keys:
            keys.add(sample.key)
            by_caption.setdefault(sample.about["caption"], []).append(index)
    captions = sorted(by_caption, key=lambda caption: (-len(by_caption[caption]), caption))
    captions = captions[:CHOICES]
    turns = max((len(by_caption[caption]) for caption in captions), default=0)
    taken = [
        by_caption[caption][turn]
        for turn in range(turns)
        for caption in captions
        if turn < len(by_caption[caption])
    ]
    return taken[:SIGNALS], captions


@torch.inference_mode()
def score_sense(
    model: PolysenseModel, processor: PolysenseProcessor, data: TrainingData, sense: str
) -> SenseScore | None:
    """Score one sense on `data`; None where it has fewer than two captions."""
    indices, captions = chosen_signals(data, sense)
    if len(captions) < 2:
        return None
    model.eval()
    tokenizer = processor.text_tokenizer
    ids = [
        [*tokenizer(caption, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        for caption in captions
    ]
    prompts = seen_in_turn(model, (data.prompt(index).to(model.device) for index in indices))
    scores = without_prior(score_matrix(model.llm, prompts, ids))
    truth = [captions.index(data.samples[index].about["caption"]) for index in indices]
    # Neighbours in the order have different captions, so a row moved by one is a stranger's.
    own, blind = ranks(scores, truth), ranks(scores.roll(1, dims=0), truth)
    return SenseScore(
        sense,
        len(indices),
        len(captions),
        float((own == 1).float().mean()),
        float((blind == 1).float().mean()),
    )


def note_scores(folder: Path, stage: str, scores: Sequence[SenseScore]) -> None:
    """Add a stage's scores to forgetting.json, whole or not at all."""
    stages = read_scores(folder)
    stages[stage] = list(scores)
    values = {name: [asdict(score) for score in found] for name, found in stages.items()}
    scratch = folder / f".{FILE}"
    scratch.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    scratch.replace(folder / FILE)


def read_scores(folder: Path) -> dict[str, list[SenseScore]]:
    """Return {stage: its scores}, in the order of training; empty where none were noted."""
    path = folder / FILE
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: [SenseScore(**score) for score in found] for name, found in values.items()}


def forgetting_table(stages: dict[str, list[SenseScore]]) -> Table:
    """Return a table of senses by stages: score (blind)."""
    table = Table(title="What is remembered: share right (blind)")
    table.add_column("sense")
    for name in stages:
        table.add_column(f"after {name}", justify="right")
    found = {name: {score.sense: score for score in scores} for name, scores in stages.items()}
    for sense in dict.fromkeys(score.sense for scores in stages.values() for score in scores):
        cells = []
        for name in stages:
            score = found[name].get(sense)
            cells.append(f"{score.score:.2f} ({score.blind:.2f})" if score else "-")
        table.add_row(sense, *cells)
    return table
