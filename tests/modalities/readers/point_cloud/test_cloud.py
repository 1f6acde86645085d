"""Rows are drawn before they are decoded, colours come to 0..1, and what is no point goes."""

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.point_cloud.cloud import (
    Cloud,
    Lines,
    Reading,
    finite,
    from_matrix,
    unit_colours,
)


def test_of_many_rows_only_a_few_are_decoded():
    asked = []

    def decode(rows):
        asked.append(len(rows))
        return Cloud(np.stack([rows] * 3, axis=1).astype(float), None)

    first, second = (Reading("f", 10, 10**6).draw(10**6, decode).xyz for _ in range(2))
    assert asked == [40, 40]
    assert np.array_equal(first, second)
    assert len(np.unique(first[:, 0])) == 10
    assert Reading("f", 10, 99).draw(7, decode).xyz[:, 0].tolist() == list(range(7))


def test_all_rows_are_decoded_where_the_few_are_no_numbers():
    def decode(rows):
        xyz = np.full((len(rows), 3), np.nan)
        xyz[rows < 30] = 1
        return Cloud(xyz, np.zeros_like(xyz))

    cloud = Reading("f", 25, 10**6).draw(10**5, decode)
    assert cloud.xyz.shape == (25, 3)
    assert (cloud.xyz == 1).all()


def test_counts_are_limited():
    reading = Reading("f", 10, 99)
    with pytest.raises(PolysenseError, match=r"100 points; the limit is point\.max_points=99"):
        reading.draw(100, lambda rows: pytest.fail("decoded"))
    with pytest.raises(PolysenseError, match="holds no points"):
        reading.check(0)
    with pytest.raises(PolysenseError, match="no point whose coordinates are finite"):
        reading.draw(2, lambda rows: Cloud(np.full((2, 3), np.inf), None))


def test_what_is_no_coordinate_is_dropped_with_its_colour():
    xyz = np.array([[0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, 1e200], [1, 2, 3]])
    cloud = finite(Cloud(xyz, np.arange(15.0).reshape(5, 3)))
    assert cloud.xyz.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert cloud.rgb is not None
    assert cloud.rgb[:, 0].tolist() == [0, 12]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 51, 255]], np.uint8), [0, 0.2, 1]),
        (np.array([[1, 1, 0]], np.uint8), [1 / 255, 1 / 255, 0]),
        (np.array([[0, 13107, 65535]], np.uint16), [0, 0.2, 1]),
        (np.array([[0, 51, 255]], np.uint16), [0, 0.2, 1]),
        (np.array([[0, 0.2, 1]]), [0, 0.2, 1]),
        (np.array([[0, 0.2, 1.0000001]]), [0, 0.2, 1]),
        (np.array([[0, 51.0, 255]]), [0, 0.2, 1]),
        (np.array([[0, 51.5, 8.0]]), [0, 51.5 / 255, 8 / 255]),
        (np.array([[0, 13107.0, 4096.0]]), [0, 0.2, 4096 / 65535]),
        (np.array([[0, 1000, 300]], np.uint16), [0, 1000 / 65535, 300 / 65535]),
        (np.array([[0, np.nan, 1]]), [0, 0.4, 1]),
        (np.array([[np.nan, np.inf, np.nan]]), [0.4, 0.4, 0.4]),
    ],
)
def test_colours_of_every_range(values, expected):
    assert unit_colours(values, "f")[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_colours_out_of_range_are_refused():
    for values in ([[-1.0, 0, 0]], [[0, 0, 70000.0]], [[0, 0.5, 1.2]], [[0, 20.5, 300]]):
        with pytest.raises(PolysenseError, match=r"f has colours from .* use 0\.\.1 or 0\.\.255"):
            unit_colours(np.array(values), "f")


def test_matrices_of_other_shapes_are_refused():
    for wrong in (np.zeros((4, 5)), np.zeros(4), np.zeros((4, 3), complex), np.zeros((4, 3), bool)):
        with pytest.raises(PolysenseError, match="must be numbers"):
            from_matrix(wrong, "f")


@pytest.mark.parametrize(
    "data", [b"head\na\nbb\nccc\n", b"head\na\nbb\nccc", b"head\na\nbb\nccc\n \n"]
)
def test_lines_are_found_without_decoding(data):
    lines = Lines(data, 5)
    assert lines.take(np.array([0, 2])).getvalue() == "a\nccc"
    assert len(lines) == (4 if data.endswith(b" \n") else 3)
