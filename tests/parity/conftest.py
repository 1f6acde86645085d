"""One tiny random OneLLM for the tests of its importer: weights, inputs and official outputs.

The three onellm_tiny_*.safetensors beside this file hold a model of the release with its own names,
and what OneLLM's official code made of pictures, sounds and motion: features behind the projection
module, and the LLM's logits. The sizes are in the metadata of the third.
"""

from pathlib import Path

import pytest
from fixtures.tiny_model import save_llm
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoTokenizer

from polysense.importers.import_checkpoint import import_checkpoint

PARTS = [
    Path(__file__).with_name(f"onellm_tiny_{part}.safetensors") for part in ("upm", "senses", "llm")
]


def read_fixture():
    tensors, metadata = {}, {}
    for path in PARTS:
        with safe_open(path, "pt") as opened:
            tensors |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata |= opened.metadata() or {}
    return tensors, metadata


@pytest.fixture(scope="session")
def fixture():
    return read_fixture()[0]


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """A folder with a tokenizer and nothing else, and with a template of other conversations."""
    folder = tmp_path_factory.mktemp("words") / "llama"
    save_llm(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token = "<|im_start|>"
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).unlink()
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The weights alone, as a checkpoint."""
    tensors, metadata = read_fixture()
    own = {name.removeprefix("weight."): t for name, t in tensors.items() if "weight.llma" in name}
    path = tmp_path_factory.mktemp("release") / "onellm.safetensors"
    save_file(own, path, metadata=metadata)
    return path


@pytest.fixture(scope="session")
def run(checkpoint, words, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "run"
    return import_checkpoint("onellm", str(checkpoint), out, "fp32", str(words))
