"""A run's score on its held-out pictures, each figure beside its blind twin and a baseline.

Blind: the same model and outputs, the pictures shuffled (a rotation of the held-out order). Nearest
neighbour: the caption of the training picture whose mean encoder features are nearest by cosine.
With the figures stand the prompt, the decoding, and the size of the held-out set.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.nn import functional

from polysense.config import EvaluationConfig
from polysense.data.chat import IGNORED, Encoded
from polysense.data.collate import collate
from polysense.data.datasets import Record, Split
from polysense.evaluation.head_noun import same_noun
from polysense.evaluation.metrics import bleu, cider
from polysense.evaluation.retrieval import ranks, score_matrix, without_prior
from polysense.overrides import from_json
from polysense.training.features import FeatureCache
from polysense.training.journal import progress_bar
from polysense.types import Batch, Message, Text

FILE = "evaluation.json"


@dataclass(frozen=True)
class Answer:
    """One held-out sample: the truth, the model's caption, and the nearest neighbour's."""

    key: str
    file: str
    truth: str
    predicted: str
    neighbour: str
    right: bool
    rank: int


@dataclass(frozen=True)
class Figure:
    """One score: the model's, the blind value, and the nearest-neighbour baseline's (or none)."""

    name: str
    model: float
    blind: float
    neighbour: float | None


@dataclass(frozen=True)
class Evaluation:
    """All scores of a run. `method` says how they were made."""

    held_out: int
    captions: int
    figures: tuple[Figure, ...]
    answers: tuple[Answer, ...]
    method: dict[str, Any]

    def figure(self, name: str) -> Figure:
        """Return the figure called `name`."""
        return next(figure for figure in self.figures if figure.name == name)

    def save(self, folder: Path) -> None:
        """Write evaluation.json, whole or not at all."""
        scratch = folder / f".{FILE}"
        scratch.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        scratch.replace(folder / FILE)


def read_evaluated(path: Path) -> Evaluation | None:
    """Return a saved evaluation, or None where there is none."""
    if not path.is_file():
        return None
    return from_json(Evaluation, json.loads(path.read_text(encoding="utf-8")))


class Evaluator:
    """Asks a model about records whose features are cached."""

    def __init__(self, model: Any, processor: Any, cache: FeatureCache, config: EvaluationConfig):
        self.model, self.processor, self.cache, self.config = model, processor, cache, config

    def prompt(self, records: Sequence[Record]) -> Batch:
        """Return the padded prompts of some records: their signals and the question."""
        rows, features = [], []
        for record in records:
            asked = Message("user", (*record.media, Text(self.config.question)))
            ids = self.processor.chat.prompt([asked], self.processor.form)
            rows.append(Encoded(ids, [IGNORED] * len(ids)))
            found: dict[str, list[torch.Tensor]] = {}
            for media in record.media:
                found.setdefault(media.modality, []).append(self.cache.view(media, 0))
            features.append(found)
        batch = collate(rows, features, self.processor.pad_id, "features", "left")
        del batch["labels"]
        return batch.to(self.model.device)

    @torch.inference_mode()
    def captions(self, records: Sequence[Record], size: int = 16) -> list[str]:
        """Return the greedy captions of some records."""
        found = []
        for start in range(0, len(records), size):
            batch = self.prompt(records[start : start + size])
            ids = self.model.generate(
                **batch, max_new_tokens=self.config.max_new_tokens, do_sample=False
            )
            found += self.processor.batch_decode(ids[:, batch["input_ids"].shape[1] :])
        return found

    @torch.inference_mode()
    def scores(self, records: Sequence[Record], captions: Sequence[str]) -> torch.Tensor:
        """Return log p(caption | picture) as [records, captions]."""
        tokenizer = self.processor.text_tokenizer
        ends = [tokenizer.eos_token_id]
        ids = [tokenizer(c, add_special_tokens=False)["input_ids"] + ends for c in captions]

        def prompts() -> Iterator[torch.Tensor]:  # one by one: its LLM call is inside `seen`
            for record in records:
                with self.model.seen(**self.prompt([record])) as prompt:
                    yield prompt

        with progress_bar(Console(stderr=True)) as progress:
            task = progress.add_task("retrieval", total=len(records))
            return score_matrix(self.model.llm, prompts(), ids, lambda: progress.advance(task))


def neighbours(cache: FeatureCache, split: Split, records: Sequence[Record]) -> list[str]:
    """Return for each record the caption of the nearest training record by encoder features."""

    def vectors(chosen: Sequence[Record]) -> torch.Tensor:
        rows = [cache.view(record.media[0], 0).mean(dim=0) for record in chosen]
        return functional.normalize(torch.stack(rows), dim=-1)

    nearest = (vectors(records) @ vectors(split.train).T).argmax(dim=1)
    return [split.train[int(index)].caption for index in nearest]


def shuffled(items: Sequence[Any]) -> list[Any]:
    """Rotate by a fixed odd amount: every picture meets another one's caption, always the same."""
    shift = max(1, len(items) // 3)
    return [*items[shift:], *items[:shift]]


def evaluate(
    model: Any, processor: Any, cache: FeatureCache, split: Split, config: EvaluationConfig
) -> Evaluation:
    """Score a model on its held-out records (`config.limit` of them; 0 is all)."""
    records = split.held_out[: config.limit or None]
    evaluator = Evaluator(model, processor, cache, config)
    truth = [record.caption for record in records]
    predicted = evaluator.captions(records)
    nearest = neighbours(cache, split, records)
    choices = list(dict.fromkeys(truth))
    scores = evaluator.scores(records, choices)
    columns = [choices.index(caption) for caption in truth]
    plain = ranks(scores, columns)
    figures = [
        *caption_figures(predicted, truth, nearest),
        *retrieval_figures("", scores, columns),
        *retrieval_figures(", prior removed", without_prior(scores), columns),
    ]
    answers = [
        Answer(
            record.key,
            str(record.media[0].source),
            true,
            said,
            near,
            same_noun(said, true),
            int(rank),
        )
        for record, true, said, near, rank in zip(
            records, truth, predicted, nearest, plain, strict=True
        )
    ]
    method = {
        "question": config.question,
        "decoding": f"greedy, at most {config.max_new_tokens} new tokens",
        "retrieval": "rank among distinct held-out captions by the sum of token log-likelihoods",
        "head noun": "last word before the first describing word, in the singular",
        "blind": "the same outputs against captions rotated by a third of the held-out set",
        "nearest neighbour": "caption of the nearest training picture by mean encoder features",
        "95 % interval of a rate": f"about +- {interval(len(records)):.3f} at this size",
    }
    return Evaluation(len(records), len(choices), tuple(figures), tuple(answers), method)


def interval(count: int) -> float:
    """Return the half-width of a rate's 95 % interval at its widest (a rate of one half)."""
    return 1.96 * math.sqrt(0.25 / max(1, count))


def caption_figures(
    predicted: Sequence[str], truth: Sequence[str], nearest: Sequence[str]
) -> list[Figure]:
    """Return CIDEr, BLEU and head-noun accuracy."""
    other = shuffled(truth)

    def scores(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
        group = [[caption] for caption in true]
        found = bleu(said, group)
        right = sum(same_noun(a, b) for a, b in zip(said, true, strict=True))
        return {
            "head-noun accuracy": right / len(true),
            "CIDEr": sum(cider(said, group)) / len(true),
            "BLEU-1": found[0],
            "BLEU-4": found[3],
        }

    model, blind, near = scores(predicted, truth), scores(predicted, other), scores(nearest, truth)
    return [Figure(name, value, blind[name], near[name]) for name, value in model.items()]


def retrieval_figures(suffix: str, scores: torch.Tensor, columns: Sequence[int]) -> list[Figure]:
    """Return top-1, top-5 and the median rank; the blind value takes another picture's row."""
    own, blind = ranks(scores, columns).float(), ranks(scores, shuffled(columns)).float()
    return [
        *(
            Figure(
                f"retrieval top-{k}{suffix}",
                float((own <= k).float().mean()),
                float((blind <= k).float().mean()),
                None,
            )
            for k in (1, 5)
        ),
        Figure(f"median rank{suffix}", float(own.median()), float(blind.median()), None),
    ]
