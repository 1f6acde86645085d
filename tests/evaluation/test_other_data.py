"""Evaluating on other data: which records are scored, what is kept, and what is said.

Parts that have moved are polysense.model.pretrained.moved_parts.
"""

import json
import shutil
from pathlib import Path

import pytest

from polysense.cli.main import main
from polysense.evaluation.other_data import config_of, result_file, split_of_data
from polysense.evaluation.result import FILE, read_evaluated
from polysense.training.run import load_split


def manifest(folder, evaluated, name="other.jsonl", **split):
    """Six of the run's images under other keys; `split` says which of them say what."""
    shutil.copytree(evaluated.folder.parent / "parts" / "motions", folder, dirs_exist_ok=True)
    lines = [
        {"image": f"{index:02d}.png", "caption": f"A thing {index}.", "key": f"k{index}"}
        for index in range(6)
    ]
    for name_of, word in split.items():
        lines[int(name_of[1:])]["split"] = word
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / name)


def test_all_records_are_scored_beside_the_runs_training_records(evaluated, tmp_path):
    split, said = split_of_data(manifest(tmp_path, evaluated), ["image"], evaluated.config)
    assert len(split.held_out) == 6
    assert split.train == load_split(evaluated.config).train
    assert "all 6 records" in said


def test_records_that_say_train_are_neighbours_only(evaluated, tmp_path):
    data = manifest(tmp_path, evaluated, k1="train", k2="held_out")
    split, said = split_of_data(data, ["image"], evaluated.config)
    assert [record.key for record in split.train] == ["k1"]
    assert [record.key for record in split.held_out] == ["k0", "k2", "k3", "k4", "k5"]
    assert "the 5 records" in said
    assert split_of_data(data, ["image"], None)[0] == split


def test_the_runs_own_data_at_another_place_are_split_as_they_were(evaluated, tmp_path):
    old = evaluated.folder.parent / "parts" / "motions"
    new = shutil.copytree(old, tmp_path / "moved")
    split, said = split_of_data(str(new / "motions.jsonl"), ["image", "imu"], evaluated.config)
    own = load_split(evaluated.config)
    assert [r.key for r in split.held_out] == [r.key for r in own.held_out]
    assert "its held-out records" in said


def run_command(capsys, *words):
    with pytest.raises(SystemExit) as done:
        main(["evaluate", *map(str, words)])
    return done.value.code, capsys.readouterr()


def test_a_result_on_other_data_lies_beside_the_runs_own(evaluated, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(evaluated.folder, tmp_path / "run")
    before = (run / FILE).read_bytes() if (run / FILE).is_file() else None
    code, said = run_command(capsys, run, "--data", manifest(tmp_path, evaluated))
    assert code == 0
    found = read_evaluated(run / result_file("other.jsonl"))
    assert found is not None
    train = load_split(evaluated.config).train
    # What the run was trained on is left out: those scores would measure memory.
    own = {Path(r.media[0].source).name for r in train if r.modalities == "image"}
    (result,) = found.modalities
    assert result.overlapping
    assert result.scored + len(result.overlapping) == 6
    assert not own & {Path(answer.files[0].path).name for answer in result.answers}
    assert "left out" in said.out
    assert ((run / FILE).read_bytes() if (run / FILE).is_file() else None) == before


def test_what_cannot_be_scored_is_said(evaluated, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    manifest(tmp_path, evaluated)
    lines = [{"image": "00.png", "question": "What?", "answer": "That."}]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, said = run_command(capsys, evaluated.folder, "--data", "asked.jsonl")
    assert code == 0
    assert "Nothing to evaluate: no held-out sample" in said.out


def test_an_imported_run_is_scored_on_given_data(evaluated, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(evaluated.folder, tmp_path / "imported")
    (run / "run.json").unlink()
    assert config_of(run) is None
    code, said = run_command(capsys, run)
    assert code == 2
    assert "with --data" in said.err
    code, said = run_command(capsys, run, "--data", manifest(tmp_path, evaluated), "--limit", "3")
    assert code == 0
    assert "3 held-out samples of one modality" in said.out
    assert not (run / result_file("other.jsonl")).exists()  # a glance


@pytest.mark.parametrize("part", ["llm", "encoder"])
def test_the_option_is_named_where_a_part_has_moved(evaluated, tmp_path, monkeypatch, capsys, part):
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(evaluated.folder, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["model"][part]["name"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config))
    code, said = run_command(capsys, run)
    assert code == 2
    assert f"the {part} of run" in said.err
    assert f"with --{part}" in said.err
