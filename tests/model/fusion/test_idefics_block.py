"""IDEFICS's gated blocks: nothing before the first step, their gates, and what they look at."""

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.model.fusion.idefics_block import IdeficsBlock


def build(**options):
    torch.manual_seed(0)
    block = IdeficsBlock(16, 10, heads=4, hidden=24, **options)
    for name, weight in block.named_parameters():
        if weight.ndim > 1 or "norm" in name:
            torch.nn.init.normal_(weight, mean=0.1, std=0.5)
    return block


@pytest.mark.parametrize("gates", ["one", "each"])
@pytest.mark.parametrize("query_key_norm", [True, False])
def test_it_begins_as_nothing_and_looks_where_it_may(gates, query_key_norm):
    block = build(gates=gates, query_key_norm=query_key_norm)
    x, media = torch.randn(2, 3, 16), torch.randn(2, 4, 10)
    mask = torch.ones(2, 1, 3, 4).bool()
    mask[:, :, 0] = False
    mask[:, :, 1, 2:] = False
    assert torch.equal(block(x, *block.remember(media), mask), x)
    with torch.no_grad():
        block.attention_gate.fill_(0.7)
    found = block(x, *block.remember(media), mask)
    assert torch.equal(found[:, 0], x[:, 0])
    other = media.clone()
    other[:, 3] += 1
    changed = block(x, *block.remember(other), mask)
    assert torch.equal(changed[:, 1], found[:, 1])
    assert not torch.allclose(changed[:, 2], found[:, 2], atol=1e-4)
    assert block.attention_gate.numel() == (16 if gates == "each" else 1)


def test_norms_of_the_heads_make_the_size_of_media_irrelevant_to_where_it_looks():
    normed, plain = build(query_key_norm=True), build()
    media = torch.randn(1, 4, 10)
    for block, same in ((normed, True), (plain, False)):
        key, larger = (block.remember(scale * media)[0] for scale in (1, 3))
        assert torch.allclose(key, larger, atol=1e-4) is same


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(PolysenseError, match=r"fusion\.heads=5 does not divide the width 16"):
        IdeficsBlock(16, 10, heads=5, hidden=24)
