"""Video: a few clips spread over it, cut into squares, become pictures for the vision encoder.

OneLLM's sight (arXiv 2312.03700, appendix): 15 frames, which are five one-second clips times three
squares along the longer side. The encoder sees each as a picture, and its features are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from PIL import Image
from torch import nn

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.readers import video_frames as sampling
from polysense.modalities.readers.media_container import (
    MOST_PIXELS,
    check_duration,
    first_stream,
    open_container,
)
from polysense.modalities.sources.file_checks import one_line_errors, open_source, source_name
from polysense.modalities.transforms.normalize import (
    CLIP_MEAN,
    CLIP_STD,
    check_colours,
    normalise,
    pixels_of,
)


@dataclass(frozen=True)
class VideoModality(Modality):
    """A video as [clips * crops, 3, size, size], clip by clip.

    clips   clips of a second, spread evenly; each is seen as one of its frames
    moment  which: 0 the clip's first frame, 0.5 its middle one
    crops   squares spread evenly along the longer side: 3 are left, centre and right, or top,
            centre and bottom; 1 is the centre
    """

    name = "video"
    extensions = tuple("mp4 m4v webm mkv avi mov mpg mpeg ts flv ogv wmv 3gp".split())
    shared_endings = ("gif", "png", "apng")
    uses_vision_encoder = True

    clips: int = 5
    crops: int = 3
    moment: float = 0.5
    size: int = 224
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    max_bytes: int = 2**30
    max_pixels: int = MOST_PIXELS
    max_seconds: float = 3600

    def __post_init__(self) -> None:
        check_colours(self, "mean", "std")
        for name in ("clips", "crops", "size"):
            if getattr(self, name) < 1:
                raise PolysenseError(f"video.{name} must be positive, not {getattr(self, name)}")
        if not 0 <= self.moment <= 1:
            raise PolysenseError(f"video.moment must lie in [0, 1], not {self.moment}")

    def read(self, source: Any) -> torch.Tensor:
        """Decode a path, bytes, uint8 array [T, height, width, 3] or list of PIL pictures.

        Returns [clips * crops, 3, size, size]. Frames in memory have no times and count as equally
        long. Raises PolysenseError, in one line that names the file, where the source is missing,
        damaged, without pictures, of no known format or over a limit.
        """
        name = source_name("video", source)
        with one_line_errors(name):
            if isinstance(source, str | Path | bytes | bytearray):
                pictures = self._decode(source, name)
            elif isinstance(source, np.ndarray):
                if source.dtype != np.uint8 or source.ndim != 4 or source.shape[3] != 3:
                    raise PolysenseError(
                        "a video array must be uint8 [frames, height, width, 3], not "
                        f"{source.dtype} {list(source.shape)}"
                    )
                pictures = self._pick(source, name)
            elif isinstance(source, list | tuple) and all(
                isinstance(picture, Image.Image) for picture in source
            ):
                pictures = self._pick(source, name)
            else:
                raise PolysenseError(
                    "a video must be a path, bytes, array or list of PIL pictures, not "
                    f"{type(source).__name__}"
                )
            squares = [square for picture in pictures for square in self._squares(picture)]
        return normalise(np.stack(squares), self.mean, self.std)

    def tokenizer(self, width: int) -> nn.Module:
        """A vision encoder's own patch convolution is the tokenizer, as of pictures."""
        return nn.Identity()

    def example(self) -> torch.Tensor:
        """A ramp of grey that becomes lighter from clip to clip."""
        ramp = torch.linspace(-1, 0, self.size).expand(3, self.size, self.size)
        light = torch.linspace(0, 1, self.clips).repeat_interleave(self.crops)
        return ramp + light.view(-1, 1, 1, 1)

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Flip all frames or none, and change the light of all alike."""
        flip, contrast, brightness = torch.rand(3, generator=generator).tolist()
        view = signal.flip(-1) if flip < 0.5 else signal
        return view * (0.8 + 0.3 * contrast) + (0.2 * brightness - 0.1)

    def visualize(self, signal: torch.Tensor) -> Image.Image:
        """Return the middle square of every clip, side by side, for people to look at."""
        frames = pixels_of(signal[self.crops // 2 :: self.crops], self.mean, self.std)
        return Image.fromarray(np.concatenate(frames, axis=1))

    def suits(self, source: Any) -> bool:
        """Whether it can be read and moves: a picture is no video of one frame."""
        if not super().suits(source):
            return False
        name = source_name("video", source)
        with (
            open_source(source, name, "video.max_bytes", self.max_bytes) as file,
            open_container(file, name, self.max_pixels) as container,
        ):
            frames = container.decode(first_stream(container, "video", name))
            return len(list(islice(frames, 2))) == 2

    def _decode(self, source: str | Path | bytes | bytearray, name: str) -> list[Image.Image]:
        """Return one picture a clip, decoding no more than is needed for them."""
        with (
            open_source(source, name, "video.max_bytes", self.max_bytes) as file,
            open_container(file, name, self.max_pixels) as container,
        ):
            stream = cast(av.VideoStream, first_stream(container, "video", name))
            self._check_pixels(stream.codec_context.width, stream.codec_context.height, name)
            length = sampling.length_of(container, stream)
            check_duration(length, name, "video.max_seconds", self.max_seconds)
            moments = sampling.clip_moments(length, self.clips, self.moment)
            frames = sampling.FrameReader(container, stream, length).at(moments, name)
            aspect = float(stream.sample_aspect_ratio or 1)
            return [sampling.upright(frame, aspect) for frame in frames]

    def _pick(self, frames: Sequence[Image.Image] | np.ndarray, name: str) -> list[Image.Image]:
        """Return one picture a clip, of frames in memory."""
        count = len(frames)
        if count == 0:
            raise PolysenseError(f"{name} has no frames")
        moments = sampling.clip_moments(count, self.clips, self.moment, count / self.clips)
        pictures = []
        for moment in moments:
            frame = frames[min(int(moment), count - 1)]
            height, width = frame.shape[:2] if isinstance(frame, np.ndarray) else frame.size[::-1]
            self._check_pixels(width, height, name)
            pictures.append(Image.fromarray(frame) if isinstance(frame, np.ndarray) else frame)
        return pictures

    def _check_pixels(self, width: int, height: int, name: str) -> None:
        if not 0 < width * height <= self.max_pixels:
            size = f"{width} x {height} pixels" if width * height else "too large or no known size"
            raise PolysenseError(
                f"{name} has frames of {size}; the limit is video.max_pixels={self.max_pixels:,}"
            )

    def _squares(self, picture: Image.Image) -> list[np.ndarray]:
        """Cut squares of the shorter side along the longer one: uint8 [size, size, 3] each.

        They are cut before they are resized, so that a very long frame costs no memory.
        """
        if picture.mode != "RGB":
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture).convert("RGB")
        side = min(picture.size)
        shares = np.linspace(0, 1, self.crops) if self.crops > 1 else [0.5]
        squares = []
        for share in shares:
            left, top = (share * (length - side) for length in picture.size)
            box = (left, top, left + side, top + side)
            target = (self.size, self.size)
            squares.append(np.asarray(picture.resize(target, Image.Resampling.BICUBIC, box=box)))
        return squares
