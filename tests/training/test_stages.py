"""What a stage is given and what is remembered of it; seeds, views, and every moment of a kill.

Through polysense.training.stages, polysense.training.run and polysense.data.loading.batches.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from fixtures.tiny_model import tiny_config

from polysense.config import Stage
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.sampler import SampleIndex
from polysense.data.prompts import samples_for
from polysense.training import loop, stages
from polysense.training import run as run_module
from polysense.training.loop import StageRun, train_stage
from polysense.training.run import build, load_split, resolve, train
from polysense.training.stage_data import TrainingContext
from polysense.training.stages import train_stages
from polysense.training.validation import ValidationLosses


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return resolve(tiny_config(tmp_path_factory.mktemp("parts")))


@pytest.fixture(scope="module")
def trainee(config):
    return TrainingContext(*build(config), load_split(config), None)


def test_stages_hold_out_what_they_do_not_train_on_and_all_that_learnt_is_saved(
    config, trainee, tmp_path, monkeypatch
):
    runs = []
    monkeypatch.setattr(stages, "train_stage", lambda model, run, accelerator: runs.append(run))
    first, second = config.stages
    two = (first, replace(second, trainable=("llm.*lora_*",)))
    changed = replace(config, stages=two, seed=5, model=replace(config.model, precision="bf16"))
    for whole in (changed, replace(changed, seed=6)):
        train_stages(trainee, whole, two, tmp_path, Accelerator(cpu=True))
    *runs, other, _ = runs
    assert [(run.seed, run.dtype) for run in (*runs, other)] == [
        (5, torch.bfloat16), (5, torch.bfloat16), (6, torch.bfloat16),
    ]  # fmt: skip
    assert runs[0].notes == runs[1].notes != other.notes  # of the whole config
    sides = trainee.split.train, trainee.split.held_out
    for run in runs:
        for data, records in zip((run.data, run.held_out), sides, strict=True):
            keys = {sample.key.partition(" ")[0] for sample in data.samples}
            assert keys == {record.key for record in records}
    assert [run.stage.name for run in runs] == ["alignment", "instruction"]
    assert trainee.model.config.trainable == ["connector", "llm.*lora_*"]
    assert not any(p.requires_grad for p in trainee.model.parameters())
    assert not any(part.training for part in trainee.model.modules())


def test_the_seed_decides_the_weights_that_a_run_begins_with(config, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "train_stages", lambda *_: None)
    monkeypatch.setattr(
        run_module, "prepare", lambda *given: SimpleNamespace(model=given[3], seed=given[0].seed)
    )

    def begun(seed, name):
        torch.manual_seed(len(name))  # whatever was drawn before
        found = train(replace(config, seed=seed), tmp_path / name, stop_after="alignment")
        return torch.cat([p.flatten() for p in found.model.connector.parameters()])

    same, again, other = begun(5, "one"), begun(5, "again"), begun(6, "other")
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_a_batch_mixes_the_views(trainee):
    class Cache:
        encoded = frozenset({"image"})

        def by_modality(self, media, number):
            return {"image": [torch.full((4, 16), float(number)) for _ in media]}

    samples = samples_for("caption", trainee.split.train, trainee.model.modalities)
    data = TrainingData(samples, trainee.processor, "plain", Cache())
    found = data.batch([SampleIndex(0, 0), SampleIndex(1, 0), SampleIndex(1, 3)])["features"][
        "image"
    ]
    assert found[:, 0, 0].tolist() == [0, 1, 4]


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.connector.state_dict().items()}


def test_a_stage_killed_at_any_moment_ends_as_if_it_had_not_been(trainee, tmp_path, monkeypatch):
    """Killed before step n, and while the checkpoint of step n is written, for every n."""
    model = trainee.model
    samples = samples_for("caption", trainee.split.train, model.modalities)
    data = TrainingData(samples, trainee.processor, "plain", None, 64)
    stage = Stage(
        "s",
        ("connector",),
        batch_size=3,
        steps=5,
        checkpoint_every=2,
        gradient_accumulation_steps=2,
    )
    monkeypatch.setattr(loop, "validation_losses", lambda *_: ValidationLosses(None, None))
    begin, step, save = weights_of(model), loop.train_step, loop.save_checkpoint

    class Killed(BaseException):
        pass

    def trained(name, killed=None):
        count = iter(range(100))

        def counted(act):
            def call(*arguments, **options):
                if next(count) == killed:
                    raise Killed
                return act(*arguments, **options)

            return call

        monkeypatch.setattr(loop, "train_step", counted(step))
        monkeypatch.setattr(loop, "save_checkpoint", counted(save))
        model.connector.load_state_dict(begin)
        torch.manual_seed(len(name))
        run = StageRun(stage, data, data, tmp_path / name, 3, torch.float32, {})
        train_stage(model, run, Accelerator(cpu=True))
        return weights_of(model), (tmp_path / name / "log.jsonl").read_text()

    whole, log = trained("whole")
    assert any(not torch.equal(begin[name], value) for name, value in whole.items())
    for moment in range(8):  # five steps and three checkpoints
        with pytest.raises(Killed):
            trained(f"killed-{moment}", moment)
        found, again = trained(f"killed-{moment}")
        assert all(torch.equal(found[name], value) for name, value in whole.items()), moment
        assert [line.split('"seconds"')[0] for line in again.splitlines()] == [
            line.split('"seconds"')[0] for line in log.splitlines()
        ]
