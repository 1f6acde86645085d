"""Only known formats are opened, only from the file itself, and limits hold from the start."""

import struct

import av
import pytest
from fixtures.video_files import write_sound, write_video

from polysense.errors import PolysenseError
from polysense.modalities.readers.media_container import (
    check_duration,
    duration,
    first_stream,
    open_container,
)
from polysense.modalities.sources.file_checks import one_line_errors


def opened(path, **options):
    return open_container(path.open("rb"), f"video {path.name!r}", **options)


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n" * 99,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        bytes(999),
    ],
)
def test_text_and_playlists_are_no_containers(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(PolysenseError, match=r"^video 'a\.mp4' cannot be read: [^\n]*$"):
        opened(tmp_path / "a.mp4").__enter__()


def test_formats_that_are_not_listed_are_refused(tmp_path):
    """FFmpeg would read this one by itself."""
    header = b"YUV4MPEG2 W4 H4 F1:1 Ip A1:1 C420\n"
    (tmp_path / "a.mp4").write_bytes(header + (b"FRAME\n" + bytes(24)) * 9)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].width == 4
    with pytest.raises(PolysenseError, match="no known format"):
        opened(tmp_path / "a.mp4").__enter__()


def test_duration_from_the_header(tmp_path):
    with opened(write_video(tmp_path / "a.mp4", range(0, 250, 10))) as container:
        assert duration(container, first_stream(container, "video", "a")) == pytest.approx(2.5)
    live = write_video(
        tmp_path / "a.mkv", range(0, 250, 10), container_options={"live": "1"}, codec="mpeg4"
    )
    with opened(live) as container:
        assert duration(container, first_stream(container, "video", "a")) is None


def test_a_missing_kind_of_stream_is_named(tmp_path):
    write_sound(tmp_path / "a.mp4", "aac", [0.1] * 9999, 16_000)
    with (
        opened(tmp_path / "a.mp4") as container,
        pytest.raises(PolysenseError, match="has no video to decode; it holds audio"),
    ):
        first_stream(container, "video", "a.mp4")


def test_a_bomb_is_not_decoded(tmp_path):
    side = 30_000
    (tmp_path / "a.gif").write_bytes(
        b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + bytes(6)
        + b"\x2c" + struct.pack("<HHHH", 0, 0, side, side) + b"\0\x02\x02\x4c\x01\0\x3b"
    )  # fmt: skip
    with (
        opened(tmp_path / "a.gif", max_pixels=10_000) as container,
        pytest.raises(PolysenseError, match="damaged"),
        one_line_errors("a.gif"),
    ):
        list(container.decode(video=0))


def test_frames_over_the_limit_are_not_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", [100] * 9)
    for limit, words in ((64 * 48, None), (64 * 48 - 1, "damaged")):
        with opened(path, max_pixels=limit) as container:
            if words is None:
                assert len(list(container.decode(video=0))) == 9
                continue
            with pytest.raises(PolysenseError, match=words), one_line_errors("a.mp4"):
                list(container.decode(video=0))


def test_duration_has_a_limit():
    check_duration(10, "a", "video.max_seconds", 10)
    with pytest.raises(PolysenseError, match=r"a lasts 10,801 s; .* is video\.max_seconds=3,600$"):
        check_duration(10_801, "a", "video.max_seconds", 3600)
