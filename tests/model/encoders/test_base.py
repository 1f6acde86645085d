"""Without an encoder tokens pass as they are, and what is no row of tokens is refused."""

import pytest
import torch
from torch import nn

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.modalities import ImageModality
from polysense.model.encoders.base import pool, weights_hash
from polysense.model.encoders.build import build_encoder
from polysense.model.encoders.image_preprocessing import signal_options


def test_tokens_pass_as_they_are():
    encoder = build_encoder(EncoderConfig("none", width=8), torch.float32)
    tokens = torch.randn(2, 5, 8, requires_grad=True)
    assert encoder.encode(tokens) is tokens
    assert encoder.width == 8
    assert encoder.class_token is None
    assert not list(encoder.parameters())
    assert signal_options(EncoderConfig("none", width=8), ImageModality) == {}


def test_the_width_decides_the_fingerprint():
    eight, nine = (
        build_encoder(EncoderConfig("none", width=w), torch.float32).fingerprint() for w in (8, 9)
    )
    assert eight != nine


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 5, 9), (2, 8)])
def test_pictures_and_other_widths_are_refused(shape):
    encoder = build_encoder(EncoderConfig("none", width=8), torch.float32)
    with pytest.raises(PolysenseError, match=r"takes tokens \[N, F, 8\], not \[2"):
        encoder.encode(torch.zeros(shape))
    with pytest.raises(PolysenseError, match="reads no pictures"):
        encoder(torch.zeros(shape))


def test_a_width_is_needed_and_weights_are_not():
    with pytest.raises(PolysenseError, match=r"set encoder\.width"):
        build_encoder(EncoderConfig("none"), torch.float32)
    with pytest.raises(PolysenseError, match=r"encoder\.width must be at least 1"):
        EncoderConfig("none", width=0)
    with pytest.raises(PolysenseError, match=r"encoder\.name is empty"):
        EncoderConfig("transformers")
    assert EncoderConfig("none", "weights/of/a/recipe", width=8).name == ""


def test_weights_and_settings_decide_the_hash():
    module = nn.Linear(2, 2)
    before = weights_hash(module)
    assert weights_hash(module, "other") != before
    with torch.no_grad():
        module.weight[0, 0] += 1
    assert weights_hash(module) != before


def test_a_map_is_pooled_to_means_in_reading_order():
    grid = torch.arange(16.0).view(1, 1, 4, 4)
    assert pool(grid, 2).tolist() == [[[2.5], [4.5], [10.5], [12.5]]]
    assert pool(grid, None).flatten().tolist() == list(range(16))
