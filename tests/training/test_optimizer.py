"""Which parameters decay, the stage's own values in AdamW, and steps that no number allows."""

import math

import pytest
import torch
from torch import nn

from polysense.config import ConnectorConfig, Stage
from polysense.errors import PolysenseError
from polysense.model.connectors.build import build_connector
from polysense.training.optimizer import (
    clip_and_step,
    decays,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)


def parameters_of(kind, **options):
    config = ConnectorConfig(kind, layers=1, heads=2, queries=4, experts=2, **options)
    connector = build_connector(config, ["image", "imu"], 16, 32, 1.0)
    return {f"connector.{name}": value for name, value in connector.named_parameters()}


def group_of(optimizer, parameter):
    (group,) = [g for g in optimizer.param_groups if any(parameter is p for p in g["params"])]
    return group


def a_layer():
    layer = nn.ModuleDict({"linear": nn.Linear(3, 3), "norm": nn.LayerNorm(3)})
    layer.queries = nn.Parameter(torch.ones(4, 3))
    layer.attention_norm = nn.Parameter(torch.ones(2, 3))
    layer.temperature = nn.Parameter(torch.ones(()))
    layer.w2 = nn.Parameter(torch.ones(2, 3, 3))
    layer.gate_up_proj = nn.Parameter(torch.ones(2, 3, 3))
    layer.in_proj_weight = nn.Parameter(torch.ones(9, 3))
    return layer


def test_matrices_decay_and_nothing_else():
    trainable = dict(a_layer().named_parameters())
    found = {name for name, value in trainable.items() if decays(name, value)}
    assert found == {"linear.weight", "w2", "gate_up_proj", "in_proj_weight"}
    optimizer = make_optimizer(Stage("s", ("*",), weight_decay=0.3), trainable)
    for name, value in trainable.items():
        assert group_of(optimizer, value)["weight_decay"] == (0.3 if name in found else 0.0)


def test_a_recipe_can_have_others_decay():
    trainable = dict(a_layer().named_parameters())
    stage = Stage("s", ("*",), weight_decay=0.3, also_decay=("queries", "norm"))
    optimizer = make_optimizer(stage, trainable)
    more = {n for n, value in trainable.items() if group_of(optimizer, value)["weight_decay"]}
    assert more == {
        "linear.weight", "w2", "gate_up_proj", "in_proj_weight", "queries", "norm.weight",
        "norm.bias",
    }  # fmt: skip


def test_the_stage_decides_betas_and_rate():
    trainable = {"a.weight": nn.Parameter(torch.ones(2, 2)), "a.bias": nn.Parameter(torch.ones(2))}
    optimizer = make_optimizer(Stage("s", ("a",), betas=(0.7, 0.8), learning_rate=0.5), trainable)
    assert len(optimizer.param_groups) == 2
    for group in optimizer.param_groups:
        assert (group["betas"], group["lr"]) == ((0.7, 0.8), 0.5)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_the_rate_warms_up_and_falls_along_a_cosine_to_the_minimum():
    stage = Stage("s", ("a",), learning_rate=1.0, min_learning_rate=0.2, warmup_ratio=0.15)
    rates = [learning_rate(stage, step, 10) for step in range(10)]  # of which two warm up
    falling = [0.2 + 0.8 * (1 + math.cos(math.pi * eighth / 8)) / 2 for eighth in range(8)]
    assert rates == pytest.approx([0.5, 1.0, *falling])
    assert rates[6] == pytest.approx(0.6)
    assert learning_rate(Stage("s", ("a",), warmup_ratio=0.0), 0, 1) == 1e-3


def test_parameters_that_do_not_decay_alone_make_one_group():
    optimizer = make_optimizer(Stage("s", ("a",)), {"a.bias": nn.Parameter(torch.ones(2))})
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


def with_gradient(*values):
    parameter = nn.Parameter(torch.zeros(len(values)))
    parameter.grad = torch.tensor(values)
    return parameter


def test_gradients_are_clipped_and_the_norm_is_that_before():
    parameter = with_gradient(3.0, 4.0)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    assert clip_and_step(optimizer, [parameter], 0.5, 1.0, "s") == pytest.approx(5.0)
    assert torch.allclose(parameter, torch.tensor([-0.3, -0.4]), atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf), (1.0, -math.inf)],
)
def test_what_is_not_finite_ends_the_training_before_the_weights_change(loss, gradient):
    parameter = with_gradient(1.0, gradient)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    with pytest.raises(PolysenseError, match=r"stages\.s, step 3: .*last checkpoint is kept"):
        clip_and_step(optimizer, [parameter], 1.0, loss, "stages.s, step 3")
    assert parameter.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("kind", "resting"),
    [
        ("mlp", set()),
        ("upm", {"attention_norm", "ffn_norm", "image", "imu"}),  # queries go by their modality
        ("qformer", {"queries"}),
        ("resampler", {"queries"}),
    ],
)
def test_of_our_connectors_matrices_alone_decay(kind, resting):
    tables = {n: v for n, v in parameters_of(kind).items() if v.ndim > 1}
    found = {name.rpartition(".")[2] for name, value in tables.items() if not decays(name, value)}
    assert found == resting
