"""Images in memory with channels in any place; views turned, scaled and flipped as drawn."""

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


def test_a_tensor_may_have_its_channels_first_or_last():
    modality = ImageModality(size=16)
    last = torch.randint(0, 256, (9, 16, 3), dtype=torch.uint8)
    for tensor in (last, last.permute(2, 0, 1)):
        assert torch.equal(modality.read(tensor), modality.read(last.numpy()))
