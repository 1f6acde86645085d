"""BLEU and CIDEr-D as the captioning field computes them (the coco-caption conventions).

Captions are tokenised as the Penn Treebank is (ptb_tokenizer.py). In: predictions and, for each,
its list of reference captions. Out: corpus scores.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from polysense.evaluation.scoring.ptb_tokenizer import ptb_words

Grams = Counter[tuple[str, ...]]
ORDERS = range(1, 5)


def words(caption: str) -> list[str]:
    """Split a caption into lower-case words, for labels and head nouns; inner hyphens are kept."""
    return re.findall(r"[\w$€%]+(?:[-'.][\w]+)*", caption.lower())


def grams(tokens: Sequence[str], order: int) -> Grams:
    """Count the runs of `order` words."""
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Return corpus BLEU-1 to BLEU-4 (Papineni et al., 2002), each in [0, 1].

    Clipped counts are summed over the corpus; the brevity penalty takes, for each prediction, the
    reference nearest in length. As in coco-caption, 1e-15 over 1e-9 keeps empty counts finite.
    """
    matched, guessed = [0] * 4, [0] * 4
    length = nearest = 0
    for prediction, group in zip(predictions, references, strict=True):
        said = ptb_words(prediction)
        answers = [ptb_words(reference) for reference in group]
        length += len(said)
        nearest += min((abs(len(a) - len(said)), len(a)) for a in answers)[1]
        for order in ORDERS:
            most: Grams = Counter()
            for answer in answers:
                most |= grams(answer, order)
            found = grams(said, order)
            matched[order - 1] += sum((found & most).values())
            guessed[order - 1] += sum(found.values())
    ratio = (length + 1e-15) / (nearest + 1e-9)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for order in ORDERS:
        product *= (matched[order - 1] + 1e-15) / (guessed[order - 1] + 1e-9)
        scores.append(penalty * product ** (1 / order))
    return scores


def cider(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Return CIDEr-D of each prediction (Vedantam et al., 2015), on the field's scale of 0 to 10.

    Document frequencies come from the references of the whole set. Counts of a prediction are
    clipped to the reference's; a Gaussian of the difference in length (sigma 6) damps.
    """
    answers = [[ptb_words(reference) for reference in group] for group in references]
    seen: Counter[tuple[str, ...]] = Counter()
    for group in answers:
        seen.update({g for answer in group for order in ORDERS for g in grams(answer, order)})
    documents = math.log(len(answers)) if answers else 0.0

    def weigh(counts: Grams) -> dict[tuple[str, ...], float]:
        return {g: n * (documents - math.log(max(1, seen[g]))) for g, n in counts.items()}

    scores = []
    for prediction, group in zip(predictions, answers, strict=True):
        said = ptb_words(prediction)
        total = 0.0
        for answer in group:
            damp = math.exp(-((len(said) - len(answer)) ** 2) / 72)
            for order in ORDERS:
                mine, theirs = weigh(grams(said, order)), weigh(grams(answer, order))
                total += damp * clipped_cosine(mine, theirs) / 4
        scores.append(10 * total / len(group))
    return scores


def clipped_cosine(
    mine: dict[tuple[str, ...], float], theirs: dict[tuple[str, ...], float]
) -> float:
    """Return the cosine of two weighted counts, the first clipped to the second; 0 if one is 0."""
    size = math.sqrt(sum(v * v for v in mine.values()) * sum(v * v for v in theirs.values()))
    if size == 0:
        return 0.0
    return (
        sum(min(value, theirs.get(g, 0.0)) * theirs.get(g, 0.0) for g, value in mine.items()) / size
    )
