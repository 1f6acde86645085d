"""Training checkpoints: everything a killed run needs to continue bit for bit.

A checkpoint is a folder `step-000200` with what the stage learns, AdamW's moments, and the step;
the data order and random numbers follow from the step (order.py). It is written under another name,
flushed to the disk and renamed, so that a folder with its final name is whole. No pickle.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from polysense.errors import PolysenseError

KEPT = 2


def save_checkpoint(
    folder: Path,
    step: int,
    learnt: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    notes: dict[str, Any],
) -> Path:
    """Write folder/step-N atomically, then drop all but the newest two. Returns its path.

    `notes` is what must agree when the run is resumed (config hash) and goes into state.json.
    """
    final = folder / f"step-{step:06d}"
    scratch = folder / f".writing-{step:06d}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in learnt.items()}
    save_file(weights, scratch / "weights.safetensors")
    save_file(optimizer_tensors(learnt, optimizer), scratch / "optimizer.safetensors")
    (scratch / "state.json").write_text(json.dumps({"step": step, **notes}, indent=2) + "\n")
    for path in scratch.iterdir():
        flush(path)
    shutil.rmtree(final, ignore_errors=True)
    scratch.replace(final)
    flush(folder)
    for old in complete_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def flush(path: Path) -> None:
    """Have the disk hold what was written to a file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def complete_checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints of a folder, oldest first; half-written ones do not count."""
    return sorted(path.parent for path in folder.glob("step-*/state.json"))


def optimizer_tensors(
    learnt: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Flatten the optimizer's state to {"parameter name/moment": tensor}."""
    return {
        f"{name}/{moment}": value.detach().cpu().contiguous()
        for name, parameter in learnt.items()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }


def load_newest(
    folder: Path,
    learnt: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    notes: dict[str, Any],
) -> int:
    """Load the newest checkpoint into parameters and optimizer; return its step, 0 if none.

    Raises PolysenseError where the checkpoint belongs to another configuration.
    """
    checkpoints = complete_checkpoints(folder)
    if not checkpoints:
        return 0
    newest = checkpoints[-1]
    state = json.loads((newest / "state.json").read_text())
    for name, value in notes.items():
        if state.get(name) != value:
            raise PolysenseError(
                f"{newest} was written with another {name}: give the run another --run folder, or "
                "delete it to start anew"
            )
    weights = load_file(newest / "weights.safetensors")
    if set(weights) != set(learnt):
        raise PolysenseError(f"{newest} holds other parameters than this stage learns")
    with torch.no_grad():
        for name, parameter in learnt.items():
            parameter.copy_(weights[name])
    moments = load_file(newest / "optimizer.safetensors")
    for key, value in moments.items():
        name, moment = key.rsplit("/", 1)
        parameter = learnt[name]
        place = "cpu" if moment == "step" else parameter.device
        optimizer.state[parameter][moment] = value.to(place)
    return int(state["step"])
