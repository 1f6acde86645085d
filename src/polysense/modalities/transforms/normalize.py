"""Pixels as vision encoders want them: shares of 0..1, less a mean and over a deviation by colour.

Every modality whose signal is a picture (images, maps, videos) goes through here, in both
directions, and has its options checked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from polysense.errors import PolysenseError

Colour = tuple[float, ...]  # red green blue
CLIP_MEAN: Colour = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Colour = (0.26862954, 0.26130258, 0.27577711)
FITS = ("pad", "crop", "stretch")


def check_colours(modality: Any, *options: str) -> None:
    """Make tuples of options (JSON knows lists only) and check that they have a value a colour."""
    for option in options:
        values = tuple(getattr(modality, option))
        if len(values) != 3:
            raise PolysenseError(f"{modality.name}.{option} needs three values, red green blue")
        object.__setattr__(modality, option, values)


def check_fit(name: str, fit: str) -> None:
    """Check the option `fit` of the modality called `name`."""
    if fit not in FITS:
        raise PolysenseError(f"{name}.fit must be pad, crop or stretch, not {fit!r}")


def from_shares(shares: torch.Tensor, mean: Colour, std: Colour) -> torch.Tensor:
    """Turn shares [..., 3, height, width] of 0..1 into a signal of the same shape."""
    return ((shares - column(mean)) / column(std)).contiguous()


def to_shares(signal: torch.Tensor, mean: Colour, std: Colour) -> torch.Tensor:
    """Turn a signal [..., 3, height, width] back into shares, to rounding, on the CPU."""
    return signal.detach().float().cpu() * column(std) + column(mean)


def normalise(pixels: np.ndarray, mean: Colour, std: Colour) -> torch.Tensor:
    """Turn 8-bit pixels [..., height, width, 3] into a float32 signal [..., 3, height, width]."""
    shares = torch.from_numpy(pixels.astype(np.float32) / 255.0)
    return from_shares(shares.movedim(-1, -3), mean, std)


def pixels_of(signal: torch.Tensor, mean: Colour, std: Colour) -> np.ndarray:
    """Turn a signal [..., 3, height, width] back into 8-bit pixels [..., height, width, 3]."""
    shares = to_shares(signal, mean, std).movedim(-3, -1)
    return (shares.clamp(0, 1) * 255).round().byte().numpy()


def column(values: Colour) -> torch.Tensor:
    """Return three values as [3, 1, 1]."""
    return torch.tensor(values).view(3, 1, 1)
