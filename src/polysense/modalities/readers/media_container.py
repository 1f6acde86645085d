"""Containers (MP4, WebM, GIF, ...) opened through FFmpeg's libraries, with limits.

FFmpeg reads some 300 formats; among them are playlists that name other files or addresses, and
devices. Only the formats below are read, from one open file and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

from polysense.errors import PolysenseError

# FFmpeg's names of demuxers; an MP4's is mov.
FORMATS = (
    "mov matroska gif apng avi mpegts mpeg flv ogg asf "
    "wav w64 mp3 aac flac aiff caf amr ac3 eac3 au"
).split()
MOST_PIXELS = 36_000_000  # of one frame: a little more than 8K video


@contextmanager
def open_container(
    file: BinaryIO, name: str, max_pixels: int = MOST_PIXELS
) -> Iterator[InputContainer]:
    """Read a container's headers; decoders refuse frames of more than `max_pixels`.

    Raises PolysenseError where the content is none of FORMATS, whatever the file's name says.
    """
    # FFmpeg decodes first frames while it opens, to learn about the streams, also when only sound
    # is wanted: so the limit stands from the start, and is set for the decoders once more.
    options = {"max_pixels": str(max_pixels)}
    try:
        container = av.open(
            file,
            "r",
            options=options,
            container_options={"format_whitelist": ",".join(FORMATS)},
            metadata_errors="replace",
        )
    except FFmpegError as error:
        raise PolysenseError(
            f"{name} cannot be read: its content is damaged, cut short or no known format, "
            "whatever its name says"
        ) from error
    with container:
        for stream in container.streams:
            if stream.type == "video" and stream.codec_context is not None:
                stream.codec_context.options = options
        yield container


def first_stream(container: InputContainer, kind: str, name: str) -> Stream:
    """Return the first stream of `kind` ("video" or "audio"); a cover picture is no video."""
    for stream in streams_of(container, kind):
        if stream.codec_context is not None:
            return stream
    if has_stream(container, kind):
        raise PolysenseError(f"{name} has {kind} of a codec that is not read here: convert it")
    held = sorted({stream.type for stream in container.streams}) or ["nothing"]
    raise PolysenseError(f"{name} has no {kind} to decode; it holds {', '.join(held)}")


def streams_of(container: InputContainer, kind: str) -> list[Stream]:
    """Return the streams of `kind`; a cover picture is no video."""
    streams = [stream for stream in container.streams if stream.type == kind]
    return [s for s in streams if not s.disposition & Disposition.attached_pic]


def has_stream(container: InputContainer, kind: str) -> bool:
    """Whether there is a stream of `kind`, decodable or not."""
    return bool(streams_of(container, kind))


def duration(container: InputContainer, stream: Stream) -> float | None:
    """Return the seconds that the headers promise, of the stream or else of the whole; or None."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def check_duration(seconds: float, name: str, limit: str, max_seconds: float) -> None:
    """Refuse what lasts too long; `limit` is the option's name, as in "video.max_seconds"."""
    if seconds > max_seconds:
        raise PolysenseError(
            f"{name} lasts {seconds:,.0f} s; the limit is {limit}={max_seconds:,g}"
        )
