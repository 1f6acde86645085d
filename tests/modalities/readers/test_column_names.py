"""Names of columns say what they hold, in the spellings of many programs."""

import pytest

from polysense.modalities.readers.column_names import (
    colour_part,
    is_tint,
    listed,
    plain,
    point_axis,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Gyro.X (°/s)", "gyro_x_deg_s"), ("acc X [m/s²]", "acc_x_m_s2"), ("t (µs)", "t_us"),
     ("t (μs)", "t_us"), ("a m·s⁻²", "a_m_s_2"), ("ω º/s", "deg_s"), (7, "7")],
)  # fmt: skip
def test_plain(name, expected):
    assert plain(name) == expected


@pytest.mark.parametrize(
    ("name", "axis"),
    [("x", "x"), ("Y", "y"), ("Z [m]", "z"), ("pos_x", "x"), ("PointY", "y"), ("coord.z", "z"),
     ("x_coordinate", "x"), ("Easting", "x"), ("northing", "y"), ("elevation", "z"),
     ("nx", None), ("index", None), ("max", None), ("normal_x", None), ("rgb", None)],
)  # fmt: skip
def test_coordinates(name, axis):
    assert point_axis(name) == axis


@pytest.mark.parametrize(
    ("name", "part"),
    [("red", "r"), ("G", "g"), ("diffuse_blue", "b"), ("Color R", "r"), ("Bf", "b"),
     ("ring", None), ("intensity", None), ("nb", None)],
)  # fmt: skip
def test_colours(name, part):
    assert colour_part(name) == part
    assert is_tint(name) == (part is not None)


def test_colours_in_a_form_that_is_not_read_are_noticed():
    assert all(map(is_tint, ["colour", "f_dc_0", "RGB", "hue", "color_hex"]))
    assert not any(map(is_tint, ["f_rest_0", "time", "classification"]))


def test_lists_are_short():
    assert listed("abc") == "a, b, c"
    assert listed(range(23)).endswith("18, 19 and 3 more")
