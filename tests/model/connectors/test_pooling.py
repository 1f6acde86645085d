"""Fewer embeddings out of neighbours: what is kept, in which order, and which grids are refused."""

import pytest
import torch
from torch import nn

from polysense.errors import PolysenseError
from polysense.model.connectors.abstractor import (
    ChannelNorm,
    ConvolutionalAbstractor,
    ConvolutionBlock,
)
from polysense.model.connectors.pooling import AveragePool, TokenMerge


def keep(_width):
    return nn.Identity()


def abstractor(**options):
    torch.manual_seed(0)
    return ConvolutionalAbstractor(8, keep, **{"width": 16, "layers": 1, "queries": 4, **options})


@pytest.mark.parametrize("positions", [10, 17, 2])
def test_the_abstractor_refuses_what_is_no_square_grid(positions):
    branch = abstractor()
    for refused in (
        lambda: branch(torch.randn(1, positions, 8)),
        lambda: branch.num_embeddings(positions),
    ):
        with pytest.raises(PolysenseError, match=rf"square grid .* {positions} are none: pool"):
            refused()


def test_the_abstractor_takes_any_square_and_keeps_places():
    branch = abstractor()
    for side in (2, 4, 7):
        assert branch(torch.randn(2, side * side, 8)).shape == (2, 4, 16)
    features = torch.randn(1, 8, 8, 8)
    changed = features.clone()
    changed[:, 0, 0] = torch.randn(8)
    moved = branch(changed.flatten(1, 2)) - branch(features.flatten(1, 2))
    size = moved.norm(dim=-1)[0]
    assert size.argmax() == 0  # the corner's own quarter moves most


def test_the_abstractor_sees_across_places_and_depth_counts():
    shallow, deep = abstractor(layers=1), abstractor(layers=3)
    assert (len(shallow.fine), len(deep.fine), len(deep.coarse)) == (1, 3, 3)
    features = torch.randn(1, 16, 8, requires_grad=True)
    deep(features)[0, 0].sum().backward()
    assert (features.grad.abs().sum(dim=-1) > 0).all()


def test_channel_norm_is_over_channels_at_each_place():
    found = ChannelNorm(6)(torch.randn(2, 6, 3, 4) * 5 + 2)
    assert torch.allclose(found.mean(1), torch.zeros(2, 3, 4), atol=1e-5)
    assert torch.allclose(found.var(1, unbiased=False), torch.ones(2, 3, 4), atol=1e-3)


def test_merge_writes_neighbours_side_by_side():
    branch = TokenMerge(2, keep, merge_factor=3)
    features = torch.arange(1.0, 15).view(1, 7, 2)
    found = branch(features)
    assert branch.num_embeddings(7) == 3
    assert found.tolist()[0] == [
        [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [13, 14, 0, 0, 0, 0],
    ]  # fmt: skip
    assert TokenMerge(2, keep).num_embeddings(256) == 64


def test_pool_averages_blocks_of_a_grid_and_runs_of_a_line():
    branch = AveragePool(1, keep, queries=4)
    grid = torch.arange(16.0).view(1, 16, 1)
    assert branch(grid).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    line = torch.arange(8.0).view(1, 8, 1)
    assert branch(line).flatten().tolist() == [0.5, 2.5, 4.5, 6.5]
    assert torch.equal(branch(line[:, :3]), line[:, :3])


@pytest.mark.parametrize("positions", [1, 3, 4, 5, 6, 9, 50, 256])
@pytest.mark.parametrize("queries", [1, 5, 9])
def test_pool_counts_what_it_gives(positions, queries):
    branch = AveragePool(2, keep, queries)
    found = branch(torch.randn(1, positions, 2)).shape[1]
    assert found == branch.num_embeddings(positions) <= queries


def test_a_block_mixes_places_channel_by_channel():
    block = ConvolutionBlock(8, 16)
    assert block.before[3].weight.shape == (16, 1, 3, 3)  # depthwise
