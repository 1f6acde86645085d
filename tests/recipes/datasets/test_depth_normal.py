"""Depth maps hold millimetres and normal maps (n + 1) / 2, also after they are stored as PNG."""

import numpy as np
from fixtures.small_datasets import save_library
from PIL import Image

from polysense.recipes.datasets import depth_normal as views
from polysense.recipes.datasets.rendering import Pose, render


def stored(picture, tmp_path):
    picture.save(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as opened:
        return np.asarray(opened)


def plane():
    """A square 3 m away that faces the camera, smaller than the picture."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=np.float32) / 2
    return render(Pose(distance=3).apply(corners), np.array([[0, 1, 2], [0, 2, 3]]), views.SIZE)


def test_depth_is_millimetres_and_zero_beside(tmp_path):
    values = stored(views.encode_depth(plane()), tmp_path)
    assert values.shape == (views.SIZE, views.SIZE)
    assert values.max() == 3000
    assert set(np.unique(values)) == {0, 3000}


def test_a_plane_that_faces_the_camera_is_light_blue(tmp_path):
    values = stored(views.encode_normals(plane()), tmp_path)
    assert values[views.SIZE // 2, views.SIZE // 2].tolist() == [128, 128, 255]
    assert values[0, 0].tolist() == [0, 0, 0]


def test_every_mesh_is_seen_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(views, "PER_CLASS", 3)
    save_library(tmp_path, ["Chair", "Iron bed"])
    depth, normal = views.depth_lines(tmp_path), views.normal_lines(tmp_path)
    assert len(depth) == len(normal) == 6
    assert depth[0]["caption"] == "A depth map of a bed."
    assert normal[-1]["caption"] == "A normal map of a chair."
    for line in depth:
        values = np.asarray(Image.open(tmp_path / line["depth"]))
        assert values.dtype == np.uint16
        assert 1600 <= values[values > 0].min() < values.max() <= 4400
