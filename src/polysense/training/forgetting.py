"""The forgetting table: how well every known modality is understood after each stage.

Score of a modality: recall@1 of its held-out signals, the share whose own caption the model finds
the likeliest of `CHOICES` captions of that modality (of all, if it has fewer), the captions' own
probability taken out.
Shuffled: the same with the likelihoods of a signal that has another caption. In: the model after a
stage. Out: forgetting.json, one entry a stage, so that a later stage's loss of an earlier modality
is seen at once.
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
SIGNALS, CHOICES, ROUNDS = 24, 12, 4  # signals and captions of a round; rounds of a modality


@dataclass(frozen=True)
class ModalityScore:
    """A modality's recall@1 after a stage, and its shuffled-input baseline.

    signals   held-out signals that were scored
    choices   captions to choose from
    shuffled  None where no signal has another caption to be shuffled with
    """

    modality: str
    signals: int
    choices: int
    score: float
    shuffled: float | None


def rounds(data: TrainingData, modality: str) -> list[tuple[list[int], list[str]]]:
    """Return (indices of samples of `modality`, the captions to choose from) of each round.

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
    """Score one modality on `data`; None where it has fewer than two captions."""
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
        if pairs := strangers(truth):
            others = [other for _, other in pairs]
            shuffled.append(ranks(scores[others], [truth[row] for row, _ in pairs]))
        choices = len(captions)
    if not own:
        return None
    baseline = recall_at_1(shuffled) if shuffled else None
    return ModalityScore(modality, sum(map(len, own)), choices, recall_at_1(own), baseline)


def recall_at_1(ranks_of_rounds: Sequence[torch.Tensor]) -> float:
    """Return the share of ranks that are 1."""
    return float((torch.cat(list(ranks_of_rounds)) == 1).float().mean())


def strangers(captions: Sequence[int]) -> list[tuple[int, int]]:
    """Return (signal, the nearest before it that has another caption), of each that has one."""
    pairs = []
    for row, caption in enumerate(captions):
        before = [(row - distance) % len(captions) for distance in range(1, len(captions))]
        others = [other for other in before if captions[other] != caption]
        pairs += [(row, others[0])] if others else []
    return pairs


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
    """Return {modality: its score after each stage}, None after those before it was known."""
    after = [{score.modality: score for score in scores} for scores in stages.values()]
    modalities = dict.fromkeys(modality for scores in after for modality in scores)
    return {modality: [scores.get(modality) for scores in after] for modality in modalities}


def forgetting_table(stages: dict[str, list[ModalityScore]]) -> Table:
    """Return a table of modalities by stages: recall@1 (shuffled-input baseline)."""
    table = Table(title="Forgetting: recall@1 (with shuffled signals)")
    table.add_column("modality")
    for name in stages:
        table.add_column(f"after {name}", justify="right")
    for modality, scores in by_modality(stages).items():
        table.add_row(modality, *map(score_cell, scores))
    return table


def score_cell(score: ModalityScore | None) -> str:
    """Return "0.50 (0.10)", recall@1 and shuffled baseline; "-" for what there is not."""
    if score is None:
        return "-"
    return f"{score.score:.2f} ({'-' if score.shuffled is None else f'{score.shuffled:.2f}'})"
