"""Drawings become pictures; those that would crash, hang or read files are refused."""

import sys

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.modalities.image import ImageModality
from polysense.modalities.readers import svg

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10">'
RED = f'{HEAD}<rect width="20" height="10" fill="red"/></svg>'
PLAIN = ImageModality(size=16, mean=(0, 0, 0), std=(1, 1, 1))


def test_a_drawing_is_padded_like_a_picture(tmp_path):
    pytest.importorskip("resvg_py")
    (tmp_path / "a.svg").write_text(RED, encoding="utf-8")
    signal = PLAIN.read(tmp_path / "a.svg")
    assert torch.allclose(signal[:, 8, 8], torch.tensor([1.0, 0, 0]), atol=1e-3)
    assert signal[:, 0].min() == 1  # wide, so rows above it are background
    assert torch.equal(PLAIN.read(RED.encode()), signal)


@pytest.mark.parametrize(
    ("drawing", "words"),
    [
        (HEAD + "<g>" * 60_000 + "</g>" * 60_000 + "</svg>", "nests more than 200"),
        (HEAD + '<image href="/etc/hostname.png"/></svg>', "refers to another picture"),
        (HEAD + '<image x:href="a.png" xmlns:x="y"/></svg>', "refers to another picture"),
        (HEAD + '<feImage href="data:image/svg+xml;base64,AA"/></svg>', "refers to another"),
        (HEAD, "no well-formed SVG"),
    ],
)
def test_what_is_not_drawn(drawing, words):
    with pytest.raises(PolysenseError, match=words) as caught:
        svg.check(drawing.encode(), "picture 'a.svg'")
    assert "a.svg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_drawer_that_fails_crashes_or_hangs_is_one_line(monkeypatch):
    pytest.importorskip("resvg_py")
    zero = RED.replace('width="20" height="10">', 'width="0" height="10">')
    for drawing, words in ((zero, "invalid size"), (RED, "crashed"), (RED, "more than 1 s")):
        with pytest.raises(PolysenseError, match=words):
            svg.draw(drawing.encode(), 16, "a.svg")
        if words == "invalid size":
            monkeypatch.setattr(svg, "CHILD", "import os; os.abort()")
        else:
            monkeypatch.setattr(svg, "CHILD", "import time; time.sleep(60)")
            monkeypatch.setattr(svg, "SECONDS", 1)


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(PolysenseError, match="pip install resvg-py"):
        PLAIN.read(RED.encode())


def test_what_a_drawing_is():
    assert svg.is_svg(b"\xef\xbb\xbf \n<?xml version='1.0'?><svg/>")
    assert not svg.is_svg(b"\x89PNG <svg")
    assert not svg.is_svg(b"<html></html>")
