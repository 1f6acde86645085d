"""Pictures: a file of any common format, or one in memory, becomes a square, normalised signal.

Size, mean and standard deviation are those of the encoder the picture goes to. Bytes and pixels are
limited and checked from the file's header, before anything is decoded; formats that run programs
(EPS) are not among those read.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import nn
from torch.nn import functional

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.readers import svg
from polysense.modalities.sources.file_checks import file_bytes, one_line_errors, source_name
from polysense.modalities.transforms.normalize import (
    CLIP_MEAN,
    CLIP_STD,
    check_colours,
    check_fit,
    from_shares,
    normalise,
    pixels_of,
)

FORMATS = "PNG JPEG MPO WEBP AVIF GIF BMP DIB TIFF JPEG2000 ICO PPM TGA QOI PCX".split()
UNKNOWN = (
    "not a picture that can be read (its content is no known format, whatever its name says): use "
    "PNG, JPEG, WebP, GIF, BMP or TIFF"
)

# What is known and not read: (how it begins, what it is). Saying "damaged" of it would mislead.
UNREAD = (
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "damaged, or a TIFF of a kind that is not read (16-bit or "
     "float colours, more bands, a rare compression): save it as PNG with 8 bits"),
    (rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", "HEIC, which is not read: save it as JPEG"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL, which is not read: save it as JPEG or PNG"),
    (rb"8BPS", "a Photoshop file, which is not read: save it as PNG"),
    (rb"%PDF|%!PS", "a document (PDF or PostScript), not a picture: save it as PNG"),
    (rb"....ftyp|\x1aE\xdf\xa3|OggS|ID3|fLaC", "not a picture but a film or a sound"),
)  # fmt: skip


@dataclass(frozen=True)
class ImageModality(Modality):
    """A picture as [3, size, size].

    fit         "pad" fits the whole picture into the square; "crop" brings the shorter side to
                size and cuts the centre (CLIP's way); "stretch" ignores proportions (SigLIP's way)
    trim        cut away fully transparent borders first, so that the object fills the square
    margin      share of the side left as background around a padded picture
    background  8-bit RGB that transparent and padded places take
    """

    name = "image"
    uses_vision_encoder = True
    extensions = tuple(
        "jpg jpeg jpe jfif png webp avif gif bmp dib tif tiff jp2 "
        "ppm pgm pbm tga ico pcx qoi svg".split()
    )
    shared_endings = ("apng",)

    size: int = 224
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    fit: Literal["pad", "crop", "stretch"] = "pad"
    trim: bool = False
    margin: float = 0.0
    background: tuple[int, ...] = (255, 255, 255)
    max_pixels: int = 89_000_000
    max_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        check_colours(self, "mean", "std", "background")
        check_fit(self.name, self.fit)
        if self.size < 1 or not 0 <= self.margin < 0.5:
            raise PolysenseError("image.size must be positive and image.margin lie in [0, 0.5)")

    def read(self, source: Any) -> torch.Tensor:
        """Decode a path, bytes, PIL picture or uint8 array [H, W, 3 or 4] into [3, size, size].

        Of an animation, the first frame. Raises PolysenseError, in one line that names the file,
        where the source is missing, damaged, of no known format or over a limit.
        """
        name = source_name("picture", source)
        with one_line_errors(name):
            picture = self._open(source, name)
            self._check_pixels(picture, name)
            picture = self._square(self._flatten(ImageOps.exif_transpose(picture), name))
        return normalise(np.asarray(picture), self.mean, self.std)

    def tokenizer(self, width: int) -> nn.Module:
        """A vision encoder's own patch convolution is the picture's tokenizer (OneLLM: CLIP's)."""
        return nn.Identity()

    def example(self) -> torch.Tensor:
        """A horizontal ramp of grey."""
        return torch.linspace(-1, 1, self.size).expand(3, self.size, self.size).contiguous()

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Flip, turn by up to 12 degrees, scale by 0.8 to 1.1, move by up to 8 %, change light."""

        def draw(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        angle, scale = math.radians(draw(-12, 12)), 1 / draw(0.8, 1.1)
        flip = -1.0 if draw(0, 1) < 0.5 else 1.0
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        theta = torch.tensor(
            [[[flip * cosine, -sine, draw(-0.16, 0.16)], [flip * sine, cosine, draw(-0.16, 0.16)]]]
        )
        # Sampled around the background, so that what comes in from outside has its colour.
        background = torch.tensor(self.background).view(3, 1, 1) / 255
        outside = from_shares(background, self.mean, self.std)
        grid = functional.affine_grid(theta, [1, *signal.shape], align_corners=False)
        moved = functional.grid_sample((signal - outside)[None], grid, align_corners=False)[0]
        return (moved * draw(0.8, 1.1)) + outside + draw(-0.1, 0.1)

    def visualize(self, signal: torch.Tensor) -> Image.Image:
        """Show a signal to people: the square that the encoder sees."""
        return Image.fromarray(pixels_of(signal, self.mean, self.std))

    def suits(self, source: Any) -> bool:
        """Whether it is a photograph or a drawing: no measurements (16 bits or floats a pixel in
        one band), and no animation."""
        if not super().suits(source):
            return False
        picture = self._open(source, source_name("picture", source))
        animated = picture.format in ("GIF", "PNG") and getattr(picture, "n_frames", 1) > 1
        return not animated and picture.mode not in ("I", "F") and "16" not in picture.mode

    def _open(self, source: Any, name: str) -> Image.Image:
        """Open a source; of a file, only the header is read here."""
        if isinstance(source, Image.Image):
            return source
        if isinstance(source, torch.Tensor):
            # Channels first, as torchvision has them; [height, width, channels] as arrays have.
            first = source.ndim == 3 and source.shape[0] in (3, 4) and source.shape[2] not in (3, 4)
            source = (source.permute(1, 2, 0) if first else source).detach().cpu().numpy()
        if isinstance(source, np.ndarray):
            if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] not in (3, 4):
                raise PolysenseError(
                    f"a picture array must be uint8 [height, width, 3 or 4], not {source.dtype} "
                    f"{list(source.shape)}"
                )
            return Image.fromarray(source)
        if not isinstance(source, str | Path | bytes | bytearray):
            raise PolysenseError(
                "a picture must be a path, bytes, PIL picture, array or tensor, not "
                f"{type(source).__name__}"
            )
        data = file_bytes(source, name, "image.max_bytes", self.max_bytes)
        if svg.is_svg(data):
            data = svg.draw(data, 2 * self.size, name)  # twice the size: its lines stay smooth
        kind = next((what for start, what in UNREAD if re.match(start, data, re.DOTALL)), UNKNOWN)
        return open_picture(data, FORMATS, name, kind)

    def _check_pixels(self, picture: Image.Image, name: str) -> None:
        width, height = picture.size
        if not 0 < width * height <= self.max_pixels:
            raise PolysenseError(
                f"{name} is {width} x {height} pixels; the limit is "
                f"image.max_pixels={self.max_pixels:,}: give another"
            )

    def _flatten(self, picture: Image.Image, name: str) -> Image.Image:
        """Return RGB; transparent places take the background."""
        deep = picture.mode.startswith("I;16")
        if deep or picture.mode in ("I", "F"):
            values = np.asarray(picture, dtype=np.float32)
            top = 65535.0 if deep else white_of(values, picture.mode == "F", name)
            shares = np.where(np.isfinite(values), values, 0) / top
            picture = Image.fromarray((shares * 255).astype(np.uint8))
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            box = picture.getchannel("A").point([0] * 9 + [255] * 247).getbbox()
            if self.trim and box:
                picture = picture.crop(box)
            ground = Image.new("RGBA", picture.size, (*self.background, 255))
            picture = Image.alpha_composite(ground, picture)
        return picture.convert("RGB")

    def _square(self, picture: Image.Image) -> Image.Image:
        """Fit or crop to size x size."""
        target, bicubic = (self.size, self.size), Image.Resampling.BICUBIC
        if self.fit == "stretch":
            return picture.resize(target, bicubic)
        if self.fit == "crop":
            return self._centre(picture)
        inner = max(1, round(self.size * (1 - 2 * self.margin)))
        fitted = ImageOps.contain(picture, (inner, inner), bicubic)
        square = Image.new("RGB", target, tuple(self.background))
        square.paste(fitted, ((self.size - fitted.width) // 2, (self.size - fitted.height) // 2))
        return square

    def _centre(self, picture: Image.Image) -> Image.Image:
        """Bring the shorter side to `size`, then cut the centre, rounding as CLIP does."""
        size, shorter = self.size, min(picture.size)
        width, height = (size * side // shorter for side in picture.size)
        if width * height > self.max_pixels:  # a mere line: cut before it is made larger
            return ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
        left, top = (width - size) // 2, (height - size) // 2
        resized = picture.resize((width, height), Image.Resampling.BICUBIC)
        return resized.crop((left, top, left + size, top + size))


def white_of(values: np.ndarray, floats: bool, name: str) -> float:
    """Return which number is white in a picture of 32 bits a pixel: the least of the usual ones
    that no pixel exceeds. Numbers outside of all of them are refused: no picture tells their range.
    """
    usual = (1.0, 255.0, 65535.0) if floats else (255.0, 65535.0)
    known = values[np.isfinite(values)]
    low, high = known.min(initial=0), known.max(initial=0)
    if low < 0 or high > usual[-1]:
        ranges = ", ".join(f"0 to {top:g}" for top in usual)
        kind = "floats" if floats else "integers"
        raise PolysenseError(
            f"{name} holds {kind} from {low:g} to {high:g}; a picture of them is read in {ranges}: "
            "scale it, or read it as depth"
        )
    return next(top for top in usual if high <= top)


def open_picture(data: bytes, formats: Sequence[str], name: str, unknown: str) -> Image.Image:
    """Open a picture in one of Pillow's `formats`; only the header is read here.

    Content of any other format `is <unknown>`; too many pixels are refused by the header.
    """
    Image.init()
    try:
        return Image.open(io.BytesIO(data), formats=[f for f in formats if f in Image.OPEN])
    except UnidentifiedImageError as error:
        raise PolysenseError(f"{name} is {unknown}") from error
    except Image.DecompressionBombError as error:
        raise PolysenseError(f"{name} has too many pixels: {error}") from error
