"""The UPM's batched experts against the formula written out one expert at a time."""

import pytest
import torch
from torch.nn import functional

from polysense.config import ConnectorConfig
from polysense.errors import PolysenseError
from polysense.model.connectors.upm import UniversalProjection, feedforward_width


def build(**options):
    config = ConnectorConfig("upm", experts=3, layers=2, heads=2, queries=5, **options)
    torch.manual_seed(3)
    module = UniversalProjection(config, ["image", "audio"], 16, 24, 0.5)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def one_expert(module, x, k):
    """Every position through all blocks of expert k, as OneLLM computes it."""
    for block in module.blocks:
        normed = functional.rms_norm(x, (16,), eps=1e-5) * block.attention_norm[k]
        q, key, v = (
            (normed @ w[k].T).unflatten(-1, (2, 8)).transpose(1, 2)
            for w in (block.wq, block.wk, block.wv)
        )
        scores = (q @ key.transpose(-1, -2) / 8**0.5).softmax(-1)
        x = x + (scores @ v).transpose(1, 2).flatten(2) @ block.wo[k].T
        normed = functional.rms_norm(x, (16,), eps=1e-5) * block.ffn_norm[k]
        x = x + (functional.silu(normed @ block.w1[k].T) * (normed @ block.w3[k].T)) @ block.w2[k].T
    return x


def reference(module, features, modality, weights):
    tokens = module.tokens[modality].expand(len(features), -1, -1)
    inside = torch.cat([tokens, module.input_projection[modality](features)], dim=1)
    outputs = [one_expert(module, inside, k)[:, :5] for k in range(3)]
    mixed = sum(weights[..., k, None] * outputs[k] for k in range(3))
    return module.output_projection[modality](mixed)


@pytest.mark.parametrize("router", ["sigmoid", "softmax", "constant", "sparse"])
@pytest.mark.parametrize("read", ["tokens", "features"])
def test_outputs_and_gradients_equal_the_sequential_formula(router, read):
    module = build(router=router, router_input=read)
    features = torch.randn(2, 7, 16, requires_grad=True)
    source = module.tokens["audio"].expand(2, -1, -1)
    if read == "features":
        source = module.input_projection["audio"](features).mean(1, keepdim=True).expand(-1, 5, -1)
    expected = reference(module, features, "audio", module.routers["audio"](source))
    found = module.project(features, "audio")
    assert torch.allclose(found, expected, atol=1e-5)
    used = [p for n, p in module.named_parameters() if "image" not in n and "_tag" not in n]
    ours, theirs = (
        torch.autograd.grad(x.square().sum(), [features, *used], retain_graph=True)
        for x in (found, expected)
    )
    assert len(used) == 2 * 9 + 1 + 2 * 4 + (0 if router == "constant" else 4)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-4 * max(1.0, float(b.abs().max()))


def test_routers_weigh_as_named():
    for router in ("sigmoid", "softmax", "constant"):
        assert torch.allclose(build(router=router).routing("image").sum(), torch.tensor(1.0))


def test_router_formulas():
    """The weights from the logits, written out; sparse keeps the softmax value of its choice."""
    x = torch.randn(4, 16)
    for kind in ("sigmoid", "softmax", "sparse"):
        router = build(router=kind).routers["image"]
        hidden = x @ router.fc1.weight.T + router.fc1.bias
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        logits = hidden @ router.fc2.weight.T + router.fc2.bias
        raised = 1 / (1 + (-logits).exp()) if kind == "sigmoid" else logits.exp()
        expected = raised / raised.sum(dim=-1, keepdim=True)
        if kind == "sparse":
            expected = expected * (expected == expected.amax(dim=-1, keepdim=True))
        found = router(x)
        assert torch.allclose(found, expected, atol=1e-5)
        assert torch.autograd.grad(found.square().sum(), router.fc2.weight)[0].abs().sum() > 0


def test_a_router_of_features_reports_their_weights():
    module = build(router_input="features")
    assert module.routing("image").isnan().all()
    features = torch.randn(1, 7, 16)
    pooled = module.input_projection["image"](features).mean(dim=1)
    assert torch.allclose(module.routing("image", features), module.routers["image"](pooled)[0])
    other = module.routing("image", features + 3 * torch.randn(1, 7, 16))
    assert not torch.allclose(other, module.routing("image", features))
    module = build()
    assert torch.equal(module.routing("image"), module.routing("image", features))


def test_copied_experts_equal_their_source():
    module = build()
    before = {name: weight.clone() for name, weight in module.named_parameters()}
    module.copy_expert(1)
    for name, weight in module.named_parameters():
        shared = name.startswith("blocks.")
        expected = before[name][1].expand_as(weight) if shared else before[name]
        assert torch.equal(weight, expected), name
    with torch.no_grad():  # three experts again, not three names of one
        module.blocks[0].wq[0].zero_()
    assert torch.equal(module.blocks[0].wq[2], before["blocks.0.wq"][1])


@pytest.mark.parametrize("width", [32, 256, 1024])
def test_an_untrained_projection_tells_signals_apart_at_any_width(width):
    torch.manual_seed(0)
    config = ConnectorConfig("upm", width=width, layers=1, heads=4, queries=6)
    module = UniversalProjection(config, ["image"], 64, 48, 1.0)
    with torch.no_grad():
        found = module.project(torch.randn(64, 9, 64), "image")
    # What differs between signals, of all that differs; the rest is between places.
    assert found.var(dim=0).mean() > 0.5 * found.var()


def test_sizes():
    assert feedforward_width(1024) == 2816
    module = build()
    assert module(torch.randn(3, 9, 16), "image").shape == (3, module.num_embeddings(9), 24)
    with pytest.raises(PolysenseError, match="does not divide"):
        UniversalProjection(ConnectorConfig("upm", heads=3), ["image"], 16, 24, 1.0)
    with pytest.raises(PolysenseError, match="shared already"):
        UniversalProjection(ConnectorConfig("upm", heads=4, shared=True), ["image"], 16, 24, 1.0)


def test_tags_of_the_modality_stand_around_its_queries():
    module, features = build(), torch.randn(2, 7, 16)
    found = module(features, "audio")
    assert found.shape == (2, module.num_embeddings(7), 24)
    assert torch.equal(found[:, 0], module.start_tag["audio"].expand(2, -1))
    assert torch.equal(found[:, 1:-1], module.project(features, "audio"))
    assert torch.equal(found[:, -1], module.end_tag["audio"].expand(2, -1))


def test_an_output_begins_as_large_as_a_words_embedding():
    config = ConnectorConfig("upm", experts=2, layers=1, heads=2, queries=3)
    module = UniversalProjection(config, ["image"], 16, 24, 0.5)
    found = module(torch.randn(4, 7, 16), "image")[:, 1:-1]
    assert float(found.detach().std()) == pytest.approx(0.5, rel=0.1)
