"""Floats, deep integers, inks and palettes keep their colours, or are refused by their range."""

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.image import ImageModality

PLAIN = ImageModality(size=16, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_a_picture_of_floats_keeps_its_greys(top, tmp_path):
    ramp = np.tile(np.linspace(0, top, 16, dtype=np.float32), (16, 1))
    ramp[0, 0] = np.nan
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    expected = torch.linspace(0, 1, 16)
    assert torch.allclose(PLAIN.read(tmp_path / "a.tif")[1, 8], expected, atol=1 / 255)
    if top > 1:
        whole = Image.fromarray(ramp[1:].astype(np.int32))
        modality = ImageModality(16, (0, 0, 0), (1, 1, 1), "stretch")
        assert torch.allclose(modality.read(whole)[1, 8], expected, atol=2 / 255)


def test_numbers_of_no_known_range_are_refused():
    for values, words in (
        (np.float32([[-1, 1]]), "holds floats from -1 to 1; .* 0 to 1, 0 to 255, 0 to 65535"),
        (np.float32([[0, 1e6]]), "floats from 0 to 1e[+]06"),
        (np.int32([[0, 70_000]]), "holds integers from 0 to 70000; .* 0 to 255, 0 to 65535"),
    ):
        with pytest.raises(PolysenseError, match=words):
            PLAIN.read(Image.fromarray(values))


def test_inks_and_palettes_have_their_colours(tmp_path):
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow: red
    assert PLAIN.read(ink)[:, 8, 8].tolist() == [1, 0, 0]
    drawn = Image.new("P", (16, 16), 1)
    drawn.putpalette([0, 0, 255, 255, 0, 0])
    drawn.paste(0, (0, 0, 16, 8))
    drawn.save(tmp_path / "a.png", transparency=0)  # the blue is clear
    signal = PLAIN.read(tmp_path / "a.png")
    assert signal[:, 2, 8].tolist() == [1, 1, 1]
    assert signal[:, 12, 8].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"II*\0\x08\0\0\0\0\0\0\0", "a TIFF of a kind that is not read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC, which is not read: save it as JPEG"),
        (b"\xff\x0a\0\0", "JPEG XL, which is not read"),
        (b"8BPS\0\1", "a Photoshop file, which"),
        (b"%PDF-1.7", "a document"),
        (b"\0\0\0\x18ftypmp42", "not a picture but a film"),
    ],
)
def test_what_is_known_and_not_read_is_called_so(start, words):
    with pytest.raises(PolysenseError, match=words):
        PLAIN.read(start + bytes(99))
