"""Maps: pictures whose pixels are measurements (depth, surface normals).

What the two share: reading files without touching the values, fitting them into a square by nearest
neighbour (a mean of two depths is a place where nothing is), and OneLLM's pair of a picture and its
map. The paper (arXiv 2312.03700) treats a map as one image; the released checkpoint takes the pair
(RGB, map) as two frames, whose features are averaged after the encoder.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.image import ImageModality, open_picture
from polysense.modalities.readers.npy import is_array_file, load_arrays
from polysense.modalities.sources.file_checks import file_bytes, one_line_errors, source_name
from polysense.modalities.transforms.normalize import (
    CLIP_MEAN,
    CLIP_STD,
    check_colours,
    check_fit,
    from_shares,
    pixels_of,
    to_shares,
)

OPENEXR = b"\x76\x2f\x31\x01"


@dataclass(frozen=True)
class MapModality(Modality):
    """A map as [3, size, size], or with `pair` [2, 3, size, size]: its picture, then the map.

    size, mean, std, fit  as of pictures: what the vision encoder was trained with
    pair                  the source is (picture, map) or {"image": picture, <name>: map}

    Places outside the map (padding) and without a measurement hold `empty`.
    """

    uses_vision_encoder = True
    formats: ClassVar[tuple[str, ...]]  # Pillow's names of those that keep a map's values
    arrays: ClassVar[tuple[str, ...]]  # names of the map in an .npz file
    empty: ClassVar[float]  # the value, of 0..1, where nothing is known

    size: int = 224
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    fit: Literal["pad", "crop", "stretch"] = "pad"
    pair: bool = False
    max_pixels: int = 89_000_000
    max_bytes: int = 512 * 2**20

    def __post_init__(self) -> None:
        check_colours(self, "mean", "std")
        check_fit(self.name, self.fit)
        if self.size < 1:
            raise PolysenseError(f"{self.name}.size must be positive, not {self.size}")

    @abstractmethod
    def measured(self, values: np.ndarray, name: str) -> np.ndarray:
        """Turn stored values [h, w] or [h, w, bands] into float32 [h, w, 3] in 0..1, with `empty`
        where nothing is known; PolysenseError where they are no such map."""

    @abstractmethod
    def mirrored(self, values: torch.Tensor) -> torch.Tensor:
        """Return what a map [3, S, S] in 0..1, just flipped left to right, holds in a mirror."""

    @abstractmethod
    def painted(self, values: np.ndarray) -> np.ndarray:
        """Return a map [S, S, 3] in 0..1 as uint8 colours for people."""

    def read(self, source: Any) -> torch.Tensor:
        """Decode a map, or a pair; in a pair each part is anything its own modality reads.

        Raises PolysenseError, in one line that names the file, where the source is missing,
        damaged, no map of this kind or over a limit.
        """
        if not self.pair:
            return self._read_map(source)
        picture, values = self._parts(source)
        modality = ImageModality(
            self.size, self.mean, self.std, self.fit, max_pixels=self.max_pixels
        )
        return torch.stack([modality.read(picture), self._read_map(values)])

    def tokenizer(self, width: int) -> nn.Module:
        """A vision encoder's own patch convolution is the map's tokenizer."""
        return nn.Identity()

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mirror half of the time; of a pair, both frames. Values keep their meaning."""
        if float(torch.rand((), generator=generator)) < 0.5:
            return signal
        signal = signal.flip(-1)
        frames = list(signal.unbind()) if self.pair else [signal]
        shares = self.mirrored(to_shares(frames[-1], self.mean, self.std))
        frames[-1] = from_shares(shares, self.mean, self.std)
        return torch.stack(frames) if self.pair else frames[0]

    def visualize(self, signal: torch.Tensor) -> Image.Image:
        """Show a signal to people: the map, or of a pair the picture with the map to its right."""
        *pictures, values = signal if self.pair else signal[None]
        shares = to_shares(values, self.mean, self.std).permute(1, 2, 0).clamp(0, 1).numpy()
        shown = [pixels_of(picture, self.mean, self.std) for picture in pictures]
        return Image.fromarray(np.concatenate([*shown, self.painted(shares)], axis=1))

    def _read_map(self, source: Any) -> torch.Tensor:
        name = source_name(f"{self.name} map", source)
        with one_line_errors(name):
            stored = self._stored(source, name)
            rows, columns, place = nearest_window(stored.shape[:2], self.size, self.fit)
            square = np.full((self.size, self.size, 3), self.empty, dtype=np.float32)
            square[place] = self.measured(stored[rows[:, None], columns], name)
        return from_shares(torch.from_numpy(square).permute(2, 0, 1), self.mean, self.std)

    def _stored(self, source: Any, name: str) -> np.ndarray:
        """Return the values as stored, [H, W] or [H, W, bands], of the type they are stored in."""
        if isinstance(source, str | Path | bytes | bytearray):
            data = file_bytes(source, name, f"{self.name}.max_bytes", self.max_bytes)
            source = self._opened(data, name)
        if isinstance(source, torch.Tensor):
            source = source.detach().cpu().numpy()
        if not isinstance(source, Image.Image | np.ndarray):
            raise PolysenseError(
                f"a {self.name} map must be a path, bytes, PIL picture or array, not "
                f"{type(source).__name__}"
            )
        size = source.shape[1::-1] if isinstance(source, np.ndarray) else source.size
        if len(size) < 2 or not 0 < size[0] * size[1] <= self.max_pixels:
            raise PolysenseError(
                f"{name} is {' x '.join(map(str, size))} pixels; it needs a height and a width, "
                f"and the limit is {self.name}.max_pixels={self.max_pixels:,}"
            )
        if isinstance(source, Image.Image) and source.mode in ("P", "PA", "CMYK", "1"):
            raise PolysenseError(
                f"{name} has colours of mode {source.mode}, which are no {self.name}"
            )
        return np.asarray(source)

    def _opened(self, data: bytes, name: str) -> Image.Image | np.ndarray:
        """Open a file's bytes by what they are; of a picture only the header is read here."""
        if is_array_file(data):
            most, option = 4 * self.max_pixels, f"4 x {self.name}.max_pixels"
            return next(iter(load_arrays(data, self.arrays, name, most, option).values()))
        if data.startswith(OPENEXR):
            raise PolysenseError(f"{name} is OpenEXR, which is not read: save it as .npy or TIFF")
        known = ", ".join([*self.formats, "NPY", "NPZ"])
        return open_picture(data, self.formats, name, f"no map that can be read; formats: {known}")

    def _parts(self, source: Any) -> tuple[Any, Any]:
        """Take a pair apart."""
        if isinstance(source, Mapping) and set(source) == {"image", self.name}:
            return source["image"], source[self.name]
        if isinstance(source, tuple | list) and len(source) == 2:
            return source[0], source[1]
        raise PolysenseError(
            f"with {self.name}.pair=true a source is (picture, {self.name} map) or "
            f'{{"image": ..., "{self.name}": ...}}, not {type(source).__name__}'
        )


def nearest_window(
    shape: tuple[int, ...], size: int, fit: str
) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Return the rows [h] and columns [w] of a map [H, W] that its square shows, and where in it.

    The geometry is ImageModality's, so a picture and its map stay aligned; values are picked, not
    mixed, and only those shown are looked at.
    """
    shorter, longer = min(shape), max(shape)
    if fit == "stretch":
        inner = [size, size]
    elif fit == "crop":  # the shorter side to `size`, rounded as CLIP does
        inner = [size * side // shorter for side in shape]
    else:
        inner = [max(1, round(size * side / longer)) for side in shape]
    picked, place = [], []
    for side, length in zip(shape, inner, strict=True):
        cut, margin = max(0, length - size) // 2, max(0, size - length) // 2
        count = min(length, size)
        # the centre of each target pixel, in source pixels
        picked.append(((np.arange(count) + cut + 0.5) * side / length).astype(np.int64))
        place.append(slice(margin, margin + count))
    return picked[0], picked[1], (place[0], place[1])
