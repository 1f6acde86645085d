"""Scores of one modality's captions and rankings, each beside its baselines.

Shuffled-input baseline: the same outputs against the captions of the modality's other samples,
those that have another caption (training/shuffled_input.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from polysense.evaluation.result import BLEU, CIDER, LABEL, NOUN, RANK, Metric, mean_of
from polysense.evaluation.scoring.captioning import bleu, cider, words
from polysense.evaluation.scoring.head_noun import same_noun
from polysense.evaluation.scoring.ptb_tokenizer import ptb_words
from polysense.evaluation.scoring.shuffled_input import strangers
from polysense.model.likelihood import ranks

Item = TypeVar("Item")
LABEL_SHARE = 0.4  # distinct captions to records, up to which captions count as labels


def label(caption: str) -> str:
    """Return a caption as a label: its words in lower case, without punctuation."""
    return " ".join(words(caption))


def are_labels(captions: Sequence[str]) -> bool:
    """Whether a modality's captions are few: at most 40 % as many as its records."""
    return len({label(caption) for caption in captions}) <= LABEL_SHARE * len(captions)


def is_right(said: str, true: str, labels: bool) -> bool:
    """Whether an answer names what is there: the label, or where there are none the head noun."""
    return label(said) == label(true) if labels else same_noun(said, true)


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` of the items, spread evenly (manifests are often sorted); 0 is all."""
    if not count or count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def caption_scores(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """Return both accuracies, CIDEr-D and BLEU of captions against the true ones.

    BLEU-4 counts runs of four words: of captions that mostly have fewer it is left out.
    """
    group = [[caption] for caption in true]
    found = bleu(said, group)
    pairs = list(zip(said, true, strict=True))
    long = sum(len(ptb_words(caption)) >= 4 for caption in true)
    scores = {
        LABEL: sum(is_right(*pair, labels=True) for pair in pairs) / len(pairs),
        NOUN: sum(is_right(*pair, labels=False) for pair in pairs) / len(pairs),
        CIDER: sum(cider(said, group)) / len(pairs),
        f"{BLEU}-1": found[0],
        f"{BLEU}-4": found[3],
    }
    if 2 * long < len(true):
        del scores[f"{BLEU}-4"]
    return scores


def caption_metrics(
    predicted: Sequence[str], reference: Sequence[str], nearest: Sequence[str], labels: bool
) -> list[Metric]:
    """Return the figures of a modality's captions; `nearest` is empty where there is no neighbour.

    Exact matches are among them where the modality's captions are labels. One sample has no score.
    """
    model = caption_scores(predicted, reference)
    turns = [
        caption_scores(predicted, [reference[index] for index in turn])
        for turn in strangers([label(caption) for caption in reference])
    ]
    near = caption_scores(nearest, reference) if nearest else {}
    alone = len(reference) < 2
    return [
        Metric(
            name,
            None if alone else value,
            mean_of([turn.get(name) for turn in turns]),
            None if alone else near.get(name),
        )
        for name, value in model.items()
        if labels or name != LABEL
    ]


def retrieval_metrics(suffix: str, scores: torch.Tensor, columns: Sequence[int]) -> list[Metric]:
    """Return recall@1, recall@5 and the median rank from likelihoods [samples, candidates].

    `columns` are the true captions'. The shuffled value ranks another sample's caption. Recall@5
    needs more than five candidates to mean something, and every figure two of them, two samples,
    and likelihoods that are numbers.
    """
    means = min(scores.shape) > 1 and not scores.isnan().any()
    own = ranks(scores, columns).float()
    turns = [
        ranks(scores, [columns[index] for index in turn]).float() for turn in strangers(columns)
    ]
    shuffled = torch.cat(turns) if turns and means else None
    metrics = [
        Metric(
            f"recall@{k}{suffix}",
            float((own <= k).float().mean()) if means else None,
            None if shuffled is None else float((shuffled <= k).float().mean()),
            None,
        )
        for k in (1, 5)
        if k == 1 or scores.shape[1] > k
    ]
    middle = None if shuffled is None else float(shuffled.median())
    median = float(own.median()) if means else None
    return [*metrics, Metric(f"{RANK}{suffix}", median, middle, None)]
