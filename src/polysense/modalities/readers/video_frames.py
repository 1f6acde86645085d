"""Which moments of a video are looked at, and the frames shown at them.

A long video is not decoded from end to end: before a far moment, the reader jumps to the key frame
ahead of it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import av
from av.container import InputContainer
from PIL import Image, ImageOps

from polysense.errors import PolysenseError
from polysense.modalities.readers.media_container import duration

CLIP_SECONDS = 1.0
FAR_SECONDS = 10.0  # the usual longest way between key frames: nearer moments are decoded up to


def clip_moments(
    length: float, clips: int, moment: float, clip_length: float = CLIP_SECONDS
) -> list[float]:
    """Return one moment of each of `clips` clips spread evenly over `length`, ascending.

    The first clip begins with the video and the last ends with it; a single one is in the middle.
    `moment` says where in its clip: 0 its start, 0.5 its middle. Clips become shorter rather than
    overlap, so that a video of less than a second shows all of itself too.
    """
    clip_length = min(clip_length, length / clips)
    room = length - clip_length
    starts = [room * index / (clips - 1) for index in range(clips)] if clips > 1 else [room / 2]
    return [start + moment * clip_length for start in starts]


def length_of(container: InputContainer, stream: av.VideoStream) -> float:
    """Return the video's seconds: from the headers, or else from its packets, not decoded."""
    known = duration(container, stream)
    if known is not None:
        return known
    ends = [
        float((packet.pts + (packet.duration or 0)) * packet.time_base)
        for packet in container.demux(stream)
        if packet.pts is not None
    ]
    container.seek(0)
    return max(0.0, max(ends, default=0.0) - start_of(stream))


def start_of(stream: av.VideoStream) -> float:
    """Return the time stamp that the stream begins with, in seconds."""
    return float((stream.start_time or 0) * (stream.time_base or 0))


class FrameReader:
    """Walks through a video, forwards; a moment is in seconds from its start."""

    def __init__(self, container: InputContainer, stream: av.VideoStream, length: float) -> None:
        self.container, self.stream, self.length = container, stream, length
        self.start = start_of(stream)
        self._begin()

    def at(self, moments: Sequence[float], name: str) -> list[av.VideoFrame]:
        """Return the frame shown at each of the ascending moments.

        Raises PolysenseError where the video ends long before its header says.
        """
        frames = []
        for moment in moments:
            # At the last frame there is nothing to jump to: it is shown to the end.
            if self.coming and moment - self._time(self.coming) > FAR_SECONDS:
                self._jump(moment)
            while self.coming and (self.shown is None or self._time(self.coming) <= moment):
                self.shown, self.coming = self.coming, next(self.frames, None)
            if self.shown is None:
                raise PolysenseError(f"{name} is damaged or cut short: no frame can be decoded")
            self._check_end(moment, name)
            frames.append(self.shown)
        return frames

    def _begin(self) -> None:
        self.frames = self.container.decode(self.stream)
        self.shown, self.coming = None, next(self.frames, None)

    def _jump(self, moment: float) -> None:
        """Go to the key frame before `moment`. Formats without an index may land behind it or
        nowhere: then from further back, at last from before the start."""
        for target in (moment, moment - FAR_SECONDS, -CLIP_SECONDS):
            stamp = max(0.0, self.start + target) / float(self.stream.time_base or 1)
            self.container.seek(int(stamp), stream=self.stream)
            self._begin()
            if self.coming and self._time(self.coming) <= moment:
                return

    def _time(self, frame: av.VideoFrame | None) -> float:
        return (frame.time or 0.0) - self.start if frame else 0.0

    def _check_end(self, moment: float, name: str) -> None:
        """A video whose sound goes on rests on its last frame, and a last frame stands as long as
        its own duration says; a video that was cut short is refused.

        Where only the duration of the whole is known and there is sound, it may be the sound's.
        """
        certain = self.stream.duration or len(self.container.streams) == 1
        end = self._time(self.shown) + seconds_of(self.shown)
        if certain and not self.coming and moment - end > max(CLIP_SECONDS, 0.1 * self.length):
            raise PolysenseError(
                f"{name} is damaged or cut short: its last frame ends at {end:.1f} s of the "
                f"{self.length:.1f} s in its header"
            )


def seconds_of(frame: av.VideoFrame | None) -> float:
    """Return how long a frame is shown, as its packet says; 0 where it does not."""
    return float((frame.duration or 0) * (frame.time_base or 0)) if frame else 0.0


def upright(frame: av.VideoFrame, aspect: float) -> Image.Image:
    """Return a frame as a picture, RGB or RGBA: pixels made square, turned as its metadata says.

    `aspect` is a pixel's width over its height.
    """
    if any(component.is_alpha for component in frame.format.components):
        picture = Image.fromarray(frame.to_ndarray(format="rgba"))
    else:
        picture = frame.to_image()
    aspect = min(max(aspect, 0.25), 4.0)
    if aspect != 1:
        picture = picture.resize((max(1, round(picture.width * aspect)), picture.height))
    return displayed(picture, frame.side_data.get("DISPLAYMATRIX"))


def displayed(picture: Image.Image, matrix: Any) -> Image.Image:
    """Return a picture turned by quarters and mirrored as its display matrix says.

    matrix  nine int32 (a b u, c d v, x y w) that bring (x, y) to (a x + c y, b x + d y), y
            downwards; or None. A negative determinant mirrors, as selfie cameras write it.
    """
    if matrix is None:
        return picture
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(matrix)[:36])
    if a * d - b * c < 0:  # mirrored left to right first, then turned by what is left
        picture, a, b = ImageOps.mirror(picture), -a, -b
    clockwise = math.degrees(math.atan2(b, a))
    return picture.rotate(-90 * round(clockwise / 90), expand=True)
