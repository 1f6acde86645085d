"""PLY, PCD, LAS and text give the points that were written, in every layout; damage is named."""

import io
import struct

import numpy as np
import plyfile
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.point_cloud.cloud import Reading
from polysense.modalities.readers.point_cloud.formats import las_rows, pcd_rows, ply_rows, read_rows
from polysense.modalities.readers.point_cloud.text import read_text
from polysense.modalities.sources.file_checks import one_line_errors

XYZ = np.array([[1.5, -2, 3], [0, 0.25, 1e-3], [7, 8, 9]])
RGB = np.array([[255, 0, 51], [1, 2, 3], [254, 102, 0]], np.uint8)
READING = Reading("f", 100, 1000)


def table(xyz="f4", rgb="u1", extra=()):
    """The points as a structured array, with other columns among them."""
    columns = [("x", xyz), ("y", xyz), ("z", xyz), *extra]
    columns += [(name, rgb) for name in ("red", "green", "blue")]
    rows = np.zeros(3, columns)
    for index, axis in enumerate("xyz"):
        rows[axis] = XYZ[:, index]
    for index, name in enumerate(("red", "green", "blue")):
        top = {"u1": 1, "u2": 257, "f4": 1 / 255}[rgb]
        rows[name] = RGB[:, index].astype(float) * top
    return rows


def ply(rows, text=False, order="<", before=()):
    buffer = io.BytesIO()
    elements = [*before, plyfile.PlyElement.describe(rows, "vertex")]
    plyfile.PlyData(elements, text=text, byte_order=order, comments=["made here"]).write(buffer)
    return buffer.getvalue()


def pcd(kind, columns, body, count=3):
    """A PCD file; `columns` are (label, type, size, count)."""
    labels, types, sizes, counts = zip(*columns, strict=True)
    lines = ["# .PCD v0.7", "VERSION 0.7", "FIELDS " + " ".join(labels),
             "SIZE " + " ".join(sizes), "TYPE " + " ".join(types), "COUNT " + " ".join(counts),
             f"WIDTH {count}", "HEIGHT 1", f"POINTS {count}", f"DATA {kind}", ""]  # fmt: skip
    return "\n".join(lines).encode() + body


# By the specification, tables 7 to 17: bytes of a row, and the byte of its red.
LAS_LENGTHS = {1: 28, 2: 26, 3: 34, 5: 63, 7: 36, 8: 38, 10: 67}
LAS_RED = {2: 20, 3: 28, 5: 28, 7: 30, 8: 30, 10: 30}


def las(kind=2, minor=2, scale=0.01, count=3):
    offset, length = 375, LAS_LENGTHS[kind & 127] + 5  # five bytes of one's own
    head = bytearray(offset)
    head[:4], head[24], head[25] = b"LASF", 1, minor
    struct.pack_into("<I4xBHI", head, 96, offset, kind, length, count if minor < 4 else 0)
    struct.pack_into("<6d", head, 131, scale, scale, scale, 500_000.0, 0, -10)
    struct.pack_into("<Q", head, 247, count)
    body = bytearray(3 * length)
    for index in range(3):
        struct.pack_into("<3i", body, index * length, *np.rint(XYZ[index] * 100).astype(int))
        if kind in LAS_RED:
            place = index * length + LAS_RED[kind]
            struct.pack_into("<3H", body, place, *(RGB[index].astype(int) * 257))
    return bytes(head + body)


def same(cloud, xyz=XYZ, rgb=RGB, within=1e-6):
    assert np.abs(cloud.xyz - xyz).max() < within
    if rgb is None:
        assert cloud.rgb is None
    else:
        assert np.abs(cloud.rgb * 255 - rgb).max() < 1e-3


@pytest.mark.parametrize("order", ["<", ">", "text"])
@pytest.mark.parametrize(("xyz", "rgb"), [("f4", "u1"), ("f8", "u2"), ("f8", "f4")])
def test_ply_of_every_layout(order, xyz, rgb):
    rows = table(xyz, rgb, [("intensity", "f4")])
    data = ply(rows, text=order == "text", order=order if order != "text" else "=")
    same(read_rows(ply_rows(data, "f"), data, READING))


@pytest.mark.parametrize("text", [True, False])
def test_ply_with_an_element_before_its_vertices_and_windows_line_ends(text):
    camera = plyfile.PlyElement.describe(np.zeros(2, [("a", "f4"), ("b", "u1")]), "camera")
    data = ply(table(), text=text, order="=" if text else "<", before=[camera])
    same(read_rows(ply_rows(data, "f"), data, READING))
    if text:
        data = data.replace(b"\n", b"\r\n")
        same(read_rows(ply_rows(data, "f"), data, READING))


FLOATS = [("x", "F", "4", "1"), ("y", "F", "4", "1"), ("z", "F", "4", "1")]
PACKED = (RGB[:, 0].astype(np.uint32) << 16) | (RGB[:, 1].astype(np.uint32) << 8) | RGB[:, 2]


@pytest.mark.parametrize("kind", ["U", "F"])
@pytest.mark.parametrize("layout", ["ascii", "binary"])
def test_pcd_with_packed_colours_and_columns_of_many_numbers(kind, layout):
    columns = [*FLOATS, ("_", "U", "1", "4"), ("rgb", kind, "4", "1"), ("other", "I", "2", "3")]
    colours = PACKED if kind == "U" else PACKED.view(np.float32)
    if layout == "binary":
        rows = np.zeros(3, [("xyz", "<f4", 3), ("_", "u1", 4), ("rgb", "<u4"), ("o", "<i2", 3)])
        rows["xyz"], rows["rgb"] = XYZ, PACKED
        body = rows.tobytes()
    else:
        lines = zip(XYZ, colours, strict=True)
        body = "\n".join(f"{x} {y} {z} 0 0 0 0 {c!s} 1 2 3" for (x, y, z), c in lines).encode()
    data = pcd(layout, columns, body)
    same(read_rows(pcd_rows(data, "f"), data, READING))


def test_pcd_text_whose_float_colour_is_a_value():
    lines = zip(XYZ[:1], PACKED[:1], strict=True)
    body = "\n".join(f"{x} {y} {z} {float(c)}" for (x, y, z), c in lines).encode()
    data = pcd("ascii", [*FLOATS, ("rgb", "F", "4", "1")], body, count=1)
    same(read_rows(pcd_rows(data, "f"), data, READING), XYZ[:1], RGB[:1])


@pytest.mark.parametrize("layout", ["ascii", "binary"])
@pytest.mark.parametrize("alpha", [0, 255])
def test_packed_colours_that_are_no_numbers(layout, alpha):
    """As text a NaN has no colour; in binary its bits may be one, with an alpha of 255."""
    colours = np.array([alpha << 24 | 0xFF8000, 0x7FC00000, alpha << 24 | 0x010203], np.uint32)
    if layout == "ascii":
        lines = zip(XYZ, colours.view(np.float32), strict=True)
        body = "\n".join(f"{x} {y} {z} {c!s}" for (x, y, z), c in lines).encode()
    else:
        rows = np.zeros(3, [("xyz", "<f4", 3), ("rgb", "<u4")])
        rows["xyz"], rows["rgb"] = XYZ, colours
        body = rows.tobytes()
    data = pcd(layout, [*FLOATS, ("rgb", "F", "4", "1")], body)
    rgb = read_rows(pcd_rows(data, "f"), data, READING).rgb
    grey = [0.4] * 3
    lost = layout == "ascii" and alpha == 255
    expected = [grey if lost else [1, 128 / 255, 0], grey]
    expected.append([1 / 255, 2 / 255, 3 / 255])
    assert rgb is not None
    assert np.allclose(rgb, expected, atol=1e-6)


def test_columns_are_found_by_name_in_every_format():
    names = "red z green y blue x f_dc_0".split()
    rows = np.zeros(3, [(name, "f4") for name in names])
    for index, (axis, colour) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        rows[axis], rows[colour] = XYZ[:, index], RGB[:, index]
    data = ply(rows)
    same(read_rows(ply_rows(data, "f"), data, READING))
    columns = [(name, "F", "4", "1") for name in names]
    data = pcd("binary", columns, rows.tobytes())
    same(read_rows(pcd_rows(data, "f"), data, READING))


def test_colours_of_gaussians():
    rows = np.zeros(3, [(name, "f4") for name in "x y z f_dc_0 f_dc_1 f_dc_2 opacity".split()])
    for index, axis in enumerate("xyz"):
        rows[axis], rows[f"f_dc_{index}"] = XYZ[:, index], (RGB[:, index] / 255 - 0.5) / 0.28209479
    data = ply(rows)
    same(read_rows(ply_rows(data, "f"), data, READING))


@pytest.mark.parametrize(
    ("kind", "minor"), [(2, 2), (3, 2), (5, 3), (7, 4), (8, 4), (10, 4), (1, 2)]
)
def test_las_with_and_without_colours(kind, minor):
    data = las(kind, minor)
    cloud = read_rows(las_rows(data, "f"), data, READING)
    same(cloud, np.round(XYZ, 2) + np.array([500_000, 0, -10]), None if kind == 1 else RGB)


@pytest.mark.parametrize(
    ("text", "rgb"),
    [
        ("# a scan\nx y z r g b\n{0}\n\n// more\n{1}\n{2}\n", RGB),
        ("3\n{0}\n{1}\n{2}", RGB),
        ("{0} 17\n{1} 18\n{2} 19\n", RGB),
    ],
)
@pytest.mark.parametrize("mark", [" ", "\t", ",", "; "])
def test_text_with_titles_comments_and_separators(text, rgb, mark):
    if mark != " ":
        text = text.replace(" 1", mark + "1")
    rows = [mark.join(map(str, [*a, *b])) for a, b in zip(XYZ, RGB, strict=True)]
    same(read_text(text.format(*rows).encode(), READING), XYZ, rgb)


def test_text_without_colours_or_with_normals():
    same(read_text(b"1.5 -2 3\r\n0 0.25 1e-3\r\n7 8 9\r\n", READING), XYZ, None)
    same(read_text(b"1,2,3,0,-0.6,0.8\n4,5,6,0,1,0", READING), [[1, 2, 3], [4, 5, 6]], None)


def test_of_a_million_lines_only_some_are_parsed(monkeypatch):
    parsed, load = [], np.loadtxt

    def counting(text, *options, **more):
        parsed.append(text.getvalue().count("\n") + 1)
        return load(text, *options, **more)

    monkeypatch.setattr(np, "loadtxt", counting)
    cloud = read_text(b"0.5 0.25 0.125\n" * 1_000_000, Reading("f", 100, 10**7))
    assert cloud.xyz.tolist() == [[0.5, 0.25, 0.125]] * 100
    assert parsed == [400]


@pytest.mark.parametrize(
    ("read", "data", "words"),
    [
        (ply_rows, b"plain", "no PLY file"),
        (ply_rows, b"ply\nformat ascii 1.0\n", "lacks the words ply and end_header"),
        (ply_rows, b"ply\nformat odd 1.0\nelement vertex 1\nend_header\n", "format 'odd'"),
        (ply_rows, b"ply\nformat ascii 1\nelement vertex 1\nproperty odd x\nend_header\n", "odd"),
        (ply_rows, b"ply\nformat ascii 1\nproperty float x\nend_header\n", "no vertices"),
        (ply_rows, ply(table())[:-1], "announces 3 points and holds 2"),
        (ply_rows, ply(table(), text=True, order="=")[:-30], "cut short"),
        (ply_rows, ply(table())[:-3].replace(b"vertex 3", b"vertex 9000000"), "max_points=1,000"),
        (ply_rows, ply(table()).replace(b"float x", b"float a"), "no column 'x'"),
        (pcd_rows, b"FIELDS x\n", "lacks a line DATA"),
        (pcd_rows, pcd("binary_compressed", FLOATS, b""), "binary_compressed, which is not read"),
        (pcd_rows, pcd("binary", FLOATS, b"12"), "announces 3 points and holds 0"),
        (pcd_rows, pcd("ascii", FLOATS, b"1 2 3\n4 5\n6 7 8\n"), "damaged"),
        (ply_rows, ply(table()).replace(b"float x", b"float a"), "columns: a, y, z, red, green"),
        (ply_rows, ply(table()).replace(b"r blue", b"r hue_"), "not understood: red, green"),
        (pcd_rows, pcd("binary", [*FLOATS, ("rgb", "F", "8", "1")], bytes(60)), "of 8 bytes; four"),
        (las_rows, las()[:104] + b"\x0b" + las()[105:], "point format 11; those read are 0 to 10"),
        (las_rows, b"nothing", "no LAS file"),
        (las_rows, b"LASF", "damaged"),
        (las_rows, las(kind=2 | 128), "compressed"),
        (las_rows, las(count=10**9), "max_points=1,000"),
        (las_rows, las(count=4), "announces 4 points and holds 3"),
    ],
)  # fmt: skip
def test_damage_is_one_line(read, data, words):
    with pytest.raises(PolysenseError, match=words) as caught, one_line_errors("f"):
        read_rows(read(data, "f"), data, READING)
    assert "\n" not in str(caught.value)


def test_texts_that_hold_no_points():
    for data, words in ((b"a b c\n" * 200, "no line of three"), (b"1 2 3\n4 5\n", "damaged"),
                        (b"0 0 0\n" * 2000, "2,000 lines; the limit"),
                        (b"nan nan nan\n", "no point whose")):  # fmt: skip
        with pytest.raises(PolysenseError, match=words), one_line_errors("f"):
            read_text(data, READING)
