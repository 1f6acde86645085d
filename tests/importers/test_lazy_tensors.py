"""Names and shapes of one file or many parts; pickles run nothing, and damage is one line."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from polysense.errors import PolysenseError
from polysense.importers.lazy_tensors import Weights

MAPS = Path("/proc/self/maps")
TENSORS = {"a": torch.randn(3, 2), "b": torch.randn(4).half(), "c": torch.randn(())}


def check(weights):
    assert dict(weights.shapes) == {name: tensor.shape for name, tensor in TENSORS.items()}
    assert set(weights) == set(TENSORS)
    assert len(weights) == 3
    for name, tensor in TENSORS.items():
        assert torch.equal(weights[name], tensor)
        assert weights[name].dtype == tensor.dtype


def test_one_file_of_either_kind(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"config": "{}"})
    weights = Weights(tmp_path / "x.safetensors")
    check(weights)
    assert weights.metadata == {"config": "{}"}
    torch.save(TENSORS, tmp_path / "x.pth")
    check(Weights(tmp_path / "x.pth"))
    torch.save({"model": TENSORS, "epoch": 3}, tmp_path / "whole.pth")
    check(Weights(tmp_path / "whole.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_parts_in_a_folder(tmp_path, suffix):
    save = torch.save if suffix == ".pth" else save_file
    for number, name in enumerate(TENSORS):
        save({name: TENSORS[name]}, tmp_path / f"consolidated.s{number}{suffix}")
    (tmp_path / "README.md").write_text("no weights")
    check(Weights(tmp_path))
    save({"a": TENSORS["a"]}, tmp_path / f"again{suffix}")
    with pytest.raises(PolysenseError, match=r"a lies in .* and again in consolidated\.s0"):
        Weights(tmp_path)


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux lists what is mapped")
def test_a_pickle_is_mapped_not_loaded(tmp_path):
    torch.save(TENSORS, tmp_path / "x.pth")
    assert "x.pth" not in MAPS.read_text()
    weights = Weights(tmp_path / "x.pth")
    (where,) = [line for line in MAPS.read_text().splitlines() if line.endswith("x.pth")]
    start, end = (int(side, 16) for side in where.split()[0].split("-"))
    assert start <= weights["a"].data_ptr() < end


class Harmful:
    """Code that a careless reader of pickles would run."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_objects_are_not_run(tmp_path):
    torch.save({"a": Harmful()}, tmp_path / "x.pth")
    with pytest.raises(PolysenseError, match="which are not run"):
        Weights(tmp_path / "x.pth")
    with (tmp_path / "y.pth").open("wb") as file:
        pickle.dump({"a": Harmful()}, file)
    with pytest.raises(PolysenseError, match=r"y\.pth"):
        Weights(tmp_path / "y.pth")


def test_what_is_no_weights(tmp_path):
    def fails(path, words):
        with pytest.raises(PolysenseError, match=words) as caught:
            Weights(path)
        assert "\n" not in str(caught.value)

    fails(tmp_path / "none", "does not exist")
    fails(tmp_path, "holds no weights")
    (tmp_path / "x.txt").write_text("words")
    fails(tmp_path / "x.txt", "no file of weights")
    torch.save([1, 2], tmp_path / "list.pth")
    fails(tmp_path / "list.pth", "tensors by name")
    torch.save(TENSORS, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:300])
    fails(tmp_path / "cut.pth", r"cut\.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x40" + bytes(20))
    fails(tmp_path / "cut.safetensors", "damaged")
    fails(tmp_path, "give the files of one kind")
