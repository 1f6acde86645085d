"""Depth keeps its metres: every kind of file gives the same distances, and none are made up."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.depth import DepthModality

MODALITY = DepthModality(size=16, mean=(0, 0, 0), std=(1, 1, 1))
METRES = np.array([[0.5, 1, 2, 4], [5, 8, 10, 0]])  # 0: not measured


def metres_of(signal, shape=(2, 4)):
    """Undo a stretch of a map to 16 x 16."""
    rows, columns = (np.arange(count) * 16 // count + 8 // count for count in shape)
    return 10 * signal[0][rows][:, columns].numpy()


STRETCH = DepthModality(size=16, mean=(0, 0, 0), std=(1, 1, 1), fit="stretch")


def stored(kind):
    """METRES as a file's bytes, or as an array."""
    buffer = io.BytesIO()
    millimetres = np.rint(METRES * 1000).astype(np.uint16)
    if kind == "PNG, 16 bits":
        Image.fromarray(millimetres).save(buffer, "PNG")
    elif kind == "PNG, 8 bits":
        Image.fromarray(np.rint(METRES * 25.5).astype(np.uint8)).save(buffer, "PNG")
    elif kind == "PNG, grey as RGB":
        Image.fromarray(np.rint(METRES * 25.5).astype(np.uint8)).convert("RGB").save(buffer, "PNG")
    elif kind == "TIFF, floats":
        Image.fromarray(METRES.astype(np.float32)).save(buffer, "TIFF")
    elif kind == "TIFF, 16 bits":
        Image.fromarray(millimetres).save(buffer, "TIFF")
    elif kind == "TIFF, 32 bits":
        Image.fromarray(millimetres.astype(np.int32)).save(buffer, "TIFF")
    elif kind == "NPY":
        np.save(buffer, METRES.astype(np.float16))
    elif kind == "NPY, doubles with a band":
        np.save(buffer, METRES[..., None])
    elif kind == "NPZ":
        np.savez_compressed(buffer, depth=METRES, other=np.zeros(9))
    else:
        return {
            "array": METRES,
            "tensor": torch.from_numpy(METRES),
            "big-endian": millimetres.astype(">u2"),
            "picture": Image.fromarray(millimetres),
        }[kind]
    return buffer.getvalue()


KINDS = ["PNG, 16 bits", "PNG, 8 bits", "PNG, grey as RGB", "TIFF, floats", "TIFF, 16 bits",
         "TIFF, 32 bits", "NPY", "NPY, doubles with a band", "NPZ", "array", "tensor",
         "big-endian", "picture"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_metres(kind, tmp_path):
    source = stored(kind)
    signal = STRETCH.read(source)
    assert signal.shape == (3, 16, 16)
    assert signal.dtype == torch.float32
    assert np.abs(metres_of(signal) - METRES).max() < (
        0.03 if "8 bits" in kind or "grey" in kind else 1e-5
    )
    assert torch.equal(signal[0], signal[1])
    assert torch.equal(signal[0], signal[2])
    if isinstance(source, bytes):
        (tmp_path / "a.whatever").write_bytes(source)
        assert torch.equal(STRETCH.read(str(tmp_path / "a.whatever")), signal)


def test_unit_and_range():
    raw = np.array([[5000, 20000]], np.uint16)
    modality = DepthModality(
        size=2, mean=(0, 0, 0), std=(1, 1, 1), fit="stretch", unit=1 / 5000, max_depth=2
    )
    assert modality.read(raw)[0].tolist() == [[0.5, 1], [0.5, 1]]  # 1 m, and 4 m clipped
    assert modality.read(np.array([[1.0, 4.0]]))[0, 0].tolist() == [0.5, 1]  # floats are metres


def test_what_was_not_measured_is_zero():
    values = np.array([[np.nan, np.inf, -np.inf, -1, 0, 2.5]])
    modality = DepthModality(size=6, mean=(0, 0, 0), std=(1, 1, 1), fit="stretch")
    assert modality.read(values)[0, 0].tolist() == [0, 0, 0, 0, 0, 0.25]


def test_normalised_by_mean_and_deviation():
    modality = DepthModality(size=2, mean=(0.5, 0.25, 0), std=(0.25, 0.5, 1))
    signal = modality.read(np.full((2, 2), 10.0))
    assert signal[:, 0, 0].tolist() == pytest.approx([2, 1.5, 1])


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_no_distance_is_made_up_at_an_edge(fit):
    values = np.full((37, 53), 1.0)
    values[:, 20:] = 9.0
    found = DepthModality(size=16, mean=(0, 0, 0), std=(1, 1, 1), fit=fit).read(values)
    assert set(np.round(found.unique().tolist(), 5)) <= {0, 0.1, 0.9}


def test_a_mirror_keeps_distances():
    signal = STRETCH.read(METRES)
    views = [STRETCH.augment(signal, torch.Generator().manual_seed(s)) for s in range(9)]
    view = next(view for view in views if not torch.equal(view, signal))
    assert torch.allclose(view, signal.flip(-1), atol=1e-6)


def test_a_picture_shows_near_dark_far_light_and_unknown_white():
    modality = DepthModality(size=16, fit="stretch")
    shown = np.asarray(modality.visualize(modality.read(METRES))).astype(float)
    assert shown.shape == (16, 16, 3)
    grey = shown.mean(axis=2)
    assert grey[0, 0] < grey[0, 15] < grey[15, 9]
    assert shown[15, 15].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            Image.effect_noise((4, 4), 50)
            .convert("RGB")
            .point([*range(256), *range(256), *[7] * 256]),
            "in colour",
        ),
        (np.zeros((4, 4)), "holds no depth"),
        (np.full((4, 4), np.nan), "holds no depth"),
        (np.zeros((4, 4), complex), "not distances"),
        (np.zeros((4, 4), bool), "not distances"),
        (np.zeros((4, 4, 2, 2)), "must be"),
    ],
)
def test_what_is_no_depth(source, words):
    with pytest.raises(PolysenseError, match=words) as caught:
        MODALITY.read(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            np.linspace(500, 9000, 64).reshape(8, 8),
            "500 to 9e.03 m away .floats are metres., 100% of",
        ),
        (np.arange(9000, 65000, 700).astype(np.uint16)[None], "depth.unit=0.001 m a step"),
        (np.arange(1, 256).astype(np.uint16)[None], "0.008 to 0.248 m away"),
        (np.full((4, 4), 3, np.int32), "another unit"),
    ],
)
def test_distances_that_only_another_unit_explains_are_refused(source, words):
    with pytest.raises(PolysenseError, match=words):
        STRETCH.read(source)


def test_a_far_sky_and_a_near_hand_are_depth():
    values = np.full((4, 4), 100.0)
    values[2:] = 3.0
    assert STRETCH.read(values)[0, 0, 0] == 1
    assert STRETCH.read(np.full((4, 4), 400, np.uint16))[0].mean() == pytest.approx(0.04)


def test_transparent_places_are_not_measured():
    picture = Image.fromarray(np.full((2, 2), 255, np.uint8)).convert("LA")
    picture.putpixel((0, 0), (255, 0))
    modality = DepthModality(size=2, mean=(0, 0, 0), std=(1, 1, 1))
    assert modality.read(picture)[0].tolist() == [[0, 1], [1, 1]]


def test_wrong_options_are_refused():
    for options in ({"unit": 0}, {"max_depth": -1.0}):
        with pytest.raises(PolysenseError, match=r"depth\."):
            DepthModality(**options)
