"""Colours of OFF meshes: of vertices, of faces, whole or with a point; others are refused."""

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.point_cloud.cloud import Reading
from polysense.modalities.readers.point_cloud.mesh import read_mesh

CORNERS = ["0 0 0", "1 0 0", "0 1 0", "0 0 9"]


def points(text):
    return read_mesh(text.encode(), "off", Reading("mesh 'a.off'", 200, 1000))


def off(head, corners, faces):
    return "\n".join([head, f"{len(corners)} {len(faces)} 0", *corners, *faces]) + "\n"


@pytest.mark.parametrize("colour", ["255 0 51", "1.0 0.0 0.2", "255 0 51 255"])
def test_vertices_have_colours(colour):
    cloud = points(off("COFF", [f"{c} {colour}" for c in CORNERS], ["3 0 1 2", "3 0 1 3"]))
    assert np.allclose(cloud.rgb, [1, 0, 0.2], atol=0.01)


@pytest.mark.parametrize(
    ("head", "row"), [("CNOFF", "0 0 1 255 0 51"), ("STCNOFF", "0 0 1 255 0 51 0.5 0.5")]
)
def test_normals_and_places_of_textures_are_no_colours(head, row):
    cloud = points(off(head, [f"{c} {row}" for c in CORNERS], ["3 0 1 2", "3 0 1 3"]))
    assert np.allclose(cloud.rgb, [1, 0, 0.2], atol=0.01)


@pytest.mark.parametrize("colours", [("255 0 0", "0 0 255"), ("1. 0. 0.", "0. 0. 1. 1.")])
def test_faces_have_colours_each_its_own(colours):
    faces = [f"3 0 1 2 {colours[0]}", f"3 0 1 3 {colours[0]}"]
    cloud = points(off("OFF", CORNERS, faces))
    assert np.allclose(cloud.rgb, [1, 0, 0])
    faces[1] = f"3 0 1 3 {colours[1].removesuffix(' 1.')}"
    cloud = points(off("OFF # of two colours", CORNERS, faces))
    flat = cloud.xyz[:, 2] == cloud.xyz[:, 2].min()
    assert np.allclose(cloud.rgb[flat & (cloud.xyz[:, 1] > cloud.xyz[:, 1].min())], [1, 0, 0])
    assert {tuple(colour) for colour in cloud.rgb.round().astype(int).tolist()} == {
        (1, 0, 0), (0, 0, 1)
    }  # fmt: skip


def test_without_colours_there_are_none():
    assert points(off("OFF", CORNERS, ["3 0 1 2", "3 0 1 3"])).rgb is None
    assert points(off("OFF", CORNERS, ["4 0 1 2 3"])).rgb is None


def test_what_is_not_read_is_refused():
    with pytest.raises(PolysenseError, match="faces of more than three corners"):
        points(off("OFF", CORNERS, ["4 0 1 2 3 255 0 0"]))
    with pytest.raises(PolysenseError, match="is of kind 4OFF"):
        points(off("4OFF", [f"{corner} 2" for corner in CORNERS], ["3 0 1 2"]))
