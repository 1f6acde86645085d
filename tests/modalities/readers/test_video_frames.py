"""The right moments, and the frame shown at each, in every kind of file."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from fixtures.video_files import write_video
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.readers.media_container import first_stream, open_container
from polysense.modalities.readers.video_frames import (
    FrameReader,
    clip_moments,
    displayed,
    length_of,
    upright,
)
from polysense.modalities.sources.file_checks import one_line_errors

LEVELS = list(range(20, 220, 5))  # 40 frames, 4 s at 10 a second


def levels_at(path, moments):
    """The grey level of the frame shown at each moment, and how many frames were decoded."""
    with one_line_errors(path.name), open_container(path.open("rb"), path.name) as container:
        stream = first_stream(container, "video", path.name)
        reader = FrameReader(container, stream, length_of(container, stream))
        decoded = []
        begin = reader.container.decode

        class Counting:
            def __getattr__(self, name):
                return getattr(container, name)

            def decode(self, stream):
                for frame in begin(stream):
                    decoded.append(frame)
                    yield frame

        reader.container = Counting()
        reader._begin()
        frames = reader.at(moments, path.name)
        return [int(frame.to_ndarray(format="gray").mean()) for frame in frames], len(decoded)


def test_clips_are_spread_from_the_start_to_the_end():
    assert clip_moments(9, 5, 0) == [0, 2, 4, 6, 8]
    assert clip_moments(9, 5, 0.5) == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert clip_moments(9, 1, 0.5) == [4.5]
    assert clip_moments(0.5, 5, 0.5) == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45])
    assert clip_moments(0, 3, 0.5) == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.ts", "libx264"), ("a.flv", "libx264"),
     ("a.mkv", "mpeg4"), ("a.avi", "mjpeg"), ("a.mov", "mpeg4")],
)  # fmt: skip
def test_the_frame_shown_at_a_moment(tmp_path, name, codec):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / name, LEVELS, codec=codec, pixels=pixels)
    found, _ = levels_at(path, [0.05, 0.25, 2.05, 3.95, 4.4])
    expected, _ = levels_at(path, [0.0, 0.29, 2.09, 3.91, 3.91])
    assert found == expected
    wanted = [LEVELS[0], LEVELS[2], LEVELS[20], LEVELS[39], LEVELS[39]]
    assert found == pytest.approx(wanted, abs=6 if codec == "libx264" else 9)


def test_variable_frame_rates_go_by_time(tmp_path):
    times = [0, 100, 200, 3000, 3100]
    path = write_video(tmp_path / "a.mp4", [20, 60, 100, 140, 180], times=times, rate=1000)
    found, _ = levels_at(path, [0.15, 1.0, 2.9, 3.05])
    expected, _ = levels_at(path, [0.1, 0.2, 0.2, 3.0])
    assert found == expected
    assert len(set(found)) == 3


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_a_long_video_is_not_decoded_from_end_to_end(tmp_path, name):
    levels = [20 + index // 4 for index in range(800)]  # 200 s, a key frame every 5 s
    path = write_video(tmp_path / name, levels, rate=4, g="20", preset="ultrafast")
    moments = clip_moments(200, 5, 0.5)
    found, decoded = levels_at(path, moments)
    assert found == pytest.approx([levels[int(4 * moment)] for moment in moments], abs=8)
    assert decoded < 400


def test_a_duration_that_no_header_gives(tmp_path):
    path = write_video(tmp_path / "a.mkv", LEVELS, codec="mpeg4", container_options={"live": "1"})
    with open_container(path.open("rb"), "a") as container:
        assert length_of(container, first_stream(container, "video", "a")) == pytest.approx(4, 0.05)
    assert levels_at(path, [0.05, 2.05])[0] == pytest.approx([LEVELS[0], LEVELS[20]], abs=9)


def test_a_video_cut_short_is_refused(tmp_path):
    path = write_video(
        tmp_path / "a.mp4", LEVELS * 5, g="10", container_options={"movflags": "faststart"}
    )
    content = path.read_bytes()
    with open_container(path.open("rb"), "a") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    between = packets[100].pos  # FFmpeg notices a cut inside a packet, but none between two
    for cut, words in (
        (between, "last frame ends at [0-9.]+ s of the 20.0 s"),
        (between + 9, "cut"),
    ):
        path.write_bytes(content[:cut])
        with pytest.raises(PolysenseError, match=rf"cut short: .*{words}|{words} short: Invalid"):
            levels_at(path, clip_moments(20, 5, 0.5))


def test_a_video_whose_sound_goes_on_rests_on_its_last_frame(tmp_path):
    path = write_video(tmp_path / "b.mkv", LEVELS, codec="mpeg4", sound=9)
    assert levels_at(path, [8.5])[0] == pytest.approx([LEVELS[-1]], abs=9)


def test_the_last_frame_is_shown_as_long_as_its_own_duration(tmp_path):
    frames = [Image.new("L", (16, 16), level) for level in (0, 60, 120, 240)]
    for rest in (4_000, 40_000):
        options = {"save_all": True, "append_images": frames[1:], "duration": [100] * 3 + [rest]}
        frames[0].save(tmp_path / "a.gif", **options)
        with open_container((tmp_path / "a.gif").open("rb"), "a") as container:
            stream = first_stream(container, "video", "a")
            assert length_of(container, stream) == pytest.approx(0.3 + rest / 1000)
        moments = [0.15, 0.25, 0.3 + rest / 2000, 0.29 + rest / 1000]
        found, decoded = levels_at(tmp_path / "a.gif", moments)
        assert found == [60, 120, 240, 240]
        assert decoded <= 7  # sought once at most, and never behind the last frame


def test_a_film_that_begins_late_or_is_edited_goes_by_what_is_shown(tmp_path):
    content = write_video(tmp_path / "a.mp4", LEVELS, codec="mpeg4").read_bytes()
    place, media = content.index(b"elst") + 12, content.index(b"mdhd")
    (ticks,) = struct.unpack_from(">I", content, media + 16)
    edit = struct.pack(">IiI", 2000, ticks, 1 << 16)  # 2 s from the first second on
    (tmp_path / "a.mp4").write_bytes(content[:place] + edit + content[place + 12 :])
    with open_container((tmp_path / "a.mp4").open("rb"), "a") as container:
        assert length_of(container, first_stream(container, "video", "a")) == pytest.approx(2)
    found, _ = levels_at(tmp_path / "a.mp4", [0.05, 1.95])
    assert found == pytest.approx([LEVELS[10], LEVELS[29]], abs=9)


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((1, 0, 0, 1), "top left"), ((0, 1, -1, 0), "top right"), ((-1, 0, 0, -1), "bottom right"),
     ((0, -1, 1, 0), "bottom left"), ((-1, 0, 0, 1), "top right"), ((1, 0, 0, -1), "bottom left"),
     ((0, 1, 1, 0), "top left"), ((0, -1, -1, 0), "bottom right")],
)  # fmt: skip
def test_a_display_matrix_turns_and_mirrors(matrix, corner):
    """White at the top left; (a, b, c, d) brings x to (a, b) and y to (c, d), y downwards."""
    picture = Image.new("L", (6, 4))
    picture.putpixel((0, 0), 255)
    picture.putpixel((1, 0), 99)  # beside it: tells a mirror from a turn
    a, b, c, d = (value << 16 for value in matrix)
    shown = displayed(picture, struct.pack("<9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))
    assert shown.size == ((6, 4) if matrix[0] else (4, 6))
    x, y = (
        (0 if "left" in corner else shown.width - 1),
        (0 if "top" in corner else shown.height - 1),
    )
    assert shown.getpixel((x, y)) == 255
    assert shown.getpixel((x + matrix[0], y + matrix[1])) == 99
    assert displayed(picture, None) is picture


@pytest.mark.parametrize(("space", "full"), [(5, False), (1, False), (5, True), (1, True)])
def test_colours_go_by_the_films_own_matrix_and_range(tmp_path, space, full):
    orange = np.full((48, 64, 3), (200, 90, 20), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, 1 + full
        frame = av.VideoFrame.from_ndarray(orange, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=space, dst_color_range=1 + full
        )
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(tmp_path / "a.mp4")) as container:
        shown = np.asarray(upright(next(container.decode(video=0)), 1))[20, 20]
    assert shown.tolist() == pytest.approx([200, 90, 20], abs=4)
