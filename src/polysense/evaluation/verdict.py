"""Is a result good, and what is next? In words, by comparison with the baselines.

A difference counts where it is wider than the rate's 95 % interval. Where it is not, few samples
say nothing, and many say that there is none. The first of these that holds of a modality is said of
it: no better with its own signals than with others'; worse than, as good as, or better than the
caption of the nearest training sample.
"""

from __future__ import annotations

from polysense.evaluation.number_format import percent
from polysense.evaluation.result import Evaluation, ModalityResult

FEWEST = 20  # samples, below which a rate is known to no better than 22 points
MORE = "score more held-out samples (polysense evaluate RUN --per-modality 36, or --data)"
UNKNOWN, SHUFFLED, ALONE, WORSE, EQUAL, BETTER = range(6)
SAID = {
    UNKNOWN: "too few held-out samples to tell",
    SHUFFLED: "no better with its own signals than with shuffled ones",
    ALONE: "better than with shuffled signals",
    WORSE: "worse than the nearest neighbour",
    EQUAL: "about as good as the nearest neighbour",
    BETTER: "better than the nearest neighbour",
}
NEXT = {
    UNKNOWN: MORE,
    SHUFFLED: "see whether captions fit their signals, then train longer or on more of them",
    ALONE: f"{MORE}, or compare with another encoder",
    WORSE: "train longer: the features tell more than the model says",
    EQUAL: "give more varied training samples, or an encoder that tells more apart",
    BETTER: "ask about files of your own",
}


def judged(result: ModalityResult) -> int:
    """Return which of `SAID` holds of a modality."""
    accuracy, few = result.named, result.scored < FEWEST
    if accuracy.model is None or accuracy.shuffled is None:
        return UNKNOWN
    if accuracy.model - accuracy.shuffled <= result.interval:
        return UNKNOWN if few else SHUFFLED
    if accuracy.neighbour is None:
        return ALONE
    ahead = accuracy.model - accuracy.neighbour
    if abs(ahead) <= result.interval:
        return ALONE if few else EQUAL
    return BETTER if ahead > 0 else WORSE


def verdict(evaluation: Evaluation) -> str:
    """Return what to think of a result, modalities of one kind together, and the next step.

    The next step is that of the weakest kind.
    """
    kinds: dict[int, list[str]] = {}
    for result in evaluation.modalities:
        accuracy = result.named
        near = accuracy.neighbour if judged(result) > ALONE else accuracy.shuffled
        rates = f"{result.modality} ({percent(accuracy.model)} to {percent(near)})"
        kinds.setdefault(judged(result), []).append(rates if near is not None else result.modality)
    parts = [f"{', '.join(kinds[kind])}: {SAID[kind]}" for kind in sorted(kinds, reverse=True)]
    weakest = min(kinds)
    return f"Is that good? {'; '.join(parts)}. Next: {NEXT[weakest]}."
