"""Depth: how far each pixel is, in metres, as a picture whose brightness is distance.

The metric scale is kept (0 to 10 m become 0 to 1), so a near wall and a far one differ, which a map
stretched to its own extremes would hide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from polysense.errors import PolysenseError
from polysense.modalities.base import caption_prompt
from polysense.modalities.dense_map import MapModality

COLOURS = "viridis"
FAR = 0.9  # share of the pixels beyond max_depth from which on the unit is in doubt
NEAR = 0.03  # share of max_depth below which all of a map is nothing but a mistaken unit
UNKNOWN = 255  # white: where nothing was measured


@dataclass(frozen=True)
class DepthModality(MapModality):
    """A depth map as [3, size, size]: distance / max_depth, at most 1, in three equal channels,
    normalised as pictures are. 0, negative, NaN and infinite are no measurement and become 0.

    unit       metres of one step in whole-number files and arrays of 16 bits or more (0.001: mm)
    max_depth  metres that become 1, and above

    Files and arrays of 8 bits are relative: 0 to 255 is 0 to max_depth. Floats are metres.
    """

    name = "depth"
    shared_endings = ("png", "tif", "tiff", "npy", "npz")
    formats: ClassVar[tuple[str, ...]] = ("PNG", "TIFF")
    arrays: ClassVar[tuple[str, ...]] = ("depth", "arr_0")
    empty: ClassVar[float] = 0.0

    unit: float = 0.001
    max_depth: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.unit > 0 or not self.max_depth > 0:
            raise PolysenseError("depth.unit and depth.max_depth must be positive")

    @property
    def caption_prompt(self) -> str:
        """The paper's caption prompt."""
        return caption_prompt("depth map")

    def measured(self, values: np.ndarray, name: str) -> np.ndarray:
        """Stored values [h, w] -> distance / max_depth [h, w, 3] in 0..1."""
        values = one_band(values, name)
        if values.dtype == np.uint8:
            metres = values * np.float32(self.max_depth / 255)
        elif values.dtype.kind in "ui":
            metres = (values * self.unit).astype(np.float32)
            check_unit(metres, self.max_depth, name, f"depth.unit={self.unit:g} m a step")
        elif values.dtype.kind == "f":
            metres = values.astype(np.float32)
            check_unit(metres, self.max_depth, name, "floats are metres")
        else:
            raise PolysenseError(f"{name} holds values of type {values.dtype}, not distances")
        known = np.isfinite(metres) & (metres > 0)
        if not known.any():
            raise PolysenseError(f"{name} holds no depth: every pixel shown is 0, NaN or infinite")
        share = np.where(known, metres, 0).clip(0, self.max_depth) / self.max_depth
        return np.repeat(share[..., None], 3, axis=2)

    def mirrored(self, values: torch.Tensor) -> torch.Tensor:
        """A mirror does not change distances."""
        return values

    def painted(self, values: np.ndarray) -> np.ndarray:
        """Near dark, far light; white where nothing was measured."""
        import matplotlib

        share = values[..., 0]
        colours = matplotlib.colormaps[COLOURS](share, bytes=True)[..., :3]
        # rounding of the normalisation is far below the step of any sensor
        return np.where(share[..., None] > 1e-6, colours, UNKNOWN).astype(np.uint8)

    def example(self) -> torch.Tensor:
        """A floor: near below, far above; as a pair, beside a black picture."""
        metres = np.linspace(self.max_depth, self.max_depth / 10, self.size, dtype=np.float32)
        floor = np.repeat(metres[:, None], self.size, axis=1)
        black = np.zeros((self.size, self.size, 3), dtype=np.uint8)
        return self.read((black, floor) if self.pair else floor)


def check_unit(metres: np.ndarray, max_depth: float, name: str, reason: str) -> None:
    """Refuse distances that only another unit explains: nearly all of them beyond `max_depth`
    (millimetres taken for metres, or a map scaled to 65,535), or all of them next to nothing
    (metres taken for millimetres)."""
    known = metres[np.isfinite(metres) & (metres > 0)]
    if not known.size:
        return
    low, high, beyond = known.min(), known.max(), float(np.mean(known > max_depth))
    if beyond > FAR or high < max_depth * NEAR:
        raise PolysenseError(
            f"{name} lies {low:.3g} to {high:.3g} m away ({reason}), {beyond:.0%} of it beyond "
            f"depth.max_depth={max_depth:g}: that is another unit (set depth.unit, or save metres "
            "as floats) or another depth.max_depth"
        )


def one_band(values: np.ndarray, name: str) -> np.ndarray:
    """Return [h, w] of a map stored in one band, or in equal ones (a grey picture saved as RGB);
    an alpha band counts as no measurement where it is 0."""
    if values.ndim == 2:
        return values
    if values.ndim != 3 or values.shape[2] > 4:
        raise PolysenseError(f"{name} must be [height, width], not {list(values.shape)}")
    alpha = values[..., -1] if values.shape[2] in (2, 4) else None
    bands = values if alpha is None else values[..., :-1]
    if (bands != bands[..., :1]).any():
        raise PolysenseError(
            f"{name} is in colour: depth needs one band (a colour-mapped preview has lost it)"
        )
    return (
        bands[..., 0]
        if alpha is None
        else np.where(alpha > 0, bands[..., 0], 0).astype(bands.dtype)
    )
