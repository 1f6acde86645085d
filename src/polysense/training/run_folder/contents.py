"""A run's folder: what it must be, what it remembers of its run, and what may replace it.

A run that has a checkpoint promises the weights of an unbroken one, so it goes on with the same
config alone; one that never got so far has nothing to lose, and its folder is taken.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polysense.atomic_write import UNFINISHED, write_text
from polysense.config import RunConfig
from polysense.config.older_version import check_version
from polysense.config.overrides import from_json, to_json
from polysense.errors import PolysenseError
from polysense.training.run_folder.lock import FILE as LOCK
from polysense.training.run_folder.place import check_run_folder

RUN_FILE = "run.json"
STAGES = "stages"
MODEL_FILES = ("config.json", "model.safetensors")
NAMED = 4  # differing values that an error names


def read_run(folder: Path) -> RunConfig:
    """Read the resolved config of a run folder."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise PolysenseError(
            f"{str(folder)!r} is no run folder: it holds no {RUN_FILE}{import_hint(folder)}"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PolysenseError(f"{path} is damaged: {error}") from error
    check_version(values, path)
    return from_json(RunConfig, values)


def import_hint(folder: Path) -> str:
    """Say of a model without a run's config what can be done with it; "" of other folders."""
    if not finished(folder):
        return ""
    return (
        ". It is a model that was imported or saved: ask and describe read it; training cannot go "
        "on from it yet"
    )


def finished(folder: Path) -> bool:
    """Whether a run's training has come to its end."""
    return all((folder / name).is_file() for name in MODEL_FILES)


def has_begun(folder: Path) -> bool:
    """Whether a run has anything that training it anew would lose."""
    return finished(folder) or any((folder / STAGES).glob("*/step-*"))


def check_folder(folder: Path, config: RunConfig) -> None:
    """Check before any work that a folder can be a run's, and holds no run of another config.

    Nothing is written. Raises PolysenseError.
    """
    check_run_folder(folder)
    if not folder.is_dir():
        return
    if not (folder / RUN_FILE).is_file():
        if any(path.name != LOCK and UNFINISHED not in path.name for path in folder.iterdir()):
            raise PolysenseError(
                f"{str(folder)!r} is not empty and holds no run{import_hint(folder)}: give another "
                "--run folder"
            )
        return
    if not has_begun(folder):
        return
    if changed := changes(to_json(read_run(folder)), to_json(config)):
        more = f", and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        raise PolysenseError(
            f"{str(folder)!r} holds a run of another config: {', '.join(changed[:NAMED])}{more}. "
            f"`polysense train --run {folder}` goes on with the run as it is; give another --run "
            "folder to train this one"
        )


def create_run_folder(folder: Path, config: RunConfig) -> None:
    """Make the run folder and note the config; what a run without a checkpoint left goes."""
    path = folder / RUN_FILE
    if path.is_file() and not has_begun(folder):
        shutil.rmtree(folder / STAGES, ignore_errors=True)
        (folder / RUN_FILE).unlink()
    if not path.is_file():
        write_text(path, json.dumps(to_json(config), indent=2) + "\n")


def changes(before: Any, now: Any) -> list[str]:
    """Name the values of two configs that differ: "seed is 1 there and 2 here"."""
    old, new = dict(leaves(before)), dict(leaves(now))
    return [
        f"{name} is {shown(old, name)} there and {shown(new, name)} here"
        for name in dict.fromkeys([*old, *new])
        if old.get(name, ...) != new.get(name, ...)
    ]


def shown(values: dict[str, Any], name: str) -> str:
    """Return a value as JSON; "not given" where there is none."""
    return json.dumps(values[name]) if name in values else "not given"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("stages.alignment.epochs", 2) of nested JSON; stages go by their names."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {item.get("name", str(number)): item for number, item in enumerate(value)}
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for name, inner in value.items():
        yield from leaves(inner, f"{path}.{name}" if path else name)
