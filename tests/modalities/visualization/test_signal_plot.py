"""Modalities that draw nothing themselves are shown all the same: traces, maps, film strips."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from polysense.modalities.base import Modality
from polysense.modalities.visualization.signal_plot import HEIGHT, WIDTH, draw_signal, stretched


@dataclass(frozen=True)
class Heart(Modality):
    """A modality of somebody's own, with no picture."""

    name = "heart"

    def read(self, source):
        return torch.as_tensor(source)

    def tokenizer(self, width):
        return nn.Identity()

    def example(self):
        return torch.sin(torch.arange(500) / 10)[None]


class Film(Heart):
    uses_vision_encoder = True


def ink(picture):
    """Where something is drawn: pixels clearly darker than the paper."""
    return np.asarray(picture.convert("L")) < 200


def test_few_rows_are_traces_below_each_other():
    wave = torch.sin(torch.arange(200) / 10)
    picture = draw_signal(torch.stack([wave, torch.zeros(200)]))
    assert picture.size == (WIDTH, HEIGHT)
    above, below = ink(picture)[: HEIGHT // 2], ink(picture)[HEIGHT // 2 :]
    assert above.any(axis=1).sum() > 60  # the wave goes up and down
    assert 1 <= below.any(axis=1).sum() <= 4  # a constant is a level line
    assert below.any(axis=0).sum() > WIDTH - 20
    assert Heart().visualize(Heart().example()).tobytes() != picture.tobytes()


def test_many_rows_are_a_heat_map():
    ramp = torch.arange(64.0)[:, None].expand(64, 100)
    rows = np.asarray(draw_signal(ramp).convert("L")).mean(axis=1)
    assert rows[-1] > rows[HEIGHT // 2] > rows[0] + 20


@pytest.mark.parametrize("shape", [(7,), (1,), (1, 1), (5, 1), (2, 3, 40), (40, 6), (3, 16, 16)])
def test_signals_of_any_shape_can_be_drawn(shape):
    assert draw_signal(torch.randn(shape)).size == (WIDTH, HEIGHT)


def test_pictures_stay_pictures_and_frames_stand_side_by_side():
    frames = torch.zeros(4, 3, 10, 10)
    frames[2, 0] = 1  # the third is red
    strip = Film().visualize(frames)
    assert strip.size == (40, 10)
    assert strip.getpixel((25, 5)) == (255, 0, 0)
    assert strip.getpixel((35, 5)) == (0, 0, 0)
    assert Film().visualize(frames[0]).size == (10, 10)


def test_values_are_stretched_and_nothing_breaks_it():
    assert stretched(torch.tensor([2.0, 3.0, 4.0])).tolist() == [0, 0.5, 1]
    assert stretched(torch.full((4,), 7.0)).tolist() == [0.5] * 4
    assert torch.isfinite(stretched(torch.tensor([float("nan"), 1.0, float("inf")]))).all()
