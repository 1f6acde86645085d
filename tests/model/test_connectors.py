"""LLaVA's connectors, after the contract of polysense.model.connector: shapes, branches, scale."""

import pytest
import torch

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.model.connectors import build_connector


def build(kind, **options):
    return build_connector(ConnectorConfig(kind, **options), ["image", "audio"], 64, 96, 0.13)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_one_embedding_a_position_at_the_scale_of_words(kind):
    connector = build(kind)
    found = connector(torch.randn(50, 7, 64) * 30, "image")
    assert found.shape == (50, connector.embeddings(7), 96)
    assert float(found.detach().std()) == pytest.approx(0.13, rel=0.4)


def test_each_modality_has_its_own_branch():
    connector = build("mlp")
    connector(torch.randn(1, 2, 64), "image").sum().backward()
    assert all(p.grad is None for p in connector.branches["audio"].parameters())
    assert all(p.grad is not None for p in connector.branches["image"].parameters())


def test_llava_sizes():
    linear, mlp = (
        sum(p.numel() for p in build(kind, hidden=80).branches["image"].parameters())
        for kind in ("linear", "mlp")
    )
    norm = 2 * 64
    assert linear == norm + 64 * 96 + 96
    assert mlp == norm + 64 * 80 + 80 + 80 * 96 + 96


def test_upm_is_a_kind_and_unknown_ones_are_named():
    upm = build("upm", heads=4, layers=1, queries=3)
    assert upm(torch.randn(2, 5, 64), "audio").shape == (2, 5, 96)
    with pytest.raises(PolysenseError, match="did you mean 'linear'"):
        build("liner")
