"""The log survives damage, the bar never says nan, durations are as people say them.

What is told beside it: polysense.training.progress.plan and
polysense.training.progress.feature_progress.
"""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from polysense import atomic_write
from polysense.config import Stage
from polysense.errors import PolysenseError
from polysense.training.progress import feature_progress, metric_logger
from polysense.training.progress.metric_logger import (
    MetricLogger,
    keep_until,
    read_log,
    readable_seconds,
)
from polysense.training.progress.plan import print_plan
from polysense.training.validation import ValidationLosses


def test_a_log_with_damaged_lines_stops_nothing(tmp_path):
    log = tmp_path / "log.jsonl"
    damaged = [b'{"step": 2, "loss": "\xff\xfe"}', b'{"step": 3', b"[3]", b'{"loss": 1}', b"\x00"]
    lines = [b'{"step": 1, "loss": 0.5}', *damaged, b'{"step": 4}', b'{"step": 5}']
    log.write_bytes(b"\n".join(lines))
    assert [values["step"] for values in read_log(log)] == [1, 4, 5]
    keep_until(log, 4)
    assert [json.loads(line) for line in log.read_text().splitlines()] == [
        {"step": 1, "loss": 0.5}, {"step": 4},
    ]  # fmt: skip
    assert read_log(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, said):
    assert readable_seconds(seconds) == said


def test_a_log_is_shortened_whole_or_not_at_all(tmp_path, monkeypatch):
    log = tmp_path / "log.jsonl"
    log.write_text(before := '{"step": 1}\n{"step": 2}\n')
    monkeypatch.setattr(atomic_write, "flush", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keep_until(log, 1)
    assert log.read_text() == before


def journal(tmp_path, terminal, first=0):
    log = MetricLogger(tmp_path, "s", first, 100, main=True)
    log.console = Console(file=io.StringIO(), width=200, force_terminal=terminal)
    log.progress.live.console = log.console
    return log


def test_the_last_loss_stands_beside_the_mean_and_nothing_is_nan(tmp_path):
    with journal(tmp_path, terminal=False) as log:
        task = log.progress.tasks[0]
        assert task.fields["loss"] == ""
        for step in range(1, 21):
            log.step(step, 2.0 if step < 20 else 0.25, 0.1, 1.0, 0.5, 0.1, 0.5)
        assert task.fields["loss"] == "loss 0.250 (mean 1.912)"
    lines = log.console.file.getvalue().splitlines()
    assert lines == [
        "s 5/100  loss 2.000 (mean 2.000)  2.00 steps/s  waiting 20%  ETA 48 s",
        "s 20/100  loss 0.250 (mean 1.912)  2.00 steps/s  waiting 20%  ETA 40 s",
    ]


class Board:
    """A TensorBoard that notes what it is told."""

    def __init__(self, folder, purge_step):
        self.purge_step, self.scalars = purge_step, {}

    def add_scalar(self, name, value, step):
        self.scalars.setdefault(name, []).append((step, value))

    def close(self):
        pass


def test_a_stage_that_goes_on_counts_its_own_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(metric_logger, "SummaryWriter", Board)
    lines = ({"step": step, "loss": 9.0} for step in range(9, 13))
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with journal(tmp_path, terminal=False, first=10) as log:
        for step in range(11, 16):
            log.step(step, loss=2.0, rate=0.1, norm=3.0, seconds=0.5, waited=0.1, busy=0.7)
    told = "s 15/100  loss 2.000 (mean 2.000)  2.00 steps/s  waiting 20%  ETA 42 s"
    assert log.console.file.getvalue().splitlines() == [told]  # the fifth of its own
    kept = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in kept] == list(range(9, 16))
    assert kept[1] == {"step": 10, "loss": 9.0}
    assert kept[2] == {
        "stage": "s", "step": 11, "loss": 2.0, "lr": 0.1, "grad_norm": 3.0, "seconds": 0.5,
        "data_wait": 0.2, "cpu_seconds": 0.7,
    }  # fmt: skip
    assert log.board.purge_step == 11
    assert log.board.scalars["s/lr"] == [(step, 0.1) for step in range(11, 16)]


def test_a_process_that_is_not_the_main_one_writes_nothing(tmp_path):
    with MetricLogger(tmp_path / "stage", "s", 0, 100, main=False) as log:
        log.step(1, 2.0, 0.1, 1.0, 0.5, 0.1, 0.5)
        log.held_out(1, ValidationLosses(1.0, 2.0))
    assert not (tmp_path / "stage").exists()


def test_held_out_losses_that_do_not_exist_are_not_printed(tmp_path):
    with journal(tmp_path, terminal=False) as log:
        log.held_out(1, ValidationLosses(None, None))
        log.held_out(2, ValidationLosses(1.5, None))
        log.held_out(3, ValidationLosses(1.5, 2.5))
    assert log.console.file.getvalue().splitlines() == [
        "s step 2: held-out loss 1.500 nats a token",
        "s step 3: held-out loss 1.500, with shuffled signals 2.500 nats a token",
    ]
    assert read_log(tmp_path / "log.jsonl") == [
        {"stage": "s", "step": 2, "val_loss": 1.5},
        {"stage": "s", "step": 3, "val_loss": 1.5, "val_loss_shuffled": 2.5},
    ]


def planned(tmp_path, steps=80):
    """Return the plan's row of a stage of 160 samples, and what is printed below the table."""
    stage = Stage("alignment", ("connector",), batch_size=4)
    run = SimpleNamespace(stage=stage, data=range(160), folder=tmp_path, steps=steps)
    console = Console(file=io.StringIO(), width=200)
    print_plan([run], console)
    lines = console.file.getvalue().splitlines()
    (row,) = [line for line in lines if "alignment" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    return cells, lines[-1]


def test_the_plan_names_stages_samples_steps_and_what_is_done(tmp_path):
    cells, note = planned(tmp_path)
    assert cells == ["alignment", "160", "4", "2", "80", "0", "-"]
    assert "once 5 of its steps have been measured" in note


def test_the_plan_of_a_run_that_goes_on_tells_the_time_left(tmp_path):
    for name in ("step-000020", "step-000030"):
        (tmp_path / name).mkdir()
    seconds = [9.0, 2.0, 2.0]  # the first step warms up: the median is not its
    lines = [{"step": step, "seconds": value} for step, value in enumerate(seconds, 1)]
    lines.append({"step": 3, "val_loss": 1.0})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cells, note = planned(tmp_path)
    assert cells == ["alignment", "160", "4", "2", "80", "30", "1 min 40 s"]
    assert "measured" not in note
    assert planned(tmp_path, steps=30)[0][-1] == "0 s"


def test_a_full_disk_is_one_line_that_names_the_log(tmp_path):
    log = journal(tmp_path, terminal=False).__enter__()
    log.file.close()
    log.file = Path("/dev/full").open("w")  # noqa: SIM115
    full = r"log\.jsonl' cannot be written: the disk is full"
    with pytest.raises(PolysenseError, match=full):
        log.step(1, 2.0, 0.1, 1.0, 0.5, 0.1, 0.5)
    with pytest.raises(PolysenseError, match=full):  # what the file did not take comes once more
        log.__exit__()


def test_features_are_explained_and_told_with_rate_and_eta(monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(feature_progress.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(feature_progress, "media_of", list)

    def fill(media, advance):
        for _ in media:
            advance(1)
        return {"bad": "why"}

    console = Console(file=io.StringIO(), width=300)
    cache = SimpleNamespace(count=2, folder=Path("cache"), fill=fill)
    assert feature_progress.fill_cache(cache, range(20), console) == {"bad": "why"}
    first, *lines = console.file.getvalue().splitlines()
    assert "sees 20 signals once, in 2 views each" in first
    assert "cache" in first
    assert lines[0] == "features 2/20  1.0 a second  ETA 18 s"
    assert len(lines) == 10
