"""Coordinates and colours are found by name, or by what stands in their places."""

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.point_cloud.columns import (
    are_normals,
    harmonic_colours,
    named_columns,
    placed_colours,
)


@pytest.mark.parametrize(
    ("names", "xyz", "colours", "form"),
    [("x y z", [0, 1, 2], [], "none"), ("b g r z y x", [5, 4, 3], [2, 1, 0], "parts"),
     ("x y z intensity nx ny nz", [0, 1, 2], [], "none"), ("x y z rgb", [0, 1, 2], [3], "packed"),
     ("x y z rgb red green blue", [0, 1, 2], [4, 5, 6], "parts"),
     ("f_dc_2 x f_dc_1 y f_dc_0 z f_rest_0", [1, 3, 5], [4, 2, 0], "harmonics")],
)  # fmt: skip
def test_names(names, xyz, colours, form):
    assert named_columns(names.split(), "f") == (xyz, colours, form)


@pytest.mark.parametrize(
    ("names", "words"),
    [("x y height", "no column 'z': points need x, y, z; columns: x, y, height"),
     ("x y z pos_x", "x and pos_x could both be the column 'x'"),
     ("x y z red green", "not understood: red, green"), ("x y z colour", "understood: colour"),
     ("x y z f_dc_0 f_dc_1", "not understood: f_dc_0, f_dc_1"),
     ("x y z r g b red", "r and red could both be")],
)  # fmt: skip
def test_names_that_are_not_understood_are_listed(names, words):
    with pytest.raises(PolysenseError, match=words):
        named_columns(names.split(), "f")


XYZ, RGB, TILT = [5.0, 6, 7], [10.0, 20, 30], [0.0, -0.6, 0.8]


@pytest.mark.parametrize(
    ("row", "scanner", "place"),
    [(XYZ, False, None), ([*XYZ, 99], False, None), ([*XYZ, 99, 1], True, None),
     ([*XYZ, *RGB], False, 3), ([*XYZ, *RGB], True, 3), ([*XYZ, *RGB, 17], False, 3),
     ([*XYZ, 99, *RGB], True, 4), ([*XYZ, -900, *RGB], False, 4), ([*XYZ, -900, *RGB], True, 4),
     ([*XYZ, *TILT], False, None), ([*XYZ, 0, 0, 0.999], False, None),
     ([*XYZ, 1, 0, 0], False, 3), ([*XYZ, *TILT, *RGB], False, 6),
     ([*XYZ, *RGB, *TILT], False, 3), ([*XYZ, 0.1, 0.2, 0.3], False, 3)],
)  # fmt: skip
def test_places(row, scanner, place):
    assert placed_colours(np.array([row] * 3), scanner, "f") == place


def test_what_is_neither_colour_nor_normal_is_refused():
    with pytest.raises(PolysenseError, match=r"columns 4 to 6 are neither .* \(from -3 to 20\)"):
        placed_colours(np.array([[*XYZ, -3.0, 20, 1]]), False, "f")
    with pytest.raises(PolysenseError, match="to 70000"):
        placed_colours(np.array([[*XYZ, 3.0, 70_000, 1]]), False, "f")
    assert placed_colours(np.array([[*XYZ, 3.0, 65_535, 1]]), False, "f") == 3


def test_a_missing_normal_is_zero():
    assert are_normals(np.array([[0, 0, 0], [0, -1, 0], [np.nan, 0, 0]]))
    assert not are_normals(np.array([[0, 0, -1.1], [0, -1, 0]]))


def test_harmonics():
    values = np.array([[0.5, -0.5, 0.0], [9, -9, 0.25]]) / 0.28209479
    values[1, 2] = 0.25
    colours = harmonic_colours(values)
    assert colours[0] == pytest.approx([1, 0, 0.5], abs=1e-6)
    assert colours[1] == pytest.approx([1, 0, 0.5 + 0.25 * 0.28209479], abs=1e-6)
