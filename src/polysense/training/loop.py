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

from polysense.atomic_write import remove_unfinished
from polysense.config import Stage
from polysense.data.chat.chat_tokenizer import IGNORED
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.prefetch import Prefetcher
from polysense.data.loading.sampler import BalancedSampler, SampleIndex, grouped
from polysense.model.connectors.upm import UniversalProjection
from polysense.model.polysense_model import PolysenseModel
from polysense.model.trainable import freeze_all_but
from polysense.training.checkpoint import load_newest, save_checkpoint
from polysense.training.distributed import scale_gradients, sum_gradients, summed_totals
from polysense.training.interruption import interruptible
from polysense.training.objectives import objective_named
from polysense.training.optimizer import (
    clip_and_step,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from polysense.training.progress.metric_logger import MetricLogger
from polysense.training.validation import validation_losses
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
    def order(self) -> BalancedSampler:
        """The order of samples; one object, since it keeps the epoch's permutations."""
        modalities = [sample.modalities for sample in self.data.samples]
        groups = grouped(modalities) if self.stage.balance else (tuple(range(len(modalities))),)
        return BalancedSampler(groups, self.stage.batch_size, self.seed)

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
    trainable = freeze_all_but(model, stage.trainable)
    train_mode(model, trainable)
    optimizer = make_optimizer(stage, trainable)
    if stage.copy_experts and isinstance(model.connector, UniversalProjection):
        model.connector.copy_expert()
    first = resume(run, trainable, optimizer, accelerator)
    if first >= run.steps:
        return
    main = accelerator.is_main_process
    with (
        interruptible() as stopped,
        MetricLogger(run.folder, stage.name, first, run.steps, main) as log,
        read_ahead(run, first, accelerator) as batches,
    ):
        for step in range(first, run.steps):
            started, waited, busy = time.monotonic(), batches.waited, time.process_time()
            taken = train_step(
                model, run, step, trainable, optimizer, accelerator, batches, stopped
            )
            done, seconds = step + 1, time.monotonic() - started
            rate, waited = optimizer.param_groups[0]["lr"], batches.waited - waited
            busy = time.process_time() - busy
            log.step(done, taken.loss, rate, taken.norm, seconds, waited, busy)
            last = done == run.steps
            if main and (done % stage.evaluate_every == 0 or last):
                log.held_out(done, validation_losses(model, run.held_out, run.dtype, stage))
                train_mode(model, trainable)
            if main and (done % stage.checkpoint_every == 0 or last or taken.stop):
                save_checkpoint(run.folder, done, trainable, optimizer, run.notes)
            accelerator.wait_for_everyone()
            if taken.stop:
                raise KeyboardInterrupt
        if summed_totals(0.0, 0, bool(stopped), accelerator).stop:
            raise KeyboardInterrupt  # asked for while the last checkpoint was written


def resume(
    run: StageRun,
    trainable: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
) -> int:
    """Load the newest whole checkpoint; return its step. Damaged ones are named, then removed."""
    first, damaged = load_newest(run.folder, trainable, optimizer, run.notes)
    accelerator.wait_for_everyone()  # all have read before anything goes
    if accelerator.is_main_process:
        remove_unfinished(run.folder)
        for path, reason in damaged.items():
            print(
                f"{path} is damaged ({reason}) and removed: {run.stage.name} goes on from "
                f"step {first}",
                file=sys.stderr,
            )
            shutil.rmtree(path, ignore_errors=True)
    return first


def train_step(
    model: PolysenseModel,
    run: StageRun,
    step: int,
    trainable: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    batches: Iterator[Batch],
    stopped: Sequence[float] = (),
) -> Step:
    """One optimizer step, of which each label weighs the same, whichever process has it.

    `batches` gives this process's micro-batches of the step, those of `local_micro_batches`;
    `stopped` has an entry once this process has been asked to stop.
    """
    objective = objective_named(run.stage.objective)
    picks = run.order.at(step)
    foreseen = len(picks) if objective.pairs else sum(num_labels(run.data, p) for p in picks)
    set_learning_rate(optimizer, learning_rate(run.stage, step, run.steps))
    optimizer.zero_grad(set_to_none=True)
    loss, terms = torch.zeros(2, device=accelerator.device)
    for part, _ in local_micro_batches(run, step, accelerator):
        batch = next(batches).to(accelerator.device)
        torch.manual_seed((run.seed * 1_000_003 + step) * 4099 + part)
        with torch.autocast(accelerator.device.type, run.dtype, enabled=run.dtype != torch.float32):
            total, count = objective.loss(model, batch)
        accelerator.backward(total / foreseen)
        loss += total.detach() / foreseen
        terms += count
    sum_gradients(trainable.values(), accelerator)
    totals = summed_totals(float(loss), int(terms), bool(stopped), accelerator)
    # A sample that stands in for an unreadable one has labels of its own number.
    factor = foreseen / totals.terms if totals.terms else 1.0
    scale_gradients(trainable.values(), factor)
    loss_per_term = totals.loss * factor
    keys = ", ".join(run.data.samples[pick.index].key for pick in picks[:3])
    where = f"stages.{run.stage.name}, step {step + 1} (samples {keys}, ...)"
    norm = clip_and_step(
        optimizer, trainable.values(), run.stage.max_grad_norm, loss_per_term, where
    )
    return Step(loss_per_term, norm, totals.stop)


def local_micro_batches(
    run: StageRun, step: int, accelerator: Accelerator
) -> list[tuple[int, list[SampleIndex]]]:
    """Return this process's micro-batches of a step: (number of the part, its samples)."""
    picks = run.order.at(step)
    parts = accelerator.num_processes * run.stage.gradient_accumulation_steps
    mine = range(accelerator.process_index, parts, accelerator.num_processes)
    return [(part, picks[part::parts]) for part in mine if picks[part::parts]]


def read_ahead(
    run: StageRun, first: int, accelerator: Accelerator
) -> Prefetcher[list[SampleIndex], Batch]:
    """Return this process's micro-batches from step `first` on; threads read live signals."""
    wanted = (
        picks
        for step in range(first, run.steps)
        for _, picks in local_micro_batches(run, step, accelerator)
    )
    # Features of the cache lie in memory: a thread would cost more than it saves.
    return Prefetcher(run.data.batch, wanted, depth=4 if run.data.cache is None else 0)


def num_labels(data: TrainingData, pick: SampleIndex) -> int:
    """Return how many labels a sample has."""
    return sum(label != IGNORED for label in data.encoded[pick.index].labels[1:])


def train_mode(model: PolysenseModel, trainable: dict[str, torch.nn.Parameter]) -> None:
    """Put parts with trainable parameters into training mode, all others into evaluation mode."""
    parts = {name.split(".")[0] for name in trainable}
    for name, part in model.named_children():
        part.train(name in parts)
