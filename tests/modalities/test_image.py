"""Pictures of every kind become the same square signal; bad ones are refused with a reason."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.image import ImageModality

PLAIN = ImageModality(size=16, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_of_a_white_picture_is_white(mode, tmp_path):
    white = {"I;16": 65535, "LA": (255, 255), "CMYK": (0, 0, 0, 0), "P": 255, "I": 65535}
    colour = white.get(mode, (255,) * 4 if mode == "RGBA" else (255,) * 3 if mode == "RGB" else 255)
    if mode == "1":
        colour = 1
    picture = Image.new(mode, (10, 20), colour)
    if mode == "P":
        picture.putpalette([value for value in range(256) for _ in range(3)])
    assert torch.allclose(PLAIN.read(picture), torch.ones(3, 16, 16))


def test_path_bytes_picture_and_array_agree(tmp_path):
    picture = Image.effect_noise((31, 20), 80).convert("RGB")
    picture.save(tmp_path / "a.png")
    signals = [
        PLAIN.read(source)
        for source in (
            tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(),
            picture, np.asarray(picture),
        )
    ]  # fmt: skip
    assert all(torch.equal(signal, signals[0]) for signal in signals)


def test_normalised_by_mean_and_deviation():
    sense = ImageModality(size=4, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1))
    signal = sense.read(Image.new("RGB", (4, 4), (255, 255, 0)))
    assert signal[:, 0, 0].tolist() == pytest.approx([2, 1, -0.5])


def test_pad_shows_everything_and_crop_cuts_the_centre():
    wide = Image.new("RGB", (40, 20), "red")
    assert PLAIN.read(wide)[1, 0].min() == 1  # green of a padded, white row
    crop = ImageModality(size=16, mean=(0, 0, 0), std=(1, 1, 1), fit="crop")
    assert crop.read(wide)[1].max() == 0


def test_transparent_borders_are_trimmed_and_filled_with_background():
    picture = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (40, 40, 50, 50))
    trimmed = ImageModality(size=16, mean=(0, 0, 0), std=(1, 1, 1), trim=True).read(picture)
    assert torch.allclose(trimmed[1], torch.zeros(16, 16))
    assert PLAIN.read(picture)[1, 0, 0] == 1


def test_exif_orientation_is_respected(tmp_path):
    picture = Image.new("RGB", (16, 16), "white")
    picture.paste("black", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    picture.save(tmp_path / "turned.png", exif=exif)
    signal = PLAIN.read(tmp_path / "turned.png")
    assert signal[0, 0].max() == 1
    assert signal[0, -1].max() == 0


def test_views_vary_with_the_generator_and_repeat_with_its_seed():
    signal = PLAIN.read(Image.effect_noise((16, 16), 90))
    views = [PLAIN.augment(signal, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.allclose(views[0], views[2])
    assert views[0].shape == signal.shape


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"hello", "not a picture"), (b"\x89PNG\r\n\x1a\n", "not a picture")],
)
def test_bad_content_is_refused(tmp_path, content, words):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PolysenseError, match=words) as caught:
        PLAIN.read(tmp_path / "a.png")
    assert "a.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cut_files_of_every_format_are_refused(tmp_path):
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        Image.effect_noise((90, 90), 90).convert("RGB").save(buffer, kind)
        with pytest.raises(PolysenseError):
            PLAIN.read(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def test_limits_are_named():
    small = ImageModality(max_pixels=99, max_bytes=400)
    buffer = io.BytesIO()
    Image.new("RGB", (10, 10)).save(buffer, "PNG")
    with pytest.raises(PolysenseError, match=r"10 x 10 pixels; the limit is image\.max_pixels=99"):
        small.read(buffer.getvalue())


def test_missing_file_folder_and_wrong_type(tmp_path):
    for source, words in ((tmp_path / "no.png", "No such file"), (tmp_path, "directory"),
                          (3.5, "must be a path"), (np.zeros((3, 3)), "uint8")):  # fmt: skip
        with pytest.raises(PolysenseError, match=words):
            PLAIN.read(source)


def test_wrong_options_are_refused():
    for options in ({"size": 0}, {"fit": "squeeze"}, {"mean": (1, 2)}, {"margin": 0.7}):
        with pytest.raises(PolysenseError):
            ImageModality(**options)
