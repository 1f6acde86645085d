"""Room on the disk is checked before any work, and again before each checkpoint.

A disk that fills up on the second day costs the steps since the last checkpoint; how large
checkpoints become is known before the first step.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from polysense.config import Stage
from polysense.errors import PolysenseError
from polysense.model.trainable import select

SPARE = 2**24  # bytes for logs, headers, and what the file system keeps to itself
FP32 = 4  # bytes of a number: whatever is trainable is kept in fp32, and so are its moments
COPIES = 3  # a parameter and AdamW's two moments


def check_room(folder: Path, num_bytes: int, kept: str = "older checkpoints are whole") -> None:
    """Raise PolysenseError unless the disk of `folder` has room for so many bytes and a little."""
    home = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(home).free
    if free < num_bytes + SPARE:
        raise PolysenseError(
            f"the disk of {str(home)!r} has {readable_size(free)} free and "
            f"{readable_size(num_bytes + SPARE)} are needed ({kept}): make room, or give a --run "
            "folder on another disk; the same command goes on"
        )


def bytes_of_run(model: nn.Module, stages: tuple[Stage, ...], kept: int) -> int:
    """Return how many bytes the checkpoints of a run take at most, the saved model included.

    Each stage keeps `kept` of them; one more is written before the oldest is dropped.
    """
    sizes = [sum(p.numel() for p in select(model, stage.trainable).values()) for stage in stages]
    checkpoints = sum(sizes) * kept + max(sizes)
    trainable = {
        name: p.numel() for stage in stages for name, p in select(model, stage.trainable).items()
    }
    return FP32 * (COPIES * checkpoints + sum(trainable.values()))


def bytes_in(folder: Path) -> int:
    """Return how many bytes the files below a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def readable_size(num_bytes: float) -> str:
    """Return a number of bytes as a person would say it: "1.5 GB"."""
    unit, units = "bytes", iter(("kB", "MB", "GB", "TB"))
    while num_bytes >= 1000 and (larger := next(units, None)):
        num_bytes, unit = num_bytes / 1000, larger
    return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.1f} {unit}"
