"""A modality's tokens get the encoder's class token in front and positions of their own."""

import torch
from torch import nn

from polysense.modalities import ImageModality, ImuModality
from polysense.model.encoders.modality_tokenizer import ModalityTokenizer, build_tokenizer


def test_class_token_and_positions():
    modality = ImuModality(samples=30)
    module = build_tokenizer(modality, 8, class_token=True)
    assert isinstance(module, ModalityTokenizer)
    signals, first = torch.randn(2, 6, 30), torch.randn(8)
    tokens = module(signals, first)
    assert tokens.shape == (2, 1 + 21, 8)
    assert torch.allclose(tokens[:, 0], first + module.positions[0])
    assert torch.allclose(tokens[:, 1:], module.tokenizer(signals) + module.positions[1:])
    assert module.positions.requires_grad
    assert 0.01 < module.positions.std() < 0.03  # as BERT's and ViT's begin


def test_no_class_token_no_row_for_it():
    module = build_tokenizer(ImuModality(samples=30), 8, class_token=False)
    assert module.positions.shape == (21, 8)
    assert module(torch.randn(1, 6, 30), None).shape == (1, 21, 8)


def test_pictures_have_the_encoders_own():
    assert isinstance(build_tokenizer(ImageModality(), 8, class_token=True), nn.Identity)
