"""A run's folder goes on with the run that it holds, says what differs, and is never left blocked.

Through polysense.training.run, with room on the disk (polysense.training.run_folder.disk_room).
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.tiny_model import save_pictures, tiny_config

from polysense.cli.main import build_parser
from polysense.cli.train import config_of_run
from polysense.data.datasets import read_manifest, split_records
from polysense.errors import PolysenseError
from polysense.training import run as run_module
from polysense.training.run import check_parts, taken, train
from polysense.training.run_folder.contents import (
    changes,
    check_folder,
    create_run_folder,
    has_begun,
    read_run,
)
from polysense.training.run_folder.lock import FILE as LOCK


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_config(tmp_path_factory.mktemp("parts"), steps_scale=0.2)


def begun(folder, config):
    """A run folder with a checkpoint of its first stage."""
    folder.mkdir()
    create_run_folder(folder, config)
    (folder / "stages/alignment/step-000001").mkdir(parents=True)
    return folder


def test_what_differs_is_named_with_the_ways_out(config, tmp_path):
    first = replace(config.stages[0], learning_rate=0.5)
    other = replace(config, seed=7, stages=(first, *config.stages[1:]))
    with pytest.raises(PolysenseError) as error:
        check_folder(begun(tmp_path / "run", config), other)
    said = str(error.value)
    assert "stages.alignment.learning_rate is 0.001 there and 0.5 here" in said
    assert "seed is 0 there and 7 here" in said
    assert "polysense train --run" in said
    assert "delete" not in said
    check_folder(tmp_path / "run", config)


def test_many_differences_are_counted():
    before = {"a": {"b": 1, "c": [{"name": "x", "d": 2}]}, "e": 3}
    now = {"a": {"b": 2, "c": [{"name": "x", "d": 2}, {"name": "y", "d": None}]}, "f": []}
    assert changes(before, now) == [
        "a.b is 1 there and 2 here",
        "e is 3 there and not given here",
        'a.c.y.name is not given there and "y" here',
        "a.c.y.d is not given there and null here",
        "f is not given there and [] here",
    ]
    assert changes(before, before) == []


def test_a_run_without_a_checkpoint_blocks_nothing(config, tmp_path):
    folder = begun(tmp_path / "run", config)
    (folder / "stages/alignment/step-000001").rmdir()
    (folder / "stages/alignment/log.jsonl").write_text('{"step": 1}\n')
    other = replace(config, seed=7)
    check_folder(folder, other)
    create_run_folder(folder, other)
    assert read_run(folder) == other
    assert not (folder / "stages").exists()
    assert not has_begun(folder)


def test_folders_of_other_things_are_left_alone(config, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/one.txt").write_text("Dear all")
    with pytest.raises(PolysenseError, match="not empty and holds no run: give another"):
        check_folder(tmp_path / "letters", config)
    (tmp_path / "letters/config.json").write_text("{}")
    assert not has_begun(tmp_path / "letters")  # a config alone is no model
    (tmp_path / "letters/model.safetensors").write_text("{}")
    assert has_begun(tmp_path / "letters")  # training anew would lose it
    with pytest.raises(PolysenseError, match="imported or saved"):
        check_folder(tmp_path / "letters", config)


def test_a_damaged_config_is_named(tmp_path):
    for content in (b'{"recipe": ', b"\xff\xfe"):
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(PolysenseError, match=r"run\.json is damaged: "):
            read_run(tmp_path)


def test_what_a_killed_process_left_blocks_nothing(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.run.json.writing-1").write_text("{")
    (tmp_path / "run" / LOCK).touch()
    check_folder(tmp_path / "run", config)


def test_of_many_differences_four_are_named(config, tmp_path):
    first = replace(config.stages[0], epochs=9, batch_size=9, learning_rate=9, packed_length=9)
    other = replace(config, stages=(first, *config.stages[1:]), seed=9)
    with pytest.raises(PolysenseError, match=r", and 1 more\. `polysense") as error:
        check_folder(begun(tmp_path / "run", config), other)
    assert str(error.value).count(" there and 9") == 4


def test_a_run_in_place_of_an_llm_is_one_line(config, tmp_path):
    (tmp_path / "llava").mkdir()
    (tmp_path / "llava/config.json").write_text('{"model_type": "polysense"}')
    llm = replace(config.model.llm, name=str(tmp_path / "llava"))
    with pytest.raises(PolysenseError, match=r"model\.llm\.name=.*is a run of Polysense"):
        check_parts(replace(config, model=replace(config.model, llm=llm)))
    encoder = replace(config.model.encoder, name=str(tmp_path / "llava"))
    with pytest.raises(PolysenseError, match=r"model\.encoder\.name=.*is a run of Polysense"):
        check_parts(replace(config, model=replace(config.model, encoder=encoder)))
    check_parts(config)


def test_a_run_alone_goes_on_from_what_its_folder_knows(config, tmp_path):
    folder = begun(tmp_path / "run", config)
    parse = build_parser().parse_args
    assert config_of_run(parse(["train", "--run", str(folder)])) == config
    with pytest.raises(PolysenseError, match="Name a recipe"):
        config_of_run(parse(["train"]))
    with pytest.raises(PolysenseError, match="need a recipe"):
        config_of_run(parse(["train", "--run", str(folder), "--data", "x.jsonl"]))


@pytest.fixture
def data(tmp_path):
    manifest = save_pictures(tmp_path / "pictures", 12)

    def split():
        return split_records(read_manifest(manifest, ["image"]), 0.25)

    return manifest, split


def changed(manifest, change):
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))


def test_a_run_that_has_begun_refuses_other_data_and_another_does_not(config, data, tmp_path):
    manifest, split = data
    folder = tmp_path / "run"
    with taken(folder, config, split()):
        assert (folder / LOCK).exists()
    changed(manifest, lambda lines: lines[:-1])
    with taken(folder, config, split()):  # no checkpoint yet
        pass
    (folder / "stages/alignment/step-000001").mkdir(parents=True)
    changed(manifest, lambda lines: lines[:-1])
    with (
        pytest.raises(PolysenseError, match=r"the data of .* have changed"),
        taken(folder, config, split()),
    ):
        pass


def test_room_for_the_whole_run_is_checked_before_the_folder_is_made(config, tmp_path, monkeypatch):
    asked = []

    def full(folder, num_bytes, kept):
        asked.append(num_bytes)
        raise PolysenseError("the disk is full")

    monkeypatch.setattr(run_module, "check_room", full)
    with pytest.raises(PolysenseError, match="the disk is full"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert asked[0] > 0


def test_more_or_other_data_for_a_run_are_refused(tmp_path):
    config = tiny_config(tmp_path / "parts", steps_scale=0.2)
    manifest = Path(config.data.manifest)
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:12]))
    train(config, tmp_path / "run", stop_after="alignment")
    changed(manifest, lambda lines: [{**line, "caption": "Else."} for line in lines])
    with pytest.raises(PolysenseError, match="manifest are 12 with another text"):
        train(config, tmp_path / "run")
    manifest.write_text("".join(lines[:12]))
    train(config, tmp_path / "run")
    weights = (tmp_path / "run/model.safetensors").read_bytes()
    manifest.write_text("".join(lines))
    with pytest.raises(PolysenseError, match="manifest are 12 new"):
        train(config, tmp_path / "run")
    assert (tmp_path / "run/model.safetensors").read_bytes() == weights
