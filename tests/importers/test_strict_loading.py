"""Tensors are placed all or not at all, and whatever finds no place is named."""

import pytest
import torch
from torch import nn

from polysense.errors import PolysenseError
from polysense.importers.strict_loading import load_strictly

NAMES = {"weight": "theirs.w", "bias": "theirs.b"}


def tensors():
    return {"theirs.w": torch.randn(2, 3), "theirs.b": torch.randn(1, 2)}


def test_all_are_placed_in_our_shapes():
    layer, given = nn.Linear(3, 2), tensors()
    load_strictly(layer, NAMES, given, "layer")
    assert torch.equal(layer.weight, given["theirs.w"])
    assert torch.equal(layer.bias, given["theirs.b"][0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"theirs.b": None}, r"layer does not fit: missing \['theirs.b'\] \(1\), not placed none"),
        ({"theirs.c": torch.ones(1)}, r"missing none \(0\), not placed \['theirs.c'\] \(1\)"),
        ({"theirs.w": torch.ones(3, 2)}, r"theirs.w has shape \[3, 2\]; .* weight needs \[2, 3\]"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change, words):
    layer = nn.Linear(3, 2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    given = {name: value for name, value in (tensors() | change).items() if value is not None}
    with pytest.raises(PolysenseError, match=words):
        load_strictly(layer, NAMES, given, "layer")
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_a_module_built_otherwise_is_named():
    with pytest.raises(PolysenseError, match=r"our layer is built unlike .* \['bias'\] \(1\)"):
        load_strictly(nn.Linear(3, 2, bias=False), NAMES, tensors(), "layer")
