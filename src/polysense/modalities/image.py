"""Pictures: any file Pillow reads, or one in memory, becomes a square, normalised signal.

Size, mean and standard deviation are those of the encoder the picture goes to. Bytes and pixels are
limited and checked from the file's header, before anything is decoded.
"""

from __future__ import annotations

import io
import math
import warnings
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


@dataclass(frozen=True)
class ImageModality(Modality):
    """A picture as [3, size, size].

    fit         "pad" fits the whole picture into the square; "crop" cuts its centre (CLIP's way)
    trim        cut away fully transparent borders first, so that the object fills the square
    margin      share of the side left as background around a padded picture
    background  8-bit RGB that transparent and padded places take
    """

    name = "image"

    size: int = 224
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    fit: Literal["pad", "crop"] = "pad"
    trim: bool = False
    margin: float = 0.0
    background: tuple[int, ...] = (255, 255, 255)
    max_pixels: int = 90_000_000
    max_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        for name in ("mean", "std", "background"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 3:
                raise PolysenseError(f"image.{name} needs three values, red green blue")
        if self.fit not in ("pad", "crop"):
            raise PolysenseError(f"image.fit must be 'pad' or 'crop', not {self.fit!r}")
        if self.size < 1 or not 0 <= self.margin < 0.5:
            raise PolysenseError("image.size must be positive and image.margin lie in [0, 0.5)")

    def read(self, source: Any) -> torch.Tensor:
        """Decode a path, bytes, PIL picture or uint8 array [H, W, 3] into [3, size, size]."""
        picture = self._square(self._open(source))
        pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255.0)
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return ((pixels - mean) / std).permute(2, 0, 1).contiguous()

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
        outside = (torch.tensor(self.background) / 255 - torch.tensor(self.mean)) / torch.tensor(
            self.std
        )
        outside = outside.view(3, 1, 1)
        grid = functional.affine_grid(theta, [1, *signal.shape], align_corners=False)
        moved = functional.grid_sample((signal - outside)[None], grid, align_corners=False)[0]
        return (moved * draw(0.8, 1.1)) + outside + draw(-0.1, 0.1)

    def _open(self, source: Any) -> Image.Image:
        """Open a source as RGB, limits first."""
        if isinstance(source, Image.Image):
            return self._flatten(source)
        if isinstance(source, np.ndarray):
            if source.dtype != np.uint8 or source.ndim != 3:
                raise PolysenseError(
                    f"a picture array must be uint8 [height, width, 3], not {source.dtype} "
                    f"{list(source.shape)}"
                )
            return self._flatten(Image.fromarray(source))
        data, name = self._bytes(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's own, larger, limit only warns
                with Image.open(io.BytesIO(data)) as picture:
                    self._check_pixels(picture, name)
                    return self._flatten(ImageOps.exif_transpose(picture))
        except UnidentifiedImageError as error:
            raise PolysenseError(
                f"{name} is not a picture that can be read (its content is no known format, "
                "whatever its name says): use PNG, JPEG, WebP, GIF, BMP or TIFF"
            ) from error
        except Image.DecompressionBombError as error:
            raise PolysenseError(f"{name} is too large a picture: {error}") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            if isinstance(error, PolysenseError):
                raise
            raise PolysenseError(f"{name} is damaged or cut short: {error}") from error

    def _bytes(self, source: Any) -> tuple[bytes, str]:
        """Return a file's bytes and what to call it."""
        if isinstance(source, bytes | bytearray):
            return bytes(source), "the picture in memory"
        if not isinstance(source, str | Path):
            raise PolysenseError(
                f"a picture must be a path, bytes, PIL picture or array, not "
                f"{type(source).__name__}"
            )
        path = Path(source).expanduser()
        try:
            size = path.stat().st_size
            if size > self.max_bytes:
                raise PolysenseError(
                    f"{path} has {size:,} bytes; the limit is image.max_bytes={self.max_bytes:,}"
                )
            data = path.read_bytes()
        except OSError as error:
            raise PolysenseError(f"picture {path} cannot be read: {error.strerror}") from error
        if not data:
            raise PolysenseError(f"picture {path} is empty (0 bytes)")
        return data, f"picture {path}"

    def _check_pixels(self, picture: Image.Image, name: str) -> None:
        width, height = picture.size
        if width * height > self.max_pixels:
            raise PolysenseError(
                f"{name} is {width} x {height} pixels; the limit is "
                f"image.max_pixels={self.max_pixels:,}: make it smaller"
            )

    def _flatten(self, picture: Image.Image) -> Image.Image:
        """Return RGB; transparent places take the background."""
        if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
            values = np.asarray(picture, dtype=np.float32)
            top = 65535.0 if values.max(initial=0) > 255 else 255.0
            picture = Image.fromarray((values.clip(0, top) / top * 255).astype(np.uint8))
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
        target = (self.size, self.size)
        if self.fit == "crop":
            return ImageOps.fit(picture, target, Image.Resampling.BICUBIC)
        inner = max(1, round(self.size * (1 - 2 * self.margin)))
        fitted = ImageOps.contain(picture, (inner, inner), Image.Resampling.BICUBIC)
        square = Image.new("RGB", target, tuple(self.background))
        square.paste(fitted, ((self.size - fitted.width) // 2, (self.size - fitted.height) // 2))
        return square
