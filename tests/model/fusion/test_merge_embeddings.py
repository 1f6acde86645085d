"""Embeddings land exactly on their places, with gradients; a mismatch is an error."""

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.model.fusion.merge_embeddings import merge_embeddings, placeholder_mask

IDS = torch.tensor([[1, 90, 90, 2, 91], [90, 90, 3, 90, 90]])
PLACES = {"image": 90, "audio": 91}


def test_each_signal_goes_to_its_place_in_reading_order():
    words = torch.zeros(2, 5, 4)
    pictures = torch.arange(1.0, 7).view(3, 2, 1).expand(3, 2, 4).clone().requires_grad_()
    sound = torch.full((1, 1, 4), -1.0)
    mixed = merge_embeddings(words, IDS, PLACES, {"image": pictures, "audio": sound})
    assert mixed[:, :, 0].tolist() == [[0, 1, 2, 0, -1], [3, 4, 0, 5, 6]]
    mixed.sum().backward()
    assert torch.equal(pictures.grad, torch.ones_like(pictures))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": torch.ones(3, 2, 4)}, "1 places for audio .* 0 embeddings"),
        ({"image": torch.ones(2, 2, 4), "audio": torch.ones(1, 1, 4)}, "6 places .* 4 embeddings"),
        ({"image": torch.ones(2, 3, 4), "audio": torch.ones(1, 1, 4)}, "sample 0 .* multiple"),
        ({"image": torch.ones(3, 2, 4), "audio": torch.ones(1, 1, 4), "imu": torch.ones(1, 1, 4)},
         "no such modality"),
    ],
)  # fmt: skip
def test_a_mismatch_names_modality_and_both_numbers(given, words):
    with pytest.raises(PolysenseError, match=words):
        merge_embeddings(torch.zeros(2, 5, 4), IDS, PLACES, given)


def test_places_of_every_modality_are_held():
    ids = torch.tensor([[1, 90, 2, 91], [91, 90, 3, 4]])
    held = placeholder_mask(ids, {"image": 90, "audio": 91})
    assert held.int().tolist() == [[0, 1, 0, 1], [1, 1, 0, 0]]
