"""What the processes of one training agree on: summed gradients, and one view of every step.

Sums are made by hand, for every trainable parameter, so that a process whose samples lack a
modality cannot hang the others. Losses, counts and the wish to stop travel together: one reduction
a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from accelerate import Accelerator


@dataclass(frozen=True)
class Totals:
    """Of one step, over all processes: the summed loss, its terms, and whether anyone would stop.

    A signal reaches processes in different steps: they end after the same one, or those that go on
    would wait for the others for ever.
    """

    loss: float
    terms: int
    stop: bool


def summed_totals(loss: float, terms: int, stop: bool, accelerator: Accelerator) -> Totals:
    """Return the sums of what each process has."""
    if accelerator.num_processes == 1:
        return Totals(loss, terms, stop)
    own = torch.tensor([loss, terms, float(stop)], dtype=torch.float32, device=accelerator.device)
    total, count, stops = torch.as_tensor(accelerator.reduce(own, "sum")).tolist()
    return Totals(total, round(count), stops > 0)


def sum_gradients(parameters: Iterable[torch.nn.Parameter], accelerator: Accelerator) -> None:
    """Sum gradients over processes; a parameter unused here takes part with zeros.

    One that no process used keeps none, as in a single process: weight decay leaves it alone.
    """
    if accelerator.num_processes == 1:
        return
    parameters = list(parameters)
    used = torch.tensor([float(p.grad is not None) for p in parameters])
    used = torch.as_tensor(accelerator.reduce(used.to(accelerator.device), "sum"))
    for parameter, users in zip(parameters, used.tolist(), strict=True):
        if not users:
            continue
        gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        parameter.grad = torch.as_tensor(accelerator.reduce(gradient, "sum"))


def scale_gradients(parameters: Iterable[torch.nn.Parameter], factor: float) -> None:
    """Multiply all gradients by `factor`; one of 1 leaves them bit for bit."""
    if factor == 1.0:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad *= factor
