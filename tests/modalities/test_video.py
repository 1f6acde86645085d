"""Videos of every kind become the same pictures; bad ones are refused with a reason."""

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch
from fixtures.video_files import flat, write_sound, write_video
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.video import VideoModality

PLAIN = VideoModality(size=16, mean=(0, 0, 0), std=(1, 1, 1))
WIDE = np.zeros((12, 36, 3), np.uint8)  # red, green, blue from left to right
WIDE[:, :12, 0] = WIDE[:, 12:24, 1] = WIDE[:, 24:, 2] = 255


def grey(signal):
    """One level of 255 for each clip."""
    return (signal.mean(dim=(1, 2, 3)) * 255).view(5, 3).mean(dim=1).round().tolist()


def test_fifteen_frames_clip_by_clip(tmp_path):
    path = write_video(tmp_path / "a.mp4", list(range(10, 250, 8)), rate=6)  # 5 s
    signal = PLAIN.read(path)
    assert signal.shape == (15, 3, 16, 16)
    assert signal.dtype == torch.float32
    assert grey(signal) == pytest.approx([34, 82, 130, 178, 226], abs=5)
    assert torch.equal(signal, PLAIN.read(path.read_bytes()))
    assert torch.equal(signal, PLAIN.read(str(path)))


def test_squares_along_the_longer_side():
    for video, colours in ((WIDE, [0, 1, 2]), (WIDE.transpose(1, 0, 2), [0, 1, 2])):
        signal = PLAIN.read(video[None])
        assert signal.shape == (15, 3, 16, 16)
        for square, colour in zip(signal, colours * 5, strict=True):
            inside = square[:, 3:-3, 3:-3]  # the resampling filter reaches over the edges
            assert torch.allclose(inside, torch.eye(3)[colour][:, None, None], atol=0.01)
    assert (
        VideoModality(crops=1, size=8, mean=(0, 0, 0), std=(1, 1, 1)).read(WIDE[None])[0, 1].min()
    )


def test_array_and_list_agree_and_spread_over_odd_counts():
    frames = [flat(level, (20, 20)) for level in range(0, 70, 10)]  # 7 frames
    signal = PLAIN.read(np.stack(frames))
    assert grey(signal) == [0, 20, 30, 40, 60]
    assert torch.equal(signal, PLAIN.read([Image.fromarray(frame) for frame in frames]))
    assert grey(PLAIN.read(frames[1][None])) == [10] * 5


def test_one_frame_and_short_videos(tmp_path):
    one = PLAIN.read(write_video(tmp_path / "a.mp4", [120]))
    assert grey(one) == pytest.approx([120] * 5, abs=3)
    short = grey(PLAIN.read(write_video(tmp_path / "b.mp4", [20, 60, 100, 140, 180], rate=25)))
    assert short == pytest.approx([20, 60, 100, 140, 180], abs=4)


@pytest.mark.parametrize(("name", "kind"), [("a.gif", "GIF"), ("a.apng", "PNG")])
def test_an_animation_and_its_transparency(tmp_path, name, kind):
    frames = [Image.new("RGBA", (20, 20), (0, 0, 0, 0)) for _ in range(3)]
    for index, frame in enumerate(frames):
        frame.paste((255, 0, 0, 255), (0, 0, 20, 5 + index))
    rest = frames[1:]
    frames[0].save(tmp_path / name, kind, save_all=True, append_images=rest, duration=100)
    signal = PLAIN.read(tmp_path / name)
    assert torch.allclose(signal[:, :, -1], torch.ones(15, 3, 16), atol=0.02)  # white
    assert torch.allclose(signal[0, :, 0].mean(dim=-1), torch.tensor([1.0, 0, 0]), atol=0.02)


def turned(content, degrees):
    """Write a rotation into an MP4's track header, as a telephone does."""
    place = content.index(b"tkhd") + 4 + 40
    cosine, sine = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    one = 1 << 16
    matrix = (cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)
    return content[:place] + struct.pack(">9i", *matrix) + content[place + 36 :]


def test_the_rotation_of_a_telephone_is_undone(tmp_path):
    upside = np.zeros((48, 64, 3), np.uint8)
    upside[:24] = 255  # white above
    content = write_video(tmp_path / "a.mp4", [upside] * 3).read_bytes()
    modality = VideoModality(size=16, crops=1, mean=(0, 0, 0), std=(1, 1, 1))
    edges = {}
    for degrees in (0, 90, 180, 270):  # clockwise
        picture = modality.read(turned(content, degrees))[0].mean(dim=0)
        sides = {"top": picture[1], "right": picture[:, -2], "bottom": picture[-2]}
        sides["left"] = picture[:, 1]
        edges[degrees] = max(sides, key=lambda side: sides[side].mean())
    assert edges == {0: "top", 90: "right", 180: "bottom", 270: "left"}


def test_pixels_that_are_not_square(tmp_path):
    """Stored at half their width, shown three times as wide as high: three squares of a colour."""
    halved = WIDE.repeat(4, 0).repeat(2, 1)
    path = write_video(tmp_path / "a.mp4", [halved] * 3, size=(72, 48), aspect=Fraction(2))
    for square, colour in zip(PLAIN.read(path), [0, 1, 2] * 5, strict=True):
        assert torch.allclose(square[:, 8, 4:-4], torch.eye(3)[colour][:, None], atol=0.15)


def test_normalised_by_mean_and_deviation():
    modality = VideoModality(size=4, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1))
    signal = modality.read(np.full((1, 4, 4, 3), (255, 255, 0), np.uint8))
    assert signal[7, :, 0, 0].tolist() == pytest.approx([2, 1, -0.5])
    strip = modality.visualize(signal)
    assert strip.size == (5 * 4, 4)
    assert strip.getpixel((19, 3)) == (255, 255, 0)


def test_the_strip_shows_clip_after_clip():
    frames = np.stack([flat(level, (20, 20)) for level in (0, 50, 100, 150, 200)])
    strip = PLAIN.visualize(PLAIN.read(frames))
    assert [strip.getpixel((8 + 16 * clip, 8))[0] for clip in range(5)] == [0, 50, 100, 150, 200]


def test_views_treat_all_frames_alike():
    signal = PLAIN.read(np.repeat(np.random.default_rng(0).integers(
        0, 255, (1, 20, 20, 3), np.uint8), 5, 0))  # fmt: skip
    views = [PLAIN.augment(signal, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2, 3, 4)]
    assert torch.equal(views[0], views[1])
    assert not torch.allclose(views[0], views[2])
    for view in views:
        assert all(torch.equal(frame, view[0]) for frame in view)
    contrasts = [torch.corrcoef(torch.stack([v[0].flatten(), signal[0].flatten()])) for v in views]
    assert {bool(matrix[0, 1] > 0.99) for matrix in contrasts} == {True, False}  # some are flipped


def test_example_and_tokenizer_fit_the_contract():
    example = PLAIN.example()
    assert example.shape == (15, 3, 16, 16)
    assert torch.equal(PLAIN.tokenizer(8)(example), example)
    assert PLAIN.uses_vision_encoder


def test_what_is_no_video_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.mp4").write_text("hello " * 99)
    (tmp_path / "empty.mp4").write_bytes(b"")
    write_sound(tmp_path / "sung.mp4", "aac", np.zeros(9999), 16_000)
    content = write_video(tmp_path / "a.mp4", list(range(0, 200, 5))).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    noise = np.random.default_rng(0).bytes(len(content) // 4)
    (tmp_path / "holes.mp4").write_bytes(content[:64] + noise + content[64 + len(noise) :])
    for name, words in (("text.mp4", "no known format"), ("empty.mp4", "is empty"),
                        ("sung.mp4", "holds audio"), ("cut.mp4", "cut short"),
                        ("holes.mp4", "damaged"), ("none.mp4", "No such file"),
                        ("a\0.mp4", "null")):  # fmt: skip
        with pytest.raises(PolysenseError, match=words) as caught:
            PLAIN.read(tmp_path / name)
        assert name.split(".")[0].replace("\0", "") in str(caught.value)
        assert "\n" not in str(caught.value)


def test_limits_are_named(tmp_path):
    path = write_video(tmp_path / "a.mp4", [100] * 40)
    for limit, words in (
        ({"max_bytes": 99}, r"limit is video\.max_bytes=99"),
        ({"max_pixels": 99}, r"64 x 48 pixels; the limit is video\.max_pixels=99"),
        ({"max_seconds": 3}, r"lasts 4 s; the limit is video\.max_seconds=3"),
    ):
        with pytest.raises(PolysenseError, match=words):
            VideoModality(**limit).read(path)
    Image.new("P", (20, 20)).save(tmp_path / "a.gif")  # its size is known by decoding only
    with pytest.raises(PolysenseError, match=r"too large or no known size; .*video\.max_pixels=99"):
        VideoModality(max_pixels=99).read(tmp_path / "a.gif")
    with pytest.raises(PolysenseError, match=r"36 x 12 pixels; .*video\.max_pixels=99"):
        VideoModality(max_pixels=99).read([Image.fromarray(WIDE)])


def test_wrong_objects_are_refused():
    for source, words in ((3.5, "must be a path"), ([], "no frames"), ([1], "list of PIL"),
                          (np.zeros((2, 4, 4, 3)), "uint8"),
                          (np.zeros((4, 4, 3), np.uint8), "uint8"),
                          (np.zeros((0, 4, 4, 3), np.uint8), "no frames")):  # fmt: skip
        with pytest.raises(PolysenseError, match=words):
            PLAIN.read(source)


def test_a_line_costs_no_memory():
    assert PLAIN.read([Image.new("L", (1_000_000, 1), 255)]).min() == 1


def test_wrong_options_are_refused():
    for options in ({"size": 0}, {"clips": 0}, {"crops": 0}, {"mean": (1, 2)}, {"moment": 2}):
        with pytest.raises(PolysenseError):
            VideoModality(**options)
