"""New weights let a signal through, at any width, at the scale of what the LLM gets of words."""

import pytest
import torch
from fixtures.families.llms import WORDS, family_llm
from torch import nn

from polysense.config import ConnectorConfig, FusionConfig
from polysense.model.connectors.build import build_connector
from polysense.model.fusion.build import build_fusion
from polysense.model.initialization import init_scaled, keep_variance, unit_normal
from polysense.model.llm.input_embeddings import embedding_scale

KINDS = {
    "linear": {},
    "mlp": {},
    "qformer": {"layers": 4, "queries": 4, "heads": 4},
    "perceiver": {"layers": 2, "queries": 4, "heads": 2},
    "resampler": {"queries": 4, "heads": 4},
    "abstractor": {"layers": 2, "queries": 4},
    "merge": {},
    "pool": {"queries": 4},
    "upm": {"layers": 2, "queries": 4, "heads": 4, "experts": 2},
}
WIDE = ("qformer", "resampler", "abstractor", "upm")  # that have a width of their own


@pytest.mark.parametrize("width", [32, 256])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_an_untrained_connector_lets_the_signal_through(kind, width):
    """Of the variance of embeddings, at least a tenth is between signals."""
    torch.manual_seed(0)
    options = {**KINDS[kind], **({"width": width} if kind in WIDE else {})}
    connector = build_connector(ConnectorConfig(kind, **options), ["image"], width, width, 0.1)
    found = connector.eval()(torch.randn(64, 16, width), "image")
    found = found[:, connector.tags : found.shape[1] - connector.tags]
    between = found.var(dim=0).mean() / found.var()
    assert between > 0.1


@pytest.mark.parametrize(("family", "factor"), [("Llama", 1), ("Gemma", 32**0.5), ("XGLM", 32**0.5),
                                                ("BioGPT", 32**0.5)])  # fmt: skip
@torch.no_grad()
def test_embeddings_and_marks_are_as_large_as_what_the_embedding_layer_gives(family, factor):
    llm = family_llm(family)
    given = llm.get_input_embeddings()(torch.arange(WORDS))
    assert embedding_scale(llm) == pytest.approx(float(given.std()), rel=1e-4)
    weight = llm.get_input_embeddings().weight
    assert embedding_scale(llm) == pytest.approx(float(weight.std()) * factor, rel=1e-3)
    marked = build_fusion(FusionConfig("cross_attention", every_n_layers=1), llm, ["image"])
    assert torch.allclose(marked.placeholder_embeddings["image"], given.mean(dim=0), atol=1e-5)


@torch.no_grad()
def test_weights_keep_the_variance_of_their_inputs():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 900), nn.Linear(900, 300, bias=False))
    keep_variance(network)
    x = torch.randn(200, 64)
    assert float(network(x).std()) == pytest.approx(1, rel=0.1)
    assert not network[0].bias.any()
    assert float(init_scaled(nn.Linear(64, 500), 3.0)(x).std()) == pytest.approx(3, rel=0.1)
    assert float(unit_normal(2, 50, 400).std()) == pytest.approx(1 / 20, rel=0.1)
