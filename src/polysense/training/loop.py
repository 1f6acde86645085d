"""The one training loop. Model, stage, data and objective are its arguments; it never asks which.

A step takes the samples that `order.at(step)` names, cut over processes and micro-batches, which
are read ahead; the loss of each label weighs the same wherever it lands (distributed.py sums over
processes). A loss or gradient that is not finite ends the training before it touches the weights.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator

from polysense.config import Stage
from polysense.data.chat import IGNORED
from polysense.model.polysense_model import PolysenseModel
from polysense.model.selection import freeze_all_but
from polysense.model.upm import UniversalProjection
from polysense.training.ahead import ReadAhead
from polysense.training.checkpoint import load_newest, remove_leftovers, save_checkpoint
from polysense.training.dataset import TrainingData
from polysense.training.distributed import scale_gradients, sum_gradients, summed_totals
from polysense.training.interruption import interruptible
from polysense.training.journal import Journal
from polysense.training.objectives import objective_named
from polysense.training.optimizer import clip_and_step, make_optimizer, set_learning_rate
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


class Step(NamedTuple):
    """What one step came to: mean loss per label in nats, the gradient's norm, and whether some
    process would stop after it."""

    loss: float
    norm: float
    stop: bool


def train_stage(model: PolysenseModel, run: StageRun, accelerator: Accelerator) -> None:
    """Train one stage to its end, from its newest whole checkpoint where there is one."""
    stage = run.stage
    learnt = freeze_all_but(model, stage.learn)
    train_mode(model, learnt)
    optimizer = make_optimizer(stage, learnt)
    if stage.copy_experts and isinstance(model.connector, UniversalProjection):
        model.connector.copy_expert()
    first = resume(run, learnt, optimizer, accelerator)
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
            taken = take_step(model, run, step, learnt, optimizer, accelerator, batches, stopped)
            done, seconds = step + 1, time.monotonic() - started
            rate, waited = optimizer.param_groups[0]["lr"], batches.waited - waited
            busy = time.process_time() - busy
            log.step(done, taken.loss, rate, taken.norm, seconds, waited, busy)
            last = done == run.steps
            if main and (done % stage.evaluate_every == 0 or last):
                log.held_out(done, held_out_losses(model, run.held_out, run.dtype, stage))
                train_mode(model, learnt)
            if main and (done % stage.checkpoint_every == 0 or last or taken.stop):
                save_checkpoint(run.folder, done, learnt, optimizer, run.notes)
            accelerator.wait_for_everyone()
            if taken.stop:
                raise KeyboardInterrupt
        if summed_totals(0.0, 0, bool(stopped), accelerator).stop:
            raise KeyboardInterrupt  # asked for while the last checkpoint was written


def resume(
    run: StageRun,
    learnt: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
) -> int:
    """Load the newest whole checkpoint; return its step. Damaged ones are named, then removed."""
    first, damaged = load_newest(run.folder, learnt, optimizer, run.notes)
    accelerator.wait_for_everyone()  # all have read before anything goes
    if accelerator.is_main_process:
        remove_leftovers(run.folder)
        for path, reason in damaged.items():
            print(
                f"{path} is damaged ({reason}) and removed: {run.stage.name} goes on from "
                f"step {first}",
                file=sys.stderr,
            )
            shutil.rmtree(path, ignore_errors=True)
    return first


def take_step(
    model: PolysenseModel,
    run: StageRun,
    step: int,
    learnt: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    batches: Iterator[Batch],
    stopped: Sequence[float] = (),
) -> Step:
    """One optimizer step, of which each label weighs the same, whichever process has it.

    `batches` gives this process's micro-batches of the step, those of `my_parts`; `stopped` has an
    entry once this process has been asked to stop.
    """
    objective = objective_named(run.stage.objective)
    picks = run.order.at(step)
    foreseen = len(picks) if objective.pairs else sum(label_count(run.data, p) for p in picks)
    set_learning_rate(optimizer, learning_rate(run.stage, step, run.steps))
    optimizer.zero_grad(set_to_none=True)
    loss, terms = torch.zeros(2, device=accelerator.device)
    for part, _ in my_parts(run, step, accelerator):
        batch = next(batches).to(accelerator.device)
        torch.manual_seed((run.seed * 1_000_003 + step) * 4099 + part)
        with torch.autocast(accelerator.device.type, run.dtype, enabled=run.dtype != torch.float32):
            total, count = objective.loss(model, batch)
        accelerator.backward(total / foreseen)
        loss += total.detach() / foreseen
        terms += count
    sum_gradients(learnt.values(), accelerator)
    totals = summed_totals(float(loss), int(terms), bool(stopped), accelerator)
    # A sample that stands in for an unreadable one has labels of its own number.
    factor = foreseen / totals.terms if totals.terms else 1.0
    scale_gradients(learnt.values(), factor)
    loss_per_term = totals.loss * factor
    keys = ", ".join(run.data.samples[pick.index].key for pick in picks[:3])
    where = f"stages.{run.stage.name}, step {step + 1} (samples {keys}, ...)"
    norm = clip_and_step(optimizer, learnt.values(), run.stage.clip, loss_per_term, where)
    return Step(loss_per_term, norm, totals.stop)


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


def train_mode(model: PolysenseModel, learnt: dict[str, torch.nn.Parameter]) -> None:
    """Put the parts that learn into training mode and all others into evaluation mode."""
    parts = {name.split(".")[0] for name in learnt}
    for name, part in model.named_children():
        part.train(name in parts)
