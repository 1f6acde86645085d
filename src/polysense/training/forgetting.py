"""The forgetting table: how well every known sense is understood after each stage.

Score of a sense: of its held-out signals, the share whose own caption the model finds the likeliest
of `CHOICES` captions of that sense (of all, if it has fewer), the captions' own probability taken
out.
Blind: the same with another signal's likelihoods. In: the trainee after a stage. Out: lines of
forgetting.json, one a stage, so that a later stage's loss of an earlier sense is seen at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

import torch
from rich.table import Table

from polysense.atomic_write import write_text
from polysense.data.loading.batches import TrainingData
from polysense.data.processor import PolysenseProcessor
from polysense.model.likelihood import caption_ids, pmi_scores, ranks, score_matrix
from polysense.model.polysense_model import PolysenseModel
from polysense.types import Batch

FILE = "forgetting.json"
SIGNALS, CHOICES, ROUNDS = 24, 12, 4  # signals and captions of a round; rounds of a sense


@dataclass(frozen=True)
class ModalityScore:
    """A sense's score and its blind twin: held-out signals, and captions to choose from."""

    modality: str
    signals: int
    choices: int
    score: float
    shuffled: float


def rounds(data: TrainingData, modality: str) -> list[tuple[list[int], list[str]]]:
    """Return (indices of samples of `sense`, the captions to choose from) of each round.

    The most frequent captions are dealt to rounds of `CHOICES`, so that chance is the same in each
    and as many signals as can be have theirs among them. A caption's signals are taken in turn, one
    a record, so that no caption fills a round.
    """
    by_caption: dict[str, list[int]] = {}
    keys: set[str] = set()
    for index, sample in enumerate(data.samples):
        captioned = sample.metadata.get("caption")
        if captioned and sample.modalities == modality and sample.key not in keys:
            keys.add(sample.key)
            by_caption.setdefault(captioned, []).append(index)
    captions = sorted(by_caption, key=lambda caption: (-len(by_caption[caption]), caption))
    count = min(ROUNDS, max(1, len(captions) // CHOICES))
    dealt = [captions[: count * CHOICES][number::count] for number in range(count)]
    return [(in_turn([by_caption[caption] for caption in some])[:SIGNALS], some) for some in dealt]


def in_turn(groups: Sequence[Sequence[int]]) -> list[int]:
    """Return the first of every group, then the second of every group, and so on."""
    return [number for turn in zip_longest(*groups) for number in turn if number is not None]


@torch.inference_mode()
def score_modality(
    model: PolysenseModel, processor: PolysenseProcessor, data: TrainingData, modality: str
) -> ModalityScore | None:
    """Score one sense on `data`; None where it has fewer than two captions."""
    model.eval()
    own, shuffled, choices = [], [], 0
    for indices, captions in rounds(data, modality):
        if len(captions) < 2:
            return None
        indices = [index for index in indices if data.reads(index)]
        ids = caption_ids(processor.text_tokenizer, captions)
        scores = pmi_scores(caption_scores(model, data, indices, ids))
        truth = [captions.index(data.samples[index].metadata["caption"]) for index in indices]
        own.append(ranks(scores, truth))
        # Neighbours in the order have different captions: a row moved by one is a stranger's.
        shuffled.append(ranks(scores.roll(1, dims=0), truth))
        choices = len(captions)
    if not own:
        return None
    right, guessed = ((torch.cat(found) == 1).float() for found in (own, shuffled))
    return ModalityScore(modality, len(right), choices, float(right.mean()), float(guessed.mean()))


def caption_scores(
    model: PolysenseModel, data: TrainingData, indices: list[int], captions: list[list[int]]
) -> torch.Tensor:
    """Return log-likelihoods [P, C] of captions for the samples at `indices`."""

    def prompts(some: list[int]) -> Batch:
        return data.prompts([indices[number] for number in some]).to(model.device)

    lengths = [len(data.prompt(index).ids) for index in indices]
    return score_matrix(model, lengths, prompts, captions)


def note_scores(folder: Path, stage: str, scores: Sequence[ModalityScore]) -> None:
    """Add a stage's scores to forgetting.json, whole or not at all."""
    stages = read_scores(folder)
    stages[stage] = list(scores)
    values = {name: [asdict(score) for score in found] for name, found in stages.items()}
    write_text(folder / FILE, json.dumps(values, indent=1) + "\n")


def read_scores(folder: Path) -> dict[str, list[ModalityScore]]:
    """Return {stage: its scores}, in the order of training; empty where none were noted."""
    path = folder / FILE
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: [ModalityScore(**score) for score in found] for name, found in values.items()}


def by_modality(stages: dict[str, list[ModalityScore]]) -> dict[str, list[ModalityScore | None]]:
    """Return {sense: its score after each stage}, None after those before it was known."""
    after = [{score.modality: score for score in scores} for scores in stages.values()]
    modalities = dict.fromkeys(modality for scores in after for modality in scores)
    return {modality: [scores.get(modality) for scores in after] for modality in modalities}


def forgetting_table(stages: dict[str, list[ModalityScore]]) -> Table:
    """Return a table of senses by stages: score (blind)."""
    table = Table(title="What is remembered: share right (blind)")
    table.add_column("sense")
    for name in stages:
        table.add_column(f"after {name}", justify="right")
    for modality, scores in by_modality(stages).items():
        cells = (f"{score.score:.2f} ({score.shuffled:.2f})" if score else "-" for score in scores)
        table.add_row(modality, *cells)
    return table
