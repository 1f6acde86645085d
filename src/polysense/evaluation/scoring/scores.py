"""Scores of one sense's captions and rankings, each beside its blind value and a baseline.

Blind: the same outputs against the captions of the sense's other samples, averaged over rotations
of their order. One rotation alone would meet only other classes, or only its own, where a manifest
lists its classes one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from polysense.evaluation.result import LABEL, NOUN, Metric
from polysense.evaluation.scoring.captioning import bleu, cider, words
from polysense.evaluation.scoring.head_noun import same_noun
from polysense.model.likelihood import ranks

Item = TypeVar("Item")
ROTATIONS = 8
LABEL_SHARE = 0.4  # distinct captions to records, up to which captions count as labels


def label(caption: str) -> str:
    """Return a caption as a label: its words in lower case, without punctuation."""
    return " ".join(words(caption))


def are_labels(captions: Sequence[str]) -> bool:
    """Whether a sense's captions are few: at most 40 % as many as its records."""
    return len({label(caption) for caption in captions}) <= LABEL_SHARE * len(captions)


def is_right(said: str, true: str, labels: bool) -> bool:
    """Whether an answer names what is there: the label, or where there are none the head noun."""
    return label(said) == label(true) if labels else same_noun(said, true)


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` of the items, spread evenly (manifests are often sorted); 0 is all."""
    if not count or count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def rotations(count: int) -> list[int]:
    """Return up to 8 shifts, spread evenly, by which each of `count` samples meets another one."""
    most = min(ROTATIONS, count - 1)
    return [1 + index * (count - 1) // most for index in range(most)]


def rotated(items: Sequence[Item], shift: int) -> list[Item]:
    """Return the items from `shift` on, then those before."""
    return [*items[shift:], *items[:shift]]


def caption_scores(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """Return label and head-noun accuracy, CIDEr and BLEU of captions against the true ones."""
    group = [[caption] for caption in true]
    found = bleu(said, group)
    pairs = list(zip(said, true, strict=True))
    return {
        LABEL: sum(is_right(*pair, labels=True) for pair in pairs) / len(pairs),
        NOUN: sum(is_right(*pair, labels=False) for pair in pairs) / len(pairs),
        "CIDEr": sum(cider(said, group)) / len(pairs),
        "BLEU-1": found[0],
        "BLEU-4": found[3],
    }


def caption_metrics(
    predicted: Sequence[str], reference: Sequence[str], nearest: Sequence[str], labels: bool
) -> list[Metric]:
    """Return the figures of a sense's captions; `nearest` is empty where there is no neighbour.

    Label accuracy is among them where the sense's captions are labels.
    """
    model = caption_scores(predicted, reference)
    turns = [caption_scores(predicted, rotated(reference, by)) for by in rotations(len(reference))]
    near = caption_scores(nearest, reference) if nearest else {}
    return [
        Metric(
            name,
            value,
            sum(turn[name] for turn in turns) / len(turns) if turns else None,
            near.get(name),
        )
        for name, value in model.items()
        if labels or name != LABEL
    ]


def retrieval_metrics(suffix: str, scores: torch.Tensor, columns: Sequence[int]) -> list[Metric]:
    """Return top-1, top-5 and the median rank from likelihoods [samples, captions].

    `columns` are the true captions'. Top-5 needs more than five captions to mean something. The
    blind value takes the row of another sample.
    """
    own = ranks(scores, columns).float()
    turns = [ranks(scores, rotated(columns, by)).float() for by in rotations(len(columns))]
    shuffled = torch.cat(turns) if turns else None
    metrics = [
        Metric(
            f"retrieval top-{k}{suffix}",
            float((own <= k).float().mean()),
            None if shuffled is None else float((shuffled <= k).float().mean()),
            None,
        )
        for k in (1, 5)
        if k == 1 or scores.shape[1] > k
    ]
    middle = None if shuffled is None else float(shuffled.median())
    return [*metrics, Metric(f"median rank{suffix}", float(own.median()), middle, None)]
