"""Weights and config are of one save, wherever writing was stopped; older versions are named."""

import json
from pathlib import Path

import pytest
import torch
from fixtures.tiny_model import tiny_config
from safetensors import safe_open
from safetensors.torch import save_file

from polysense import PolysenseModel, atomic_write
from polysense.errors import PolysenseError
from polysense.model.pretrained import checkpoint_files
from polysense.model.pretrained.checkpoint_files import WEIGHTS, checkpoint_folder
from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    return build(resolve(tiny_config(tmp_path_factory.mktemp("files") / "parts")))[0]


def state_of(model):
    return {**model.trainable_state(), "max_length": model.generation_config.max_length or 0}


@pytest.mark.parametrize("renamed", range(4))
def test_a_save_that_is_killed_between_its_files_leaves_one_model(
    model, tmp_path, monkeypatch, renamed
):
    """Before it, a LoRA is all that is the checkpoint's; after it, the LLM's words are as well."""
    torch.manual_seed(0)
    old = build(resolve(tiny_config(tmp_path / "parts")))[0]
    old.save_pretrained(tmp_path / "saved")
    before = PolysenseModel.from_pretrained(tmp_path / "saved")
    new = PolysenseModel.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        new.llm.get_input_embeddings().weight[3] += 1
        next(new.connector.parameters()).add_(1)
    new.generation_config.max_length = 77
    rename, calls = Path.replace, []

    def killed(path, target):
        if Path(target).parent == tmp_path / "saved":
            calls.append(target)
            if len(calls) > renamed:
                raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        if renamed < 3:
            with pytest.raises(KeyboardInterrupt):
                new.save_pretrained(tmp_path / "saved")
        else:
            new.save_pretrained(tmp_path / "saved")
    expected = state_of(new if renamed else before)
    if renamed:  # what the new checkpoint holds besides
        name = "llm.model.embed_tokens.weight"
        expected[name] = new.state_dict()[name]
    found = state_of(PolysenseModel.from_pretrained(tmp_path / "saved"))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name


def test_a_config_that_is_edited_counts(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved/config.json"
    values = json.loads(path.read_text())
    values["model"]["precision"] = "bf16"
    path.write_text(json.dumps(values))
    loaded = PolysenseModel.from_pretrained(tmp_path / "saved")
    assert loaded.llm.dtype == torch.bfloat16


def test_a_checkpoint_of_an_older_version_is_told_so(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved/config.json"
    values = json.loads(path.read_text())
    values["model"]["interaction"] = values["model"].pop("fusion")
    values["learnt"] = values.pop("trainable")
    path.write_text(json.dumps(values))
    with pytest.raises(
        PolysenseError, match=r"config\.json was written by an older version .*interaction, learnt"
    ):
        PolysenseModel.from_pretrained(tmp_path / "saved")


def test_a_checkpoint_without_weights_is_damaged(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / WEIGHTS).unlink()
    with pytest.raises(PolysenseError, match=r"no model\.safetensors: the checkpoint is damaged"):
        PolysenseModel.from_pretrained(tmp_path / "saved")


def test_what_is_no_checkpoint_is_refused_by_what_it_is(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(PolysenseError, match="training has not finished"):
        checkpoint_folder(tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(PolysenseError, match=r"holds no config\.json"):
        checkpoint_folder(tmp_path)
    with pytest.raises(PolysenseError, match="does not exist"):
        checkpoint_folder(tmp_path / "gone")


def test_every_file_reaches_the_disk_before_it_takes_its_place(model, tmp_path, monkeypatch):
    events, rename = [], Path.replace

    def renamed(path, target):
        if Path(target).parent == tmp_path / "saved":
            events.append(Path(target).name)
        return rename(path, target)

    monkeypatch.setattr(atomic_write, "flush", lambda path: events.append(f"flush {path.name}"))
    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(checkpoint_files, "flush", lambda path: events.append("flush folder"))
    model.save_pretrained(tmp_path / "saved")
    assert events.index(f"flush {WEIGHTS}") < events.index(WEIGHTS)
    assert events.index("flush config.json") < events.index(WEIGHTS)
    assert events[-2:] == ["config.json", "flush folder"]


def test_tensors_of_another_shape_and_unknown_ones_are_named(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / WEIGHTS
    with safe_open(path, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        header = opened.metadata()
    name = next(iter(tensors))
    save_file({**tensors, "more": torch.ones(1)}, path, header)
    with pytest.raises(PolysenseError, match=r"0 tensors missing .* 1 unknown \['more'\]"):
        PolysenseModel.from_pretrained(tmp_path / "saved")
    save_file({**tensors, name: tensors[name][:1].contiguous()}, path, header)
    with pytest.raises(PolysenseError, match=rf"another shape than the model's: \['{name}'\]"):
        PolysenseModel.from_pretrained(tmp_path / "saved")
