"""Training checkpoints: everything a killed run needs to continue bit for bit.

A checkpoint is a folder `step-000200` with the trainable parameters, AdamW's moments, and the step;
the data order and random numbers follow from the step (sampler.py). It appears whole
or not at all (atomic_write.py). state.json
holds a checksum of every file, itself among them: a checkpoint that the disk has damaged is told,
and the one before it is taken. No pickle.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polysense.atomic_write import remove_unfinished, replacing_folder
from polysense.errors import PolysenseError
from polysense.training.run_folder.disk_room import check_room

KEPT = 2
STATE, WEIGHTS, OPTIMIZER = "state.json", "weights.safetensors", "optimizer.safetensors"
NAME = "step-"
CHUNK = 2**20


class DamagedCheckpoint(Exception):
    """A checkpoint that was written whole is so no more; the message says what is wrong."""


def save_checkpoint(
    folder: Path,
    step: int,
    trainable: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    notes: dict[str, Any],
) -> Path:
    """Write folder/step-N atomically, then drop all but the newest two. Returns its path.

    `notes` is what must agree when the run is resumed (config hash) and goes into state.json.
    Raises PolysenseError where the disk is full; the older checkpoints stay whole.
    """
    final = folder / f"{NAME}{step:06d}"
    remove_unfinished(folder)
    weights = {name: value.detach().cpu().contiguous() for name, value in trainable.items()}
    moments = optimizer_tensors(trainable, optimizer)
    check_room(folder, sum(t.nbytes for part in (weights, moments) for t in part.values()))
    try:
        with replacing_folder(final) as scratch:
            save_file(weights, scratch / WEIGHTS)
            save_file(moments, scratch / OPTIMIZER)
            write_state(scratch, {"step": step, **notes})
    except (PolysenseError, OSError) as error:
        kept = ", ".join(path.name for path in all_checkpoints(folder)) or "none"
        raise PolysenseError(
            f"{error}; older checkpoints are whole: {kept}. Make room and give "
            "the same command again"
        ) from error
    for old in all_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def write_state(folder: Path, values: dict[str, Any]) -> None:
    """Write state.json: `values`, the checksums of the other files, and that of the two."""
    sums = {path.name: file_checksum(path) for path in sorted(folder.iterdir())}
    state = {**values, "checksums": sums}
    state["checksum"] = state_checksum(state)
    (folder / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")


def all_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder by their steps, the oldest first."""
    found = [path for path in folder.glob(f"{NAME}*") if path.name[len(NAME) :].isdigit()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the step in a checkpoint's name."""
    return int(checkpoint.name[len(NAME) :])


def optimizer_tensors(
    trainable: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Flatten the optimizer's state to {"parameter name/moment": tensor}."""
    return {
        f"{name}/{moment}": value.detach().cpu().contiguous()
        for name, parameter in trainable.items()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }


def load_newest(
    folder: Path,
    trainable: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    notes: dict[str, Any],
) -> tuple[int, dict[Path, str]]:
    """Load the newest whole checkpoint into parameters and optimizer.

    Returns its step, 0 if there is none, and {checkpoint: what is wrong} of newer, damaged ones.
    Raises PolysenseError where the checkpoint belongs to another configuration.
    """
    damaged: dict[Path, str] = {}
    for path in reversed(all_checkpoints(folder)):
        try:
            state = read_state(path)
            check_notes(path, state, notes)
            weights, moments = load_file(path / WEIGHTS), load_file(path / OPTIMIZER)
        except (DamagedCheckpoint, SafetensorError, OSError) as error:
            damaged[path] = str(error)
            continue
        if set(weights) != set(trainable):
            raise PolysenseError(f"{path} holds other parameters than this stage trains")
        fill_in(trainable, optimizer, weights, moments)
        return int(state["step"]), damaged
    return 0, damaged


def fill_in(
    trainable: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, torch.Tensor],
    moments: Mapping[str, torch.Tensor],
) -> None:
    """Copy a checkpoint's tensors into parameters and the optimizer's state."""
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(weights[name])
    for key, value in moments.items():
        name, moment = key.rsplit("/", 1)
        parameter = trainable[name]
        place = "cpu" if moment == "step" else parameter.device
        optimizer.state[parameter][moment] = value.to(place)


def read_state(path: Path) -> dict[str, Any]:
    """Return a checkpoint's state.json; DamagedCheckpoint where a file is not as it was written."""
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        known = state["checksums"]
        whole = state.pop("checksum") == state_checksum(state)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"{STATE} is cut or changed") from error
    if not whole:
        raise DamagedCheckpoint(f"{STATE} is changed")
    for name in (WEIGHTS, OPTIMIZER):
        if file_checksum(path / name) != known.get(name):
            raise DamagedCheckpoint(f"{name} is cut or changed")
    return state


def check_notes(path: Path, state: dict[str, Any], notes: dict[str, Any]) -> None:
    """Check that a checkpoint was written under the same notes (config, data)."""
    for name, value in notes.items():
        if state.get(name) != value:
            raise PolysenseError(
                f"{path} was written with another {name}: give the run another --run folder"
            )


def state_checksum(state: dict[str, Any]) -> str:
    """Return CRC-32 over the values of a state."""
    return f"{zlib.crc32(json.dumps(state, sort_keys=True).encode()):08x}"


def file_checksum(path: Path) -> str:
    """Return CRC-32 over a file's bytes."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"
