"""Points of meshes lie on the surface, with its colours; bombs and loose parts are refused."""

import base64
import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.readers.point_cloud.cloud import Reading
from polysense.modalities.readers.point_cloud.mesh import read_mesh
from polysense.modalities.sources.file_checks import one_line_errors

KINDS = ["obj", "stl", "off", "glb", "ply"]


def reading(wanted=500, most=100_000):
    return Reading("f", wanted, most)


def exported(mesh, kind):
    data = mesh.export(file_type=kind)
    return data.encode() if isinstance(data, str) else bytes(data)


def gltf(tree, position):
    """One triangle's glTF around `tree`, with `position` for its accessor and geometry inside."""
    body = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32).tobytes()
    uri = "data:application/octet-stream;base64," + base64.b64encode(body).decode()
    base = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}], "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "buffers": [{"byteLength": len(body), "uri": uri}],
        "bufferViews": [{"buffer": 0, "byteLength": len(body)}],
        "accessors": [{"componentType": 5126, "type": "VEC3", **position}],
    }  # fmt: skip
    return json.dumps(base | tree).encode()


TRIANGLE = {"bufferView": 0, "count": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_points_lie_on_a_box_and_repeat(kind):
    data = exported(trimesh.creation.box((2, 4, 6)), kind)
    first, second = (read_mesh(data, kind, reading()).xyz for _ in range(2))
    assert first.shape == (500, 3)
    assert np.array_equal(first, second)
    share = np.abs(first) / (1, 2, 3)
    assert share.max() < 1 + 1e-6
    assert np.abs(share.max(axis=1) - 1).max() < 1e-6


def test_faces_get_points_by_their_area():
    xyz = read_mesh(exported(trimesh.creation.box((1, 1, 4)), "stl"), "stl", reading(9000)).xyz
    ends = (np.abs(np.abs(xyz[:, 2]) - 2) < 1e-9).mean()
    assert ends == pytest.approx(2 / 18, abs=0.02)


def test_glTF_as_text_and_placed_twice():
    nodes = [{"mesh": 0}, {"mesh": 0, "translation": [10, 0, 0], "scale": [3, 3, 1]}]
    tree = {"nodes": nodes, "scenes": [{"nodes": [0, 1]}]}
    xyz = read_mesh(gltf(tree, TRIANGLE), "gltf", reading(5000)).xyz
    assert xyz.shape == (5000, 3)
    assert (xyz[:, 0] > 5).mean() == pytest.approx(0.9, abs=0.02)  # nine times the area
    assert xyz[:, 0].max() == pytest.approx(13, abs=0.3)


def test_a_placed_mesh_is_weighed_as_placed():
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box(), transform=np.diag([1.0, 1, 8, 1]))
    xyz = read_mesh(exported(scene, "glb"), "glb", reading(9000)).xyz
    assert (np.abs(np.abs(xyz[:, 2]) - 4) < 1e-6).mean() == pytest.approx(2 / 34, abs=0.015)


def test_colours_of_vertices_and_faces():
    mesh = trimesh.creation.box()
    mesh.visual.face_colors = np.tile([[255, 0, 51, 255]], (12, 1))
    for kind in ("ply", "glb"):
        if kind == "glb":
            mesh.visual = mesh.visual.copy()
            mesh.visual.vertex_colors = np.tile([[255, 0, 51, 255]], (8, 1))
        cloud = read_mesh(exported(mesh, kind), kind, reading())
        assert cloud.rgb is not None
        assert np.abs(cloud.rgb - (1, 0, 0.2)).max() < 0.01


def test_colours_of_a_texture_are_taken_where_the_point_lies():
    texture = Image.new("RGB", (64, 64), "red")
    texture.paste("blue", (32, 0, 64, 64))
    square = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    square.visual = trimesh.visual.TextureVisuals(uv=uv, image=texture)
    cloud = read_mesh(exported(square, "glb"), "glb", reading())
    left = cloud.xyz[:, 0] < 0.45
    assert cloud.rgb is not None
    assert np.abs(cloud.rgb[left] - (1, 0, 0)).max() < 0.01
    assert np.abs(cloud.rgb[cloud.xyz[:, 0] > 0.55] - (0, 0, 1)).max() < 0.01


def test_a_materials_colour_and_grey_beside_it():
    scene = trimesh.Scene()
    painted, bare = trimesh.creation.box(), trimesh.creation.box()
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 102, 0, 255])
    painted.visual = trimesh.visual.TextureVisuals(material=material)
    scene.add_geometry(painted)
    far = trimesh.transformations.translation_matrix([9, 0, 0])
    scene.add_geometry(bare, transform=far)
    cloud = read_mesh(exported(scene, "glb"), "glb", reading())
    near = cloud.xyz[:, 0] < 5
    assert 150 < near.sum() < 350
    assert cloud.rgb is not None
    assert np.abs(cloud.rgb[near] - (1, 0.4, 0)).max() < 0.01
    assert np.abs(cloud.rgb[~near] - 0.4).max() < 0.01


def test_colours_of_faces_are_those_of_the_face():
    mesh = trimesh.creation.box()
    colours = np.tile([[255, 0, 0, 255]], (12, 1))
    colours[mesh.face_normals[:, 2] > 0.5] = [0, 0, 255, 255]
    mesh.visual.face_colors = colours
    cloud = read_mesh(exported(mesh, "ply"), "ply", reading())
    top = cloud.xyz[:, 2] > 0.499
    assert cloud.rgb is not None
    assert np.abs(cloud.rgb[top] - (0, 0, 1)).max() < 0.01
    assert np.abs(cloud.rgb[~top] - (1, 0, 0)).max() < 0.01


def test_colours_between_vertices_are_mixed():
    data = b"v 0 0 0 0 0 0\nv 1 0 0 1 0 0\nv 0 1 0 0 1 0\nf 1 2 3\n"
    cloud = read_mesh(data, "obj", reading())
    assert cloud.rgb is not None
    assert np.abs(cloud.rgb[:, :2] - cloud.xyz[:, :2]).max() < 0.01


def test_many_accessors_are_too_many():
    accessors = [{"componentType": 5126, "type": "VEC3", **TRIANGLE}] * 600
    with pytest.raises(PolysenseError, match="announces 1,800 values; the limit is 16 x"):
        read_mesh(gltf({"accessors": accessors}, TRIANGLE), "gltf", reading(most=100))


def test_without_colours_there_are_none():
    assert read_mesh(exported(trimesh.creation.box(), "stl"), "stl", reading()).rgb is None


def test_a_mesh_without_surface_gives_its_vertices():
    line = b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n"
    assert read_mesh(line, "obj", reading()).xyz[:, 0].tolist() == [0, 1, 2]
    points = trimesh.PointCloud(np.eye(3), colors=np.tile([0, 255, 0, 255], (3, 1)))
    cloud = read_mesh(exported(points, "glb"), "glb", reading())
    assert cloud.xyz.tolist() == np.eye(3).tolist()
    assert cloud.rgb is not None
    assert cloud.rgb.tolist() == [[0, 1, 0]] * 3


BOX = trimesh.creation.box()


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (gltf({}, {"count": 10**12}), "gltf", "1,000,000,000,000 vertices; the limit"),
        (gltf({"buffers": [{"byteLength": 9, "uri": "a.bin"}]}, TRIANGLE), "gltf", "another file"),
        (gltf({"nodes": [{"mesh": 0}] * 40, "scenes": [{"nodes": list(range(40))}]}, TRIANGLE),
         "gltf", "120 vertices; the limit"),
        (b"v 0 0 0\n" * 101, "obj", "101 vertices; the limit"),
        (b"OFF\n101 1 0\n", "off", "101 vertices"),
        (bytes(80) + struct.pack("<I", 40) + bytes(2000), "stl", "120 vertices"),
        (exported(BOX, "stl")[:300], "stl", "cut short: it announces 12 faces"),
        (exported(BOX, "glb")[:300], "glb", "damaged"),
        (b"OFF\n8 12 0\n0 0 0\n", "off", "damaged"),
        (b"nothing", "glb", "damaged"),
        (b"", "obj", "holds no vertices"),
        (b"v nan 0 0\nv 0 0 inf\nv 1 nan 1\nf 1 2 3\n", "obj", "no point whose"),
    ],
)  # fmt: skip
def test_bombs_and_damage_are_one_line(data, kind, words):
    with pytest.raises(PolysenseError, match=words) as caught, one_line_errors("f"):
        read_mesh(data, kind, reading(most=100))
    assert "\n" not in str(caught.value)


TEXT_STL = exported(BOX, "stl_ascii")


@pytest.mark.parametrize(
    "data",
    [TEXT_STL, TEXT_STL.upper(), b"\n  " + TEXT_STL, exported(BOX, "stl"),
     exported(BOX, "stl") + b"\0\0", b"solid of facets".ljust(80) + exported(BOX, "stl")[80:]],
)  # fmt: skip
def test_stl_in_every_form(data):
    xyz = read_mesh(data, "stl", reading()).xyz
    assert np.abs(np.abs(xyz).max(axis=1) - 0.5).max() < 1e-6


@pytest.mark.parametrize(
    ("data", "words"),
    [(TEXT_STL[:-80], "of 12 faces that begin, 11 end"), (b"short", "no STL file: it has 5 bytes"),
     (exported(BOX, "stl")[:-1], "cut short: it announces 12 faces and holds 11"),
     (exported(BOX, "stl") + bytes(50), "announces 12 faces and holds 13: save it anew"),
     (TEXT_STL * 9, "324 vertices; the limit"),
     (bytes(84), "holds no vertices")],
)  # fmt: skip
def test_stl_that_is_refused(data, words):
    with pytest.raises(PolysenseError, match=words):
        read_mesh(data, "stl", reading(most=100))


@pytest.mark.parametrize(
    ("tree", "words"),
    [({"extensionsRequired": ["KHR_draco_mesh_compression"]}, r"compressed \(KHR_draco"),
     ({"extensionsRequired": ["EXT_meshopt_compression", "X"]}, r"compressed \(EXT_meshopt"),
     ({"extensionsRequired": ["KHR_mesh_quantization"]}, r"not read \(KHR_mesh_quantization\)"),
     ({"extensionsRequired": ["KHR_materials_unlit", "ACME_form"]}, r"not read \(ACME_form\)"),
     ({"accessors": [{"componentType": 5126, "type": "VEC3", "count": 3}]}, "stands nothing")],
)  # fmt: skip
def test_extensions_that_are_not_read(tree, words):
    with pytest.raises(PolysenseError, match=words):
        read_mesh(gltf(tree, TRIANGLE), "gltf", reading())


def test_extensions_that_change_no_form_are_no_matter():
    tree = {"extensionsRequired": ["KHR_materials_unlit"], "extensionsUsed": ["ACME_form"]}
    assert read_mesh(gltf(tree, TRIANGLE), "gltf", reading()).xyz.shape == (500, 3)


def test_huge_textures_are_refused(monkeypatch):
    monkeypatch.setattr("polysense.modalities.readers.point_cloud.mesh.TEXTURE_PIXELS", 15)
    square = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 1, 2]])
    square.visual = trimesh.visual.TextureVisuals(
        uv=np.array([[0, 0], [1, 0], [1, 1.0]]), image=Image.new("RGB", (4, 4))
    )
    with pytest.raises(PolysenseError, match="4 x 4 pixels; the limit is 15"):
        read_mesh(exported(square, "glb"), "glb", reading())
