"""The held-out loss during training, and its blind twin: the same pictures, shuffled.

A model that reads its signals has a lower loss than with somebody else's; the gap is the sense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from polysense.config import Stage
from polysense.model.polysense_model import PolysenseModel
from polysense.training.dataset import TrainingData
from polysense.training.objectives import objective_named
from polysense.training.order import Pick

MOST = 96  # held-out samples, spread evenly: a glance during training, not the evaluation


@dataclass(frozen=True)
class HeldOutLosses:
    """Mean loss per label, in nats: with the true signals, and with shuffled ones."""

    true: float
    blind: float


@torch.inference_mode()
def held_out_losses(
    model: PolysenseModel, data: TrainingData, dtype: torch.dtype, stage: Stage
) -> HeldOutLosses:
    """Score held-out samples by the stage's own objective; the model is left in eval mode."""
    model.eval()
    loss = objective_named(stage.objective).loss
    size = max(2, stage.batch_size)
    sums = {"true": 0.0, "blind": 0.0}
    labels = 0
    # View 0 of a cached signal is the signal itself, which is what pick.epoch + index selects here.
    indices = range(0, len(data), math.ceil(len(data) / MOST))
    starts = [s for s in range(0, len(indices), size) if len(indices) - s > 1]
    for start in starts:
        picks = [Pick(i, -i) for i in indices[start : start + size]]
        batch = data.batch(picks).to(model.device)
        with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
            total, count = loss(model, batch)
            for kind in ("signals", "features"):
                batch[kind] = {name: value.roll(1, dims=0) for name, value in batch[kind].items()}
            blind, _ = loss(model, batch)
        sums["true"] += float(total)
        sums["blind"] += float(blind)
        labels += int(count)
    return HeldOutLosses(sums["true"] / max(1, labels), sums["blind"] / max(1, labels))
