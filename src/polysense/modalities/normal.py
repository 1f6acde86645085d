"""Surface normals: which way each pixel's surface faces, as a picture whose colours are directions.

Red, green and blue hold x, y and z of the unit normal as (n + 1) / 2, the encoding of normal maps
everywhere; so a wall that faces the viewer is the familiar light blue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from polysense.errors import PolysenseError
from polysense.modalities.base import caption_prompt
from polysense.modalities.dense_map import MapModality
from polysense.modalities.sources.file_checks import source_name

SUITED = 0.9  # share of the vectors that have unit length in any normal map, blurred edges aside
BLURRED = 0.2  # a shorter vector is no direction: background, or opposite ones averaged


@dataclass(frozen=True)
class NormalModality(MapModality):
    """A normal map as [3, size, size]: (n + 1) / 2 of unit normals, normalised as pictures are.

    Background is the zero vector, mid-grey: NaN, (0, 0, 0) as stored, transparent, or shorter
    than 0.2. Arrays of floats with a negative number in them are in -1..1; without one, they are
    read as the one of -1..1 and 0..1 whose vectors are nearer to unit length.

    tolerance  by how much the median length may differ from 1: a picture that is no normal map,
               or one in another encoding, is refused
    """

    name = "normal"
    shared_endings = ("png", "tif", "tiff", "webp", "jpg", "jpeg", "npy", "npz")
    formats: ClassVar[tuple[str, ...]] = ("PNG", "TIFF", "WEBP", "JPEG")
    arrays: ClassVar[tuple[str, ...]] = ("normal", "normals", "arr_0")
    empty: ClassVar[float] = 0.5

    tolerance: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.tolerance < 1:
            raise PolysenseError(f"normal.tolerance must lie in (0, 1), not {self.tolerance}")

    @property
    def caption_prompt(self) -> str:
        """The paper's caption prompt."""
        return caption_prompt("normal map")

    def measured(self, values: np.ndarray, name: str) -> np.ndarray:
        """Stored values [h, w, 3 or 4] -> (n + 1) / 2 [h, w, 3], n of length 1 or 0."""
        if values.ndim != 3 or values.shape[2] not in (3, 4):
            raise PolysenseError(f"{name} must be [height, width, 3], not {list(values.shape)}")
        normals = self._vectors(values, name)
        length = np.linalg.norm(normals, axis=2, keepdims=True)
        known = length >= BLURRED  # NaN compares as false
        if not known.any():
            raise PolysenseError(f"{name} holds no normal: every pixel shown is background")
        median = float(np.median(length[known]))
        if abs(median - 1) > self.tolerance:
            raise PolysenseError(
                f"{name} is no normal map: the median length of its vectors is {median:.2f}, and "
                f"normal.tolerance={self.tolerance} allows that much from 1"
            )
        units = np.divide(normals, length, out=np.zeros_like(normals), where=known)
        return (units + 1) / 2

    def _vectors(self, values: np.ndarray, name: str) -> np.ndarray:
        """Decode to float32 [h, w, 3] in -1..1, NaN where there is background."""
        if values.dtype.kind not in "uf" or values.dtype.itemsize > 8:
            raise PolysenseError(f"{name} holds {values.dtype}, not floats or 8 or 16-bit colours")
        stored = values[..., :3].astype(np.float32)
        stored[(stored == 0).all(axis=2) | ~np.isfinite(stored).all(axis=2)] = np.nan
        if values.shape[2] == 4:
            stored[values[..., 3] == 0] = np.nan
        if values.dtype.kind == "u":
            return stored / np.iinfo(values.dtype).max * 2 - 1
        if (stored < 0).any():
            return stored
        readings = (stored, stored * 2 - 1)
        return min(readings, key=distance_from_unit)

    def suits(self, source: Any) -> bool:
        """Whether nearly all of its vectors have unit length: of a photograph half may by chance,
        which is enough to be read."""
        if not super().suits(source):
            return False
        values = self._parts(source)[1] if self.pair else source
        name = source_name("normal map", source)
        length = np.linalg.norm(self._vectors(self._stored(values, name), name), axis=2)
        return float(np.mean(np.abs(length[length >= BLURRED] - 1) <= self.tolerance)) >= SUITED

    def mirrored(self, values: torch.Tensor) -> torch.Tensor:
        """A mirror turns left to right: x changes its sign."""
        return torch.cat([1 - values[:1], values[1:]])

    def painted(self, values: np.ndarray) -> np.ndarray:
        """The encoding is a picture already."""
        return np.rint(255 * values).astype(np.uint8)

    def example(self) -> torch.Tensor:
        """A ball that faces the viewer; as a pair, beside a black picture."""
        y, x = np.mgrid[1 : -1 : self.size * 1j, -1 : 1 : self.size * 1j].astype(np.float32)
        ball = np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))], axis=2)
        ball[x**2 + y**2 >= 1] = np.nan
        ball[self.size // 2, self.size // 2] = (0, 0, 1)  # also where the ball is one pixel
        black = np.zeros((self.size, self.size, 3), dtype=np.uint8)
        return self.read((black, ball) if self.pair else ball)


def distance_from_unit(vectors: np.ndarray) -> float:
    """Return by how much the lengths of vectors [h, w, 3] differ from 1, in the median."""
    length = np.linalg.norm(vectors, axis=2)
    return float(np.median(np.abs(length[np.isfinite(length)] - 1))) if length.size else 0.0
