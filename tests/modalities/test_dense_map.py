"""What maps share: they stay aligned with their pictures, and no value is made up."""

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.dense_map import nearest_window
from polysense.modalities.depth import DepthModality
from polysense.modalities.image import ImageModality
from polysense.modalities.normal import NormalModality

PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}
MODALITIES = [DepthModality, NormalModality]


def window(shape, size, fit):
    """Where each pixel of the square comes from [size, size], -1 outside."""
    rows, columns, place = nearest_window(shape, size, fit)
    square = np.full((size, size), -1)
    square[place] = np.arange(shape[0] * shape[1]).reshape(shape)[rows[:, None], columns]
    return square


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(50, 50), (97, 33), (21, 64), (7, 8)])
def test_a_map_lies_where_its_picture_does(fit, shape):
    """A smooth ramp, read as a picture and as a map, differs by what smoothing does only."""
    ramp = np.linspace(60, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    across = np.ascontiguousarray(np.broadcast_to(np.linspace(60, 255, shape[1]), shape), np.uint8)
    for values in (ramp, across):
        picture = ImageModality(32, **PLAIN, fit=fit, background=(0, 0, 0)).read(
            Image.fromarray(values).convert("RGB")
        )
        depth = DepthModality(32, **PLAIN, fit=fit, max_depth=1).read(values)
        assert (picture - depth).abs().mean() < 0.035
        edges = [
            (signal.sum(dim=(0, axis)) > 0).tolist()
            for signal in (picture, depth)
            for axis in (1, 2)
        ]
        assert edges[0][1:-1] == edges[2][1:-1]
        assert edges[1][1:-1] == edges[3][1:-1]


def test_windows_by_hand():
    assert window((2, 4), 4, "pad").tolist() == [[-1] * 4, [0, 1, 2, 3], [4, 5, 6, 7], [-1] * 4]
    assert window((2, 4), 2, "crop").tolist() == [[1, 2], [5, 6]]
    assert window((2, 4), 2, "stretch").tolist() == [[1, 3], [5, 7]]
    assert window((4, 4), 2, "pad").tolist() == [[5, 7], [13, 15]]


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_a_very_long_map_costs_no_memory(fit):
    line = np.ones((1_000_000, 1), np.float32)
    assert DepthModality(16, fit=fit).read(line).shape == (3, 16, 16)


@pytest.mark.parametrize("kind", MODALITIES)
def test_a_pair_is_the_picture_and_its_map(kind, tmp_path):
    single, pair = kind(size=16), kind(size=16, pair=True)
    picture = Image.effect_noise((40, 30), 90).convert("RGB")
    values = np.dstack([np.zeros((30, 40, 2)), np.ones((30, 40))]).astype(np.float32)
    values = values if kind is NormalModality else values[..., 2]
    picture.save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", values)
    signal = pair.read((picture, values))
    assert signal.shape == (2, 3, 16, 16)
    assert torch.equal(signal[0], ImageModality(16).read(picture))
    assert torch.equal(signal[1], single.read(values))
    for source in (
        [tmp_path / "a.png", tmp_path / "a.npy"],
        {"image": str(tmp_path / "a.png"), pair.name: str(tmp_path / "a.npy")},
    ):
        assert torch.equal(pair.read(source), signal)
    for source in ({"image": picture}, (picture,), "a.png", {"image": 1, "other": 2}):
        with pytest.raises(PolysenseError, match=r"pair=true a source is \(picture, "):
            pair.read(source)


@pytest.mark.parametrize("kind", MODALITIES)
@pytest.mark.parametrize("pair", [False, True])
def test_views_mirror_half_of_the_time_and_twice_is_nothing(kind, pair):
    modality = kind(size=9, pair=pair)
    signal = modality.example()
    signal[..., :3] = signal.flip(-2)[..., :3]  # left and right differ
    views = [modality.augment(signal, torch.Generator().manual_seed(seed)) for seed in range(20)]
    same = [torch.equal(view, signal) for view in views]
    assert 3 < sum(same) < 17
    mirrored = views[same.index(False)]
    seed = same.index(False)
    again = modality.augment(mirrored, torch.Generator().manual_seed(seed))
    assert torch.allclose(again, signal, atol=1e-5)
    if pair:
        assert torch.equal(mirrored[0], signal[0].flip(-1))


@pytest.mark.parametrize("kind", MODALITIES)
def test_examples_are_signals_with_pictures(kind):
    for pair, shape, size in ((False, (3, 24, 24), (24, 24)), (True, (2, 3, 24, 24), (48, 24))):
        modality = kind(size=24, pair=pair)
        assert modality.uses_vision_encoder
        assert modality.example().shape == shape
        assert modality.visualize(modality.example()).size == size
        assert isinstance(modality.tokenizer(9), torch.nn.Identity)
        assert kind(**vars(modality)) == modality  # as a checkpoint keeps it


@pytest.mark.parametrize("kind", MODALITIES)
def test_what_is_refused(kind, tmp_path):
    modality = kind(size=8, max_pixels=99, max_bytes=5000)
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01 and more")
    (tmp_path / "a.txt").write_bytes(b"hello")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (10, 10)).save(tmp_path / "large.png")
    Image.effect_noise((9, 9), 90).convert("RGB").save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:150])
    Image.new("RGB", (9, 9)).save(tmp_path / "a.eps")
    for source, words in (
        (tmp_path / "a.exr", "OpenEXR, which is not read: save it as .npy"),
        (tmp_path / "a.txt", "is no map that can be read; formats: PNG"),
        (tmp_path / "a.eps", "is no map that can be read"),
        (tmp_path / "empty.png", "is empty"),
        (tmp_path / "no.png", "No such file"),
        (tmp_path / "large.png", rf"10 x 10 pixels; .*{modality.name}\.max_pixels=99"),
        (tmp_path / "cut.png", "damaged or cut short"),
        (Image.new("P", (4, 4)), "mode P"),
        (bytes(5001), rf"5,001 bytes; the limit is {modality.name}\.max_bytes=5,000"),
        (np.zeros((10, 10, 3), np.float32), "max_pixels=99"),
        (np.zeros(7), "height and a width"),
        (np.zeros((0, 4, 3)), "max_pixels"),
        (np.zeros((3, 3, 7)), r"must be \[height, width"),
        (3.5, "must be a path, bytes, PIL picture or array, not float"),
    ):
        with pytest.raises(PolysenseError, match=words) as caught:
            modality.read(source)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", MODALITIES)
def test_wrong_options_are_refused(kind):
    for options in ({"size": 0}, {"fit": "squeeze"}, {"mean": (1, 2)}):
        with pytest.raises(PolysenseError, match=kind.name):
            kind(**options)
