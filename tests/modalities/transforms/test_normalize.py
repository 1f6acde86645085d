"""Pixels become signals and come back; options of three colours are checked, whoever has them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from polysense.errors import PolysenseError
from polysense.modalities import ImageModality
from polysense.modalities.transforms.normalize import (
    check_colours,
    check_fit,
    from_shares,
    normalise,
    pixels_of,
    to_shares,
)

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)


def test_a_signal_is_less_the_mean_and_over_the_deviation():
    stored = np.array([[[0, 255, 51]]], np.uint8)  # [1, 1, 3]
    signal = normalise(stored, MEAN, STD)
    assert signal.dtype == torch.float32
    assert signal.flatten().tolist() == pytest.approx([-0.2, 3.2, -0.05])
    assert signal.is_contiguous()


def test_pixels_come_back_exactly_also_of_several_frames():
    stored = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    signal = normalise(stored, MEAN, STD)
    assert signal.shape == (2, 3, 5, 4)
    assert np.array_equal(pixels_of(signal, MEAN, STD), stored)
    assert np.array_equal(pixels_of(signal[1].bfloat16().float(), MEAN, STD).shape, (5, 4, 3))
    assert pixels_of(torch.full((3, 1, 1), 99.0), MEAN, STD).max() == 255  # cut, not wrapped


def test_shares_come_back_to_rounding():
    shares = torch.rand(3, 4, 4)
    assert torch.allclose(to_shares(from_shares(shares, MEAN, STD), MEAN, STD), shares, atol=1e-6)


def test_options_become_tuples_of_three():
    @dataclass(frozen=True)
    class Warm(ImageModality):
        tint: tuple[float, ...] = (1, 2, 3)

        def __post_init__(self):
            check_colours(self, "tint")

    assert Warm(tint=[3, 2, 1]).tint == (3, 2, 1)
    with pytest.raises(PolysenseError, match=r"^image\.tint needs three values, red green blue$"):
        Warm(tint=(1, 2))


def test_fits_are_known():
    check_fit("depth", "crop")
    with pytest.raises(PolysenseError, match=r"^depth\.fit must be pad, .* not 'squeeze'$"):
        check_fit("depth", "squeeze")
