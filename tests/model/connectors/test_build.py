"""What every connector must do, kind by kind: shapes, counts, scale, gradients, branches.

The contract is polysense.model.connectors.base; polysense.model.connectors.mlp makes two of them.
"""

import pytest
import torch
from fixtures.tiny_model import tiny_config

from polysense.config.model import ConnectorConfig
from polysense.config.overrides import apply, from_json, to_json
from polysense.config.run import RunConfig
from polysense.errors import PolysenseError
from polysense.model.connectors.build import build_connector
from polysense.model.connectors.mlp import feature_norm
from polysense.model.polysense_model import PolysenseModel
from polysense.training import run as runs
from polysense.training.run import train

SIZES = {
    "linear": {},
    "mlp": {},
    "qformer": {"width": 32, "heads": 4, "layers": 3, "queries": 5},
    "perceiver": {"heads": 2, "layers": 2, "queries": 5},
    "resampler": {"heads": 4, "queries": 9, "width": 32},
    "abstractor": {"width": 32, "layers": 2, "queries": 4},
    "merge": {"merge_factor": 3},
    "pool": {"queries": 5},
}


def build(kind, **options):
    config = ConnectorConfig(kind, **{**SIZES.get(kind, {}), **options})
    return build_connector(config, ["image", "audio"], 64, 96, 0.13)


@pytest.mark.parametrize("kind", SIZES)
def test_counts_hold_and_embeddings_are_as_large_as_words(kind):
    torch.manual_seed(0)
    connector = build(kind)
    for positions in (4, 9, 16):
        found = connector(torch.randn(50, positions, 64) * 30, "image")
        assert found.shape == (50, connector.num_embeddings(positions), 96)
        assert float(found.detach().std()) == pytest.approx(0.13, rel=0.4)


@pytest.mark.parametrize("kind", SIZES)
def test_gradients_reach_every_parameter_of_the_modality_only(kind):
    torch.manual_seed(0)
    connector = build(kind)
    connector(torch.randn(2, 16, 64), "image").pow(2).sum().backward()
    assert all(p.grad is None for p in connector.branches["audio"].parameters())
    for name, parameter in connector.branches["image"].named_parameters():
        assert parameter.grad is not None, name
        # A bias of all keys alike moves no softmax: its gradient is zero but for rounding.
        assert name.endswith("key.bias") or parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", SIZES)
def test_a_shared_branch_is_one_network_for_all(kind):
    torch.manual_seed(0)
    shared, own = build(kind, shared=True).eval(), build(kind).eval()
    features = torch.randn(2, 9, 64)
    assert torch.equal(shared(features, "image"), shared(features, "audio"))
    assert not torch.equal(own(features, "image"), own(features, "audio"))
    sizes = [sum(p.numel() for p in connector.parameters()) for connector in (shared, own)]
    assert 2 * sizes[0] == sizes[1]


@pytest.mark.parametrize("kind", SIZES)
def test_half_precision_and_dropout_run(kind):
    connector = build(kind, dropout=0.5).to(torch.bfloat16)
    found = connector(torch.randn(1, 9, 64, dtype=torch.bfloat16), "audio")
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


def test_published_sizes_hold_where_the_config_is_silent():
    former = build_connector(ConnectorConfig("qformer"), ["image"], 64, 96, 0.1)
    assert former.num_embeddings(1) == 32
    parts = former.branches["image"].former
    assert (parts.queries.shape[1], len(parts.layers)) == (768, 12)
    assert [layer.cross_attention is not None for layer in parts.layers] == [True, False] * 6
    perceiver = build_connector(ConnectorConfig("perceiver"), ["image"], 64, 96, 0.1)
    assert (perceiver.num_embeddings(1), len(perceiver.branches["image"].blocks)) == (64, 6)
    assert (
        build_connector(ConnectorConfig("resampler"), ["x"], 64, 96, 0.1).num_embeddings(4) == 256
    )


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


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("qformer", {"heads": 5}, r"heads=5 does not divide connector\.width 32"),
        ("resampler", {"heads": 5}, "does not divide"),
        ("resampler", {"queries": 10}, r"queries=10 needs a square grid"),
        ("resampler", {"width": 30, "heads": 2}, "multiple of 4"),
        ("abstractor", {"queries": 10}, r"queries=10 needs a square grid"),
        ("merge", {"merge_factor": 0}, r"connector\.merge_factor must be at least 1"),
        ("qformer", {"queries": 0}, r"connector\.queries must be at least 1"),
    ],
)
def test_sizes_that_do_not_fit_teach(kind, options, words):
    with pytest.raises(PolysenseError, match=words):
        build(kind, **options)(torch.randn(1, 4, 64), "image")


def test_settings_change_the_kind_and_its_sizes(tmp_path):
    config = tiny_config(tmp_path)
    settings = ("kind=perceiver", "shared=true", "queries=7", "frames=3", "width=none")
    changed = apply(config, [f"model.connector.{setting}" for setting in settings])
    connector = changed.model.connector
    assert (connector.kind, connector.shared, connector.queries) == ("perceiver", True, 7)
    assert connector.given("queries", "frames", "width") == {"queries": 7, "frames": 3}
    assert from_json(RunConfig, to_json(changed)) == changed
    with pytest.raises(PolysenseError, match="did you mean 'queries'"):
        apply(config, ["model.connector.querys=7"])


@pytest.mark.parametrize("kind", ["qformer", "pool"])
def test_a_run_learns_with_it_and_loads_again(kind, tmp_path):
    sizes = ("width=16", "queries=2", "shared=true")
    config = apply(
        tiny_config(tmp_path / "parts", steps_scale=0.5, kind=kind),
        [f"model.connector.{size}" for size in sizes],
    )
    train(config, tmp_path / "run")
    model = PolysenseModel.from_pretrained(tmp_path / "run")
    assert model.config.parts.connector == config.model.connector
    embedded = model.connect("image", torch.randn(2, 4, model.encoder.width))
    assert embedded.shape[:2] == (2, model.connector.num_embeddings(4))


def test_a_norm_stands_before_where_it_is_asked_for():
    assert isinstance(feature_norm(ConnectorConfig("mlp"), 8), torch.nn.LayerNorm)
    assert isinstance(feature_norm(ConnectorConfig("mlp", norm=False), 8), torch.nn.Identity)


@torch.no_grad()
def test_embeddings_begin_as_large_as_the_llms_words(tmp_path):
    torch.manual_seed(0)
    model, _ = runs.build(runs.resolve(tiny_config(tmp_path / "parts", kind="linear")))
    found = model.eval().connect("image", torch.randn(64, 4, model.encoder.width))
    words = model.input_embeddings
    assert float(found.std()) == pytest.approx(float(words.std()), rel=0.25)
    assert float(words.std()) < 0.3
