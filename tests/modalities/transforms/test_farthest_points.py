"""Farthest points and nearest neighbours equal what a plain loop finds."""

import numpy as np
import pytest
import torch

from polysense.errors import PolysenseError
from polysense.modalities.transforms import farthest_points as sampling
from polysense.modalities.transforms.farthest_points import farthest_points, gather_points, nearest


def plain_farthest(cloud, count, start):
    """The definition, one cloud at a time."""
    separation = np.full(len(cloud), np.inf, np.float32)
    chosen = [start]
    while len(chosen) < count:
        separation = np.minimum(separation, ((cloud - cloud[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(separation.argmax()))
    return chosen


@pytest.mark.parametrize(("axes", "start"), [(3, 0), (3, 41), (2, 7)])
def test_farthest_points_are_those_of_a_plain_loop(axes, start, monkeypatch):
    clouds = torch.rand(4, 300, axes)
    found = farthest_points(clouds, 120, start)
    expected = [plain_farthest(cloud, 120, start) for cloud in clouds.numpy()]
    assert found.dtype == torch.int64
    assert found.tolist() == expected
    monkeypatch.setattr(sampling, "POINTS_IN_CACHE", 700)  # two clouds at a time
    assert farthest_points(clouds, 120, start).tolist() == expected
    planes = clouds.permute(2, 0, 1).contiguous()  # what a GPU does
    assert sampling.farthest_by_torch(planes, 120, start).tolist() == expected


def test_of_equally_far_points_the_lowest_index_wins():
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1], [1, 1], [0, 1]])[None]
    assert farthest_points(corners, 6).tolist() == [[0, 3, 1, 2, 0, 0]]


def test_every_point_of_a_set_without_doubles_comes_once():
    assert sorted(farthest_points(torch.rand(1, 50, 3), 50)[0].tolist()) == list(range(50))


@pytest.mark.gpu
def test_farthest_points_are_the_same_on_a_gpu():
    clouds = torch.rand(3, 1000, 3)
    clouds[:, 500:] = clouds[:, :500]  # ties
    assert torch.equal(farthest_points(clouds.cuda(), 700).cpu(), farthest_points(clouds, 700))


@pytest.mark.parametrize("chunk", [sampling.CHUNK_BYTES, 4 * 200 * 2 * 3, 1])
def test_nearest_are_those_of_a_full_table_whatever_the_chunk(chunk, monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK_BYTES", chunk)
    clouds, centres = torch.rand(2, 200, 3), torch.rand(2, 17, 3)
    squared = ((centres[:, :, None] - clouds[:, None]) ** 2).sum(-1).numpy()
    expected = np.argsort(squared, axis=2)[..., :9]
    assert nearest(clouds, centres, 9).tolist() == expected.tolist()


def test_nearest_tells_points_apart_that_a_matrix_product_would_not():
    line = torch.tensor([[1000.0, 0, 0], [1000.001, 0, 0], [1000.002, 0, 0]])
    cloud = line.repeat(20, 1)[None]
    found = nearest(cloud, cloud[:, 2:3], 20)[0, 0]
    assert (found % 3 == 2).all()


def test_gathered_points_are_those_named():
    values, indices = torch.rand(2, 5, 3), torch.tensor([[[0, 4]], [[2, 2]]])
    found = gather_points(values, indices)
    assert found.shape == (2, 1, 2, 3)
    assert torch.equal(found[1, 0, 1], values[1, 2])


def test_too_many_points_are_refused():
    cloud = torch.rand(1, 4, 3)
    for call in (
        lambda: farthest_points(cloud, 5),
        lambda: farthest_points(cloud, 2, start=4),
        lambda: nearest(cloud, cloud, 5),
    ):
        with pytest.raises(PolysenseError, match="4 points"):
            call()
