"""The validation loss, and its shuffled-input baseline: the same samples with others' signals.

A model that reads its signals has a lower loss with its own than with another sample's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from polysense.config import Stage
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.sampler import SampleIndex
from polysense.model.polysense_model import PolysenseModel
from polysense.training.forgetting import in_turn
from polysense.training.objectives import objective_named
from polysense.types import Batch, Text

MOST = 96  # held-out samples, spread evenly: a glance during training, not the evaluation


@dataclass(frozen=True)
class ValidationLosses:
    """Mean loss per label, in nats: with the true signals, and with shuffled ones.

    None where there is none: a lone signal has no stranger to be shuffled with, and a loss that
    compares samples of a batch says nothing of one.
    """

    true: float | None
    shuffled: float | None


@torch.inference_mode()
def validation_losses(
    model: PolysenseModel, data: TrainingData, dtype: torch.dtype, stage: Stage
) -> ValidationLosses:
    """Score held-out samples by the stage's own objective; the model is left in eval mode."""
    model.eval()
    objective = objective_named(stage.objective)
    sums, labels = {"true": 0.0, "shuffled": 0.0}, {"true": 0, "shuffled": 0}
    for indices in probe_batches(data, max(2, stage.batch_size)):
        if objective.pairs and len(indices) == 1:
            continue
        # View 0 of a cached signal is the signal itself: pick.epoch + index selects it here.
        batch = data.batch([SampleIndex(index, -index) for index in indices]).to(model.device)
        kinds = ["true", "shuffled"] if can_be_shuffled(batch) else ["true"]
        for kind in kinds:
            if kind == "shuffled":
                shuffle(batch)
            with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
                total, count = objective.loss(model, batch)
            sums[kind] += float(total)
            labels[kind] += int(count)
    means = {kind: sums[kind] / labels[kind] if labels[kind] else None for kind in sums}
    return ValidationLosses(**means)


def probe_batches(data: TrainingData, size: int) -> Iterator[list[int]]:
    """Yield the indices of at most `size` samples of one modality, `MOST` in all.

    Texts take turns, so that a neighbour's signal is seldom one of the same caption; no batch is of
    one sample, unless its modality has no other.
    """
    by_modality: dict[str, dict[str, list[int]]] = {}
    for index in range(0, len(data), math.ceil(len(data) / MOST)):
        sample = data.samples[index]
        said = repr([part for part in sample.messages[-1].parts if isinstance(part, Text)])
        by_modality.setdefault(sample.modalities, {}).setdefault(said, []).append(index)
    for groups in by_modality.values():
        indices = in_turn(list(groups.values()))
        count = max(1, min(math.ceil(len(indices) / size), len(indices) // 2))
        bounds = [len(indices) * number // count for number in range(count + 1)]
        yield from (indices[start:end] for start, end in pairwise(bounds))


def can_be_shuffled(batch: Batch) -> bool:
    """Whether a batch has signals, and of each modality more than one."""
    signals = [value for kind in ("signals", "features") for value in batch[kind].values()]
    return bool(signals) and all(len(value) > 1 for value in signals)


def shuffle(batch: Batch) -> None:
    """Give each place of a signal the signal before it."""
    for kind in ("signals", "features"):
        batch[kind] = {name: value.roll(1, dims=0) for name, value in batch[kind].items()}
