"""Each benchmark runs by its command, finds equal results both ways, and prints JSON."""

import json

import pytest
from fixtures.tiny_model import save_encoder, save_llm, save_pictures

from polysense.cli.main import main

SMALL = {
    "packing": "--width 32 --layers 1 --vocabulary 99 --samples 12 --packed-length 128 --repeats 1",
    "loss": "--vocabulary 20000 --tokens 1000 --width 8",
    "upm": "--width 32 --layers 2 --heads 2 --features 20 --signals 2 --repeats 1",
    "points": "--clouds 2 --points 256 --centres 32 --repeats 1",
    "growth": "--width 32 --layers 1 --vocabulary 99 --lengths 32 64 --samples 2 4 "
    "--modalities 1 8 --repeats 1",
    "allocator": "--width 32 --vocabulary 999 --features 1280 --clouds 16 --steps 2 --repeats 1",
    "generation": "--new 6 --streams 3 --turns 2 --repeats 1",
    "utilization": "--width 32 --layers 1 --vocabulary 99 --samples 2 --words 9 --packed-length "
    "600 --pictures 2 --side 64 --repeats 1 --head-width 16",
    "alignment": "--encoder-kind transformers --steps 2 --batch 4",
}


def measured(capfd, name, *more):
    with pytest.raises(SystemExit) as stopped:
        main(["perf", name, *SMALL[name].split(), "--device", "cpu", *map(str, more)])
    out = capfd.readouterr()
    assert stopped.value.code == 0, out.err
    result = json.loads(out.out.splitlines()[-1])
    assert result["perf"] == name
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
    result = measured(capfd, "allocator")  # blocks of over 32 MiB, which glibc always returns
    assert result["pages"]["kept"] <= result["pages"]["returned"]


def test_generation_says_the_same_every_way(capfd, tmp_path):
    result = measured(capfd, "generation", "--llm", save_llm(tmp_path / "llm"))
    assert result["same_words"]
    assert result["same_answers"]
    assert result["batch_ratio"] > 0


@pytest.mark.parametrize("more", [(), ("--learn-llm",)])
def test_shares_of_the_matrix_rate(capfd, tmp_path, more):
    result = measured(capfd, "utilization", "--encoder", save_encoder(tmp_path), *more)
    rates, shares = result["teraflops"], result["shares"]
    for name, share in shares.items():
        assert share == pytest.approx(rates[name] / rates["matrix"])
    assert result["positions_per_second"] > result["pictures_per_second"] > 0


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
        main(["perf", "pack"])
    assert stopped.value.code == 2
    assert (
        "did you mean 'packing'? Known: alignment, allocator, connectors,"
        in capsys.readouterr().err
    )
