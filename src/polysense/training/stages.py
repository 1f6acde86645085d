"""Stages in order: alignment, instruction tuning, and whatever else a recipe names.

In: a RunConfig and a run folder. Out: the folder with one sub-folder a stage (checkpoints, log),
and at the end the trained model and its processor. Everything can be interrupted and continued by
the same call.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator
from rich.console import Console

from polysense.config import RunConfig, Stage
from polysense.config.overrides import to_json
from polysense.errors import unknown_name
from polysense.model.hub import compute_dtype
from polysense.training.forgetting import (
    ModalityScore,
    forgetting_table,
    note_scores,
    read_scores,
    score_modality,
)
from polysense.training.loop import StageRun, train_stage
from polysense.training.progress.plan import print_plan
from polysense.training.stage_data import TrainingContext, training_data


def stages_until(config: RunConfig, stop_after: str | None) -> tuple[Stage, ...]:
    """Return the stages of `config` up to the one called `stop_after`, or all."""
    names = [stage.name for stage in config.stages]
    if stop_after is None:
        return config.stages
    if stop_after not in names:
        raise unknown_name("stage", stop_after, names)
    return config.stages[: names.index(stop_after) + 1]


def train_stages(
    trainee: TrainingContext,
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
        known |= {sample.modalities for sample in run.data.samples}
        if (
            stage.evaluate_forgetting
            and accelerator.is_main_process
            and stage.name not in read_scores(folder)
        ):
            note_scores(folder, stage.name, known_scores(trainee, stage, known))
            console.print(forgetting_table(read_scores(folder)))
        model.config.trainable = sorted({*model.config.trainable, *stage.trainable})
    model.requires_grad_(False).eval()


def known_scores(trainee: TrainingContext, stage: Stage, known: set[str]) -> list[ModalityScore]:
    """Score every modality (or combination) known so far, prompted as in `stage`."""
    everything = replace(stage, modalities=())
    held_out = [replace(record, data=stage.data) for record in trainee.split.held_out]
    data = training_data(trainee, everything, held_out)  # of every stage's manifest
    found = [
        score_modality(trainee.model, trainee.processor, data, modality)
        for modality in sorted(known)
        if modality
    ]
    return [score for score in found if score]
