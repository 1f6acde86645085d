"""The optimizer: AdamW, which parameters decay, and one step of it.

Weight decay pulls matrices towards 0, which regularises what they compute. A norm's scale, a bias,
a query, a tag, a gate or a temperature computes nothing of the kind: at 0 it is off, not simple.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from torch import nn

from polysense.config import Stage
from polysense.errors import PolysenseError
from polysense.model.trainable import named

# What matrices are called that inputs are multiplied with: "weight", "gate_up_proj", "wq". Of other
# tensors (queries, positions, latents, marks) the shape alone tells nothing.
MATRIX = re.compile(r"weight|.*_weight|.*_proj|w[a-z0-9]")


def make_optimizer(stage: Stage, trainable: dict[str, nn.Parameter]) -> torch.optim.AdamW:
    """Return AdamW over `trainable`: a group that decays, and one that does not."""
    decaying = {
        name
        for name, value in trainable.items()
        if decays(name, value) or named(name, stage.also_decay)
    }
    groups = [
        {"params": [value for name, value in trainable.items() if (name in decaying) is flag],
         "weight_decay": stage.weight_decay if flag else 0.0}
        for flag in (True, False)
    ]  # fmt: skip
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=stage.learning_rate,
        betas=stage.betas,
        fused=True,
    )


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay is for a parameter: a matrix, or a stack of them, one an expert."""
    return parameter.ndim > 1 and MATRIX.fullmatch(name.rpartition(".")[2]) is not None


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Have the next step taken at `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_and_step(
    optimizer: torch.optim.Optimizer,
    parameters: Iterable[nn.Parameter],
    max_norm: float,
    loss: float,
    where: str,
) -> float:
    """Clip the gradients to `max_norm` and take the step; return their norm before.

    Raises PolysenseError, and leaves the weights as they are, where loss or norm is not finite.
    """
    norm = float(nn.utils.clip_grad_norm_(parameters, max_norm))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise PolysenseError(
            f"{where}: the loss is {loss:.3g} and the gradient's norm {norm:.3g}, which is no "
            "number to learn from; the last checkpoint is kept. Give a new --run folder a lower "
            "learning_rate, or more warmup, or precision=fp32, or look at the samples of the step"
        )
    optimizer.step()
    return norm


def learning_rate(stage: Stage, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to `min_learning_rate` (step counted from 0)."""
    warm = math.ceil(stage.warmup_ratio * steps)
    if step < warm:
        return stage.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    swing = 0.5 * (1 + math.cos(math.pi * progress))
    return stage.min_learning_rate + (stage.learning_rate - stage.min_learning_rate) * swing
