"""On the command line, stages get data of their own or are left out; conversations end well."""

import json

import pytest
from fixtures.tiny_model import save_pictures
from test_cli import fails, succeeds, tiny_recipe  # noqa: F401

from polysense.training.run import read_run


@pytest.mark.usefixtures("tiny_recipe")
def test_llavas_two_sets_train_a_stage_each_and_end_well(capsys, tmp_path):
    """Conversations alone have no captions to score: that is said, and is no failure."""
    pictures = save_pictures(tmp_path / "own", 12)
    lines = [json.loads(line) for line in pictures.read_text().splitlines()]
    for name, question in (("captions", "<image>\nDescribe it."), ("talks", "<image>\nWhat?")):
        talk = [
            [{"from": "human", "value": question}, {"from": "gpt", "value": line["caption"]}]
            for line in lines
        ]
        items = [
            {"image": line["image"], "conversations": turns, "split": side}
            for line, turns, side in zip(lines, talk, ["test", *["train"] * 11], strict=True)
        ]
        (tmp_path / f"own/{name}.json").write_text(json.dumps(items))
    words = ["train", "tiny", "--run", "run", "--data", "alignment=own/captions.json"]
    assert "stage 'instruction' has no data" in fails(capsys, *words)
    out = succeeds(capsys, *words, "--data", "instruction=own/talks.json")
    assert "Nothing to evaluate" in out
    stages = json.loads((tmp_path / "run/run.json").read_text())["stages"]
    assert [stage["task"] for stage in stages] == ["answer", "instruction"]
    assert stages[0]["data"].endswith("own/captions.json")
    assert "Nothing to evaluate" in succeeds(capsys, "evaluate", "run")
    skip = ["train", "tiny", "--run", "short", "--data", "own/talks.json", "--skip-stage"]
    assert "Nothing to evaluate" in succeeds(capsys, *skip, "alignment")
    assert [stage.name for stage in read_run(tmp_path / "short").stages] == ["instruction"]
    assert "unknown stage in --skip-stage" in fails(capsys, *skip, "alignmet")
