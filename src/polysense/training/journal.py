"""What a stage tells while it runs: a progress line, a JSONL log, TensorBoard.

On resume, log lines after the checkpoint are dropped first: the curve has each step once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard import SummaryWriter

from polysense.training.probe import HeldOutLosses
from polysense.writing import write_text

LOG = "log.jsonl"


def progress_bar(console: Console, *columns: str, disable: bool = False) -> Progress:
    """Return a rich bar with count, elapsed time, ETA and the given text columns."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        *(TextColumn(column) for column in columns),
        console=console,
        disable=disable,
    )


class Journal:
    """The log of one stage, as a context manager; quiet on all processes but the main one."""

    def __init__(self, folder: Path, stage: str, first: int, steps: int, main: bool) -> None:
        self.folder, self.stage, self.first, self.steps, self.main = (
            folder,
            stage,
            first,
            steps,
            main,
        )
        self.console = Console(file=sys.stderr)
        self.progress = progress_bar(
            self.console,
            "{task.fields[rate]:.2f} steps/s",
            "loss {task.fields[loss]:.3f}",
            disable=not main or not self.console.is_terminal,
        )
        self.mean: float | None = None
        self.seconds = self.waited = 0.0

    def __enter__(self) -> Self:
        if not self.main:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        keep_until(self.folder / LOG, self.first)
        self.file = (self.folder / LOG).open("a", encoding="utf-8")
        self.board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.first + 1)
        self.progress.start()
        self.task = self.progress.add_task(
            self.stage, total=self.steps, completed=self.first, rate=0.0, loss=float("nan")
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self.main:
            self.progress.stop()
            self.file.close()
            self.board.close()

    def step(
        self,
        step: int,
        loss: float,
        rate: float,
        norm: float,
        seconds: float,
        waited: float,
        busy: float,
    ) -> None:
        """Note one training step; of its `seconds`, the loop `waited` so many for data.

        `busy` is the processor's time over all threads, which a crowded machine hardly changes.
        """
        if not self.main:
            return
        self.mean = loss if self.mean is None else 0.95 * self.mean + 0.05 * loss
        self.seconds += seconds
        self.waited += waited
        speed = (step - self.first) / self.seconds
        values = {"step": step, "loss": loss, "rate": rate, "norm": norm, "seconds": seconds}
        self._write({**values, "waited": waited / seconds, "processor_seconds": busy})
        self.progress.update(self.task, completed=step, rate=speed, loss=self.mean)
        if not self.console.is_terminal and (step % 20 == 0 or step == self.steps):
            left = (self.steps - step) / speed
            self.console.print(
                f"{self.stage} {step}/{self.steps}  loss {self.mean:.3f}  "
                f"{speed:.2f} steps/s  waiting {self.waited / self.seconds:.0%}  ETA {left:.0f} s"
            )

    def held_out(self, step: int, losses: HeldOutLosses) -> None:
        """Note the held-out loss and its blind twin."""
        if not self.main:
            return
        self._write({"step": step, "held_out_loss": losses.true, "blind_loss": losses.blind})
        self.console.print(
            f"{self.stage} step {step}: held-out loss {losses.true:.3f}, "
            f"with shuffled signals {losses.blind:.3f} nats a token"
        )

    def _write(self, values: dict[str, Any]) -> None:
        self.file.write(json.dumps({"stage": self.stage, **values}) + "\n")
        self.file.flush()
        for name, value in values.items():
            if name != "step":
                self.board.add_scalar(f"{self.stage}/{name}", value, values["step"])


def keep_until(path: Path, step: int) -> None:
    """Keep the lines of a log up to `step`; a line cut short by a kill is dropped with the rest."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        if values["step"] <= step:
            kept.append(line + "\n")
    write_text(path, "".join(kept))
