"""Augmented views of an image: turned, scaled, flipped and moved as drawn."""

import pytest
import torch

from polysense.modalities.image import ImageModality


@pytest.mark.parametrize(("flip", "dark"), [(0.4, slice(0, 22)), (0.6, slice(18, 40))])
def test_a_view_is_scaled_and_flipped_as_drawn(monkeypatch, flip, dark):
    """A square of 20 right of the middle becomes one of 22, on the side that the flip says."""
    draws = iter([0.5, 1.0, flip, 0.5, 0.5, 2 / 3, 0.5])  # angle, scale, flip, moves, light
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(next(draws)))
    modality = ImageModality(size=40, mean=(0, 0, 0), std=(1, 1, 1))
    signal = torch.ones(3, 40, 40)
    signal[:, 10:30, 20:40] = 0
    view = modality.augment(signal, torch.Generator())
    columns = (view[0, 20] < 0.5).nonzero().flatten()
    assert int((view[0, :, int(columns.float().mean())] < 0.5).sum()) == 22
    assert set(columns.tolist()) <= set(range(dark.start, dark.stop))
