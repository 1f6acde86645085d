"""The picture of a cloud shows it: upright, near over far, dark on light."""

import numpy as np
import pytest

from polysense.modalities.point import PointModality
from polysense.modalities.visualization.point_cloud_plot import PAPER, draw_cloud, seen


def drawn(xyz, rgb=None, up=1):
    rgb = np.full(xyz.shape, 0.4) if rgb is None else rgb
    return np.asarray(draw_cloud(np.hstack([xyz, rgb]), up, 64)).astype(float)


def test_paper_around_and_ink_in_the_middle():
    picture = drawn(PointModality(points=2000).example().numpy()[:, :3])
    assert np.abs(picture[0] - PAPER).max() < 6  # reducing overshoots a little
    assert picture[20:44, 20:44].mean() < 180


@pytest.mark.parametrize("up", [0, 1, 2])
def test_the_upright_axis_points_up(up):
    xyz = np.zeros((400, 3))
    xyz[:, up] = np.linspace(0, 1, 400)
    picture = drawn(xyz, up=up)
    dark = picture.mean(axis=2) < 200
    assert dark[:32].sum() > 20
    assert dark[36:].sum() == 0


def test_the_near_covers_the_far_and_a_frame_is_no_mirror():
    towards = np.linalg.inv(np.stack(seen(np.eye(3), 1)))[:, 2]  # the point that is seen at depth 1
    xyz = np.stack([towards, -towards] * 50)
    rgb = np.tile([[0.0, 0, 1], [1, 0, 0]], (50, 1))
    centre = drawn(xyz, rgb)[32, 32]
    assert centre[2] > centre[0] + 50
    across, upright, depth = (values for values in np.stack(seen(np.eye(3), 1)))
    assert np.dot(np.cross(across, upright), depth) == pytest.approx(1)


def test_one_point_alone_is_drawn():
    assert drawn(np.zeros((1, 3))).min() < 150
