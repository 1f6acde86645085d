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

from polysense.atomic_write import disk_errors, write_text
from polysense.training.validation import ValidationLosses

LOG = "log.jsonl"
FIRST_TOLD, TOLD_EVERY = 5, 20  # steps that are printed where there is no bar


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


class MetricLogger:
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
            "{task.fields[loss]}",
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
            self.stage, total=self.steps, completed=self.first, rate=0.0, loss=""
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self.main:
            self.progress.stop()
            with disk_errors(self.folder / LOG):  # closing writes what a full disk did not take
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
        values = {"step": step, "loss": loss, "lr": rate, "grad_norm": norm, "seconds": seconds}
        self._write({**values, "data_wait": waited / seconds, "cpu_seconds": busy})
        said = f"loss {loss:.3f} (mean {self.mean:.3f})"
        self.progress.update(self.task, completed=step, rate=speed, loss=said)
        if not self.console.is_terminal and self._is_told(step):
            left = readable_seconds((self.steps - step) / speed)
            self.console.print(
                f"{self.stage} {step}/{self.steps}  {said}  {speed:.2f} steps/s  "
                f"waiting {self.waited / self.seconds:.0%}  ETA {left}",
                soft_wrap=True,  # a log's lines are not cut at a terminal's width
            )

    def _is_told(self, step: int) -> bool:
        """Whether a step is printed where there is no bar: early, so that the ETA is known soon."""
        return step - self.first == FIRST_TOLD or step % TOLD_EVERY == 0 or step == self.steps

    def held_out(self, step: int, losses: ValidationLosses) -> None:
        """Note the validation loss and its shuffled-input baseline, as far as there are such."""
        if not self.main or losses.true is None:
            return
        values = {"val_loss": losses.true, "val_loss_shuffled": losses.shuffled}
        self._write({"step": step} | {k: value for k, value in values.items() if value is not None})
        said = f"{self.stage} step {step}: held-out loss {losses.true:.3f}"
        if losses.shuffled is not None:
            said += f", with shuffled signals {losses.shuffled:.3f}"
        self.console.print(f"{said} nats a token", soft_wrap=True)

    def _write(self, values: dict[str, Any]) -> None:
        with disk_errors(self.folder / LOG):
            self.file.write(json.dumps({"stage": self.stage, **values}) + "\n")
            self.file.flush()
            for name, value in values.items():
                if name != "step":
                    self.board.add_scalar(f"{self.stage}/{name}", value, values["step"])


def readable_seconds(seconds: float) -> str:
    """Return a duration as a person would say it: "45 s", "12 min 5 s", "3 h 20 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, in order; what a kill or the disk has damaged is left out."""
    lines = []
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            values = json.loads(line.decode("utf-8"))
        except ValueError:  # cut short, or no UTF-8
            continue
        if isinstance(values, dict) and isinstance(values.get("step"), int):
            lines.append(values)
    return lines


def keep_until(path: Path, step: int) -> None:
    """Keep the lines of a log up to `step`, so that the curve has each step once."""
    if path.is_file():
        kept = [values for values in read_log(path) if values["step"] <= step]
        write_text(path, "".join(json.dumps(values) + "\n" for values in kept))
