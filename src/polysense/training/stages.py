"""Stages in order: alignment, instruction tuning, and whatever else a recipe names.

In: a RunConfig and a run folder. Out: the folder with one sub-folder a stage (checkpoints, log),
and at the end the trained model and its processor. Everything can be interrupted and continued by
the same call.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator, PartialState
from rich.console import Console
from rich.table import Table

from polysense.config import RunConfig, Stage
from polysense.data.datasets import Record, Split
from polysense.data.processor import PolysenseProcessor
from polysense.data.tasks import samples_for
from polysense.errors import PolysenseError, unknown_name
from polysense.model.decoder import packed_form
from polysense.model.llm import compute_dtype
from polysense.model.polysense_model import PolysenseModel
from polysense.model.selection import named, select
from polysense.model.upm import UniversalProjection
from polysense.overrides import to_json
from polysense.training.dataset import TrainingData
from polysense.training.features import FeatureCache
from polysense.training.forgetting import (
    SenseScore,
    forgetting_table,
    note_scores,
    read_scores,
    score_sense,
)
from polysense.training.loop import StageRun, train_stage
from polysense.training.objectives import objective_named
from polysense.training.objectives.paired import check_one_signal, check_pairs
from polysense.training.plan import print_plan
from polysense.training.stage_data import samples_of
from polysense.training.unreadable import Note


@dataclass(frozen=True)
class Trainee:
    """What is being trained, and on what; `note` is told of signals that cannot be read."""

    model: PolysenseModel
    processor: PolysenseProcessor
    split: Split
    cache: FeatureCache | None
    note: Note | None = None


def check_stages(model: PolysenseModel, config: RunConfig) -> None:
    """Check before any work that every stage's names mean something."""
    for stage in config.stages:
        select(model, stage.learn)
        samples_for(stage.task, [], model.modalities)
        objective = objective_named(stage.objective)
        if objective.inline and not model.interaction.inline:
            raise PolysenseError(
                f"stages.{stage.name}.objective={stage.objective}: with interaction.kind="
                f"{config.model.interaction.kind} no embeddings stand in the text; use next_token"
            )
        if objective.pairs:
            check_pairs(model, stage, PartialState().num_processes)
        if stage.copy_experts and not isinstance(model.connector, UniversalProjection):
            raise PolysenseError(
                f"stages.{stage.name}.copy_experts: a connector of kind "
                f"{config.model.connector.kind!r} has no experts; use upm"
            )
        for sense in stage.senses:
            if sense not in model.modalities:
                raise unknown_name(f"sense in stages.{stage.name}.senses", sense, model.modalities)


def learning_table(model: PolysenseModel, config: RunConfig) -> list[tuple[str, int, str, str]]:
    """Return rows (part, parameters, learnt in stages, of them learnt)."""
    rows = []
    for part, module in model.named_children():
        sizes = {f"{part}.{name}": p.numel() for name, p in module.named_parameters()}
        if not sizes:
            continue
        learnt = {
            s.name: sum(n for name, n in sizes.items() if named(name, s.learn))
            for s in config.stages
        }
        stages = ", ".join(name for name, count in learnt.items() if count) or "frozen"
        counts = ", ".join(f"{count:,}" for count in learnt.values() if count) or "-"
        rows.append((part, sum(sizes.values()), stages, counts))
    return rows


def print_learning_table(model: PolysenseModel, config: RunConfig, console: Console) -> None:
    """Print what learns and what is frozen, before step 1."""
    table = Table(title="What learns")
    for column in ("part", "parameters", "learns in", "of them learning"):
        table.add_column(column, justify="right" if column == "parameters" else "left")
    for part, size, stages, learnt in learning_table(model, config):
        table.add_row(part, f"{size:,}", stages, learnt)
    console.print(table)


def stages_until(config: RunConfig, until: str | None) -> tuple[Stage, ...]:
    """Return the stages of `config` up to the one called `until`, or all."""
    names = [stage.name for stage in config.stages]
    if until is None:
        return config.stages
    if until not in names:
        raise unknown_name("stage", until, names)
    return config.stages[: names.index(until) + 1]


def train_stages(
    trainee: Trainee,
    config: RunConfig,
    stages: tuple[Stage, ...],
    folder: Path,
    accelerator: Accelerator,
) -> None:
    """Train `stages`, the first or all of `config`, in order, each from its newest checkpoint."""
    model, known = trainee.model, set()
    console = Console(file=sys.stderr)
    digest = hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode()).hexdigest()[:16]
    runs = [
        StageRun(
            stage=stage,
            data=training_data(trainee, stage, trainee.split.train),
            held_out=training_data(trainee, stage, trainee.split.held_out),
            folder=folder / "stages" / stage.name,
            seed=config.seed,
            dtype=compute_dtype(config.model.precision),
            notes={"config": digest},
        )
        for stage in stages
    ]
    if accelerator.is_main_process:
        print_plan(runs, console)
    for run in runs:
        stage = run.stage
        train_stage(model, run, accelerator)
        known |= {sample.senses for sample in run.data.samples}
        if stage.score and accelerator.is_main_process and stage.name not in read_scores(folder):
            note_scores(folder, stage.name, known_scores(trainee, stage, known))
            console.print(forgetting_table(read_scores(folder)))
        model.config.learnt = sorted({*model.config.learnt, *stage.learn})
    model.requires_grad_(False).eval()


def training_data(trainee: Trainee, stage: Stage, records: list[Record]) -> TrainingData:
    """Return the batches of a stage's task over those of `records` that are of its senses."""
    samples = samples_of(trainee.model, stage, records)
    objective = objective_named(stage.objective)
    # Instructions are read sample by sample, and packing changes the samples' order.
    alone = trainee.processor.instruction_tokenizer is not None or not objective.packs
    shared = stage.packing and not alone and packed_form(trainee.model.llm)
    row_tokens = stage.row_tokens if shared else None
    captions = None
    if objective.pairs:
        check_one_signal(stage, samples)
        captions = trainee.processor.captions
    return TrainingData(
        samples,
        trainee.processor,
        stage.chat,
        trainee.cache,
        row_tokens,
        captions,
        trainee.note,
    )


def known_scores(trainee: Trainee, stage: Stage, known: set[str]) -> list[SenseScore]:
    """Score every sense (or combination of senses) known so far, asked as in `stage`."""
    everything = replace(stage, senses=())
    held_out = [replace(record, data=stage.data) for record in trainee.split.held_out]
    data = training_data(trainee, everything, held_out)  # of every stage's manifest
    found = [
        score_sense(trainee.model, trainee.processor, data, sense)
        for sense in sorted(known)
        if sense
    ]
    return [score for score in found if score]


def encoder_learns(model: PolysenseModel, config: RunConfig) -> bool:
    """Whether some stage moves the encoder: then nothing before the connector can be cached."""
    return any(
        named(f"encoder.{name}", stage.learn)
        for stage in config.stages
        for name, _ in model.encoder.named_parameters()
    )


def learning_senses(model: PolysenseModel, config: RunConfig) -> set[str]:
    """Return the senses whose tokenizer learns in some stage: of them, signals are cached."""
    return {
        modality
        for modality, tokenizer in model.tokenizers.items()
        for name, _ in tokenizer.named_parameters()
        for stage in config.stages
        if named(f"tokenizers.{modality}.{name}", stage.learn)
    }
