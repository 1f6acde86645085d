"""Clouds lie on their mesh, differ from one draw to the next, and go round a class's meshes."""

import numpy as np
import pytest
from fixtures.small_datasets import cube

from polysense.recipes.datasets import point as clouds
from polysense.recipes.datasets.manifest_lines import generator


def test_a_cloud_lies_on_the_surface_and_has_its_colours():
    cloud = clouds.sample_cloud(cube(), generator("one"))
    assert cloud.dtype == np.float32
    assert cloud.shape == (clouds.POINTS, 6)
    # A cube's surface is between 1 / sqrt(3) and 1 from its centre; stretched by a tenth, noisy.
    distance = np.linalg.norm(cloud[:, :3], axis=1)
    assert distance.min() > 0.9 / np.sqrt(3) - 5 * clouds.NOISE
    assert distance.max() < 1.1 + 5 * clouds.NOISE
    assert {tuple(colour) for colour in cloud[:, 3:]} == {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)}


def test_clouds_of_a_mesh_differ_by_name_only():
    one, again, other = (clouds.sample_cloud(cube(), generator(name)) for name in "aab")
    assert (one == again).all()
    assert np.abs(one - other).max() > 0.5


def test_up_stays_up():
    """The red front is turned about the upright axis: it keeps its height."""
    for name in "abcd":
        cloud = clouds.sample_cloud(cube(), generator(name))
        front = cloud[cloud[:, 3] == 1]
        assert abs(front[:, 1].mean()) < 0.1


def test_every_class_is_drawn_alike_and_a_mesh_keeps_its_side():
    meshes = [cube(f"chair-{n}", "chair", held_out=n == 0) for n in range(3)]
    meshes.append(cube("vase-0", "vase"))
    drawn = clouds.draws(meshes, 6)
    assert [key for key, mesh in drawn if mesh.category == "vase"] == [
        f"vase-{n:02d}" for n in range(6)
    ]
    assert [mesh.name for _, mesh in drawn[:6]] == ["chair-0", "chair-1", "chair-2"] * 2
    line = clouds.mesh_line("point", "a.npy", "A cloud.", drawn[0][1], "chair-00")
    assert line["split"] == "held_out"
    assert line["category"] == "chair"
    with pytest.raises(KeyError):
        line["image"]
