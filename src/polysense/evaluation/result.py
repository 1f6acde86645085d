"""What an evaluation found, modality by modality, and the file it is kept in.

A modality here is what a record's signals are, alone or together: "audio", "audio+video". Each
figure is the model's and stands beside the shuffled-input and the nearest-neighbour baseline's.
Accuracy, recall and BLEU are kept as shares of 1, CIDEr from 0 to 10; people read all of them times
100.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from polysense.atomic_write import write_text
from polysense.config.overrides import from_json
from polysense.errors import PolysenseError

FILE = "evaluation.json"
NAMED = "accuracy"  # of every modality: one of the two below
LABEL, NOUN = f"{NAMED} (exact match)", f"{NAMED} (head noun)"
CORRECTED = ", prior-corrected (PMI)"
FOUND = f"recall@1{CORRECTED}"
CIDER, BLEU = "CIDEr", "BLEU"
RANK = "median rank"


@dataclass(frozen=True)
class File:
    """A signal's file, and the modality that reads it."""

    modality: str
    path: str


@dataclass(frozen=True)
class Prediction:
    """One held-out sample: the truth, the model's caption, and the nearest neighbour's (or "").

    `rank` is the true caption's among the modality's `captions`, 1 being best, their own
    probability taken out.
    """

    key: str
    files: tuple[File, ...]
    reference: str
    predicted: str
    neighbour: str
    correct: bool
    rank: int


@dataclass(frozen=True)
class Metric:
    """One score.

    None where a value means nothing: a score of one sample or of one candidate, or of likelihoods
    that are no numbers; a shuffled value where all captions are the same; no neighbour to ask.
    """

    name: str
    model: float | None
    shuffled: float | None
    neighbour: float | None


@dataclass(frozen=True)
class ModalityResult:
    """Scores of one modality.

    trained, held_out  its records on either side of the split
    captions           distinct captions of the samples that were scored, to choose from
    labels             whether it has so few captions that a whole one can be expected
    sources            records by the manifest's "source" ("real": 40), those without left out
    overlapping        held-out samples left out as trained on: "a.png is b.png"
    """

    modality: str
    trained: int
    held_out: int
    captions: int
    labels: bool
    sources: dict[str, int]
    metrics: tuple[Metric, ...]
    answers: tuple[Prediction, ...]
    overlapping: tuple[str, ...] = ()

    @property
    def scored(self) -> int:
        """How many held-out samples were asked about."""
        return len(self.answers)

    @property
    def named(self) -> Metric:
        """Accuracy: exact matches where the modality has few captions, else of head nouns."""
        return metric_called(LABEL if self.labels else NOUN, self.metrics)

    @property
    def interval(self) -> float:
        """Half the width of a rate's 95 % interval at its widest (a rate of one half)."""
        return 1.96 * math.sqrt(0.25 / max(1, self.scored))


@dataclass(frozen=True)
class Evaluation:
    """All scores of a run: of each modality, and `figures`, their means. `method` says how made."""

    modalities: tuple[ModalityResult, ...]
    metrics: tuple[Metric, ...]
    protocol: dict[str, str]

    @property
    def scored(self) -> int:
        """How many held-out samples were asked about, over all modalities."""
        return sum(result.scored for result in self.modalities)

    def modality(self, name: str) -> ModalityResult:
        """Return the result of the modality called `name`."""
        return next(result for result in self.modalities if result.modality == name)

    def metric(self, name: str, modality: str = "") -> Metric:
        """Return the figure called `name`, of one modality or the mean over all."""
        return metric_called(name, self.modality(modality).metrics if modality else self.metrics)

    def save(self, folder: Path, name: str = FILE) -> None:
        """Write evaluation.json, or a file of another name, whole or not at all."""
        write_text(folder / name, json.dumps(asdict(self), indent=1) + "\n")


def metric_called(name: str, metrics: tuple[Metric, ...]) -> Metric:
    """Return the figure called `name`; a LookupError says which there are."""
    found = {metric.name: metric for metric in metrics}
    if name not in found:
        raise LookupError(f"no figure {name!r}; there are {', '.join(found)}")
    return found[name]


def read_evaluated(path: Path) -> Evaluation | None:
    """Return a saved evaluation; None where there is none, or one of an older form."""
    if not path.is_file():
        return None
    try:
        return from_json(Evaluation, json.loads(path.read_text(encoding="utf-8")))
    except (PolysenseError, json.JSONDecodeError):
        return None  # it is made anew


def macro_average(modalities: tuple[ModalityResult, ...]) -> tuple[Metric, ...]:
    """Return each figure's mean over the modalities that have it, every modality counting equally.

    Median ranks are left out: modalities have different numbers of captions to choose from.
    """
    rows = {NAMED: [result.named for result in modalities]}
    for metric in (metric for result in modalities for metric in result.metrics):
        if not metric.name.startswith(RANK):
            rows.setdefault(metric.name, []).append(metric)
    return tuple(
        Metric(
            name,
            mean_of([metric.model for metric in found]),
            mean_of([metric.shuffled for metric in found]),
            mean_of([metric.neighbour for metric in found]),
        )
        for name, found in rows.items()
    )


def mean_of(values: list[float | None]) -> float | None:
    """Return the mean of values, or None unless all are there: it would be of others."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
