"""Patterns name parameters; what they do not name is frozen."""

import pytest
import torch
from torch import nn

from polysense.errors import PolysenseError
from polysense.model.trainable import freeze_all_but, named, own_names, select


def model():
    inside = nn.ModuleDict({"q": nn.Linear(2, 2), "lora_A": nn.Linear(2, 2)})
    return nn.ModuleDict({"llm": inside.bfloat16(), "connector": nn.Linear(2, 2)})


def test_patterns_match_whole_segments_and_stars():
    assert named("connector.weight", ["connector"])
    assert not named("connectors.weight", ["connector"])
    assert named("llm.lora_A.weight", ["llm.*lora_*"])
    assert not named("llm.q.weight", ["llm.*lora_*"])


def test_only_the_named_learn_and_in_full_precision():
    whole = model()
    trainable = freeze_all_but(whole, ["llm.*lora_*"])
    assert set(trainable) == {"llm.lora_A.weight", "llm.lora_A.bias"}
    assert {n for n, p in whole.named_parameters() if p.requires_grad} == set(trainable)
    assert all(p.dtype == torch.float32 for p in trainable.values())
    assert whole["llm"]["q"].weight.dtype == torch.bfloat16


def test_a_pattern_that_names_nothing_is_an_error():
    with pytest.raises(PolysenseError, match="its parts: connector, llm"):
        select(model(), ["conector"])


def test_a_checkpoint_leaves_out_frozen_references():
    names = ["llm.q.weight", "llm.lora_A.weight", "encoder.x", "connector.weight"]
    assert own_names(names, []) == ["llm.lora_A.weight", "connector.weight"]
    assert own_names(names, ["encoder"]) == names[1:]
