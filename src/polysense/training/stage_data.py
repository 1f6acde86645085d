"""Which samples a stage is trained on, all of them known and rendered before any work.

In: the split's records. Out: those of the stage's own manifest, modalities and task. A stage
without samples and a line that cannot be rendered are errors here, before features and before a
folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from polysense.config import RunConfig, Stage
from polysense.data.datasets import read_manifest, split_records
from polysense.data.duplicates.exact import grouped_by_content
from polysense.data.loading.bad_samples import Note
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.feature_cache import FeatureCache
from polysense.data.processor import PolysenseProcessor
from polysense.data.prompts import samples_for, task_for
from polysense.data.records import Record, Split, first_file
from polysense.errors import PolysenseError
from polysense.modalities import build_modalities
from polysense.model.polysense_model import PolysenseModel
from polysense.model.trainable import named
from polysense.training.objectives import objective_named
from polysense.training.objectives.qformer_pretraining import check_one_signal
from polysense.training.progress.feature_progress import told
from polysense.types import Sample


def read_data(config: RunConfig) -> list[Record]:
    """Read the run's manifest and those of its stages.

    A file that several of them name is on one side of the split in all of them.
    """
    modalities = list(config.model.modalities)
    records = read_manifest(config.data.manifest, modalities)
    keys = {record.key for record in records}
    groups = {first_file(record): record.group or record.key for record in records if record.media}
    sides = {record.group or record.key: record.split for record in records if record.split}
    for manifest in dict.fromkeys(stage.data for stage in config.stages if stage.data):
        for record in read_manifest(manifest, modalities):
            own = record.group or record.key
            group = groups.setdefault(first_file(record), own) if record.media else own
            key = record.key if record.key not in keys else f"{manifest}: {record.key}"
            keys.add(key)
            side = sides.setdefault(group, record.split)
            records.append(replace(record, key=key, group=group, split=side, data=manifest))
    return records


def load_split(config: RunConfig) -> Split:
    """Read the manifests and split their records, duplicates on one side where that is asked."""
    records = read_data(config)
    if config.data.group_duplicates:
        modalities = build_modalities(config.model.modalities, config.model.sources)
        with told("duplicates", len(records), Console(file=sys.stderr)) as advance:
            records = grouped_by_content(records, modalities, lambda: advance(1))
    return split_records(records, config.data.held_out)


def resolve_tasks(config: RunConfig, split: Split) -> tuple[RunConfig, list[str]]:
    """Return the config with the tasks that its data allow, and a line for each that changed."""
    stages, said = [], []
    for stage in config.stages:
        records = [r for r in split.train + split.held_out if r.data == stage.data]
        task = task_for(stage.task, records)
        if task != stage.task:
            said.append(
                f"Stage {stage.name}: its data are conversations alone, so the first answer about "
                "a signal is its caption (task=answer)"
            )
        stages.append(replace(stage, task=task))
    return replace(config, stages=tuple(stages)), said


def records_of(model: PolysenseModel, stage: Stage, records: Sequence[Record]) -> list[Record]:
    """Return those of `records` that a stage is trained on: by manifest and modalities."""
    found = [record for record in records if record.data == stage.data]
    if stage.modalities:
        found = [r for r in found if all(m.modality in stage.modalities for m in r.media)]
    if not stage.multi_signal:
        found = [record for record in found if len(record.media) <= 1]
    if not any(named(f"llm.{name}", stage.trainable) for name, _ in model.llm.named_parameters()):
        found = [r for r in found if r.media]  # plain text teaches only the LLM
    return found


def samples_of(model: PolysenseModel, stage: Stage, records: Sequence[Record]) -> list[Sample]:
    """Return the samples of a stage; PolysenseError where there are none."""
    samples = samples_for(stage.task, records_of(model, stage, records), model.modalities)
    if not samples:
        raise no_samples(stage, "")
    return samples


def no_samples(stage: Stage, side: str) -> PolysenseError:
    """Return the error of a stage that has nothing to train on, with the ways out."""
    return PolysenseError(
        f"stage {stage.name!r} has no samples{side} of "
        f"{', '.join(stage.modalities) or 'any modality'} for its task {stage.task!r} (captions "
        "and documents serve task=caption, conversations "
        f"task=instruction and task=answer): leave it out with --skip-stage {stage.name}, or give "
        f"it data with --data {stage.name}=FILE"
    )


def check_samples(
    model: PolysenseModel, processor: PolysenseProcessor, config: RunConfig, split: Split
) -> None:
    """Render every sample of every stage; errors name the line, and come before any work."""
    for stage in config.stages:
        objective = objective_named(stage.objective)
        for side, records in ((" to train on", split.train), (" held out", split.held_out)):
            whole = []
            for record in records_of(model, stage, records):
                where = record.where or f"sample {record.key!r}"
                for sample in samples_for(stage.task, [record], model.modalities):
                    processor.chat.encode(sample.messages, stage.chat, where)
                    whole.append(sample)
            if not whole:
                raise no_samples(stage, side)
            if objective.pairs:
                check_one_signal(stage, whole)


@dataclass(frozen=True)
class TrainingContext:
    """What is being trained, and on what; `report` is told of signals that cannot be read."""

    model: PolysenseModel
    processor: PolysenseProcessor
    split: Split
    cache: FeatureCache | None
    report: Note | None = None


def training_data(trainee: TrainingContext, stage: Stage, records: list[Record]) -> TrainingData:
    """Return the batches of a stage's task over those of `records` that are of its modalities."""
    samples = samples_of(trainee.model, stage, records)
    objective = objective_named(stage.objective)
    # Instructions are read sample by sample, and packing changes the samples' order.
    alone = trainee.processor.instruction_tokenizer is not None or not objective.packs
    shared = stage.packing and not alone and trainee.model.capabilities.packed_form is not None
    packed_length = stage.packed_length if shared else None
    captions = None
    if objective.pairs:
        check_one_signal(stage, samples)
        captions = trainee.processor.captions
    return TrainingData(
        samples,
        trainee.processor,
        stage.chat,
        trainee.cache,
        packed_length,
        captions,
        trainee.report,
    )


def is_encoder_trainable(model: PolysenseModel, config: RunConfig) -> bool:
    """Whether some stage moves the encoder: then nothing before the connector can be cached."""
    return any(
        named(f"encoder.{name}", stage.trainable)
        for stage in config.stages
        for name, _ in model.encoder.named_parameters()
    )


def modalities_with_trainable_tokenizer(model: PolysenseModel, config: RunConfig) -> set[str]:
    """Return the modalities whose tokenizer is trained in some stage: their signals are cached."""
    return {
        modality
        for modality, tokenizer in model.tokenizers.items()
        for name, _ in tokenizer.named_parameters()
        for stage in config.stages
        if named(f"tokenizers.{modality}.{name}", stage.trainable)
    }
