"""Normals of every encoding give the same directions; what is no normal map is refused."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.normal import NormalModality

MODALITY = NormalModality(size=16, mean=(0, 0, 0), std=(1, 1, 1), fit="stretch")


@pytest.fixture
def normals():
    """Directions [16, 16, 3] that face the viewer, with some background."""
    xy = np.random.default_rng(0).uniform(-0.6, 0.6, (16, 16, 2))
    vectors = np.dstack([xy, np.sqrt(1 - (xy**2).sum(axis=2))])
    vectors[:3] = np.nan
    return vectors


def as_vectors(signal):
    return signal.permute(1, 2, 0).numpy() * 2 - 1


def expected(normals):
    return np.nan_to_num(normals)


def coded(normals, top):
    """(n + 1) / 2 in whole numbers, background 0."""
    return np.nan_to_num(np.rint((normals + 1) / 2 * top)).astype(
        np.uint8 if top == 255 else np.uint16
    )


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    if kind == "NPZ":
        np.savez(buffer, normals=picture)
    elif kind == "NPY":
        np.save(buffer, picture)
    else:
        Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def test_every_encoding_gives_the_same_directions(normals, tmp_path):
    zero, halves = np.nan_to_num(normals), (np.nan_to_num(normals) + 1) / 2
    for source, within in (
        (normals, 1e-6), (zero.astype(np.float16), 2e-3), (halves, 1e-6),
        ((normals + 1) / 2, 1e-6), (coded(normals, 255), 0.01), (coded(normals, 65535), 1e-4),
        (saved(coded(normals, 255), "PNG"), 0.01), (saved(coded(normals, 255), "TIFF"), 0.01),
        (saved(coded(normals, 255), "WEBP", lossless=True), 0.01),
        (saved(normals, "NPY"), 1e-6), (saved(normals, "NPZ"), 1e-6),
        (torch.from_numpy(normals), 1e-6), (Image.fromarray(coded(normals, 255)), 0.01),
    ):  # fmt: skip
        signal = MODALITY.read(source)
        assert signal.shape == (3, 16, 16)
        assert signal.dtype == torch.float32
        found = as_vectors(signal)
        assert np.abs(found - expected(normals)).max() < within
        assert np.abs(np.linalg.norm(found[3:], axis=2) - 1).max() < 1e-5


def test_a_flat_wall_is_recognised_in_either_range():
    wall = np.tile([0.0, 0, 1], (4, 4, 1))
    for source in (wall, (wall + 1) / 2):
        assert np.abs(as_vectors(MODALITY.read(source)) - (0, 0, 1)).max() < 1e-6


def test_background_is_mid_grey():
    picture = Image.new("RGBA", (16, 16), (128, 128, 255, 255))
    picture.paste((200, 10, 10, 0), (0, 0, 16, 4))  # transparent
    picture.paste((0, 0, 0, 255), (0, 4, 16, 8))  # black
    picture.paste((127, 128, 127, 255), (0, 8, 16, 12))  # no direction
    signal = MODALITY.read(picture)
    assert torch.equal(signal[:, :12], torch.full((3, 12, 16), 0.5))
    assert signal[2, 12:].min() > 0.99
    padded = NormalModality(size=16, mean=(0, 0, 0), std=(1, 1, 1)).read(
        np.tile([0.0, 0, 1], (4, 8, 1))
    )
    assert torch.equal(padded[:, 0], torch.full((3, 16), 0.5))


def test_normalised_by_mean_and_deviation():
    modality = NormalModality(size=2, mean=(0.5, 0.5, 0), std=(0.25, 0.5, 0.5))
    assert modality.read(np.tile([1.0, 0, 0], (2, 2, 1)))[:, 0, 0].tolist() == [2, 0, 1]


def test_a_mirror_turns_left_to_right(normals):
    modality = NormalModality(size=16, fit="stretch")
    signal = modality.read(normals)
    views = [modality.augment(signal, torch.Generator().manual_seed(s)) for s in range(9)]
    view = next(view for view in views if not torch.equal(view, signal))
    assert torch.allclose(view, modality.read(normals[:, ::-1] * (-1, 1, 1)), atol=1e-5)


def test_a_picture_is_the_usual_encoding(normals):
    modality = NormalModality(size=16, fit="stretch")
    shown = np.asarray(modality.visualize(modality.read(normals))).astype(int)
    assert np.abs(shown[3:] - coded(normals, 255)[3:].astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            np.random.default_rng(0).uniform(0, 1, (9, 9, 3)) * (0.3, 0.3, 0.3) - 0.1,
            "median length",
        ),
        (Image.effect_noise((9, 9), 9).convert("RGB").point(lambda v: v // 2), "no normal map"),
        (np.full((4, 4, 3), np.nan), "holds no normal"),
        (np.zeros((4, 4, 3)), "holds no normal"),
        (np.zeros((4, 4)), r"must be \[height, width, 3\], not \[16, 16\]"),
        (Image.new("L", (4, 4)), r"must be \[height, width, 3\]"),
        (np.zeros((4, 4, 3), np.int32), "not floats or 8 or 16-bit colours"),
    ],
)
def test_what_is_no_normal_map(source, words):
    with pytest.raises(PolysenseError, match=words) as caught:
        MODALITY.read(source)
    assert "\n" not in str(caught.value)


def test_tolerance_is_an_option(normals):
    blurred = normals * 0.85
    with pytest.raises(PolysenseError, match=r"is 0\.85, and normal\.tolerance=0\.1"):
        MODALITY.read(blurred)
    modality = NormalModality(size=16, mean=(0, 0, 0), std=(1, 1, 1), fit="stretch", tolerance=0.2)
    assert np.abs(as_vectors(modality.read(blurred)) - expected(normals)).max() < 1e-6
    with pytest.raises(PolysenseError, match=r"normal\.tolerance"):
        NormalModality(tolerance=0)
