"""A run from its config to a trained model in a folder: build, cache features, train, save.

The folder holds run.json (the resolved config), data.json (what it is trained on), stages/
(checkpoints and logs), and at the end what `PolysenseModel.from_pretrained(folder)` needs. The same
call on the same folder continues.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from rich.console import Console

from polysense.atomic_write import remove_unfinished
from polysense.config import RunConfig
from polysense.config.overrides import from_json, to_json
from polysense.data.chat.chat_templates import template_named
from polysense.data.chat.template_checks import check_template
from polysense.data.loading.bad_samples import BadSamples
from polysense.data.loading.feature_cache import FeatureCache
from polysense.data.processor import PolysenseProcessor
from polysense.data.records import Split
from polysense.errors import PolysenseError
from polysense.importers.qformer_init import caption_tokenizer, init_qformer, with_qformer_init
from polysense.modalities import modality_class
from polysense.model.configuration import PolysenseConfig
from polysense.model.encoders.image_preprocessing import signal_options
from polysense.model.llm.load import stop_at
from polysense.model.llm.text_tokenizer import load_instruction_tokenizer, load_text_tokenizer
from polysense.model.polysense_model import PolysenseModel
from polysense.model.pretrained.references import fingerprints
from polysense.training.allocator import keep_freed_memory
from polysense.training.checkpoint import KEPT
from polysense.training.named_parts import check_names
from polysense.training.progress.feature_progress import fill_cache
from polysense.training.run_folder.contents import (
    RUN_FILE,
    STAGES,
    check_folder,
    create_run_folder,
    finished,
    has_begun,
)
from polysense.training.run_folder.data_record import (
    check_data,
    read_data_record,
    record_data,
    write_data_record,
)
from polysense.training.run_folder.disk_room import bytes_in, bytes_of_run, check_room
from polysense.training.run_folder.lock import locked
from polysense.training.stage_checks import check_stages, print_trainable_table
from polysense.training.stage_data import (
    TrainingContext,
    check_samples,
    is_encoder_trainable,
    load_split,
    modalities_with_trainable_tokenizer,
    resolve_tasks,
)
from polysense.training.stages import stages_until, train_stages

FEATURES = "features"  # where features are kept that are no other run's


def resolve(config: RunConfig) -> RunConfig:
    """Fill in what the weights decide: the image size of an encoder, a Q-Former's sizes.

    Numbers become what run.json gives back (epochs=10 is 10.0): a checkpoint knows its config by a
    hash, and `train --run` reads it there.
    """
    check_parts(config)
    sources = config.model.sources
    modalities = {
        name: {
            **signal_options(config.model.encoder, modality_class(sources.get(name, name))),
            **own,
        }
        for name, own in config.model.modalities.items()
    }
    model = with_qformer_init(replace(config.model, modalities=modalities))
    return from_json(RunConfig, to_json(replace(config, model=model)))


def check_parts(config: RunConfig) -> None:
    """Check that LLM and encoder are no runs of Polysense."""
    for part in ("llm", "encoder"):
        name = getattr(config.model, part).name
        if is_run(name):
            raise PolysenseError(
                f"model.{part}.name={name!r} is a run of Polysense, and no run can grow out of "
                f"another yet: name the {part} it was made of (`polysense describe {name}`); "
                f"`polysense train --run {name}` goes on with that run itself"
            )


def is_run(name: str | None) -> bool:
    """Whether `name` is the folder of a run or of a saved model of ours."""
    if not name or not Path(name).is_dir():
        return False
    try:
        values = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return (Path(name) / RUN_FILE).is_file()
    return isinstance(values, dict) and values.get("model_type") == PolysenseConfig.model_type


def build(config: RunConfig) -> tuple[PolysenseModel, PolysenseProcessor]:
    """Build a new model and its processor."""
    llm, reader = config.model.llm, config.model.connector.instruction_tokenizer
    text_tokenizer = load_text_tokenizer(llm.name, llm.revision, template_named(llm.template))
    model = PolysenseModel(PolysenseConfig(model=to_json(config.model)))
    init_qformer(model)
    processor = PolysenseProcessor.for_model(
        model,
        text_tokenizer,
        config.model.system,
        load_instruction_tokenizer(reader) if reader else None,
    )
    processor.captions = caption_tokenizer(config.model)
    model.config.placeholders = processor.placeholders
    model.config.fingerprints = fingerprints(model)
    return model, processor


def train(
    config: RunConfig, folder: Path, cache_folder: Path | None = None, stop_after: str | None = None
) -> TrainingContext:
    """Train a run, or continue it, to its end or to that of the stage `stop_after`.

    Returns the trained model with its data. Everything a user can get wrong is checked before the
    folder is made.
    """
    keep_freed_memory()
    check_names(config, stop_after)
    console = Console(file=sys.stderr)
    config = resolve(config)
    split = load_split(config)
    config, said = resolve_tasks(config, split)
    check_folder(folder, config)
    # Without cpu=True accelerate takes no notice of torchrun on a machine without GPUs.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    torch.manual_seed(config.seed)  # of the connector; the data's order has its own (sampler.py)
    model, processor = build(config)
    check_stages(model, config)
    check_template(processor.chat, config.model.llm.name)
    stop_at(model.llm, processor.chat.ends)
    stages = stages_until(config, stop_after)
    check_samples(model, processor, config, split)
    with ExitStack() as stack:
        if accelerator.is_main_process:
            console.print(*said, sep="\n", end="\n" if said else "")
            if not finished(folder):
                room = bytes_of_run(model, config.stages, KEPT) - bytes_in(folder / STAGES)
                check_room(folder, room, "for the run's checkpoints")
            stack.enter_context(taken(folder, config, split))
        accelerator.wait_for_everyone()
        model.to(accelerator.device)
        trainee = prepare(config, folder, cache_folder, model, processor, split, console)
        train_stages(trainee, config, stages, folder, accelerator)
        whole = stages == config.stages
        if whole and accelerator.is_main_process and not finished(folder):
            processor.save_pretrained(folder)
            model.save_pretrained(folder)
        accelerator.wait_for_everyone()
    return trainee


@contextmanager
def taken(folder: Path, config: RunConfig, split: Split) -> Iterator[None]:
    """Hold the run folder for this process, with the config and the data noted in it."""
    begun = has_begun(folder)
    before = read_data_record(folder) if begun else None
    data = record_data(split, before)
    check_data(folder, data, before)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PolysenseError(f"{str(folder)!r} cannot be made: {error.strerror}") from error
    with locked(folder):
        check_folder(folder, config)  # another process may have been here since
        for place in (folder, folder / FEATURES, *folder.glob(f"{STAGES}/*")):
            remove_unfinished(place)
        create_run_folder(folder, config)
        write_data_record(folder, data)
        yield


def prepare(
    config: RunConfig,
    folder: Path,
    cache_folder: Path | None,
    model: PolysenseModel,
    processor: PolysenseProcessor,
    split: Split,
    console: Console,
) -> TrainingContext:
    """Compute the features, if the encoder is frozen, and leave out what cannot be read."""
    total = len(split.train) + len(split.held_out)
    unreadable = BadSamples(folder, total, config.data.max_bad_fraction, console)
    cache = None
    if not is_encoder_trainable(model, config):
        place = cache_folder or folder / FEATURES
        cache = FeatureCache(
            place, model, config.data.views, modalities_with_trainable_tokenizer(model, config)
        )
        bad = fill_cache(cache, split.train + split.held_out, console)
        unreadable.report(bad)
        split = split.without(bad)
    if PartialState().is_main_process:
        print_trainable_table(model, config, console)
        console.print(f"{len(split.train)} samples to train on, {len(split.held_out)} held out")
    return TrainingContext(model, processor, split, cache, unreadable.report)
