"""A stage from its first step to its last: what it draws, when it looks and saves, how it stops.

The model and its data are toys, so that every number is known: the loss of a sample is what the
connector makes of its index, and AdamW moves one weight.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from polysense.config import Stage
from polysense.data.loading import prefetch
from polysense.training import loop
from polysense.training.checkpoint import all_checkpoints
from polysense.training.loop import StageRun, train_stage
from polysense.training.optimizer import learning_rate
from polysense.training.progress.metric_logger import read_log
from polysense.training.validation import ValidationLosses
from polysense.types import Batch

SAMPLES = 8
NOTHING = ValidationLosses(None, None)


class Toy(nn.Module):
    """A connector of one weight, and an LLM that stays as it is."""

    def __init__(self):
        super().__init__()
        self.connector, self.llm = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)


class Data:
    """Eight samples of two labels each; notes which of them were asked for."""

    cache = True  # so that no thread reads ahead

    def __init__(self):
        self.samples = [SimpleNamespace(key=f"s{i}", modalities="image") for i in range(SAMPLES)]
        self.encoded = [SimpleNamespace(labels=[-100, 5, 6])] * SAMPLES
        self.asked = []

    def batch(self, picks):
        self.asked.append([pick.index for pick in picks])
        return Batch(labels=torch.tensor([[float(pick.index)] for pick in picks]))


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Trains a stage of the toy: train(seed=3, dtype=..., **options of the stage).

    `drawn` has what each micro-batch draws at random, `looked` the (data, step) of each validation.
    """
    found = SimpleNamespace(drawn=[], looked=[], autocast=[], run=None, model=Toy())

    def loss(model, batch):
        found.drawn.append(float(torch.rand(())))
        found.autocast.append(
            torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        )
        count = 2 * len(batch["labels"])
        return model.connector(batch["labels"]).float().sum(), torch.tensor(count)

    def look(model, data, dtype, stage):
        found.looked.append((data, len(read_log(found.run.folder / "log.jsonl"))))
        return NOTHING

    monkeypatch.setattr(loop, "objective_named", lambda _: SimpleNamespace(loss=loss, pairs=False))
    monkeypatch.setattr(loop, "validation_losses", look)

    def train(seed=3, dtype=torch.float32, folder="stage", **options):
        stage = Stage("s", ("connector",), **{"batch_size": 2, "steps": 4, **options})
        nn.init.ones_(found.model.connector.weight)
        found.run = StageRun(stage, Data(), Data(), tmp_path / folder, seed, dtype, {})
        train_stage(found.model, found.run, Accelerator(cpu=True))
        return found.run

    found.train = train
    return found


def checkpoints(run):
    return [path.name for path in all_checkpoints(run.folder)]


def test_every_micro_batch_draws_its_own_numbers_which_the_seed_repeats(toy):
    def drawn(**options):
        toy.drawn.clear()
        toy.train(gradient_accumulation_steps=2, **options)
        return list(toy.drawn)

    first = drawn(folder="first")
    assert len(set(first)) == 2 * 4
    torch.manual_seed(77)  # whatever was drawn before
    assert drawn(folder="again") == first
    assert not set(drawn(folder="other", seed=4)) & set(first)


def test_the_seed_decides_the_order_of_the_samples(toy):
    orders = [toy.train(seed=seed, folder=str(seed)).data.asked for seed in (3, 4)]
    assert [sorted(index for picks in order for index in picks) for order in orders] == [
        list(range(SAMPLES))
    ] * 2
    assert orders[0] != orders[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_forward_pass_is_in_the_runs_precision(toy, dtype):
    toy.train(dtype=dtype, steps=1)
    assert toy.autocast == [dtype]


def test_held_out_samples_are_looked_at_every_so_many_steps_and_at_the_end(toy):
    run = toy.train(steps=5, evaluate_every=2, checkpoint_every=3)
    assert [step for _, step in toy.looked] == [2, 4, 5]
    assert all(data is run.held_out for data, _ in toy.looked)
    assert checkpoints(run) == ["step-000003", "step-000005"]


def test_epochs_are_counted_where_no_steps_are_given(toy):
    assert len(toy.train(steps=None, epochs=1.5).data.asked) == 6  # 12 of 8 samples, 2 a step


def clock(pace):
    """A clock that goes on by `pace` seconds whenever it is looked at."""
    moments = (pace * number for number in range(10**6))
    return lambda: next(moments)


def test_the_log_has_each_steps_own_numbers(toy, monkeypatch):
    clocks = SimpleNamespace(monotonic=clock(10.0), process_time=clock(3.0))
    monkeypatch.setattr(loop, "time", clocks)
    monkeypatch.setattr(prefetch, "time", SimpleNamespace(monotonic=clock(2.0)))
    run = toy.train(learning_rate=0.5, min_learning_rate=0.1, max_grad_norm=0.25)
    lines = read_log(run.folder / "log.jsonl")
    assert [line["lr"] for line in lines] == [learning_rate(run.stage, n, 4) for n in range(4)]
    for line in lines:
        assert (line["seconds"], line["data_wait"], line["cpu_seconds"]) == (10.0, 0.2, 3.0)
    # A weight of 1 gives a sample its index as its loss; the gradient is the same.
    first = sum(run.data.asked[0]) / 4  # two samples of two labels each
    assert (lines[0]["loss"], lines[0]["grad_norm"]) == (first, pytest.approx(first))
    assert lines[0]["lr"] != first != lines[1]["loss"]


def test_threads_read_ahead_where_signals_are_not_in_the_cache(toy):
    run = toy.train(steps=1)
    for cache, depth in ((True, 0), (None, 4)):
        run.data.cache = cache
        with loop.read_ahead(run, 0, Accelerator(cpu=True)) as batches:
            assert batches.depth == depth


@contextmanager
def stopped_by(marks):
    yield marks


def test_a_stage_that_is_asked_to_stop_saves_the_step_it_was_in(toy, monkeypatch):
    marks = []
    monkeypatch.setattr(loop, "interruptible", lambda: stopped_by(marks))
    step = loop.clip_and_step
    monkeypatch.setattr(
        loop, "clip_and_step", lambda *values: (marks.append(1.0), step(*values))[1]
    )
    with pytest.raises(KeyboardInterrupt):
        toy.train(steps=9)
    # The mark is read before the step is taken: it counts from the next one on.
    assert checkpoints(toy.run) == ["step-000002"]
    assert [line["step"] for line in read_log(toy.run.folder / "log.jsonl")] == [1, 2]
    monkeypatch.setattr(loop, "interruptible", lambda: stopped_by([]))
    monkeypatch.setattr(loop, "clip_and_step", step)
    assert len(toy.train(steps=9).data.asked) == 7
    assert [line["step"] for line in read_log(toy.run.folder / "log.jsonl")] == [*range(1, 10)]


def test_who_asks_while_the_last_checkpoint_is_written_is_heard_after_it(toy, monkeypatch):
    marks = []
    monkeypatch.setattr(loop, "interruptible", lambda: stopped_by(marks))
    save = loop.save_checkpoint
    monkeypatch.setattr(
        loop, "save_checkpoint", lambda *values: (save(*values), marks.append(1.0))[0]
    )
    with pytest.raises(KeyboardInterrupt):
        toy.train()
    assert checkpoints(toy.run) == ["step-000004"]


def test_a_finished_stage_is_left_as_it_is(toy):
    folder = toy.train().folder
    weight = toy.model.connector.weight.clone()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = toy.train()
    assert again.data.asked == []
    assert torch.equal(toy.model.connector.weight, weight)  # those of the checkpoint
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_damaged_and_half_written_checkpoints_go_and_are_named(toy, capsys):
    folder = toy.train(steps=3, checkpoint_every=2).folder
    (folder / "step-000003/weights.safetensors").write_bytes(b"damaged")
    (folder / ".step-000004.writing-1").mkdir()
    run = toy.train(steps=2)  # goes no further, so that nothing is written over
    assert "step-000003 is damaged" in (said := capsys.readouterr().err)
    assert "s goes on from step 2" in said
    assert checkpoints(run) == ["step-000002"]
    assert not list(folder.glob(".*"))


def test_experts_are_copied_before_a_checkpoint_is_read(toy, monkeypatch):
    """Each stage copies them anew: what the stage has learnt since must come after."""
    events = []
    toy.model.connector.copy_expert = lambda: events.append("copied")
    monkeypatch.setattr(loop, "UniversalProjection", nn.Linear)
    load = loop.load_newest
    monkeypatch.setattr(
        loop, "load_newest", lambda *values: (events.append("loaded"), load(*values))[1]
    )
    toy.train(copy_experts=True)
    assert events == ["copied", "loaded"]
    toy.train(folder="plain")
    assert events == ["copied", "loaded", "loaded"]
