"""The one training loop. Model, stage, data and objective are its arguments; it never asks which.

A step takes the samples that `order.at(step)` names, cut over processes and micro-batches, which
are read ahead; the loss of each label weighs the same wherever it lands. Gradients are summed over
processes by hand, for every learnt parameter, so that a process whose samples lack a sense cannot
hang the others.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from polysense.config import Stage
from polysense.data.chat import IGNORED
from polysense.model.polysense_model import PolysenseModel
from polysense.model.selection import freeze_all_but
from polysense.model.upm import UniversalProjection
from polysense.training.ahead import ReadAhead
from polysense.training.checkpoint import load_newest, save_checkpoint
from polysense.training.dataset import TrainingData
from polysense.training.journal import Journal
from polysense.training.objectives import objective_named
from polysense.training.order import Order, Pick, grouped, learning_rate
from polysense.training.probe import held_out_losses
from polysense.types import Batch


@dataclass(frozen=True)
class StageRun:
    """All that one stage is trained with."""

    stage: Stage
    data: TrainingData
    held_out: TrainingData
    folder: Path
    seed: int
    dtype: torch.dtype
    notes: dict[str, Any]

    @cached_property
    def order(self) -> Order:
        """The order of samples; one object, since it keeps the epoch's permutations."""
        senses = [sample.senses for sample in self.data.samples]
        groups = grouped(senses) if self.stage.balance else (tuple(range(len(senses))),)
        return Order(groups, self.stage.batch_size, self.seed)

    @cached_property
    def steps(self) -> int:
        """How many optimizer steps the stage takes."""
        return self.stage.steps or self.order.steps(self.stage.epochs)


def train_stage(model: PolysenseModel, run: StageRun, accelerator: Accelerator) -> None:
    """Train one stage to its end, from its newest checkpoint where there is one."""
    stage = run.stage
    learnt = freeze_all_but(model, stage.learn)
    train_mode(model, learnt)
    optimizer = torch.optim.AdamW(
        learnt.values(),
        lr=stage.learning_rate,
        betas=stage.betas,
        weight_decay=stage.weight_decay,
        fused=True,
    )
    if stage.copy_experts and isinstance(model.connector, UniversalProjection):
        model.connector.copy_expert()
    first = load_newest(run.folder, learnt, optimizer, run.notes)
    if first >= run.steps:
        return
    main = accelerator.is_main_process
    with (
        interruptible() as stopped,
        Journal(run.folder, stage.name, first, run.steps, main) as log,
        read_ahead(run, first, accelerator) as batches,
    ):
        for step in range(first, run.steps):
            started, waited, busy = time.monotonic(), batches.waited, time.process_time()
            loss, norm = take_step(model, run, step, learnt, optimizer, accelerator, batches)
            done, seconds = step + 1, time.monotonic() - started
            rate, waited = optimizer.param_groups[0]["lr"], batches.waited - waited
            busy = time.process_time() - busy
            log.step(done, loss, rate, norm, seconds, waited, busy)
            last = done == run.steps
            if main and (done % stage.evaluate_every == 0 or last):
                log.held_out(done, held_out_losses(model, run.held_out, run.dtype, stage))
                train_mode(model, learnt)
            if main and (done % stage.checkpoint_every == 0 or last or stopped):
                save_checkpoint(run.folder, done, learnt, optimizer, run.notes)
            accelerator.wait_for_everyone()
            if stopped and not last:
                raise KeyboardInterrupt


def take_step(
    model: PolysenseModel,
    run: StageRun,
    step: int,
    learnt: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    batches: Iterator[Batch],
) -> tuple[float, float]:
    """One optimizer step; returns the mean loss per label in nats and the gradient's norm.

    `batches` gives this process's micro-batches of the step, those of `my_parts`.
    """
    objective = objective_named(run.stage.objective)
    picks = run.order.at(step)
    terms = len(picks) if objective.pairs else sum(label_count(run.data, pick) for pick in picks)
    rate = learning_rate(run.stage, step, run.steps)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss = torch.zeros((), device=accelerator.device)
    for part, _ in my_parts(run, step, accelerator):
        batch = next(batches).to(accelerator.device)
        torch.manual_seed((run.seed * 1_000_003 + step) * 4099 + part)
        with torch.autocast(accelerator.device.type, run.dtype, enabled=run.dtype != torch.float32):
            total, _ = objective.loss(model, batch)
        accelerator.backward(total / terms)
        loss += total.detach() / terms
    if accelerator.num_processes > 1:
        sum_gradients(learnt, accelerator)
        loss = torch.as_tensor(accelerator.reduce(loss, "sum"))
    norm = torch.nn.utils.clip_grad_norm_(learnt.values(), run.stage.clip)
    optimizer.step()
    return float(loss), float(norm)


def my_parts(run: StageRun, step: int, accelerator: Accelerator) -> list[tuple[int, list[Pick]]]:
    """Return this process's micro-batches of a step: (number of the part, its samples)."""
    picks = run.order.at(step)
    parts = accelerator.num_processes * run.stage.accumulation
    mine = range(accelerator.process_index, parts, accelerator.num_processes)
    return [(part, picks[part::parts]) for part in mine if picks[part::parts]]


def read_ahead(run: StageRun, first: int, accelerator: Accelerator) -> ReadAhead[list[Pick], Batch]:
    """Return this process's micro-batches from step `first` on; threads read live signals."""
    wanted = (
        picks for step in range(first, run.steps) for _, picks in my_parts(run, step, accelerator)
    )
    # Features of the cache lie in memory: a thread would cost more than it saves.
    return ReadAhead(run.data.batch, wanted, depth=4 if run.data.cache is None else 0)


def label_count(data: TrainingData, pick: Pick) -> int:
    """Return how many labels a sample has."""
    return sum(label != IGNORED for label in data.encoded[pick.index].labels[1:])


def sum_gradients(learnt: dict[str, torch.nn.Parameter], accelerator: Accelerator) -> None:
    """Sum gradients over processes; a parameter unused here takes part with zeros.

    One that no process used keeps none, as in a single process: weight decay leaves it alone.
    """
    used = torch.tensor([float(p.grad is not None) for p in learnt.values()])
    used = torch.as_tensor(accelerator.reduce(used.to(accelerator.device), "sum"))
    for parameter, users in zip(learnt.values(), used.tolist(), strict=True):
        if not users:
            continue
        gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        parameter.grad = torch.as_tensor(accelerator.reduce(gradient, "sum"))


def train_mode(model: PolysenseModel, learnt: dict[str, torch.nn.Parameter]) -> None:
    """Put the parts that learn into training mode and all others into evaluation mode."""
    parts = {name.split(".")[0] for name in learnt}
    for name, part in model.named_children():
        part.train(name in parts)


@contextmanager
def interruptible() -> Iterator[list[bool]]:
    """Turn Ctrl-C and SIGTERM into a mark that the loop reads between steps (a list, once filled).

    The second signal ends the program as usual.
    """
    stopped: list[bool] = []
    previous = {}

    def mark(number: int, _: Any) -> None:
        stopped.append(True)
        signal.signal(number, previous[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, mark)
    except ValueError:
        pass  # not the main thread: signals are somebody else's
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
