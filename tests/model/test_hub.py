"""Weights compute in what the config names; what cannot be loaded is one line with the way out."""

import pytest
import torch
from transformers import AutoConfig

from polysense.errors import PolysenseError
from polysense.model.hub import compute_dtype, load_pretrained


def test_a_precision_is_its_dtype():
    assert compute_dtype("bf16") is torch.bfloat16
    assert compute_dtype("fp32") is torch.float32
    assert compute_dtype("auto") in (torch.bfloat16, torch.float32)


def test_a_name_that_is_neither_here_nor_on_the_hub_says_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolysenseError, match=r"LLM 'nosuch' could not be loaded: .*a folder of"):
        load_pretrained("LLM", AutoConfig.from_pretrained, "nosuch", None)
    with pytest.raises(PolysenseError, match="is not a model folder"):
        load_pretrained("LLM", AutoConfig.from_pretrained, "./nosuch", None)


def test_the_revision_is_handed_on():
    asked = []
    load_pretrained("LLM", lambda name, **options: asked.append((name, options)), "a/b", "v2")
    assert asked == [("a/b", {"revision": "v2"})]
