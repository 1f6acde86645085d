"""Pictures of every kind become the same square signal; bad ones are refused with a reason."""

import io
import os
import struct
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

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
    modality = ImageModality(size=4, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1))
    signal = modality.read(Image.new("RGB", (4, 4), (255, 255, 0)))
    assert signal[:, 0, 0].tolist() == pytest.approx([2, 1, -0.5])


def test_pad_shows_everything_and_crop_cuts_the_centre():
    wide = Image.new("RGB", (40, 20), "red")
    assert PLAIN.read(wide)[1, 0].min() == 1  # green of a padded, white row
    crop = ImageModality(size=16, mean=(0, 0, 0), std=(1, 1, 1), fit="crop")
    assert crop.read(wide)[1].max() == 0


@pytest.mark.parametrize("shape", [(50, 50), (97, 33), (21, 64), (1000, 3)])
def test_crop_is_what_clip_was_trained_with(shape):
    picture = Image.effect_noise(shape, 90).convert("RGB")
    own = ImageModality(size=32, fit="crop").read(picture)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    assert np.abs(own.numpy() - processor(picture)["pixel_values"][0]).max() < 1e-5


def test_stretch_is_what_siglip_was_trained_with():
    picture = Image.effect_noise((90, 30), 90).convert("RGB")
    half = (0.5, 0.5, 0.5)
    own = ImageModality(size=32, mean=half, std=half, fit="stretch").read(picture)
    processor = SiglipImageProcessorPil(
        size={"height": 32, "width": 32}, resample=Image.Resampling.BICUBIC
    )
    assert np.abs(own.numpy() - processor(picture)["pixel_values"][0]).max() < 1e-5


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_a_very_long_picture_costs_no_memory(fit):
    line = Image.new("RGB", (1_000_000, 1), "white")
    assert ImageModality(size=16, fit=fit).read(line).shape == (3, 16, 16)


def test_the_first_frame_of_an_animation(tmp_path):
    white, black = Image.new("L", (8, 8), 255), Image.new("L", (8, 8), 0)
    white.save(tmp_path / "a.gif", save_all=True, append_images=[black])
    assert PLAIN.read(tmp_path / "a.gif").min() == 1


def test_dark_16_bit_pictures_stay_dark():
    dark = Image.fromarray(np.full((4, 4), 200, np.uint16))
    assert PLAIN.read(dark).max() == 0


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
    assert torch.equal(PLAIN.read(Image.open(tmp_path / "turned.png")), signal)


def test_views_vary_with_the_generator_and_repeat_with_its_seed():
    signal = PLAIN.read(Image.effect_noise((16, 16), 90))
    views = [PLAIN.augment(signal, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.allclose(views[0], views[2])
    assert views[0].shape == signal.shape


def test_a_view_of_nothing_but_background_has_no_edges():
    view = PLAIN.augment(PLAIN.read(Image.new("RGB", (9, 9), "white")), torch.Generator())
    assert torch.allclose(view, view[0, 0, 0].expand(3, 16, 16), atol=1e-6)


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


def test_a_cut_picture_that_the_caller_opened_is_refused():
    buffer = io.BytesIO()
    Image.effect_noise((90, 90), 90).save(buffer, "PNG")
    opened = Image.open(io.BytesIO(buffer.getvalue()[:3000]))
    with pytest.raises(PolysenseError, match="damaged or cut short"):
        PLAIN.read(opened)


def bomb(side):
    """A PNG whose header promises side x side pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("side", "words"), [(100_000, "too many pixels"), (10_000, "max_pixels")])
def test_bombs_are_refused_by_their_header(tmp_path, side, words):
    (tmp_path / "bomb.png").write_bytes(bomb(side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PolysenseError, match=rf"bomb\.png.*{words}"):
            ImageModality().read(tmp_path / "bomb.png")


def test_formats_that_run_programs_are_not_read():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "EPS")
    with pytest.raises(PolysenseError, match="not a picture"):
        PLAIN.read(buffer.getvalue())


def test_limits_are_named():
    small = ImageModality(max_pixels=99, max_bytes=400)
    buffer = io.BytesIO()
    Image.new("RGB", (10, 10)).save(buffer, "PNG")
    with pytest.raises(PolysenseError, match=r"10 x 10 pixels; the limit is image\.max_pixels=99"):
        small.read(buffer.getvalue())
    with pytest.raises(PolysenseError, match=r"image\.max_pixels=99"):
        small.read(np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(PolysenseError, match=r"500 bytes; the limit is image\.max_bytes=400"):
        small.read(bytes(500))


def test_missing_file_folder_and_wrong_type(tmp_path):
    for source, words in ((tmp_path / "no.png", "No such file"), (tmp_path, "directory"),
                          ("a\0.png", "null"), (3.5, "must be a path"),
                          (np.zeros((3, 3)), "uint8"), (np.zeros((3, 3, 5), np.uint8), "3 or 4"),
                          (Image.new("L", (0, 4)), "0 x 4")):  # fmt: skip
        with pytest.raises(PolysenseError, match=words):
            PLAIN.read(source)


def test_a_pipe_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PolysenseError, match="device or pipe"):
        PLAIN.read(tmp_path / "pipe.png")


def test_wrong_options_are_refused():
    for options in ({"size": 0}, {"fit": "squeeze"}, {"mean": (1, 2)}, {"margin": 0.7}):
        with pytest.raises(PolysenseError):
            ImageModality(**options)


def test_a_signal_is_shown_as_the_square_that_was_read():
    picture = Image.effect_noise((16, 16), 80).convert("RGB")
    modality = ImageModality(size=16)
    shown = np.asarray(modality.visualize(modality.read(picture))).astype(int)
    assert np.abs(shown - np.asarray(picture).astype(int)).max() <= 1
    bright = modality.visualize(torch.full((3, 16, 16), 99.0))  # what augmenting may make of one
    assert bright.getpixel((3, 3)) == (255, 255, 255)


def test_arrays_are_red_green_blue():
    orange = np.tile(np.uint8([255, 102, 0]), (16, 16, 1))
    for array in (orange, np.dstack([orange, np.full((16, 16), 255, np.uint8)])):
        assert PLAIN.read(array)[:, 5, 5].tolist() == pytest.approx([1, 0.4, 0])


def test_a_margin_is_that_share_of_the_side_on_every_side():
    modality = ImageModality(size=20, mean=(0, 0, 0), std=(1, 1, 1), margin=0.2)
    dark = modality.read(Image.new("RGB", (50, 50), "black"))[0] < 0.5
    assert dark.any(dim=0).nonzero().flatten().tolist() == list(range(4, 16))
    assert dark.any(dim=1).nonzero().flatten().tolist() == list(range(4, 16))


def test_transparent_places_take_the_background():
    blue = replace(PLAIN, background=(0, 0, 255))
    assert blue.read(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))[:, 4, 4].tolist() == [0, 0, 1]
