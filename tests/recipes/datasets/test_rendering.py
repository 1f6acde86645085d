"""The renderer against geometry that is known: a cube's depth, normals, size and hidden sides."""

import numpy as np
import pytest
from fixtures.small_datasets import CORNERS, TRIANGLES, cube

from polysense.errors import PolysenseError
from polysense.recipes.datasets.rendering import FIELD_OF_VIEW, Pose, render, shade

SIZE = 64


def look(**pose):
    return render(Pose(**pose).apply(CORNERS), TRIANGLES, SIZE)


def test_a_cube_from_the_front_is_a_square_at_its_distance():
    view = look(distance=5)
    seen = view.depth > 0
    # Its front is 4 m away and 2 m wide; the whole picture is 2 * 4 * tan(22.5 degrees) wide there.
    side = SIZE * 2 / (8 * np.tan(np.radians(FIELD_OF_VIEW / 2)))
    assert seen.sum() == pytest.approx(side**2, rel=0.06)
    assert view.depth[seen] == pytest.approx(4, abs=1e-5)
    assert view.normals[seen] == pytest.approx(np.tile([0, 0, 1], (seen.sum(), 1)), abs=1e-6)
    assert set(view.face[seen]) == {2, 3}  # the front's triangles; the back is hidden
    assert (view.face[~seen] == -1).all()
    assert not view.normals[~seen].any()


def test_there_are_no_holes_between_triangles():
    view = look(yaw=33, pitch=21, roll=10, distance=4)
    for row in view.face >= 0:
        places = np.flatnonzero(row)
        assert len(places) == 0 or len(places) == places[-1] - places[0] + 1


def test_a_turned_cube_shows_two_sides_and_their_edge_is_nearest():
    view = look(yaw=45, distance=5)
    middle, seen = SIZE // 2, view.depth[SIZE // 2] > 0
    assert view.depth[view.depth > 0].min() == pytest.approx(5 - np.sqrt(2), abs=0.05)
    assert np.argmin(np.where(seen, view.depth[middle], 9)) in (middle - 1, middle)
    root = np.sqrt(0.5)
    left, right = view.normals[middle, middle - 5], view.normals[middle, middle + 5]
    assert left == pytest.approx([-root, 0, root], abs=1e-5)
    assert right == pytest.approx([root, 0, root], abs=1e-5)


def test_depth_is_that_of_the_plane_seen_at_a_slant():
    """On the plane z = -5 - x, a ray (u, v, -1) ends at depth 5 / (1 - u)."""
    corners = np.array([[-4, -4, -1], [4, -4, -9], [4, 4, -9], [-4, 4, -1]], dtype=np.float32)
    view = render(corners, np.array([[0, 1, 2], [0, 2, 3]]), SIZE)
    slope = np.tan(np.radians(FIELD_OF_VIEW / 2))
    u = (np.arange(SIZE) + 0.5 - SIZE / 2) / (SIZE / 2) * slope
    expected = np.tile(5 / (1 - u), (SIZE, 1))
    seen = view.depth > 0
    assert seen.mean() > 0.8
    assert view.depth[seen] == pytest.approx(expected[seen], rel=1e-4)


def test_poses_turn_as_they_say():
    near_side = np.array([[0.0, 0, 1]])
    assert Pose(yaw=90, distance=0).apply(near_side) == pytest.approx(np.array([[1, 0, 0]]))
    assert Pose(pitch=90, distance=0).apply(near_side) == pytest.approx(np.array([[0, -1, 0]]))
    top = np.array([[0.0, 1, 0]])
    assert Pose(roll=90, distance=0).apply(top) == pytest.approx(np.array([[-1, 0, 0]]))
    assert Pose(right=1, up=2).apply(top) == pytest.approx(np.array([[1, 3, -3]]))


def test_what_is_behind_the_camera_is_refused():
    with pytest.raises(PolysenseError, match=r"comes to -0\.50 m; the camera sees from 0\.05 m"):
        look(distance=0.5)


def test_shading_keeps_colours_and_background():
    mesh = cube()
    view = render(Pose(distance=3).apply(mesh.vertices), mesh.faces, SIZE)
    picture = shade(view, mesh.colours, np.array([200, 210, 220]))
    assert picture[0, 0].tolist() == [200, 210, 220]
    red, green, blue = picture[SIZE // 2, SIZE // 2]
    assert red > 150
    assert green == blue == 0
