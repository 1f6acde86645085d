"""Each benchmark runs by its command, finds equal results both ways, and prints JSON."""

import json

import pytest

from polysense.cli import main

SMALL = {
    "packing": "--width 32 --layers 1 --vocabulary 99 --samples 12 --row-tokens 128 --repeats 1",
    "loss": "--vocabulary 20000 --tokens 1000 --width 8",
    "upm": "--width 32 --layers 2 --heads 2 --features 20 --signals 2 --repeats 1",
}


def measured(capfd, name):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", name, *SMALL[name].split(), "--device", "cpu"])
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


def test_an_unknown_benchmark_names_the_known(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "pack"])
    assert stopped.value.code == 2
    assert "did you mean 'packing'? Known: loss, packing, upm" in capsys.readouterr().err
