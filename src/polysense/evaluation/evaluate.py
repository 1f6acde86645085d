"""A run's scores on its held-out records, modality by modality.

Records are grouped by what their signals are ("audio", "audio+video"); each group is captioned,
ranked and compared within itself, so that no score comes from telling a sound from a picture. With
the figures stand the prompt, the decoding, and the size of the held-out set.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console

from polysense.config import EvaluationConfig
from polysense.data.datasets import Record, Split
from polysense.data.loading.feature_cache import FeatureCache
from polysense.errors import PolysenseError
from polysense.evaluation.baselines import Compared, compared
from polysense.evaluation.predictor import Advance, Predictor
from polysense.evaluation.result import (
    CORRECTED,
    Evaluation,
    File,
    Metric,
    ModalityResult,
    Prediction,
    macro_average,
)
from polysense.evaluation.scoring.scores import (
    are_labels,
    caption_metrics,
    evenly_spaced,
    is_right,
    retrieval_metrics,
)
from polysense.modalities.sources.source_string import format_source
from polysense.model.likelihood import pmi_scores, ranks
from polysense.training.progress.metric_logger import progress_bar


class NothingToEvaluate(PolysenseError):
    """No held-out sample can be scored. Training is not wrong for that: its command says so."""


def evaluate(
    model: Any, processor: Any, cache: FeatureCache, split: Split, config: EvaluationConfig
) -> Evaluation:
    """Score a model on held-out records of every modality, as many as `config` says."""
    evaluator = Predictor(model, processor, cache, config)
    train, held_out = by_modalities(split.train), by_modalities(split.held_out)
    if not held_out:
        raise NothingToEvaluate(
            "no held-out sample with a signal and a caption is left to evaluate on; conversations "
            "and plain text have no score here. Captioned samples can be given: evaluate RUN --data"
        )
    console, results = Console(file=sys.stderr), []
    with progress_bar(console, disable=not console.is_terminal) as progress:
        for modality, records in held_out.items():
            known = train.get(modality, [])
            chosen = compared(
                cache, known, evenly_spaced(records, most_of_each(config, len(held_out)))
            )
            if not chosen.records:
                continue
            alone = len(modalities_of(chosen.records))
            passes = 2 + (2 * alone if alone > 1 else 0)  # captions and their ranks; of each alone
            task = progress.add_task(f"asking: {modality}", total=passes * len(chosen.records))
            if not console.is_terminal:
                console.print(f"asking: {modality}, {len(chosen.records)} samples", soft_wrap=True)
            results.append(
                score_modality(evaluator, chosen, records, known, partial(progress.advance, task))
            )
    if not results:
        raise NothingToEvaluate("every held-out signal is one that was trained on: no score is one")
    return Evaluation(tuple(results), macro_average(tuple(results)), protocol(config))


def by_modalities(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group captioned records by their modalities, single ones first; plain text has none."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.media and record.caption:
            groups.setdefault(record.modalities, []).append(record)
    return dict(sorted(groups.items(), key=lambda group: group[0].count("+")))


def most_of_each(config: EvaluationConfig, modalities: int) -> int:
    """Return how many samples of each modality to take; 0 is all."""
    counts = (config.per_modality, -(-config.limit // modalities))
    return min((count for count in counts if count), default=0)


def score_modality(
    evaluator: Predictor,
    asked: Compared,
    held_out: Sequence[Record],
    train: Sequence[Record],
    advance: Advance,
) -> ModalityResult:
    """Score those of a modality's held-out records that are `asked` about."""
    chosen, nearest = asked.records, asked.neighbours
    everything = [*train, *held_out]
    labels = are_labels([record.caption for record in everything])
    reference = [record.caption for record in chosen]
    predicted = evaluator.captions(chosen, advance)
    choices = list(dict.fromkeys(reference))
    scores = evaluator.scores(chosen, choices, advance)
    columns = [choices.index(caption) for caption in reference]
    found = pmi_scores(scores)
    said = zip(
        chosen,
        predicted,
        nearest or [""] * len(chosen),
        ranks(found, columns).tolist(),
        strict=True,
    )
    return ModalityResult(
        modality=chosen[0].modalities,
        trained=len(train),
        held_out=len(held_out),
        captions=len(choices),
        labels=labels,
        sources=dict(Counter(r.source for r in everything if r.source).most_common()),
        metrics=(
            *caption_metrics(predicted, reference, nearest, labels),
            *retrieval_metrics("", scores, columns),
            *retrieval_metrics(CORRECTED, found, columns),
            *alone_metrics(evaluator, chosen, choices, columns, advance),
        ),
        answers=tuple(
            Prediction(
                key=record.key,
                files=tuple(
                    File(media.modality, format_source(media.source)) for media in record.media
                ),
                reference=record.caption,
                predicted=caption,
                neighbour=near,
                correct=is_right(caption, record.caption, labels),
                rank=rank,
            )
            for record, caption, near, rank in said
        ),
        overlapping=asked.overlapping,
    )


def modalities_of(records: Sequence[Record]) -> list[str]:
    """Return the modalities of some records that have the same ones."""
    return list(dict.fromkeys(media.modality for media in records[0].media))


def alone_metrics(
    evaluator: Predictor,
    chosen: Sequence[Record],
    choices: Sequence[str],
    columns: Sequence[int],
    advance: Advance,
) -> list[Metric]:
    """Score samples with several modalities by one of them at a time: what does each add?"""
    metrics = []
    for modality in modalities_of(chosen) if len(modalities_of(chosen)) > 1 else ():
        alone = [
            replace(record, media=tuple(m for m in record.media if m.modality == modality))
            for record in chosen
        ]
        said = evaluator.captions(alone, advance)
        found = caption_metrics(said, [record.caption for record in chosen], (), labels=False)
        metrics += [replace(f, name=f"{f.name}, {modality} alone") for f in found]
        scores = pmi_scores(evaluator.scores(alone, choices, advance))
        metrics += retrieval_metrics(f"{CORRECTED}, {modality} alone", scores, columns)
    return metrics


def protocol(config: EvaluationConfig) -> dict[str, str]:
    """Say how the figures were made."""
    most = (
        f"at most {config.per_modality} held-out samples, spread evenly"
        if config.per_modality
        else ""
    )
    return {
        "question": config.question,
        "decoding": f"greedy, at most {config.max_new_tokens} new tokens",
        "modalities": f"each is scored within itself, on {most or 'all held-out samples'}; means "
        "count each equally",
        "accuracy": "exact match of the whole caption (its words) where a modality has at most 40 "
        "% as many captions as records, elsewhere of its head noun: the last word before the "
        "first describing one, in the singular",
        "recall@1": "the true caption is the likeliest of the candidates, the modality's distinct "
        "held-out captions, by the sum of token log-likelihoods; prior-corrected (PMI): less a "
        "caption's mean likelihood over all signals",
        "CIDEr, BLEU": "CIDEr-D and corpus BLEU of Penn Treebank tokens against one reference, "
        "times 100; BLEU-4 only where most captions have four words",
        "alone": "of samples with several modalities: asked about and ranked by one of them only",
        "shuffled": "the same outputs against other samples' captions: mean over up to 8 samples "
        "whose caption is another",
        "nearest neighbour": "caption of the most similar training sample of the modality, by the "
        "cosine of encoder features, or of signals where the modality's tokenizer learns",
    }
