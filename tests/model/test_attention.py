"""Attention against the formula written out head by head."""

import torch

from polysense.model.attention import attend


def test_each_head_attends_by_itself_within_its_mask():
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    mask = torch.rand(2, 1, 3, 5) < 0.6
    mask[..., 0] = True
    found = attend(query, key, value, heads=2, mask=mask)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / 4**0.5
        weights = scores.masked_fill(~mask[:, 0], -torch.inf).softmax(-1)
        assert torch.allclose(found[..., part], weights @ value[..., part], atol=1e-6)
