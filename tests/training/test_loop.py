"""A step is the same step, packed, cut into micro-batches, or with samples that stand in.

Samples with a picture, with two, and without any; in the LLM, LoRA learns too.
"""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from accelerate import Accelerator
from fixtures.tiny_model import tiny_config
from PIL import Image

from polysense.config import Stage
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.sampler import SampleIndex
from polysense.errors import PolysenseError
from polysense.model.trainable import freeze_all_but
from polysense.training import loop
from polysense.training.loop import (
    StageRun,
    local_micro_batches,
    read_ahead,
    train_stage,
    train_step,
)
from polysense.training.optimizer import learning_rate
from polysense.training.run import build, resolve
from polysense.training.validation import ValidationLosses, validation_losses
from polysense.types import Media, Message, Sample, Text


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    config = tiny_config(tmp_path_factory.mktemp("parts"))
    connector = replace(config.model.connector, dropout=0.0)  # it would draw by row
    torch.manual_seed(0)
    model, processor = build(
        resolve(replace(config, model=replace(config.model, connector=connector)))
    )
    for name, weight in model.llm.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.1)
    return model, processor


def a_sample(index):
    """Of three samples one has no picture, one has one, one has two; the texts differ in length."""
    colours = ("red", "green", "blue")[: index % 3]
    pictures = tuple(
        Media("image", Image.new("RGB", (30, 20 + index), colour)) for colour in colours
    )
    question = (*pictures, Text("What is this? " * (1 + index % 4)))
    answer = (Text("A red line. " * (1 + index % 5)),)
    return Sample(f"s{index}", (Message("user", question), Message("assistant", answer)))


def a_run(parts, tmp_path, stage, packed_length):
    _, processor = parts
    data = TrainingData([a_sample(i) for i in range(9)], processor, "template", None, packed_length)
    return StageRun(stage, data, data, tmp_path, 3, torch.float32, {})


def step_of(parts, run):
    model = parts[0]
    trainable = freeze_all_but(model, run.stage.trainable)
    optimizer = torch.optim.SGD(trainable.values(), lr=0.0)
    accelerator = Accelerator(cpu=True)
    with read_ahead(run, 0, accelerator) as batches:
        loss, norm, _ = train_step(model, run, 0, trainable, optimizer, accelerator, batches)
    return loss, norm, {name: weight.grad.clone() for name, weight in trainable.items()}


@pytest.mark.parametrize("gradient_accumulation_steps", [1, 2])
def test_a_packed_step_equals_the_padded_one(parts, tmp_path, gradient_accumulation_steps):
    trainable = ("connector", "llm.*lora_*")
    stage = Stage(
        "s",
        trainable,
        batch_size=8,
        gradient_accumulation_steps=gradient_accumulation_steps,
        max_grad_norm=1e9,
        learning_rate=1e-30,
    )
    padded = step_of(parts, a_run(parts, tmp_path, stage, None))
    packed = step_of(parts, a_run(parts, tmp_path, stage, 200))
    assert packed[0] == pytest.approx(padded[0], rel=1e-5)
    assert packed[1] == pytest.approx(padded[1], rel=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in padded[2].values())
    assert any(gradient.abs().sum() > 0 for name, gradient in padded[2].items() if "lora" in name)
    for name, gradient in padded[2].items():
        torch.testing.assert_close(packed[2][name], gradient, rtol=1e-4, atol=1e-5 * largest)


def test_rows_are_shared_and_shorter_together(parts, tmp_path):
    stage = Stage("s", ("connector",), batch_size=8)
    padded, packed = (a_run(parts, tmp_path, stage, packed_length) for packed_length in (None, 200))
    picks = padded.order.at(0)
    one, other = padded.data.batch(picks), packed.data.batch(picks)
    assert other["input_ids"].numel() < 0.9 * one["input_ids"].numel()
    assert len(other["input_ids"]) < len(one["input_ids"])
    assert (other["labels"] != -100).sum() == (one["labels"][:, 1:] != -100).sum()


def test_samples_are_grouped_once_and_an_epoch_is_shuffled_once(parts, tmp_path, monkeypatch):
    grouped, shuffled = Mock(wraps=loop.grouped), Mock(wraps=torch.randperm)
    monkeypatch.setattr(loop, "grouped", grouped)
    monkeypatch.setattr(torch, "randperm", shuffled)
    run = a_run(parts, tmp_path, Stage("s", ("connector",), batch_size=1), None)
    picks = [pick for step in range(run.steps) for pick in run.order.at(step)]
    assert len(picks) == run.steps == 9
    assert grouped.call_count == 1
    assert shuffled.call_count == 3  # the six with pictures once, the three without twice


def test_the_held_out_loss_is_the_same(parts, tmp_path):
    stage = Stage("s", ("connector",), batch_size=5)
    losses = [
        validation_losses(
            parts[0], a_run(parts, tmp_path, stage, tokens).data, torch.float32, stage
        )
        for tokens in (None, 200)
    ]
    assert losses[0].true == pytest.approx(losses[1].true, rel=1e-5)


def test_processes_and_micro_batches_share_the_samples_of_a_step(parts, tmp_path):
    run = a_run(
        parts,
        tmp_path,
        Stage("s", ("connector",), batch_size=7, gradient_accumulation_steps=2),
        200,
    )
    shared = [
        local_micro_batches(run, 1, SimpleNamespace(num_processes=2, process_index=index))
        for index in range(2)
    ]
    numbers = [number for mine in shared for number, _ in mine]
    picks = [pick for mine in shared for _, part in mine for pick in part]
    assert sorted(numbers) == [0, 1, 2, 3]
    assert sorted(p.index for p in picks) == sorted(p.index for p in run.order.at(1))
    few = replace(run, stage=replace(run.stage, batch_size=3))  # for four micro-batches
    shared = [
        local_micro_batches(few, 1, SimpleNamespace(num_processes=2, process_index=index))
        for index in range(2)
    ]
    assert [[(number, len(part)) for number, part in mine] for mine in shared] == [
        [(0, 1), (2, 1)], [(1, 1)],
    ]  # fmt: skip


def test_a_step_cut_into_micro_batches_equals_the_whole_one(parts, tmp_path):
    """Micro-batches have labels of different numbers: each label weighs the same all the same."""
    stage = Stage("s", ("connector",), batch_size=8, max_grad_norm=1e9, learning_rate=1e-30)
    whole = step_of(parts, a_run(parts, tmp_path, stage, None))
    cut = step_of(
        parts, a_run(parts, tmp_path, replace(stage, gradient_accumulation_steps=3), None)
    )
    assert cut[0] == pytest.approx(whole[0], rel=1e-5)
    assert cut[1] == pytest.approx(whole[1], rel=1e-4)
    for name, gradient in whole[2].items():
        torch.testing.assert_close(cut[2][name], gradient, rtol=1e-4, atol=1e-6)


def test_a_sample_that_stands_in_leaves_the_step_its_weight(parts, tmp_path, monkeypatch):
    """One batch, a sample of it unreadable: as if the one that stands in had been picked."""
    stage = Stage("s", ("connector",), batch_size=2, max_grad_norm=1e9, learning_rate=1e-30)
    run = a_run(parts, tmp_path, stage, None)
    picks = [SampleIndex(1, 0), SampleIndex(5, 0)]  # of different lengths
    assert len(run.data.encoded[1].labels) != len(run.data.encoded[5].labels)
    monkeypatch.setattr(loop.BalancedSampler, "at", lambda *_: [picks[0], picks[0]])
    expected = step_of(parts, run)
    monkeypatch.setattr(loop.BalancedSampler, "at", lambda *_: picks)
    tried = run.data._tried
    monkeypatch.setattr(run.data, "_tried", lambda pick: tried(pick) if pick.index == 1 else None)
    found = step_of(parts, run)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    for name, gradient in expected[2].items():
        torch.testing.assert_close(found[2][name], gradient)


class Watched(torch.optim.SGD):
    """Remembers, at each step, the rate, the gradients' norm, and which parts are in training."""

    def __init__(self, trainable, model):
        super().__init__(trainable.values(), lr=123.0)
        self.model, self.rates, self.norms, self.modes = model, [], [], []

    def step(self):
        self.rates.append(self.param_groups[0]["lr"])
        gradients = [p.grad for p in self.param_groups[0]["params"] if p.grad is not None]
        self.norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        self.modes.append({name: part.training for name, part in self.model.named_children()})
        super().step()


def trained(parts, tmp_path, monkeypatch, stage):
    watched = []
    monkeypatch.setattr(
        loop,
        "make_optimizer",
        lambda _, trainable: watched.append(Watched(trainable, parts[0])) or watched[0],
    )
    run = a_run(parts, tmp_path, stage, None)
    train_stage(parts[0], run, Accelerator(cpu=True))
    return watched[0]


def test_every_step_is_clipped_at_its_rate_and_in_training_mode(parts, tmp_path, monkeypatch):
    stage = Stage(
        "s", ("connector",), batch_size=2, steps=4, max_grad_norm=1e-3, learning_rate=0.1,
        min_learning_rate=0.05, warmup_ratio=0.5, evaluate_every=1,
    )  # fmt: skip
    optimizer = trained(parts, tmp_path, monkeypatch, stage)
    assert optimizer.rates == [learning_rate(stage, step, 4) for step in range(4)]
    assert len(set(optimizer.rates)) > 2
    assert optimizer.norms == [pytest.approx(1e-3, rel=1e-3)] * 4
    for modes in optimizer.modes:  # after each held-out loss too
        assert [name for name, training in modes.items() if training] == ["connector"]
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000004"]


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(parts, tmp_path, monkeypatch):
    stage = Stage("s", ("connector",), batch_size=2, steps=4, checkpoint_every=1)
    calls = []

    def broken(model, batch):
        calls.append(batch)
        total, count = next_token(model, batch)
        return (total * torch.nan if len(calls) == 3 else total), count

    next_token = loop.objective_named("next_token").loss
    monkeypatch.setattr(loop, "validation_losses", lambda *_: ValidationLosses(None, None))
    monkeypatch.setattr(
        loop, "objective_named", lambda _: SimpleNamespace(loss=broken, pairs=False)
    )
    run = a_run(parts, tmp_path, stage, None)
    with pytest.raises(PolysenseError, match=r"stages\.s, step 3 \(samples .*the loss is nan"):
        train_stage(parts[0], run, Accelerator(cpu=True))
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-000001", "step-000002"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
