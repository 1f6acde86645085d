"""Shards are read by transformers itself, hold every tensor once, and are made one at a time."""

import json

import torch
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM

from polysense.importers.shard_writer import write_shards


def tiny():
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def written(folder, model, **options):
    with torch.device("meta"):
        blanks = type(model)(model.config).state_dict()
    state, asked = model.state_dict(), []

    def read(name):
        asked.append((name, len(list(folder.glob("*.safetensors")))))
        return state[name]

    write_shards(folder, blanks, read, **options)
    model.config.save_pretrained(folder)
    return asked


def test_one_file_where_it_is_small(tmp_path):
    model = tiny()
    written(tmp_path / "llm", model)
    assert [file.name for file in (tmp_path / "llm").glob("*safetensors*")] == ["model.safetensors"]
    again = LlamaForCausalLM.from_pretrained(tmp_path / "llm").state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())


def test_several_with_an_index_and_never_two_in_memory(tmp_path):
    model = tiny()
    asked = written(tmp_path / "llm", model, shard_bytes=8000)
    files = sorted((tmp_path / "llm").glob("*.safetensors"))
    assert len(files) > 2
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    assert sorted(name for name, _ in asked) == sorted(model.state_dict())
    # A tensor is asked for when all shards before its own are on the disk.
    assert [done for _, done in asked] == sorted(done for _, done in asked)
    assert {done for _, done in asked} == set(range(len(files)))
    for file in files:
        with safe_open(file, "pt") as opened:
            tensors = [opened.get_tensor(name) for name in opened.keys()]  # noqa: SIM118
        assert sum(t.numel() * 4 for t in tensors) <= 8000
    index = json.loads((tmp_path / "llm/model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(model.state_dict())
    again = LlamaForCausalLM.from_pretrained(tmp_path / "llm").state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())
