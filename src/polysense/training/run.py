"""A run from its config to a trained model in a folder: build, cache features, train, save.

The folder holds run.json (the resolved config), stages/ (checkpoints and logs), and at the end what
`PolysenseModel.from_pretrained(folder)` needs. The same call on the same folder continues.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console

from polysense.config import RunConfig
from polysense.data.processor import PolysenseProcessor
from polysense.data.templates import template_named
from polysense.errors import PolysenseError
from polysense.modalities import modality_class
from polysense.model.configuration import PolysenseConfig
from polysense.model.llm import load_reader, load_text_tokenizer
from polysense.model.polysense_model import PolysenseModel
from polysense.model.preprocessing import signal_options
from polysense.model.saving import fingerprints
from polysense.overrides import from_json, to_json
from polysense.training.allocator import keep_freed_memory
from polysense.training.beginning import begin, caption_reader, with_beginning
from polysense.training.features import FeatureCache
from polysense.training.stage_data import check_samples, resolve_tasks, split_of
from polysense.training.stages import (
    Trainee,
    check_stages,
    encoder_learns,
    fill_cache,
    finished,
    learning_senses,
    print_learning_table,
    stages_until,
    train_stages,
)
from polysense.training.unreadable import Unreadable
from polysense.writing import write_text

RUN_FILE = "run.json"


def resolve(config: RunConfig) -> RunConfig:
    """Fill in what the weights decide: the pictures an encoder wants, a Q-Former's sizes."""
    sources = config.model.sources
    senses = {
        name: {
            **signal_options(config.model.encoder, modality_class(sources.get(name, name))),
            **own,
        }
        for name, own in config.model.modalities.items()
    }
    return replace(config, model=with_beginning(replace(config.model, modalities=senses)))


def build(config: RunConfig) -> tuple[PolysenseModel, PolysenseProcessor]:
    """Build a new model and its processor."""
    llm, reader = config.model.llm, config.model.connector.reader
    text_tokenizer = load_text_tokenizer(llm.name, llm.revision, template_named(llm.template))
    model = PolysenseModel(PolysenseConfig(model=to_json(config.model)))
    begin(model)
    processor = PolysenseProcessor.for_model(
        model, text_tokenizer, config.model.system, load_reader(reader) if reader else None
    )
    processor.captions = caption_reader(config.model)
    model.config.placeholders = processor.placeholders
    model.config.fingerprints = fingerprints(model)
    return model, processor


def read_run(folder: Path) -> RunConfig:
    """Read the resolved config of a run folder."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise PolysenseError(f"{str(folder)!r} is no run folder: it holds no {RUN_FILE}")
    try:
        return from_json(RunConfig, json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise PolysenseError(f"{path} is damaged: {error}") from error


def claim(folder: Path, config: RunConfig) -> None:
    """Make the run folder and note the config; one of another config is left as it is."""
    path = folder / RUN_FILE
    if path.is_file():
        if to_json(read_run(folder)) != to_json(config):
            raise PolysenseError(
                f"{str(folder)!r} holds a run of another config (see {path}): give another --run "
                "folder, or delete it"
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise PolysenseError(f"{str(folder)!r} is not empty and holds no run: give another --run")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(to_json(config), indent=2) + "\n")


def train(
    config: RunConfig, folder: Path, cache_folder: Path | None = None, until: str | None = None
) -> Trainee:
    """Train a run, or continue it, to its end or `until` the end of the stage of that name.

    Returns the trained model with its data. Everything a user can get wrong is checked before the
    folder is made.
    """
    keep_freed_memory()
    console = Console(file=sys.stderr)
    config = resolve(config)
    split = split_of(config)
    config, said = resolve_tasks(config, split)
    # Without cpu=True accelerate takes no notice of torchrun on a machine without GPUs.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    torch.manual_seed(config.seed)  # of the connector; the data's order has its own (order.py)
    model, processor = build(config)
    check_stages(model, config)
    stages = stages_until(config, until)
    check_samples(model, processor, config, split)
    if accelerator.is_main_process:
        claim(folder, config)
    accelerator.wait_for_everyone()
    model.to(accelerator.device)
    total = len(split.train) + len(split.held_out)
    unreadable = Unreadable(folder, total, config.data.bad_share, console)
    cache = None
    if not encoder_learns(model, config):
        place = cache_folder or folder / "features"
        cache = FeatureCache(place, model, config.data.views, learning_senses(model, config))
        bad = fill_cache(cache, split.train + split.held_out, console)
        unreadable.note(bad)
        split = split.without(bad)
    if accelerator.is_main_process:
        console.print(*said, sep="\n", end="\n" if said else "")
        print_learning_table(model, config, console)
        console.print(f"{len(split.train)} samples to train on, {len(split.held_out)} held out")
    trainee = Trainee(model, processor, split, cache, unreadable.note)
    train_stages(trainee, config, stages, folder, accelerator)
    whole = stages == config.stages
    if whole and accelerator.is_main_process and not finished(folder):
        processor.save_pretrained(folder)
        model.save_pretrained(folder)
    accelerator.wait_for_everyone()
    return trainee
