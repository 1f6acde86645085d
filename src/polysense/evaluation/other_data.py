"""Evaluating on data that a run was not trained with, or whose place has changed.

In: a manifest, and the run's config where it has one (an imported run has none). Out: records to
score, and records to find nearest neighbours among.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polysense.config import RunConfig
from polysense.data.datasets import Record, Split, read_manifest
from polysense.data.records import split_records
from polysense.errors import PolysenseError
from polysense.training.run_folder.contents import RUN_FILE, read_run
from polysense.training.stage_data import load_split


def config_of(folder: Path) -> RunConfig | None:
    """Return the config of a trained run; None of an imported one, which was not trained here."""
    return read_run(folder) if (folder / RUN_FILE).is_file() else None


def split_of_data(
    data: str, modalities: Sequence[str], config: RunConfig | None
) -> tuple[Split, str]:
    """Return what to score of `data`, and a sentence that says so.

    A manifest of the run's own name is the run's data at another place, split as it was. Of any
    other, all records are scored but those that say "split": "train"; neighbours are found among
    these, or else among the run's own training records, where they can still be read.
    """
    records = read_manifest(data, list(modalities))
    if config is not None and Path(data).name == Path(config.data.manifest).name:
        own = split_records(records, config.data.held_out)
        return own, f"{data} has the name of the run's data: its held-out records are scored"
    train = [record for record in records if record.split == "train"]
    held_out = [record for record in records if record.split != "train"]
    said = f"all {len(held_out)} records of {data} are scored"
    if train:
        said = f"the {len(held_out)} records of {data} that do not say train are scored"
    elif config is not None:
        train = training_records(config)
    return Split(train, held_out), said


def training_records(config: RunConfig) -> list[Record]:
    """Return the records a run was trained on; [] where they are not there any more."""
    try:
        return load_split(config).train
    except PolysenseError:
        return []


def result_file(data: str) -> str:
    """Return the name of the file beside evaluation.json that keeps a result on other data."""
    return f"evaluation-{Path(data).stem or 'data'}.json"
