"""Texts of points as scanners and spreadsheets write them give the points that were written."""

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.point_cloud.cloud import Reading
from polysense.modalities.readers.point_cloud.text import read_text
from polysense.modalities.sources.file_checks import one_line_errors

CUBE = np.array([[x, y, z] for x in (0, 1.5) for y in (0, 2.5) for z in (0, 3.5)])
ORANGE = (255, 102, 0)
READING = Reading("f", 100, 1000)


def rows(form, separator=" ", decimal="."):
    """The cube's lines by a form like "{x} {y} {z} 255 102 0"."""
    lines = (form.format(x=x, y=y, z=z).split() for x, y, z in CUBE)
    return "".join(separator.join(line).replace(".", decimal) + "\n" for line in lines)


def check(text, coloured=True, **options):
    data = text if isinstance(text, bytes) else text.encode()
    cloud = read_text(data, READING, **options)
    assert cloud.xyz.tolist() == CUBE.tolist()
    if coloured:
        assert np.allclose(cloud.rgb, np.array(ORANGE) / 255, atol=1e-6)
    else:
        assert cloud.rgb is None


PLAIN = "{x} {y} {z} 255 102 0"


@pytest.mark.parametrize(
    "text",
    [
        "r,g,b,x,y,z\n" + rows("255 102 0 {x} {y} {z}", ","),
        "//X Y Z R G B\n" + rows(PLAIN),
        "# a title\n# z blue x green y red\n" + rows("{z} 0 {x} 102 {y} 255"),
        "8\n" + rows(PLAIN),
        '"X [m]";"Y [m]";"Z [m]";"Red";"Green";"Blue"\n' + rows(PLAIN, ";"),
        "x,y,z,f_dc_0,f_dc_1,f_dc_2\n"
        + rows("{x} {y} {z} 1.77245385 -0.354490770 -1.77245385", ","),
        "x;y;z;r;g;b\n" + rows(PLAIN, ";", ","),
        rows(PLAIN, " ", ","),
        rows(PLAIN, "\t", ","),
        rows(PLAIN, ",").replace("\n", ",\n") + ",,,,,,\n",
        rows(PLAIN, ", ") + "\n \n",
        "x y z intensity red green blue\n" + rows("{x} {y} {z} 77 255 102 0"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_forms(text, encoding):
    check(text.encode(encoding))


def test_a_comment_in_another_encoding_is_no_matter():
    check("# gemäß Plan\n".encode("latin-1") + rows(PLAIN).encode())


@pytest.mark.parametrize("head", ["8\n", "", "a scan\n"])
def test_a_scanners_intensity_is_no_colour(head):
    check(head + rows("{x} {y} {z} 77 255 102 0"), scanner=True)
    check(head + rows("{x} {y} {z} 77"), coloured=False, scanner=True)
    check(head + rows(PLAIN), scanner=True)


def test_normals_and_other_columns_are_no_colours():
    check(rows("{x} {y} {z} 0 -0.6 0.8"), coloured=False)
    check(rows("{x} {y} {z} 0 -0.6 0.8 255 102 0"))
    check("x y z nx ny nz\n" + rows("{x} {y} {z} 0 0.6 0.8"), coloured=False)


def test_empty_cells():
    cloud = read_text(b"x,y,z,r,g,b\n1,2,3,,102,0\n4,5,6,255,102,0\n7,,9,1,1,1\n", READING)
    assert cloud.xyz.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cloud.rgb is not None
    assert np.allclose(cloud.rgb, [[0.4, 0.4, 0], [1, 0.4, 0]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lat,lon,height\n" + rows("{x} {y} {z}", ","), "no column 'x'.*: lat, lon, height"),
        ("x,y,z,red,green\n" + rows("{x} {y} {z} 1 2", ","), "not understood: red, green"),
        ("x,y,z,rgb\n" + rows("{x} {y} {z} 1", ","), "packed colours"),
        ("x y z\n" + rows("{x} {y} {z} 1"), "names 3 columns and has 4 numbers"),
        (rows("{x} {y} {z} -7 20 30"), "neither colours nor normals"),
        ("x;y;z\n1,5;2.5;3\n", "decimal commas .* and with decimal points"),
        ("x;y;z\n1,500;2;3\n", "could be a decimal comma or part thousands"),
        (b"\0\0\0\1", "no text in UTF-8"),
        ("a b\n" * 200, "no line of three numbers among its first 100"),
    ],
)
def test_what_is_not_understood_is_one_line_and_not_called_damaged(text, words):
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolysenseError, match=words) as caught, one_line_errors("f"):
        read_text(data, READING)
    assert "damaged" not in str(caught.value)
    assert "\n" not in str(caught.value)
